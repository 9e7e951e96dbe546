//! The choice of an endpoint among 3 and among 1,000, measured replicas with something in flight.

use std::hint::black_box;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy::balance::{By, pick};
use registry::snapshot::{Endpoint, EndpointId, Load, Replica, ReplicaId};
use tidegate_benches::{Cost, Report, cost, world};

fn main() -> ExitCode {
    let mut report = Report::new("pick, one call of balance::pick");
    let few = measure(&report, 3);
    let many = measure(&report, 1_000);
    report.law("1,000 endpoints cost at most twice as much as 3", many.least <= 2.0 * few.least);
    report.finish()
}

fn measure(report: &Report, count: usize) -> Cost {
    let mut rng = fastrand::Rng::with_seed(1);
    let endpoints: Vec<Endpoint> = (0..count).map(|index| endpoint(index, &mut rng)).collect();
    let now = 2_000_000;
    let by_latency = cost(|_| _ = black_box(pick(black_box(&endpoints), &[], By::Latency, now, &mut rng)));
    report.row(&format!("{count:>5} endpoints, by latency"), by_latency);
    report.row(
        &format!("{count:>5} endpoints, by connections"),
        cost(|_| _ = black_box(pick(black_box(&endpoints), &[], By::Connections, now, &mut rng))),
    );
    by_latency
}

fn endpoint(index: usize, rng: &mut fastrand::Rng) -> Endpoint {
    let id = NonZeroU64::new(index as u64 + 1).expect("one more than an index");
    let load = Load::default();
    load.in_flight.store(rng.u32(0..8), Relaxed);
    load.latency_us.store(rng.u32(500..20_000), Relaxed);
    load.measured_us.store(1_900_000, Relaxed);
    let address = SocketAddr::from((world::pod_ip(index), world::PORT));
    Endpoint { id: EndpointId(id), replica: Arc::new(Replica { id: ReplicaId(id), address, pod: None, load: load.into() }) }
}
