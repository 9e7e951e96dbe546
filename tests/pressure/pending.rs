//! Who waits for room at a Service that carries as much as it may: `max-pending`.

use std::io::Read;

use tidegate_tests::frames::End;
use tidegate_tests::{Does, Http2Replica};

use super::bounds::{bounded, gate, is_overload, setup};
use super::*;

fn waiting(gate: &Tidegate) -> f64 {
    gate.sum("tidegate_waiting_requests", &[])
}

/// So many more requests, of whom each waits before the next comes.
fn queue(gate: &Tidegate, count: usize) -> Vec<Client> {
    let before = waiting(gate);
    let line = (1..=count).map(|number| {
        let client = begin(gate);
        await_until("it to wait", || waiting(gate) == before + number as f64);
        client
    });
    line.collect()
}

/// One replica that is held, which has a request already.
fn held(net: &Net, annotations: &[(&str, &str)]) -> (Replica, Tidegate, Client) {
    let replica = Replica::start(net, "one", Behaviour::Held);
    let gate = gate(net, annotations, &[&replica]);
    let client = begin(&gate);
    await_until("it to be there", || replica.requests() == 1);
    (replica, gate, client)
}

#[test]
fn who_waits_goes_in_the_order_of_arrival_over_all_workers() {
    let net = Net::take();
    let (replica, gate, first) = held(&net, &[("max-in-flight", "1"), ("max-pending", "12")]);
    let mut line = vec![first];
    line.extend(queue(&gate, 12));
    is_overload(&begin(&gate).response());
    assert_eq!((bounded(&gate, "max-pending"), bounded(&gate, "max-in-flight"), replica.requests()), (1.0, 0.0, 1));
    for (served, mut client) in line.into_iter().enumerate() {
        // Only whoever came first can be answered now.
        replica.release();
        assert_eq!(client.response().status, 200, "{served}");
        let next = served as u64 + 2;
        await_until("the next to be there", || replica.requests() == next.min(13));
    }
    await_rest(&gate);
    assert_eq!((waiting(&gate), bounded(&gate, "max-pending")), (0.0, 1.0));
}

#[test]
fn who_comes_later_does_not_overtake_and_whoever_leaves_holds_up_nobody() {
    let net = Net::take();
    let (replica, gate, mut first) = held(&net, &[("max-endpoint-in-flight", "1"), ("max-pending", "3")]);
    let mut two = Frames::connect(gate.http());
    let streams = [two.get(HOST, "/"), two.get(HOST, "/")];
    await_until("both to wait", || waiting(&gate) == 2.0);
    let mut last = queue(&gate, 1).remove(0);
    // The first of those who wait breaks off.
    two.reset(streams[0]);
    await_until("it to be gone", || waiting(&gate) == 2.0);
    replica.release();
    assert_eq!(first.response().status, 200);
    await_until("the next to be there", || replica.requests() == 2);
    // Whoever is served comes again at once, and is behind who waited.
    first.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    await_until("it to wait", || waiting(&gate) == 2.0);
    replica.release();
    assert_eq!(two.answer(streams[1]).end, Some(End::Whole));
    replica.release();
    assert_eq!(last.response().status, 200);
    replica.release();
    assert_eq!(first.response().status, 200);
    assert_eq!(bounded(&gate, "max-pending") + bounded(&gate, "max-endpoint-in-flight"), 0.0);
}

/// Whoever is first holds up all others: it takes whom it can get, also one that refused it before.
#[test]
fn the_first_in_line_asks_again_who_refused_it() {
    let net = Net::take();
    let (busy, mut away) = (Replica::start(&net, "busy", Behaviour::Held), Replica::start(&net, "away", Behaviour::Held));
    let gate = gate(&net, &[("max-endpoint-in-flight", "1"), ("max-pending", "5")], &[&busy, &away]);
    let mut held = vec![begin(&gate), begin(&gate)];
    await_until("both to be busy", || busy.requests() == 1 && away.requests() == 1);
    let address = away.address();
    away.die();
    // What was under way there waits to be sent again, and one more behind it.
    await_until("one to wait", || waiting(&gate) == 1.0);
    held.extend(queue(&gate, 1));
    let again = Replica::at(address, "away", Behaviour::Named);
    await_until("both to be asked", || again.requests() == 2);
    assert_eq!((waiting(&gate), busy.requests()), (0.0, 1));
}

