//! What a Service and its endpoints carry at once: `max-in-flight` and `max-endpoint-in-flight`.

use std::io::Read;
use std::net::UdpSocket;

use tidegate_tests::Datagrams;
use tidegate_tests::frames::End;
use tidegate_tests::wait::DEADLINE;

use super::*;

pub(super) fn gate(net: &Net, annotations: &[(&str, &str)], replicas: &[&Replica]) -> Tidegate {
    setup(net, annotations, replicas).flag("--workers", "2").start()
}

pub(super) fn setup(net: &Net, annotations: &[(&str, &str)], replicas: &[&Replica]) -> Setup {
    let setup = Setup::new(net).manifest("app.yaml", service(net, annotations, replicas));
    setup.manifest("site.yaml", ingress("shop", HOST, &[path("Prefix", "/", "app", 80)]))
}

pub(super) fn bounded(gate: &Tidegate, bound: &str) -> f64 {
    gate.sum("tidegate_bounded_total", &["service=\"default/app:", &format!("bound=\"{bound}\"")])
}

/// An answer of our own that says so.
pub(super) fn is_overload(answer: &Response) {
    assert_eq!((answer.status, answer.replica(), answer.field("retry-after")), (503, "", Some("1")), "{answer:?}");
    assert_eq!(answer.field("x-tidegate-reason"), None, "outside, nobody is told");
}

#[test]
fn a_service_carries_so_many_requests_over_all_workers_and_refuses_more() {
    let net = Net::take();
    let replicas = ["one", "two"].map(|name| Replica::start(&net, name, Behaviour::Held));
    let gate = gate(&net, &[("max-in-flight", "3")], &replicas.each_ref());
    let reached = || replicas.iter().map(Replica::requests).sum::<u64>();
    let mut held: Vec<Client> = (0..3).map(|_| begin(&gate)).collect();
    await_until("three to be there", || reached() == 3);
    let mut fourth = begin(&gate);
    is_overload(&fourth.response());
    // The connection goes on, and the refusal cost no place.
    is_overload(&fourth.get(HOST, "/"));
    assert_eq!((refusals(&gate, "overload"), bounded(&gate, "max-in-flight"), reached()), (2.0, 2.0, 3));
    assert_eq!(gate.sum("tidegate_waited_total", &[]), 0.0, "nobody may wait here");
    replicas.iter().for_each(|replica| replica.now(Behaviour::Named));
    await_until("all three to be answered", || {
        replicas.iter().for_each(Replica::release);
        gate.sum("tidegate_requests_in_flight", &["default/app:"]) == 0.0
    });
    assert!(held.iter_mut().all(|client| client.response().status == 200), "who was let in was served");
    assert_eq!(fourth.get(HOST, "/").status, 200, "there is room again");
}

#[test]
fn over_http_2_each_stream_counts_and_grpc_is_told_in_its_own_words() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Held);
    let gate = gate(&net, &[("max-in-flight", "2")], &[&replica]);
    let mut client = Frames::connect(gate.http());
    let held = [client.get(HOST, "/"), client.get(HOST, "/")];
    await_until("both to be there", || replica.requests() == 2);
    assert_eq!(client.fetch(HOST, "/").status, 503);
    let told = curl(&gate, &["--header", "content-type: application/grpc"]);
    assert!(told.starts_with("http/2 200 ") && told.contains("\r\ngrpc-status: 14\r\n"), "{told}");
    assert!(told.contains("\r\ngrpc-message: overload\r\n") && told.contains("\r\nretry-after: 1\r\n"), "{told}");
    let told = curl(&gate, &[]);
    assert!(told.starts_with("http/2 503 ") && told.contains("\r\nretry-after: 1\r\n"), "{told}");
    is_overload(&begin(&gate).response());
    assert_eq!(bounded(&gate, "max-in-flight"), 4.0);
    // A stream that is broken off leaves its place at once.
    client.reset(held[0]);
    await_until("one place to be free", || gate.sum("tidegate_requests_in_flight", &["default/app:"]) == 1.0);
    let third = client.get(HOST, "/");
    await_until("the third to be there", || replica.requests() == 3);
    await_until("both answers", || {
        replica.release();
        client.settle();
        [held[1], third].iter().all(|&stream| client.on(stream).end == Some(End::Whole))
    });
    await_rest(&gate);
}

#[test]
fn an_endpoint_that_is_full_is_passed_over_for_one_that_is_not() {
    let net = Net::take();
    let replicas = ["one", "two", "three"].map(|name| Replica::start(&net, name, Behaviour::Held));
    let gate = gate(&net, &[("max-endpoint-in-flight", "2")], &replicas.each_ref());
    let mut client = Frames::connect(gate.http());
    let mut held = Vec::new();
    for count in 1..=6 {
        // By turns of both HTTPs, which count together.
        if count % 2 == 0 {
            held.push(begin(&gate));
        } else {
            client.get(HOST, "/");
        }
        await_until("it to be there", || replicas.iter().map(Replica::requests).sum::<u64>() == count);
    }
    assert!(replicas.iter().all(|replica| replica.requests() == 2), "two each: {:?}", replicas.each_ref().map(Replica::requests));
    is_overload(&begin(&gate).response());
    assert_eq!((bounded(&gate, "max-endpoint-in-flight"), bounded(&gate, "max-in-flight")), (1.0, 0.0));
    // One that is free again is found, though it is one of three.
    replicas[1].now(Behaviour::Named);
    replicas[1].release();
    replicas[1].release();
    await_until("two to have their answer", || gate.sum("tidegate_requests_in_flight", &["default/app:"]) == 4.0);
    for _ in 0..10 {
        let answer = begin(&gate).response();
        assert_eq!((answer.status, answer.replica()), (200, "two"));
    }
}

