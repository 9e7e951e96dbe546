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
use tidegate_benches::{Cost, Report, cost};

fn main() -> ExitCode {
    let mut report = Report::new("route look-up, one call of RouteTable::find");
    let hot = [10, 1_000, 100_000].map(|hosts| measure(&report, hosts));
    report.law("100,000 hosts cost at most twice as much as 10", hot[2].least <= 2.0 * hot[0].least);
    report.finish()
}

fn measure(report: &Report, hosts: usize) -> Cost {
    let table = table(hosts);
    let names: Vec<String> = (0..hosts).map(|index| format!("h{index}.example.com")).collect();
    let mut order: Vec<usize> = (0..hosts).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let few = &order[..10];
    let hot = cost(|at| look_up(&table, &names[few[at % few.len()]], "/api/items/7"));
    report.row(&format!("{hosts:>7} hosts, ten of them asked, longest prefix"), hot);
    report.row(&format!("{hosts:>7} hosts, all of them asked"), cost(|at| look_up(&table, &names[order[at % hosts]], "/api/items/7")));
    report.row(&format!("{hosts:>7} hosts, wildcard"), cost(|_| look_up(&table, "any.wild.example.com", "/x")));
    report.row(
        &format!("{hosts:>7} hosts, no such host"),
        cost(|_| _ = black_box(table.find(black_box("nobody.example.org"), "/").is_err())),
    );
    hot
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
            };
            builder.add(route).expect("no route twice");
        }
    }
    builder.build()
}
