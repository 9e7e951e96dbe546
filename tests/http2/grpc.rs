//! gRPC by its own library (`calls.py` beside this), through the gate to replicas that speak HTTP/2.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_tests::peers::python;

use super::*;

/// A gate whose Service `shop` speaks gRPC; the replicas are started by the case.
struct Calls {
    gate: Tidegate,
    authority: Authority,
    replicas: Vec<SocketAddr>,
    _net: Net,
}

impl Calls {
    fn new(replicas: usize) -> Calls {
        let net = Net::take();
        let mut places: Vec<Replica> = (0..replicas).map(|at| Replica::start(&net, &format!("echo-{at}"), Behaviour::Named)).collect();
        let shop =
            objects::tcp(&net, "shop", 80, &places.iter().collect::<Vec<_>>()).replacen("{port: 80", "{appProtocol: grpc, port: 80", 1);
        let authority = Authority::new();
        let sites = [
            shop,
            ingress("shop", "shop.example", &[path("Prefix", "/", "shop", 80)]),
            safe_site("safe", "safe.example"),
            authority.ecdsa(&["safe.example"]).secret("safe"),
            objects::app(&net, "empty", "empty.example", &[]),
        ];
        let gate = Setup::new(&net).flag("--https", "127.0.0.1:0").manifest("shop.yaml", file(&sites)).start();
        places.iter_mut().for_each(Replica::die);
        let replicas = places.iter().map(Replica::address).collect();
        Calls { gate, authority, replicas, _net: net }
    }

    /// Runs a case; says what it found.
    fn run(&self, case: &str, host: &str) -> Value {
        self.run_with(case, host, self.gate.http(), "")
    }

    fn run_with(&self, case: &str, host: &str, at: SocketAddr, trust: &str) -> Value {
        let replicas = self.replicas.iter().map(SocketAddr::to_string);
        let arguments: Vec<String> = [case, &at.to_string(), host, trust, ""].map(str::to_owned).into_iter().chain(replicas).collect();
        let said = python(include_str!("calls.py"), &arguments);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

#[test]
fn all_four_kinds_of_calls() {
    let calls = Calls::new(1);
    calls.run("kinds", "shop.example");
}

#[test]
fn all_four_kinds_in_tls() {
    let calls = Calls::new(1);
    let trust = calls.gate.home().join("authority.pem");
    std::fs::write(&trust, &calls.authority.pem).expect("the temporary folder can be written");
    let trust: &Path = &trust;
    calls.run_with("kinds", "safe.example", calls.gate.listener("https"), &trust.display().to_string());
}

#[test]
fn metadata_goes_both_ways_and_forwarding_fields_are_set() {
    let said = Calls::new(1).run("metadata", "shop.example");
    assert_eq!(said["x-forwarded-for"], "127.0.0.1", "{said}");
    assert_eq!(said["x-forwarded-proto"], "http", "{said}");
    assert_eq!(said["x-request-id"].as_str().map(str::len), Some(32), "{said}");
}

#[test]
fn a_status_arrives_with_its_details_and_trailers() {
    Calls::new(1).run("status", "shop.example");
}

#[test]
fn a_deadline_is_passed_on_and_kept() {
    let calls = Calls::new(1);
    calls.run("deadline", "shop.example");
    tidegate_tests::await_until("nothing in flight", || calls.gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
}

/// No client ends this call: we do.
#[test]
fn a_deadline_is_kept_by_us_too() {
    let held = Scene::new(Behaviour::Held);
    let url = format!("http://shop.example:{}/tidegate.test.Echo/Slow", held.gate.http().port());
    let flags = [
        "--http2-prior-knowledge",
        "--include",
        "--header",
        "content-type: application/grpc",
        "--header",
        "grpc-timeout: 300m",
        "--data",
        "x",
    ];
    let said = curl(held.gate.http(), &url, &flags, b"");
    let text = said.exited(0).to_ascii_lowercase();
    assert!(text.starts_with("http/2 200") && text.contains("\r\ngrpc-status: 4\r\n"), "{text}");
    assert_eq!(held.refusals("timeout-request"), 1.0);
    tidegate_tests::await_until("the replica to be left alone", || held.replica.open() == 0);
}

#[test]
fn a_client_that_cancels_is_told_to_the_replica() {
    Calls::new(1).run("cancel", "shop.example");
}

#[test]
fn refusals_are_in_the_words_of_grpc() {
    let mut calls = Calls::new(1);
    calls.replicas.clear(); // nobody is there
    assert_eq!(calls.run("refused", "empty.example"), json!(["UNAVAILABLE", "no-endpoint"]));
    assert_eq!(calls.run("refused", "unknown.example"), json!(["UNIMPLEMENTED", "no-route"]));
    assert_eq!(calls.run("refused", "shop.example"), json!(["UNAVAILABLE", "upstream-connect"]));
}

#[test]
fn the_calls_of_one_channel_are_spread() {
    let calls = Calls::new(3);
    let said = calls.run("shares", "shop.example");
    let shares: Vec<f64> = said.as_array().expect("three").iter().map(|calls| calls.as_f64().expect("a number") / 300.0).collect();
    // How evenly is measured where nothing else runs (tests/balance); a channel that is tied to one replica gives it all, and others nothing.
    assert!(shares.len() == 3 && shares.iter().all(|share| (0.001..0.9).contains(share)), "{shares:?}");
    assert_eq!(calls.gate.sum("tidegate_connections_total", &["external"]), 1.0, "one channel is one connection");
}

#[test]
fn a_replica_that_leaves_in_good_order_costs_no_call() {
    Calls::new(2).run("leaving", "shop.example");
}

#[test]
fn a_stream_whose_replica_dies_is_unavailable() {
    assert_eq!(Calls::new(1).run("killed", "shop.example"), "UNAVAILABLE");
}
