//! Replicas that fail on a connection that many requests share: that is told of them as of any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_tests::{Does, Http2Replica, await_until};

use super::*;

/// A gate before two that are asked in turn and whose connections stand. Whoever fails so many times in a row is ejected for longer than a
/// test takes.
fn scene(failures: u32) -> (Tidegate, [Http2Replica; 2], Net) {
    let net = Net::take();
    let replicas = ["good", "bad"].map(|name| Http2Replica::start(&net, name, Does::Echo, 100));
    let ips = replicas.each_ref().map(|replica| replica.ip());
    let site = shop(&net, "kubernetes.io/h2c", "tidegate.dev/balance: round-robin", &ips);
    let config = format!("outlier: {{consecutiveFailures: {failures}, baseEjectionMs: 600000, maxEjectionMs: 600000}}\n");
    let gate = Setup::new(&net).config(&config).manifest("shop.yaml", site).start();
    for _ in 0..2 {
        assert_eq!(get(gate.http(), By::Http2), 200);
    }
    assert_eq!(replicas.each_ref().map(|replica| replica.connections()), [1, 1]);
    (gate, replicas, net)
}

fn is_ejected(gate: &Tidegate, replica: &Http2Replica) -> bool {
    let ip = format!("{}:", replica.ip());
    let rows = gate.rows("endpoints");
    let row = rows.iter().find(|row| row["address"].as_str().is_some_and(|address| address.starts_with(&ip)));
    row.unwrap_or_else(|| panic!("no {ip} in {rows:?}"))["state"] == "Ejected"
}

#[test]
fn one_that_resets_each_stream_is_left_out() {
    let (gate, [_good, bad], _net) = scene(5);
    bad.now(Does::Resets);
    await_until("its ejection", || {
        for by in BOTH {
            assert_eq!(get(gate.http(), by), 200, "it was sent again");
        }
        is_ejected(&gate, &bad)
    });
    assert_eq!(bad.connections(), 1, "it kept its connection");
}

#[test]
fn one_that_breaks_off_with_many_requests_under_way_is_left_out() {
    let (gate, [good, bad], _net) = scene(5);
    [&good, &bad].iter().for_each(|replica| replica.now(Does::Held));
    let mut client = Frames::connect(gate.http());
    let streams: Vec<u32> = (0..20).map(|_| client.get("shop.example", "/")).collect();
    await_until("all to be there", || good.requests() + bad.requests() == 22);
    good.now(Does::Echo);
    (0..10).for_each(|_| {
        let before = good.received().len();
        good.release();
        await_until("one to be answered", || good.received().len() > before);
    });
    bad.hang_up();
    for stream in streams {
        assert_eq!(client.answer(stream).status, 200, "it was sent again");
    }
    await_until("its ejection", || is_ejected(&gate, &bad));
}

/// Closing a connection on which nothing else is under way is a replica's right, as it is over HTTP/1.
#[test]
fn one_that_closes_a_connection_with_a_single_request_has_not_failed() {
    let (gate, replicas, _net) = scene(1);
    let all = |does| replicas.iter().for_each(|replica| replica.now(does));
    all(Does::Held);
    let mut client = Frames::connect(gate.http());
    let stream = client.get("shop.example", "/");
    await_until("it to be there", || replicas.iter().map(Http2Replica::requests).sum::<u64>() == 3);
    all(Does::Echo);
    replicas.iter().for_each(Http2Replica::hang_up);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(gate.sum("tidegate_ejections_total", &["shop"]), 0.0);
    assert!(!replicas.iter().any(|replica| is_ejected(&gate, replica)));
}

/// What comes behind the last stream that GOAWAY names was not looked at, whatever its method.
#[test]
fn one_that_goes_without_a_look_at_a_request_has_not_failed() {
    let net = Net::take();
    let good = Http2Replica::start(&net, "good", Does::Echo, 100);
    let went = Arc::new(AtomicBool::new(false));
    let goes = went.clone();
    let (ip, going) = by_hand(&net, move |mut caller| {
        caller.say(kind::SETTINGS, 0, 0, &[]);
        caller.heads(1);
        goes.store(true, Ordering::SeqCst);
        caller.say(kind::GOAWAY, 0, 0, &[0; 8]);
        caller.heads(usize::MAX);
    });
    let site = shop(&net, "kubernetes.io/h2c", "tidegate.dev/balance: round-robin", &[ip, good.ip()]);
    let config = "outlier: {consecutiveFailures: 1, baseEjectionMs: 600000, maxEjectionMs: 600000}\n";
    let gate = Setup::new(&net).config(config).manifest("shop.yaml", site).start();
    let mut client = Frames::connect(gate.http());
    while !went.load(Ordering::SeqCst) {
        let stream = client.ask(&request("POST", "shop.example", "/"), true);
        assert_eq!(client.answer(stream).status, 200, "it went elsewhere");
    }
    going.join().expect("its connection ended");
    assert_eq!(gate.sum("tidegate_ejections_total", &["shop"]), 0.0);
}
