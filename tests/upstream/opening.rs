//! A new connection to a replica that speaks HTTP/2 stands once the replica has said how many requests it takes. Until then nothing of a
//! request is on it, so that each may go elsewhere, whatever its method.

use std::net::TcpListener;

use tidegate_tests::{Does, Http2Replica, Replica, await_until};

use super::*;

/// A gate before the replica at `first` and a good one, which are asked in turn.
fn beside(net: &Net, first: IpAddr) -> (Tidegate, Http2Replica) {
    let good = Http2Replica::start(net, "good", Does::Echo, 100);
    let site = shop(net, "kubernetes.io/h2c", "tidegate.dev/balance: round-robin", &[first, good.ip()]);
    (Setup::new(net).config("limits: {connectTimeoutMs: 500}\n").manifest("shop.yaml", site).start(), good)
}

/// Its system takes connections, and the process says nothing: one request opens a connection, and the others wait for that one.
#[test]
fn one_that_says_nothing_is_left_for_another_in_time() {
    let net = Net::take();
    let silent = TcpListener::bind((net.replica_ip(), net.port())).expect("the net's addresses are free");
    let (gate, good) = beside(&net, silent.local_addr().expect("it is bound").ip());
    let mut client = Frames::connect(gate.http());
    let streams: Vec<u32> = (0..10).map(|_| client.post("shop.example", "/")).collect();
    streams.iter().for_each(|&stream| client.data(stream, b"hello", true));
    for stream in streams {
        assert_eq!(client.answer(stream).status, 200);
    }
    assert_eq!(good.received().len(), 10, "each of them once");
    silent.set_nonblocking(true).expect("a socket can be told so");
    silent.accept().expect("it was asked");
    // Nobody holds the picture any more.
    gate.write("shop.yaml", &shop(&net, "kubernetes.io/h2c", "", &[good.ip()]));
    let ip = silent.local_addr().expect("it is bound").ip().to_string();
    await_until("it to be gone", || gate.rows("endpoints").iter().all(|row| !row["address"].as_str().is_some_and(|at| at.starts_with(&ip))));
}

/// As a pod does that ends with callers in its queue.
#[test]
fn one_that_dies_before_it_says_anything_costs_no_request() {
    let net = Net::take();
    let dying = Replica::start(&net, "dying", Behaviour::ResetOnAccept);
    let (gate, good) = beside(&net, dying.ip());
    for turn in 0..5 {
        for by in BOTH {
            assert_eq!(post(gate.http(), by, b"hello").0, 200, "turn {turn}, {by:?}");
        }
    }
    assert!(dying.connections() > 0, "it was asked");
    assert_eq!(good.received().len(), 10, "each of them once");
}
