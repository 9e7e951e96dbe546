//! Who comes while nobody is there waits for a moment, in bounds.

use std::time::{Duration, Instant};

use super::*;

/// A Service `app` behind `app.example`, with these Pods.
fn site(net: &Net, pods: &[String]) -> String {
    let rest = [service("app", 80, net.port()), ingress("app", "app.example", &[path("Prefix", "/", "app", 80)])];
    file(&[&rest[..], pods].concat())
}

fn waiting(gate: &Tidegate) -> f64 {
    gate.sum("tidegate_waiting_requests", &[])
}

#[test]
fn a_request_waits_for_the_first_endpoint_whatever_its_method() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, &[])).start();
    let requests = ["GET", "POST", "DELETE"].map(|method| ask(gate.http(), method, "/"));
    await_until("all wait", || waiting(&gate) == 3.0);
    gate.write("app.yaml", &site(&net, &[pod("app-0", "app", replica.ip())]));
    for request in requests {
        assert_eq!(answer(request).replica(), "app-0");
    }
    assert_eq!(waiting(&gate), 0.0);
    assert_eq!(gate.sum("tidegate_refusals_total", &["no-endpoint"]), 0.0);
    assert_eq!(replica.requests(), 3, "each was sent once");
}

#[test]
fn a_client_of_http_2_waits_too() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, &[])).start();
    let mut client = tidegate_tests::frames::Frames::connect(gate.http());
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "app.example"), (":path", "/")];
    let stream = client.ask(&fields, false);
    client.data(stream, b"order", true);
    await_until("it waits", || waiting(&gate) == 1.0);
    gate.write("app.yaml", &site(&net, &[pod("app-0", "app", replica.ip())]));
    client.until("the answer", |client| client.on(stream).end.is_some());
    assert_eq!(client.on(stream).status, 200);
    assert_eq!(replica.last().head.lines().next(), Some("POST / HTTP/1.1"));
}

#[test]
fn a_replica_that_is_started_anew_at_its_address_is_waited_for() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    assert_eq!(gate.get("app.example", "/").status, 200);
    replica.die();
    let requests = ["GET", "POST"].map(|method| ask(gate.http(), method, "/"));
    await_until("both wait", || waiting(&gate) == 2.0);
    let again = Replica::at(replica.address(), "again", Behaviour::Named);
    for request in requests {
        assert_eq!(answer(request).replica(), "again", "the picture has not changed");
    }
    assert_eq!(again.requests(), 2);
}

#[test]
fn one_replica_replaced_by_another_costs_no_request() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    assert_eq!(gate.get("app.example", "/").status, 200);
    for turn in 1..=5 {
        // It is gone before anybody says so, and the next one comes a while after that was said.
        let name = format!("app-{turn}");
        let next = Replica::start(&net, &name, Behaviour::Named);
        replica.die();
        let requests = ["GET", "POST", "GET", "POST"].map(|method| ask(gate.http(), method, "/"));
        await_until("they wait for the dead one", || waiting(&gate) == 4.0);
        gate.write("app.yaml", &site(&net, &[]));
        gate.write("app.yaml", &site(&net, &[pod(&name, "app", next.ip())]));
        for request in requests {
            assert_eq!(answer(request).replica(), name);
        }
        replica = next;
    }
}

#[test]
fn a_replica_that_was_never_there_is_not_waited_for() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "app-0", Behaviour::Named);
    replica.die();
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    assert_eq!(gate.get("app.example", "/").status, 502);
    assert_eq!(gate.sum("tidegate_waited_total", &[]), 0.0);
}

#[test]
fn the_time_is_bounded() {
    let net = Net::take();
    let config = "limits: {endpointWaitMs: 300}\n";
    let gate = Setup::new(&net).config(config).manifest("app.yaml", site(&net, &[])).start();
    let began = Instant::now();
    assert_eq!(gate.get("app.example", "/").status, 503);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(gate.sum("tidegate_refusals_total", &["no-endpoint"]), 1.0);
}

