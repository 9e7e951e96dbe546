//! Session affinity: a client keeps its replica, on whatever worker its connections land.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;

/// Every Service of these manifests keeps its clients.
fn sticky(manifests: &str) -> String {
    manifests.replace("spec: {selector", "spec: {sessionAffinity: ClientIP, selector")
}

fn clients() -> Vec<IpAddr> {
    (1..=48).map(|last| [127, 0, 7, last].into()).collect()
}

fn named<const N: usize>(net: &Net, names: [&str; N]) -> [Replica; N] {
    names.map(|name| Replica::start(net, name, Behaviour::Named))
}

/// Who answers this client: two requests on each of four connections.
fn seen(gate: &Tidegate, client: IpAddr) -> BTreeSet<String> {
    let address = gate.http();
    let ask = |_| {
        let mut client = Client::connect_from(client, address);
        [client.get("app.example", "/"), client.get("app.example", "/")].map(|answer| answer.replica().to_owned())
    };
    (0..4).flat_map(ask).collect()
}

/// The one replica of each client.
fn homes(gate: &Tidegate) -> Vec<String> {
    let home = |client| {
        let seen = seen(gate, client);
        assert_eq!(seen.len(), 1, "{client} was answered by {seen:?}");
        seen.into_iter().next().unwrap_or_default()
    };
    clients().into_iter().map(home).collect()
}

#[test]
fn a_client_keeps_its_replica_on_every_worker_and_whoever_comes_or_goes() {
    let _alone = alone();
    let net = Net::take();
    let [one, two, three, four] = named(&net, ["one", "two", "three", "four"]);
    let app = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).manifest("app.yaml", app(&[&one, &two, &three])).flag("--workers", "4").start();
    assert!(clients().into_iter().any(|client| seen(&gate, client).len() > 1), "without affinity they go anywhere");
    gate.write("app.yaml", &sticky(&app(&[&one, &two, &three])));
    let before = homes(&gate);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "all three serve somebody: {before:?}");
    gate.write("app.yaml", &sticky(&app(&[&one, &two, &three, &four])));
    assert_eq!(homes(&gate), before, "a new one takes nobody away");
    gate.write("app.yaml", &sticky(&app(&[&two, &three, &four])));
    for (before, after) in before.iter().zip(homes(&gate)) {
        assert_eq!(before == "one", *before != after, "from {before} to {after}");
    }
}

#[test]
fn a_client_whose_replica_cannot_be_reached_moves_once() {
    let _alone = alone();
    let net = Net::take();
    let [one, two, mut dead] = named(&net, ["one", "two", "dead"]);
    let manifest = sticky(&app(&net, "app", "app.example", &[&one, &two, &dead]));
    let gate = Setup::new(&net).manifest("app.yaml", manifest).flag("--workers", "2").start();
    let before = homes(&gate);
    dead.die();
    let after = homes(&gate);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before == "dead", before != after, "from {before} to {after}");
    }
    let retries = || gate.sum("tidegate_retries_total", &["app"]);
    let paid = retries();
    assert!(paid >= 1.0, "somebody had to find out");
    assert_eq!((homes(&gate), retries()), (after, paid), "nobody goes back to try");
}

#[test]
fn a_replica_that_closes_idle_connections_keeps_its_clients() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["one", "two"].map(|name| Replica::start(&net, name, Behaviour::OnceThenClose));
    let manifest = sticky(&app(&net, "app", "app.example", &replicas.each_ref()));
    let gate = Setup::new(&net).manifest("app.yaml", manifest).start();
    let before = homes(&gate);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(gate.sum("tidegate_retries_total", &["app"]) >= 1.0, "connections did die under requests");
    assert_eq!(homes(&gate), before);
}

#[test]
fn a_trusted_proxy_tells_whose_client_it_is_and_nobody_else_does() {
    let _alone = alone();
    let net = Net::take();
    let replicas = named(&net, ["one", "two", "three"]);
    let manifest = sticky(&app(&net, "app", "app.example", &replicas.each_ref()));
    let setup = Setup::new(&net).manifest("app.yaml", manifest).config("trustedProxies: [127.0.7.1/32]\n");
    let gate = setup.flag("--workers", "2").start();
    let address = gate.http();
    let ask = |from: u8, told: u8| {
        let mut client = Client::connect_from([127, 0, 7, from].into(), address);
        client.send(format!("GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 192.0.2.{told}\r\n\r\n"));
        client.response().replica().to_owned()
    };
    let told: Vec<String> = (1..=48).map(|told| ask(1, told)).collect();
    assert_eq!((1..=48).map(|told| ask(1, told)).collect::<Vec<_>>(), told);
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), 3, "{told:?}");
    let forged: BTreeSet<String> = (1..=48).map(|told| ask(2, told)).collect();
    assert_eq!(forged.len(), 1, "one address is one client, whatever it says: {forged:?}");
}
