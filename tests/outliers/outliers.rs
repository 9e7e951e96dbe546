//! Replicas that fail are left out and come back: on the real process, by what they do to requests and connections.
//!
//! Where an ejection must last, it lasts longer than any test; where it must end, what is awaited is the end and never a time. Requests go
//! to replicas in turn, so that failing does not make one less likely to be asked.

use std::net::SocketAddr;

use serde_json::Value;
use tidegate_tests::objects::{app, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Response, Setup, Tidegate, await_until, command};

mod returns;
mod slow_start;

/// Nobody comes back during a test.
const LONG: &str = "outlier: {baseEjectionMs: 600000, maxEjectionMs: 600000}\n";
const HOST: &str = "app.example";

/// An app whose Ingress has these annotations beside `balance: round-robin`.
fn annotated(net: &Net, replicas: &[&Replica], annotations: &str) -> String {
    let text = app(net, "app", HOST, replicas);
    let plain = "name: app}\nspec: {rules";
    assert!(text.contains(plain), "{text}");
    text.replace(plain, &format!("name: app, annotations: {{tidegate.dev/balance: round-robin{annotations}}}}}\nspec: {{rules"))
}

fn in_turn(net: &Net, replicas: &[&Replica]) -> String {
    annotated(net, replicas, "")
}

fn gate(net: &Net, config: &str, replicas: &[&Replica]) -> Tidegate {
    Setup::new(net).config(config).manifest("app.yaml", in_turn(net, replicas)).flag("--workers", "2").start()
}

fn three(net: &Net) -> [Replica; 3] {
    ["good-1", "good-2", "bad"].map(|name| Replica::start(net, name, Behaviour::Named))
}

/// Three replicas behind a gate, asked in turn.
fn scene(config: &str) -> ([Replica; 3], Tidegate) {
    let net = Net::take();
    let replicas = three(&net);
    let gate = gate(&net, config, &replicas.each_ref());
    (replicas, gate)
}

/// The row of an endpoint.
fn row(gate: &Tidegate, replica: &Replica) -> Value {
    let rows = gate.rows("endpoints");
    let row = rows.iter().find(|row| row["address"] == replica.address().to_string());
    row.unwrap_or_else(|| panic!("no {} in {rows:?}", replica.address())).clone()
}

fn is_ejected(gate: &Tidegate, replica: &Replica) -> bool {
    row(gate, replica)["state"] == "Ejected"
}

fn ejections(gate: &Tidegate, cause: &str) -> f64 {
    gate.sum("tidegate_ejections_total", &["default/app:80", &format!("cause=\"{cause}\"")])
}

/// Asks on one connection until this one is ejected, and every worker knows. The statuses of the answers.
fn ask_until_ejected(gate: &Tidegate, bad: &Replica) -> Vec<u16> {
    let mut statuses = Vec::new();
    await_until("its ejection", || {
        let mut client = Client::connect(gate.http());
        statuses.extend((0..6).map(|_| client.get(HOST, "/").status));
        is_ejected(gate, bad)
    });
    gate.await_newer(0);
    statuses
}

fn ask(gate: &Tidegate, times: usize) -> Vec<Response> {
    let mut client = Client::connect(gate.http());
    (0..times).map(|_| client.get(HOST, "/")).collect()
}

#[test]
fn one_that_answers_500_is_left_out_and_told_of_in_words() {
    let (replicas, gate) = scene(LONG);
    let [good, _, bad] = &replicas;
    // A request that it has when it is ejected is answered all the same.
    bad.now(Behaviour::Held);
    let mut waiting = Vec::new();
    while bad.requests() == 0 {
        let mut client = Client::connect(gate.http());
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        waiting.push(client);
        assert!(waiting.len() < 100, "it was never asked");
        tidegate_tests::wait::glance();
    }
    bad.now(Behaviour::Status(500));
    let failed = ask_until_ejected(&gate, bad).iter().filter(|status| **status == 500).count();
    assert!(failed >= 5, "{failed} failures ejected it");
    let asked = bad.requests();
    assert!(ask(&gate, 60).iter().all(|answer| answer.status == 200 && answer.replica() != "bad"));
    assert_eq!(bad.requests(), asked);
    (0..waiting.len()).for_each(|_| bad.release());
    let names: Vec<String> = waiting.iter_mut().map(|client| client.response().replica().to_owned()).collect();
    assert!(names.iter().any(|name| name == "bad"), "its connections were not cut: {names:?}");

    let row = row(&gate, bad);
    let why = row["why"].as_str().expect("a cause");
    assert!(why.starts_with("outlier: 5 failures in a row, ") && why.ends_with(" s left"), "{why}");
    assert!(row["left_ms"].as_u64().is_some_and(|left| left > 500_000 && left <= 600_000), "{row}");
    let told = command(["get", "endpoints", "--admin", &gate.admin().to_string()]);
    let line = told.stdout.lines().find(|line| line.contains(&format!("{} ", bad.address()))).expect("a line");
    assert!(line.contains("Ejected") && line.contains("outlier: 5 failures in a row"), "{}", told.stdout);
    assert!(!is_ejected(&gate, good));
    assert_eq!((ejections(&gate, "consecutive-failures"), ejections(&gate, "success-rate")), (1.0, 0.0));
    assert_eq!(gate.sum("tidegate_ejected_endpoints", &["default/app:80"]), 1.0);
    let log = gate.log();
    assert!(log.contains(&format!("outlier: {} of default/app:80 is ejected for 600s: 5 failures in a row", bad.address())), "{log}");
}

