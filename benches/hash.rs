//! Two ways to find an endpoint by a hash, among 3, 100 and 1,000: ranking all of them for each key (rendezvous, what serves), and a table
//! of places that is made for each change of the endpoints (Maglev: Eisenbud et al., NSDI 2016, section 3.4). What a pick costs, what a
//! change costs, and how many keys a change moves. docs/decisions/017 weighs them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;

use config::object::{Name, Protocol, ServiceKey};
use proxy::balance::hash::favourite;
use registry::hash::mix;
use registry::snapshot::{Endpoint, EndpointId, PortName, Replica, ReplicaId, Service};
use tidegate_benches::{Report, Run, costs, run, world};

const SIZES: [usize; 3] = [3, 100, 1_000];
/// A prime, a hundred times the most endpoints, as its authors want it.
const TABLE: usize = 100_003;
/// Keys that movement is counted over.
const KEYS: u64 = 100_000;

fn main() -> ExitCode {
    let mut report = Report::new("hash, one pick by a key, and one change of the endpoints");
    let services = SIZES.map(|count| service(count, 0));
    let tables: Vec<Vec<u32>> = services.iter().map(|service| maglev(service.ranks())).collect();
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (service, table) in services.iter().zip(&tables) {
        let (mut one, mut other) = (0_u64, 0_u64);
        runs.push(run(move |_| {
            one += 1;
            _ = black_box(favourite(black_box(service), mix(one), &[]));
        }));
        runs.push(run(move |_| {
            other += 1;
            _ = black_box(&service.endpoints[black_box(table)[mix(other) as usize % TABLE] as usize]);
        }));
        runs.push(run(move |_| _ = black_box(service.with(service.endpoints.clone(), 0, None).ranks().len())));
        runs.push(run(move |_| _ = black_box(maglev(black_box(service.ranks())).len())));
    }
    let costs = costs(&mut runs);
    for (at, count) in SIZES.iter().enumerate() {
        let [pick, look_up, ranks, table] = [0, 1, 2, 3].map(|nth| costs[4 * at + nth]);
        report.row(&format!("{count:>5} endpoints, a pick: all ranked"), pick);
        report.row(&format!("{count:>5} endpoints, a pick: table"), look_up);
        report.row(&format!("{count:>5} endpoints, a change: ranks made"), ranks);
        report.row(&format!("{count:>5} endpoints, a change: table made"), table);
    }
    for count in SIZES {
        let (ranked, looked_up) = moved(count);
        let share = 1.0 / count as f64;
        let shares = format!("{ranked:.4} ranked, {looked_up:.4} table ({share:.4} is its share)");
        report.row(&format!("{count:>5} endpoints, keys that move when one goes"), shares);
        report.law(&format!("{count} endpoints: its own keys alone move, ranked"), ranked < share + 5.0 * deviation(count));
    }
    report.law("a pick among 100 endpoints costs less than 500 ns", costs[4].least < 500.0);
    report.finish()
}

/// Standard deviation of the share of the keys that one of so many endpoints has.
fn deviation(count: usize) -> f64 {
    (1.0 / count as f64 / KEYS as f64).sqrt()
}

/// The shares of the keys that go elsewhere once the first endpoint is gone.
fn moved(count: usize) -> (f64, f64) {
    let (before, after) = (service(count, 0), service(count, 1));
    let tables = [maglev(before.ranks()), maglev(after.ranks())];
    let name = |endpoint: &Endpoint| endpoint.replica.pod.clone();
    let (mut ranked, mut looked_up) = (0_u64, 0_u64);
    for key in (0..KEYS).map(mix) {
        let at = |service: &Service| favourite(service, key, &[]).and_then(name);
        ranked += u64::from(at(&before) != at(&after));
        let place = |service: &Service, table: &[u32]| name(&service.endpoints[table[key as usize % TABLE] as usize]);
        looked_up += u64::from(place(&before, &tables[0]) != place(&after, &tables[1]));
    }
    (ranked as f64 / KEYS as f64, looked_up as f64 / KEYS as f64)
}

/// Each endpoint in turn takes the next free place of its own order of all places.
fn maglev(ranks: &[u64]) -> Vec<u32> {
    let steps: Vec<(usize, usize)> =
        ranks.iter().map(|&rank| (mix(rank) as usize % TABLE, mix(rank ^ 1) as usize % (TABLE - 1) + 1)).collect();
    let mut next: Vec<usize> = steps.iter().map(|(first, _)| *first).collect();
    let mut table = vec![u32::MAX; TABLE];
    let mut filled = 0;
    loop {
        for (endpoint, (_, step)) in steps.iter().enumerate() {
            while table[next[endpoint]] != u32::MAX {
                next[endpoint] = (next[endpoint] + step) % TABLE;
            }
            table[next[endpoint]] = endpoint as u32;
            filled += 1;
            if filled == TABLE {
                return table;
            }
        }
    }
}

/// Pods `shop/web-N` without the first `gone`.
fn service(count: usize, gone: usize) -> Service {
    let name = PortName { service: ServiceKey { namespace: "shop".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp };
    Service { endpoints: (gone..count).map(endpoint).collect(), ..Service::unreachable(name, 0) }
}

fn endpoint(index: usize) -> Endpoint {
    let id = NonZeroU64::new(index as u64 + 1).expect("one more than an index");
    let address = SocketAddr::from((world::pod_ip(index), world::PORT));
    let pod = Some(Name::from(format!("shop/web-7d9c6b5f4-{index:05}")));
    let replica = Replica { id: ReplicaId(id), address, pod, speaks: Default::default(), load: Default::default() };
    Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
}
