//! Each request of an HTTP/2 connection is balanced by itself: nothing ties it to the replica of the one before.

use std::process::Command;

use tidegate_tests::frames::Frames;

use super::*;

fn three(net: &Net) -> [Replica; 3] {
    ["one", "two", "three"].map(|name| Replica::start(net, name, Behaviour::After(Duration::from_millis(5))))
}

fn asked(replicas: &[Replica; 3]) -> [u64; 3] {
    replicas.each_ref().map(Replica::requests)
}

/// What each got of what came since `before`.
fn shares_since(before: [u64; 3], replicas: &[Replica; 3]) -> [f64; 3] {
    let got: Vec<u64> = asked(replicas).iter().zip(before).map(|(after, before)| after - before).collect();
    let all: u64 = got.iter().sum();
    std::array::from_fn(|at| got[at] as f64 / all as f64)
}

#[test]
fn many_requests_at_once_on_one_connection_are_spread() {
    let _alone = alone();
    let net = Net::take();
    let replicas = three(&net);
    let gate = gate(&net, &replicas.each_ref());
    let url = format!("http://{}/", gate.http());
    let load = |requests: &str| {
        let flags = ["30", "h2load", "-n", requests, "-c", "1", "-m", "10", "-H", ":authority: app.example", &url];
        let said = Command::new("timeout").args(flags).output().expect("h2load is installed (`make test` does it)");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(&format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout")), "{said}");
    };
    load("1000");
    let before = asked(&replicas);
    load("600");
    let shares = shares_since(before, &replicas);
    assert!(shares.iter().all(|share| (0.2..0.5).contains(share)), "{shares:?}");
    assert_eq!(gate.sum("tidegate_connections_total", &["external"]), 2.0, "each run was one connection");
}

#[test]
fn one_request_after_the_other_on_one_connection_is_spread() {
    let _alone = alone();
    let net = Net::take();
    let replicas = three(&net);
    let gate = gate(&net, &replicas.each_ref());
    let mut client = Frames::connect(gate.http());
    let mut ask = |requests: usize| (0..requests).for_each(|_| assert_eq!(client.fetch("app.example", "/").status, 200));
    ask(100);
    let before = asked(&replicas);
    ask(300);
    let shares = shares_since(before, &replicas);
    assert!(shares.iter().all(|share| (0.15..0.6).contains(share)), "{shares:?}");
}