#[test]
fn the_number_is_bounded_and_one_service_leaves_room_for_others() {
    let net = Net::take();
    let replica = Replica::start(&net, "other-0", Behaviour::Named);
    let other = |pods: &[&Replica]| app(&net, "other", "other.example", pods);
    let gate = Setup::new(&net)
        .config("limits: {waitingRequests: 4, endpointWaitMs: 20000}\n")
        .manifest("app.yaml", site(&net, &[]))
        .manifest("other.yaml", other(&[]))
        .start();
    let _held = [0, 1].map(|_| ask(gate.http(), "GET", "/"));
    await_until("half of the places are taken", || waiting(&gate) == 2.0);
    let refused = gate.get("app.example", "/");
    assert_eq!(refused.status, 503, "the other half is for others");
    let at = gate.http();
    let elsewhere = spawn(move || Client::connect(at).get("other.example", "/"));
    await_until("somebody else has a place", || waiting(&gate) == 3.0);
    gate.write("other.yaml", &other(&[&replica]));
    assert_eq!(answer(elsewhere).replica(), "other-0");
    gate.write("app.yaml", &site(&net, &[pod("app-0", "app", replica.ip())]));
}

#[test]
fn a_connection_to_a_vip_waits_where_the_settings_say_so() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let with = |pods: &[String]| file(&[&[service("db", net.port(), net.port())], pods].concat());
    let config = "limits: {connectionWaitMs: 20000}\n";
    let gate = Setup::new(&net).config(config).manifest("db.yaml", with(&[])).start();
    let mut client = Client::connect(vip(&gate, "db"));
    client.send("ping");
    await_until("it waits", || waiting(&gate) == 1.0);
    gate.write("db.yaml", &with(&[pod("db-0", "db", replica.ip())]));
    assert_eq!(client.exactly(4).expect("an echo"), b"ping");
}

#[test]
fn a_request_that_was_sent_holds_no_place_while_its_answer_comes() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Held);
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, &[])).start();
    let one = ask(gate.http(), "POST", "/");
    let mut two = tidegate_tests::frames::Frames::connect(gate.http());
    let stream = two.get("app.example", "/");
    await_until("both wait", || waiting(&gate) == 2.0);
    gate.write("app.yaml", &site(&net, &[pod("app-0", "app", replica.ip())]));
    await_until("both are there", || replica.requests() == 2);
    await_until("nobody waits", || waiting(&gate) == 0.0);
    replica.now(Behaviour::Named);
    (0..2).for_each(|_| replica.release());
    await_until("both answers", || {
        replica.release();
        two.settle();
        two.on(stream).end.is_some()
    });
    replica.release();
    assert_eq!((answer(one).status, two.on(stream).status), (200, 200));
}

#[test]
fn a_replica_that_was_reached_by_another_way_alone_is_waited_for_too() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "app-0", Behaviour::Named);
    let service = service("app", net.port(), net.port()).replacen("{port: ", "{appProtocol: http, port: ", 1);
    let way = ingress("app", "app.example", &[path("Prefix", "/", "app", net.port())]);
    let text = file(&[service, way, pod("app-0", "app", replica.ip())]);
    let gate = Setup::new(&net).manifest("app.yaml", text).start();
    assert_eq!(Client::connect(vip(&gate, "app")).get("app.example", "/").replica(), "app-0");
    replica.die();
    let request = ask(gate.http(), "POST", "/");
    await_until("it waits", || waiting(&gate) == 1.0);
    let _again = Replica::at(replica.address(), "again", Behaviour::Named);
    assert_eq!(answer(request).replica(), "again");
}

#[test]
fn the_request_of_a_client_that_reset_while_it_waited_is_never_sent() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).config("limits: {endpointWaitMs: 60000}\n").manifest("app.yaml", site(&net, &[])).start();
    let post = || {
        let mut client = Client::connect(gate.http());
        client.send("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\norder");
        client
    };
    let (leaves, mut ends) = (post(), post());
    await_until("both wait", || waiting(&gate) == 2.0);
    // An end may be half a close: whoever said it may still be reading.
    ends.finish();
    leaves.reset();
    await_until("one has left", || waiting(&gate) == 1.0);
    gate.write("app.yaml", &site(&net, &[pod("app-0", "app", replica.ip())]));
    assert_eq!(ends.response().replica(), "app-0");
    assert_eq!(replica.requests(), 1);
}
