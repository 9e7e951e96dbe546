//! A new connection to a replica that speaks HTTP/2 stands once the replica has said how many requests it takes. Until then nothing of a
//! request is on it, so that each may go elsewhere, whatever its method.

use std::sync::mpsc::channel;
use std::time::Duration;

use tidegate_tests::frames::INITIAL_WINDOW;
use tidegate_tests::wait::{DEADLINE, glance};
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
    let (mut asked, _) = silent.accept().expect("it was asked");
    asked.set_read_timeout(Some(DEADLINE)).expect("a socket has time-outs");
    asked.read_to_end(&mut Vec::new()).expect("nobody waits any more");
    // Nobody holds the picture any more.
    gate.write("shop.yaml", &shop(&net, "kubernetes.io/h2c", "", &[good.ip()]));
    let ip = silent.local_addr().expect("it is bound").ip().to_string();
    await_until("it to be gone", || {
        gate.rows("endpoints").iter().all(|row| !row["address"].as_str().is_some_and(|at| at.starts_with(&ip)))
    });
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

/// Behind an upload that its replica does not take, a request has been given to the connection and has not left.
#[test]
fn nobody_says_that_a_replica_is_asked_no_more_while_a_request_waits_for_its_socket() {
    let net = Net::take();
    let good = Http2Replica::start(&net, "good", Does::Echo, 100);
    let (read, reads) = channel::<()>();
    let (heard, hears) = channel();
    let (ip, replica) = by_hand(&net, move |mut caller| {
        caller.say(kind::SETTINGS, 0, 0, &[&INITIAL_WINDOW.to_be_bytes()[..], &0x7fff_ffffu32.to_be_bytes()].concat());
        caller.say(kind::WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes());
        reads.recv().expect("it is told to read");
        for _ in 0..2 {
            caller.heads(1);
            heard.send(()).expect("it is waited for");
        }
        caller.heads(usize::MAX);
    });
    let site = |ip| shop(&net, "kubernetes.io/h2c", "", &[ip]);
    let gate = Setup::new(&net).config("limits: {connectTimeoutMs: 60000}\n").manifest("shop.yaml", site(ip)).start();
    let mut upload = Client::connect(gate.http());
    upload.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000000000\r\n\r\n");
    upload.stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket has time-outs");
    while upload.stream.write(&[b'x'; 65_536]).is_ok() {}
    let mut client = Frames::connect(gate.http());
    client.get("shop.example", "/behind");
    await_until("both to be under way", || gate.sum("tidegate_requests_in_flight", &["shop"]) == 2.0);
    let before = gate.version();
    gate.swap("shop.yaml", &site(good.ip()));
    await_until("another picture", || gate.version() > before);
    let acknowledged = || gate.sum("tidegate_worker_acknowledged_version", &[]) as u64 > before;
    for _ in 0..20 {
        assert!(!acknowledged(), "its head is still here");
        glance();
    }
    read.send(()).expect("the replica waits for it");
    (0..2).for_each(|_| hears.recv().expect("a head"));
    await_until("the version to be acknowledged", acknowledged);
    drop((upload, client, gate));
    replica.join().expect("its connection ended");
}