/// The first sending is over when the second begins.
#[test]
fn a_request_that_is_sent_again_needs_one_place() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::OnceThenClose);
    let gate = setup(&net, &[("max-in-flight", "1"), ("max-endpoint-in-flight", "1")], &[&replica]).start();
    let mut one = Client::connect(gate.http());
    let mut two = Frames::connect(gate.http());
    for turn in 0..4 {
        assert_eq!(one.get(HOST, "/").status, 200, "{turn}");
        assert_eq!(two.fetch(HOST, "/").status, 200, "{turn}");
    }
    assert!(gate.sum("tidegate_retries_total", &["default/app:"]) >= 4.0, "the connection was closed at each second request");
    assert_eq!(bounded(&gate, "max-in-flight") + bounded(&gate, "max-endpoint-in-flight"), 0.0);
}

#[test]
fn a_virtual_ip_carries_so_many_connections_and_resets_more() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::TcpEcho);
    let manifest = objects::tcp(&net, "app", net.port(), &[&replica])
        .replace("spec: {selector", &format!("spec: {{clusterIP: {}, selector", net.vip(9)));
    let manifest = |most: &str| annotated(&manifest, "app", &[("max-in-flight", most)]);
    let gate = Setup::new(&net).flag("--workers", "2").manifest("app.yaml", manifest("2")).start();
    let address = gate.listener(&format!("vip default/app:{}", net.port()));
    let echo = |client: &mut Client| {
        client.send("ping");
        client.exactly(4).expect("the echo")
    };
    let refused = || {
        let met = Client::try_connect(address).and_then(|mut client| client.stream.read(&mut [0]));
        assert_eq!(met.expect_err("a reset, not an orderly end").kind(), std::io::ErrorKind::ConnectionReset);
    };
    let mut held: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    held.iter_mut().for_each(|client| assert_eq!(echo(client), b"ping"));
    refused();
    assert_eq!((replica.connections(), bounded(&gate, "max-in-flight")), (2, 1.0));
    // A change counts at once, and what is under way goes on and is counted on.
    gate.write("app.yaml", &manifest("3"));
    let mut third = Client::connect(address);
    assert_eq!(echo(&mut third), b"ping");
    refused();
    held.iter_mut().for_each(|client| assert_eq!(echo(client), b"ping"));
    held.clear();
    await_until("two to be gone", || gate.sum("tidegate_requests_in_flight", &["default/app:"]) == 1.0);
    let mut again: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    again.iter_mut().for_each(|client| assert_eq!(echo(client), b"ping"));
    refused();
}

#[test]
fn flows_of_udp_count_and_further_ones_are_dropped() {
    let net = Net::take();
    let replica = Datagrams::named(&net, "one");
    let ports = objects::service_at("app", net.vip(9), net.port(), net.port()).replace("targetPort", "protocol: UDP, targetPort");
    let manifest = file(&[annotated(&ports, "app", &[("max-in-flight", "1")]), objects::pod("one", "app", replica.ip())]);
    let gate = Setup::new(&net).manifest("app.yaml", manifest).start();
    let address = gate.listener(&format!("vip default/app:{}/UDP", net.port()));
    let client = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(address).expect("a datagram socket connects to anything");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        socket
    };
    let (one, two) = (client(), client());
    let ask = || {
        one.send(b"ping").expect("it is taken");
        let mut buffer = [0; 16];
        let length = one.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    };
    assert_eq!(ask(), b"one ping");
    two.send(b"ping").expect("it is taken");
    await_until("it to be dropped", || bounded(&gate, "max-in-flight") == 1.0);
    assert_eq!(gate.sum("tidegate_udp_dropped_total", &["cause=\"full\""]), 1.0);
    assert_eq!(ask(), b"one ping", "a flow that stands goes on");
}

#[test]
fn what_has_switched_protocols_keeps_its_place_as_long_as_it_lives() {
    let net = Net::take();
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".to_vec();
    let replica = Replica::start(&net, "one", Behaviour::Switch(head));
    let gate = gate(&net, &[("max-in-flight", "1")], &[&replica]);
    let mut client = Client::connect(gate.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert_eq!(client.response().status, 101);
    is_overload(&begin(&gate).response());
    client.send("still here");
    assert_eq!(client.exactly(10).expect("the echo"), b"still here");
    client.finish();
    assert_eq!(client.rest().expect("a good end"), b"bye");
    await_rest(&gate);
    replica.now(Behaviour::Named);
    assert_eq!(begin(&gate).response().status, 200);
}

#[test]
fn a_bound_that_is_mistyped_keeps_the_last_good_one() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Held);
    let gate = gate(&net, &[("max-in-flight", "1")], &[&replica]);
    gate.swap("app.yaml", &service(&net, &[("max-in-flight", "1O")], &[&replica]));
    gate.await_problem(&["Service default/app", "tidegate.dev/max-in-flight", "`1O`", "1 to 1000000"]);
    let _held = begin(&gate);
    await_until("one to be there", || replica.requests() == 1);
    is_overload(&begin(&gate).response());
}
