//! The choice of an endpoint among 3 and among 1,000, measured replicas with something in flight.

use std::hint::black_box;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy::balance::{By, pick};
use registry::snapshot::{Endpoint, EndpointId, Load, Replica, ReplicaId};
use tidegate_benches::{Report, Run, costs, run, world};

const SIZES: [usize; 2] = [3, 1_000];
const NOW_US: u64 = 2_000_000;

fn main() -> ExitCode {
    let mut report = Report::new("pick, one call of balance::pick");
    let worlds = SIZES.map(endpoints);
    let mut runs: Vec<Run<'_>> = Vec::new();
    for endpoints in &worlds {
        for by in [By::Latency, By::Connections] {
            let mut rng = fastrand::Rng::with_seed(1);
            runs.push(run(move |_| _ = black_box(pick(black_box(endpoints), &[], by, NOW_US, &mut rng))));
        }
    }
    let costs = costs(&mut runs);
    for (count, costs) in SIZES.iter().zip(costs.chunks(2)) {
        report.row(&format!("{count:>5} endpoints, by latency"), costs[0]);
        report.row(&format!("{count:>5} endpoints, by connections"), costs[1]);
    }
    report.law("1,000 endpoints cost at most twice as much as 3", costs[2].least <= 2.0 * costs[0].least);
    report.finish()
}

fn endpoints(count: usize) -> Vec<Endpoint> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..count).map(|index| endpoint(index, &mut rng)).collect()
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
