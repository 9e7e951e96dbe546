//! What is sent again after a replica answered badly, late or not at all, how often, and what never is.

use super::*;

/// `app` behind `app.example`, with annotations of its Ingress in YAML flow.
fn site(net: &Net, annotations: &str, replicas: &[&Replica]) -> String {
    let name = "kind: Ingress\nmetadata: {";
    app(net, "app", "app.example", replicas).replace(name, &format!("{name}annotations: {{{annotations}}}, "))
}

const ON_503: &str = "tidegate.dev/retry-on: '503'";

#[test]
fn an_unwanted_status_goes_to_another_replica_and_only_what_may_be_sent_twice() {
    let net = Net::take();
    let (good, bad) = (Replica::start(&net, "good", Behaviour::Named), Replica::start(&net, "bad", Behaviour::Status(503)));
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, ON_503, &[&good, &bad])).start();
    let mut refused = 0;
    for _ in 0..20 {
        assert_eq!(answer(ask(gate.http(), "GET", "/")).replica(), "good");
        let before = bad.requests();
        let status = answer(ask(gate.http(), "POST", "/")).status;
        assert_eq!(status == 503, bad.requests() > before, "a POST that the bad one got is not sent again");
        refused += u32::from(status == 503);
    }
    let sent_again = gate.sum("tidegate_retries_total", &["app"]);
    assert!(sent_again + f64::from(refused) > 0.0 && sent_again < 20.0, "{sent_again}, {refused}");
}

#[test]
fn the_only_replica_keeps_its_word() {
    let net = Net::take();
    let bad = Replica::start(&net, "bad", Behaviour::Status(503));
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, ON_503, &[&bad])).start();
    assert_eq!(answer(ask(gate.http(), "GET", "/")).status, 503);
    assert_eq!(bad.requests(), 1);
}

#[test]
fn a_client_of_http_2_is_sent_to_another_replica_too() {
    let net = Net::take();
    let (good, bad) = (Replica::start(&net, "good", Behaviour::Named), Replica::start(&net, "bad", Behaviour::Status(503)));
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, ON_503, &[&good, &bad])).start();
    let mut client = tidegate_tests::frames::Frames::connect(gate.http());
    for _ in 0..20 {
        let stream = client.ask(&[(":method", "GET"), (":scheme", "http"), (":authority", "app.example"), (":path", "/")], true);
        client.until("an answer", |client| client.on(stream).end.is_some());
        assert_eq!(client.on(stream).status, 200);
    }
    assert!(bad.requests() > 0, "the bad one was asked");
}

#[test]
fn one_that_is_too_slow_is_left_for_another_where_the_route_says_so() {
    let net = Net::take();
    let (good, slow) = (Replica::start(&net, "good", Behaviour::Named), Replica::start(&net, "slow", Behaviour::Held));
    let round = "tidegate.dev/balance: round-robin, tidegate.dev/try-timeout: 200ms";
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, round, &[&good, &slow])).start();
    let statuses = |gate: &Tidegate| {
        let mut all = [0, 1].map(|_| answer(ask(gate.http(), "GET", "/")).status);
        all.sort_unstable();
        all
    };
    assert_eq!(statuses(&gate), [200, 504], "without a word it is a time-out");
    gate.write("app.yaml", &site(&net, &format!("{round}, tidegate.dev/retry-on: timeout"), &[&good, &slow]));
    assert_eq!(statuses(&gate), [200, 200]);
}

#[test]
fn the_only_replica_may_be_slow_by_itself() {
    let net = Net::take();
    let slow = Replica::start(&net, "slow", Behaviour::Held);
    let patience = "tidegate.dev/try-timeout: 200ms, tidegate.dev/retry-on: timeout";
    let gate = Setup::new(&net).manifest("app.yaml", site(&net, patience, &[&slow])).start();
    assert_eq!(answer(ask(gate.http(), "GET", "/")).status, 504);
    assert_eq!(slow.requests(), 1, "nobody else is there to be asked");
    assert_eq!(tidegate_tests::frames::Frames::connect(gate.http()).fetch("app.example", "/").status, 504);
    assert_eq!(slow.requests(), 2, "it is the same over HTTP/2");
}

#[test]
fn the_budget_bounds_what_is_sent_again() {
    let net = Net::take();
    let replicas = ["one", "two"].map(|name| Replica::start(&net, name, Behaviour::Status(503)));
    let gate = Setup::new(&net)
        .config("limits: {retryBudgetPercent: 0}\noutlier: {maxEjectedPercent: 0}\n") // else one of them is soon asked no more
        .manifest("app.yaml", site(&net, ON_503, &replicas.each_ref()))
        .start();
    for _ in 0..60 {
        assert_eq!(answer(ask(gate.http(), "GET", "/")).status, 503);
    }
    let sent: u64 = replicas.iter().map(Replica::requests).sum();
    assert!((60 + 20..=60 + 40).contains(&sent), "{sent}: twenty in ten seconds are free, and two such times may be met");
}

#[test]
fn a_request_whose_replicas_die_one_after_the_other_is_answered_by_the_last() {
    let net = Net::take();
    let names = ["one", "two", "three"];
    let replicas = names.map(|name| Replica::start(&net, name, Behaviour::RawThenReset(Vec::new())));
    let good = Replica::start(&net, "good", Behaviour::Named);
    let all = [&replicas[0], &replicas[1], &replicas[2], &good];
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &all)).start();
    for _ in 0..10 {
        assert_eq!(answer(ask(gate.http(), "GET", "/")).replica(), "good");
    }
}