#[test]
fn whoever_waits_in_vain_is_refused_in_time_and_nobody_waits_where_the_settings_say_so() {
    let net = Net::take();
    for (wait, most) in [("50", 1.0), ("0", 0.0)] {
        let replica = Replica::start(&net, "one", Behaviour::Held);
        let annotations = [("max-in-flight", "1"), ("max-pending", "5")];
        let gate = setup(&net, &annotations, &[&replica]).config(&format!("limits: {{endpointWaitMs: {wait}}}\n")).start();
        let mut first = begin(&gate);
        await_until("it to be there", || replica.requests() == 1);
        is_overload(&begin(&gate).response());
        assert_eq!((gate.sum("tidegate_waited_total", &[]), bounded(&gate, "max-pending")), (most, 1.0));
        replica.release();
        assert_eq!(first.response().status, 200);
    }
}

#[test]
fn a_change_of_the_bound_lets_in_who_waits() {
    let net = Net::take();
    let (replica, gate, _first) = held(&net, &[("max-in-flight", "1"), ("max-pending", "5")]);
    let line = queue(&gate, 3);
    gate.swap("app.yaml", &service(&net, &[("max-in-flight", "3"), ("max-pending", "5")], &[&replica]));
    await_until("two of them to be there", || replica.requests() == 3 && waiting(&gate) == 1.0);
    gate.swap("app.yaml", &service(&net, &[], &[&replica]));
    await_until("all to be there", || replica.requests() == 4 && waiting(&gate) == 0.0);
    drop(line);
}

#[test]
fn connections_through_a_virtual_ip_wait_where_the_settings_say_so() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::TcpEcho);
    let manifest = objects::tcp(&net, "app", net.port(), &[&replica])
        .replace("spec: {selector", &format!("spec: {{clusterIP: {}, selector", net.vip(9)));
    let manifest = annotated(&manifest, "app", &[("max-in-flight", "1"), ("max-pending", "1")]);
    let gate = Setup::new(&net).config("limits: {connectionWaitMs: 20000}\n").manifest("app.yaml", manifest).start();
    let address = gate.listener(&format!("vip default/app:{}", net.port()));
    let mut first = Client::connect(address);
    first.send("ping");
    assert_eq!(first.exactly(4).expect("the echo"), b"ping");
    let mut second = Client::connect(address);
    second.send("pong");
    await_until("it to wait", || waiting(&gate) == 1.0);
    let third = Client::try_connect(address).and_then(|mut client| client.stream.read(&mut [0]));
    assert_eq!(third.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    drop(first);
    assert_eq!(second.exactly(4).expect("the echo"), b"pong");
}

#[test]
fn a_request_of_http_1_to_a_replica_of_http_2_keeps_its_place() {
    let net = Net::take();
    let replica = Http2Replica::start(&net, "one", Does::Held, 100);
    let app = file(&[objects::service("app", 80, net.port()), objects::pod("one", "app", replica.ip())]);
    let app = app.replacen("{port: 80", "{appProtocol: kubernetes.io/h2c, port: 80", 1);
    let app = annotated(&app, "app", &[("max-in-flight", "1"), ("max-pending", "5")]);
    let gate = Setup::new(&net).manifest("app.yaml", app).manifest("site.yaml", ingress("shop", HOST, &[path("Prefix", "/", "app", 80)]));
    let gate = gate.flag("--workers", "1").start();
    let mut first = begin(&gate);
    await_until("it to be there", || replica.requests() == 1);
    let mut next = queue(&gate, 1).remove(0);
    let mut last = Frames::connect(gate.http());
    let stream = last.get(HOST, "/");
    await_until("both to wait", || waiting(&gate) == 2.0);
    replica.release();
    assert_eq!(first.response().status, 200);
    await_until("the next to be there", || replica.requests() == 2);
    replica.release();
    assert_eq!(next.response().status, 200, "whoever came first goes first");
    replica.release();
    assert_eq!(last.answer(stream).end, Some(End::Whole));
}

#[test]
fn whoever_breaks_off_its_connection_leaves_the_line() {
    let net = Net::take();
    let (replica, gate, mut first) = held(&net, &[("max-in-flight", "1"), ("max-pending", "5")]);
    let mut line = queue(&gate, 3);
    let mut last = line.remove(2);
    last.finish();
    // Neither the first in line nor one behind it holds up who stays; an end alone may be half a close.
    line.into_iter().for_each(Client::reset);
    await_until("them to be gone", || waiting(&gate) == 1.0);
    replica.release();
    assert_eq!(first.response().status, 200);
    await_until("the next to be there", || replica.requests() == 2);
    replica.release();
    assert_eq!(last.response().status, 200);
    assert_eq!(replica.requests(), 2);
}
