//! The choice of an endpoint among 3 and among 1,000, measured replicas with something in flight: the less busy of two, and the one that
//! a client keeps.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::object::{Protocol, ServiceKey};
use proxy::balance::affinity::Clients;
use proxy::balance::{By, pick};
use registry::snapshot::{Endpoint, EndpointId, Load, PortName, Replica, ReplicaId, Service};
use tidegate_benches::{Report, Run, costs, run, world};

const SIZES: [usize; 2] = [3, 1_000];
const NOW_US: u64 = 2_000_000;
const KEEP_S: u32 = 600;

fn main() -> ExitCode {
    let mut report = Report::new("pick, one call of balance::pick or balance::affinity::Clients::pick");
    let worlds = SIZES.map(service);
    let memories = SIZES.map(|_| [Clients::default(), Clients::default()]);
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (service, [known, strangers]) in worlds.iter().zip(&memories) {
        for by in [By::Latency, By::Connections] {
            let mut rng = fastrand::Rng::with_seed(1);
            runs.push(run(move |_| _ = black_box(pick(black_box(&service.endpoints), &[], by, NOW_US, &mut rng))));
        }
        runs.push(run(move |_| _ = black_box(keep(known, black_box(service), 1))));
        let mut next = 0;
        runs.push(run(move |_| {
            next += 1;
            _ = black_box(keep(strangers, black_box(service), next));
        }));
    }
    let costs = costs(&mut runs);
    for (count, costs) in SIZES.iter().zip(costs.chunks(4)) {
        report.row(&format!("{count:>5} endpoints, by latency"), costs[0]);
        report.row(&format!("{count:>5} endpoints, by connections"), costs[1]);
        report.row(&format!("{count:>5} endpoints, for a client that keeps one"), costs[2]);
        report.row(&format!("{count:>5} endpoints, for a new client that will"), costs[3]);
    }
    report.law("1,000 endpoints cost at most twice as much as 3, by latency", costs[4].least <= 2.0 * costs[0].least);
    report.finish()
}

fn keep<'s>(clients: &Clients, service: &'s Service, client: u32) -> Option<&'s Endpoint> {
    clients.pick(service, KEEP_S, Ipv4Addr::from_bits(client).into(), &[], NOW_US)
}

fn service(count: usize) -> Service {
    let mut rng = fastrand::Rng::with_seed(1);
    let name = PortName { service: ServiceKey { namespace: "a".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp };
    let endpoints = (0..count).map(|index| endpoint(index, &mut rng)).collect();
    Service { affinity_s: Some(KEEP_S), endpoints, ..Service::unreachable(name, 0) }
}

fn endpoint(index: usize, rng: &mut fastrand::Rng) -> Endpoint {
    let id = NonZeroU64::new(index as u64 + 1).expect("one more than an index");
    let load = Load::default();
    load.in_flight.store(rng.u32(0..8), Relaxed);
    load.latency_us.store(rng.u32(500..20_000), Relaxed);
    load.measured_us.store(1_900_000, Relaxed);
    let address = SocketAddr::from((world::pod_ip(index), world::PORT));
    Endpoint {
        id: EndpointId(id),
        replica: Arc::new(Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: load.into() }),
    }
}
