//! The retries, and that there is no further one.

use super::*;

#[test]
fn a_connect_failure_goes_to_another_endpoint() {
    let net = Net::take();
    let good = Replica::start(&net, "good", Behaviour::Named);
    let mut dead = Replica::start(&net, "dead", Behaviour::Named);
    dead.die();
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&good, &dead])).start();
    for turn in 0..40 {
        assert_eq!(gate.get("app.example", "/").replica(), "good", "GET {turn}");
        assert_eq!(post(&gate, "order").replica(), "good", "POST {turn}: nothing of it had been sent");
    }
    assert!(gate.sum("tidegate_retries_total", &["app"]) >= 1.0);
}

#[test]
fn when_nobody_can_be_reached_it_is_a_502() {
    let net = Net::take();
    let mut dead = Replica::start(&net, "dead", Behaviour::Named);
    dead.die();
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&dead])).start();
    assert_eq!(gate.get("app.example", "/").status, 502);
    await_until("its reason in the metrics", || gate.sum("tidegate_refusals_total", &["upstream-connect"]) == 1.0);
}

#[test]
fn a_reused_connection_that_died_is_retried_once_on_a_fresh_one() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::OnceThenClose);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    // Several idle connections, each of which dies at its second request: the retry may not try them one after another.
    let address = gate.http();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(Client::connect(address).get("app.example", "/").status, 200));
        }
    });
    for turn in 0..20 {
        assert_eq!(gate.get("app.example", "/").status, 200, "turn {turn}");
    }
}

#[test]
fn a_post_is_not_sent_twice() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    assert_eq!(post(&gate, "first").status, 200);
    replica.now(Behaviour::RawThenClose(Vec::new()));
    assert_eq!(post(&gate, "order").status, 502);
    let orders = replica.received().iter().filter(|request| request.body == b"order").count();
    assert_eq!(orders, 1, "a POST that a replica has read may have been processed");
}

#[test]
fn a_request_that_died_is_repeated_when_twice_means_once_and_never_else() {
    let net = Net::take();
    let replicas = ["one", "two", "three"].map(|name| Replica::start(&net, name, Behaviour::RawThenClose(Vec::new())));
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &replicas.each_ref())).start();
    let asked = || replicas.iter().map(Replica::requests).collect::<Vec<u64>>();
    assert_eq!(gate.get("app.example", "/").status, 502);
    assert_eq!(asked().iter().sum::<u64>(), 4, "a GET is sent three times more: {:?}", asked());
    assert!(asked().iter().all(|&times| times >= 1), "to each other one before the same again: {:?}", asked());
    assert_eq!(post(&gate, "order").status, 502);
    assert_eq!(asked().iter().sum::<u64>(), 5, "a POST may have been processed: {:?}", asked());
}

#[test]
fn an_answer_that_has_begun_is_never_retried() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    assert_eq!(gate.get("app.example", "/").status, 200);
    replica.now(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()));
    assert_eq!(gate.get("app.example", "/").status, 502);
    assert_eq!(replica.requests(), 2);
}