#[test]
fn clients_of_http_2_find_out_as_well() {
    let (replicas, gate) = scene(LONG);
    let bad = &replicas[2];
    // One that breaks off its answers has begun each of them well.
    bad.now(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()));
    await_until("its ejection", || {
        let mut client = tidegate_tests::frames::Frames::connect(gate.http());
        for _ in 0..6 {
            client.fetch(HOST, "/");
        }
        is_ejected(&gate, bad)
    });
}

#[test]
fn one_that_resets_or_refuses_is_left_out_although_its_requests_go_elsewhere() {
    for refuses in [false, true] {
        let (replicas, gate) = scene(LONG);
        let bad = &replicas[2];
        if refuses {
            bad.stop_listening()
        } else {
            bad.now(Behaviour::ResetOnAccept)
        }
        let statuses = ask_until_ejected(&gate, bad);
        assert!(statuses.iter().all(|status| *status == 200), "each was sent again: {statuses:?}");
        let asked = (bad.connections(), gate.sum("tidegate_retries_total", &["app"]));
        assert!(ask(&gate, 60).iter().all(|answer| answer.status == 200));
        assert_eq!((bad.connections(), gate.sum("tidegate_retries_total", &["app"])), asked, "refuses: {refuses}");
    }
}

#[test]
fn one_that_takes_too_long_for_the_route_is_left_out() {
    let net = Net::take();
    let replicas = three(&net);
    let text = annotated(&net, &replicas.each_ref(), ", tidegate.dev/request-timeout: 50ms");
    let gate = Setup::new(&net).config(LONG).manifest("app.yaml", text).start();
    let bad = &replicas[2];
    bad.now(Behaviour::Held);
    let address = gate.http();
    await_until("its ejection", || {
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| Client::connect(address).get(HOST, "/"));
            }
        });
        is_ejected(&gate, bad)
    });
}

#[test]
fn a_client_that_leaves_is_nobodys_failure() {
    let (replicas, gate) = scene("outlier: {consecutiveFailures: 1}\n");
    for turn in 1..=10 {
        replicas.iter().for_each(|replica| replica.now(Behaviour::Held));
        let before: u64 = replicas.iter().map(Replica::requests).sum();
        let mut client = Client::connect(gate.http());
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        await_until("it to be asked", || replicas.iter().map(Replica::requests).sum::<u64>() > before);
        drop(client);
        await_until("it to be let go", || gate.sum("tidegate_requests_in_flight", &["app"]) == 0.0);
        assert_eq!(ejections(&gate, "consecutive-failures"), 0.0, "turn {turn}");
    }
    // 501 says that nobody of its kind would do better.
    replicas.iter().for_each(|replica| replica.now(Behaviour::Status(501)));
    assert!(ask(&gate, 30).iter().all(|answer| answer.status == 501));
    assert_eq!(ejections(&gate, "consecutive-failures"), 0.0);
}

#[test]
fn opaque_connections_count_as_far_as_they_stand() {
    let net = Net::take();
    let replicas = ["db-0", "db-1", "db-2"].map(|name| Replica::start(&net, name, Behaviour::TcpEcho));
    let gate = Setup::new(&net).config(LONG).manifest("db.yaml", tcp(&net, "db", net.port(), &replicas.each_ref())).start();
    let rows = gate.rows("services");
    let vip: SocketAddr = SocketAddr::new(rows[0]["vip"].as_str().and_then(|ip| ip.parse().ok()).expect("a VIP"), net.port());
    let echo = || {
        let mut client = Client::try_connect(vip).ok()?;
        client.send("ping");
        client.exactly(4).ok()
    };
    await_until("the VIP to be bound", || echo().is_some());
    replicas[1].stop_listening();
    await_until("its ejection", || {
        assert!((0..10).all(|_| echo().is_some()), "others are connected to instead");
        is_ejected(&gate, &replicas[1])
    });
}

