//! Route look-up in tables of 10, 1,000 and 100,000 hosts.
//!
//! Twice: over ten hosts that are asked again and again (what a look-up costs), and over all hosts of the table in a random order (what
//! the processor's caches add when a table is larger than they are). The law is about the first.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use config::host::HostPattern;
use config::object::PathType;
use registry::route::{Action, Route, RouteTable, RouteTableBuilder};
use registry::snapshot::ServiceIndex;
use tidegate_benches::{Report, Run, costs, run};

const SIZES: [usize; 3] = [10, 1_000, 100_000];

fn main() -> ExitCode {
    let mut report = Report::new("route look-up, one call of RouteTable::find");
    let worlds = SIZES.map(|hosts| (table(hosts), names(hosts)));
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (table, names) in &worlds {
        runs.push(run(|at| look_up(table, &names[at % 10], "/api/items/7")));
        runs.push(run(|at| look_up(table, &names[at % names.len()], "/api/items/7")));
        runs.push(run(|_| look_up(table, "any.wild.example.com", "/x")));
        runs.push(run(|_| _ = black_box(table.find(black_box("nobody.example.org"), "/").is_err())));
    }
    let costs = costs(&mut runs);
    for (hosts, costs) in SIZES.iter().zip(costs.chunks(4)) {
        for (what, cost) in ["ten hosts asked over and over", "all hosts asked", "a wildcard", "no such host"].iter().zip(costs) {
            report.row(&format!("{hosts:>7} hosts, {what}"), cost);
        }
    }
    report.law("100,000 hosts cost at most twice as much as 10", costs[8].least <= 2.0 * costs[0].least);
    report.finish()
}

/// All hosts in the order in which they are asked, which is not the order of the table. The names lie one after the other in memory, as
/// the host of a request is at hand when it is looked up.
fn names(hosts: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..hosts).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    order.into_iter().map(|index| format!("h{index}.example.com")).collect()
}

fn look_up(table: &RouteTable, host: &str, path: &str) {
    assert!(black_box(table.find(black_box(host), black_box(path))).is_ok(), "{host}{path} has a route");
}

fn table(hosts: usize) -> RouteTable {
    let mut builder = RouteTableBuilder::default();
    let patterns = (0..hosts).map(|index| format!("h{index}.example.com")).chain(["*.wild.example.com".to_owned()]);
    for (index, pattern) in patterns.enumerate() {
        let host = HostPattern::parse_ingress(&pattern).expect("a host of our own making");
        for path in ["/", "/api", "/static"] {
            let route = Route {
                owner: Arc::from("Ingress bench/bench"),
                host: host.clone(),
                path_type: PathType::Prefix,
                path: path.into(),
                action: Action::Forward(ServiceIndex(index as u32)),
                client: None,
                filters: None,
            };
            builder.add(route).expect("no route twice");
        }
    }
    builder.build()
}
