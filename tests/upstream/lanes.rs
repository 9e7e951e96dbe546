//! Connections to replicas that speak HTTP/2: how many requests each carries, and who waits for whom.

use tidegate_tests::await_until;
use tidegate_tests::frames::{End, INITIAL_WINDOW};
use tidegate_tests::wait::glance;
use tidegate_tests::{Does, Http2Replica};

use super::*;

fn scene(does: Does, most: u32, adjust: impl FnOnce(Setup) -> Setup) -> (Tidegate, Http2Replica, Net) {
    let net = Net::take();
    let replica = Http2Replica::start(&net, "one", does, most);
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "kubernetes.io/h2c", "", &[replica.ip()]));
    (adjust(setup).start(), replica, net)
}

#[test]
fn a_connection_carries_as_many_requests_as_its_replica_takes() {
    let (gate, replica, _net) = scene(Does::Echo, 2, |setup| setup);
    let mut client = Frames::connect(gate.http());
    assert_eq!(client.fetch("shop.example", "/").status, 200, "now its settings are known");
    replica.now(Does::Held);
    let streams: Vec<u32> = (0..2).map(|_| client.get("shop.example", "/held")).collect();
    await_until("both to be there", || replica.requests() == 3);
    assert_eq!(replica.connections(), 1);
    let third = client.get("shop.example", "/held");
    await_until("the third to be there", || replica.requests() == 4);
    assert_eq!(replica.connections(), 2, "the first was full");
    (0..3).for_each(|_| replica.release());
    for stream in streams.into_iter().chain([third]) {
        assert_eq!(client.answer(stream).status, 200);
    }
    replica.now(Does::Echo);
    for _ in 0..10 {
        assert_eq!(client.fetch("shop.example", "/").status, 200);
    }
    assert_eq!(replica.connections(), 2, "both are used again");
}

/// Nobody knows its settings yet, and what has content cannot be sent again once it was refused.
#[test]
fn a_burst_to_a_replica_that_takes_few_is_served_whole() {
    let (gate, replica, _net) = scene(Does::Echo, 2, |setup| setup);
    let mut client = Frames::connect(gate.http());
    let streams: Vec<u32> = (0..50).map(|_| client.post("shop.example", "/")).collect();
    streams.iter().for_each(|&stream| client.data(stream, b"hello", true));
    for stream in streams {
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.end), (200, Some(End::Whole)));
    }
    assert_eq!(replica.received().len(), 50, "none of them twice");
    assert_eq!(gate.sum("tidegate_retries_total", &["shop"]), 0.0);
}

#[test]
fn a_replica_that_says_goaway_finishes_what_it_has_and_gets_no_more_there() {
    let (gate, replica, _net) = scene(Does::Held, 100, |setup| setup);
    let mut client = Frames::connect(gate.http());
    let held = client.get("shop.example", "/held");
    await_until("the request to be there", || replica.requests() == 1);
    replica.now(Does::Echo);
    replica.go_away();
    // The word is on its way: whoever comes before it is served, too.
    await_until("a connection beside the one that goes", || {
        assert_eq!(client.fetch("shop.example", "/").status, 200);
        replica.connections() == 2
    });
    let post = post(gate.http(), By::Http2, b"hello");
    assert_eq!(post.0, 200);
    assert_eq!(client.on(held).end, None);
    replica.release();
    let answer = client.answer(held);
    assert_eq!((answer.status, answer.end), (200, Some(End::Whole)));
    await_until("the one that goes to be gone", || replica.open() == 1);
}

#[test]
fn a_connection_without_a_request_is_closed_in_time() {
    let (gate, replica, _net) = scene(Does::Held, 100, |setup| setup.config("limits: {idleTimeoutMs: 400}\n"));
    let mut client = Frames::connect(gate.http());
    let held = client.get("shop.example", "/");
    await_until("the request to be there", || replica.requests() == 1);
    let mut idle = Frames::connect(gate.http());
    idle.closed(); // so that the time has passed once
    assert_eq!((replica.open(), client.on(held).end), (1, None), "a request is under way");
    replica.release();
    assert_eq!(client.answer(held).status, 200);
    await_until("it to be closed", || replica.open() == 0);
}

/// Until it has stood still for as long as it takes to see it.
fn poured(replica: &Http2Replica) -> u64 {
    let (mut last, mut still) = (replica.poured(), 0);
    while still < 40 {
        glance();
        still = if replica.poured() == last { still + 1 } else { 0 };
        last = replica.poured();
    }
    last
}

#[test]
fn an_answer_that_nobody_takes_stays_with_its_replica() {
    let (gate, replica, _net) = scene(Does::Pours, 100, |setup| setup);
    let mut client = Frames::with(gate.http(), &[(INITIAL_WINDOW, 0)]);
    client.greedy = false;
    let stream = client.get("shop.example", "/");
    client.until("the head", |client| client.on(stream).status == 200);
    // 256 KiB may be under way to us, 128 KiB wait for the client, and some is in the replica's own hands.
    let taken = poured(&replica);
    assert!(taken < (256 + 128 + 64) * 1024, "{taken} bytes were taken for a client that takes none");
}

/// All requests to a replica share few connections: a client that does not read its answers must not stop those of others.
#[test]
fn answers_that_nobody_takes_hold_up_no_other() {
    for by in BOTH {
        let (gate, replica, _net) = scene(Does::Pours, 100, |setup| setup);
        let mut lazy = Frames::with(gate.http(), &[(INITIAL_WINDOW, 0)]);
        lazy.greedy = false;
        let streams: Vec<u32> = (0..20).map(|_| lazy.get("shop.example", "/")).collect();
        lazy.until("the heads", |client| streams.iter().all(|&stream| client.on(stream).status == 200));
        poured(&replica);
        replica.now(Does::Echo);
        for turn in 0..3 {
            assert_eq!(post(gate.http(), by, b"hello").0, 200, "{by:?}, turn {turn}");
        }
        assert_eq!(replica.connections(), 1, "{by:?}: it was the same connection");
    }
}

/// The same on the way up: content that one replica does not take must not stop what others are sent.
#[test]
fn content_that_nobody_takes_holds_up_no_other() {
    let (gate, replica, _net) = scene(Does::Held, 100, |setup| setup);
    let mut slow = Frames::connect(gate.http());
    let streams: Vec<u32> = (0..3).map(|_| slow.post("shop.example", "/held")).collect();
    await_until("all to be there", || replica.requests() == 3);
    for stream in &streams {
        (0..16).for_each(|_| slow.data(*stream, &[b'x'; 16_384], false));
    }
    slow.settle();
    replica.now(Does::Echo);
    for by in BOTH {
        assert_eq!(post(gate.http(), by, &[b'y'; 50_000]).0, 200, "{by:?}");
    }
}