#[test]
fn the_last_one_is_never_left_out() {
    let net = Net::take();
    let only = Replica::start(&net, "only", Behaviour::Status(503));
    let gate = gate(&net, LONG, &[&only]);
    assert!(ask(&gate, 50).iter().all(|answer| answer.status == 503 && answer.replica() == "only"));
    assert_eq!((only.requests(), row(&gate, &only)["state"].as_str()), (50, Some("Ready")));
    // Of two it is one at most, however both fail.
    let other = Replica::start(&net, "other", Behaviour::Status(500));
    gate.write("app.yaml", &in_turn(&net, &[&only, &other]));
    await_until("one to be left out", || {
        ask(&gate, 10);
        is_ejected(&gate, &only) || is_ejected(&gate, &other)
    });
    gate.await_newer(0);
    ask(&gate, 50);
    assert_ne!(is_ejected(&gate, &only), is_ejected(&gate, &other));
}

#[test]
fn all_are_used_again_when_too_few_are_left() {
    let net = Net::take();
    let replicas = ["good-1", "good-2", "bad-1", "bad-2"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let gate = gate(&net, LONG, &replicas.each_ref());
    let [good, other, bad @ ..] = &replicas;
    bad.iter().for_each(|replica| replica.now(Behaviour::Status(500)));
    await_until("both to be left out", || {
        ask(&gate, 12);
        bad.iter().all(|replica| is_ejected(&gate, replica))
    });
    gate.await_newer(0);
    assert!(ask(&gate, 40).iter().all(|answer| answer.status == 200));
    bad.iter().for_each(|replica| replica.now(Behaviour::Named));
    gate.write("app.yaml", &in_turn(&net, &[good, &bad[0], &bad[1]]));
    let names: Vec<String> = ask(&gate, 60).iter().map(|answer| answer.replica().to_owned()).collect();
    for replica in [good, &bad[0], &bad[1]] {
        let count = names.iter().filter(|name| *name == replica.name()).count();
        assert!(count >= 15, "{} answered {count} of {names:?}", replica.name());
    }
    assert!(bad.iter().all(|replica| is_ejected(&gate, replica)), "they are ejected all the same");
    gate.write("app.yaml", &in_turn(&net, &[good, other, &bad[0], &bad[1]]));
    assert!(ask(&gate, 40).iter().all(|answer| !answer.replica().starts_with("bad")), "enough are left again");
}

#[test]
fn a_new_pod_on_the_address_of_one_that_was_left_out_starts_clean() {
    let net = Net::take();
    let replicas = three(&net);
    let gate = gate(&net, LONG, &replicas.each_ref());
    let bad = &replicas[2];
    bad.now(Behaviour::Status(500));
    ask_until_ejected(&gate, bad);
    bad.now(Behaviour::Named);
    let heir = in_turn(&net, &replicas.each_ref()).replace("name: bad,", "name: heir,");
    gate.write("app.yaml", &heir);
    let ready = gate.rows("endpoints").into_iter().filter(|row| row["pod"] == "default/heir" && row["state"] == "Ready").count();
    assert_eq!(ready, 1, "{:?}", gate.rows("endpoints"));
    assert!(ask(&gate, 30).iter().filter(|answer| answer.replica() == "bad").count() >= 5);
}

/// A file of several manifests in which the app's Service has an annotation.
fn with_service_annotation(text: &str, annotation: &str) -> String {
    let plain = "kind: Service\nmetadata: {namespace: default, name: app}";
    assert!(text.contains(plain), "{text}");
    text.replace(plain, &format!("kind: Service\nmetadata: {{namespace: default, name: app, annotations: {{{annotation}}}}}"))
}

/// A stream that has no end.
fn endless(name: &str) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\nx-replica: {name}\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    Behaviour::Pieces(vec![head.into_bytes(), b"data: 2\n\n".to_vec()])
}

/// One more request, when its answer is a stream.
fn begin_stream(gate: &Tidegate) -> Option<Client> {
    let mut client = Client::connect(gate.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let head = client.through(b"\r\n\r\n").expect("a head");
    String::from_utf8_lossy(&head).contains("text/event-stream").then_some(client)
}

#[test]
fn a_stream_that_its_client_ends_is_a_success() {
    let net = Net::take();
    let replicas = three(&net);
    let gate = gate(&net, "outlier: {consecutiveFailures: 2, baseEjectionMs: 600000, maxEjectionMs: 600000}\n", &replicas.each_ref());
    let bad = &replicas[2];
    for turn in 1..=4 {
        bad.now(Behaviour::Status(500));
        await_until("a failure", || ask(&gate, 1)[0].status == 500);
        bad.now(endless("bad"));
        tidegate_tests::wait::await_some("a stream of it", || begin_stream(&gate)).reset();
        await_until("it to be let go", || gate.sum("tidegate_requests_in_flight", &["app"]) == 0.0);
        assert_eq!(ejections(&gate, "consecutive-failures"), 0.0, "turn {turn}");
    }
}
