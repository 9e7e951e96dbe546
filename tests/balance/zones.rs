//! Replicas of our own zone first, and the others when these are none or have too much to do.

use std::collections::BTreeSet;

use super::*;

/// The app, whose Service prefers its zone; each replica is in the zone that its name begins with.
fn zoned(net: &Net, replicas: &[&Replica]) -> String {
    let mut manifest =
        app(net, "app", "app.example", replicas).replace("spec: {selector", "spec: {trafficDistribution: PreferSameZone, selector");
    for replica in replicas {
        let (zone, name) = (&replica.name()[..1], replica.name());
        let labelled = format!("name: {name}, labels: {{topology.kubernetes.io/zone: {zone}, ");
        manifest = manifest.replace(&format!("name: {name}, labels: {{"), &labelled);
    }
    manifest
}

fn answered(gate: &Tidegate, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| gate.get("app.example", "/").replica().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn picked(manifest: &str, way: &str) -> String {
    let annotated = format!("kind: Service\nmetadata: {{annotations: {{tidegate.dev/balance: {way}}}, ");
    manifest.replacen("kind: Service\nmetadata: {", &annotated, 1)
}

#[test]
fn the_own_zone_is_preferred_as_long_as_it_has_a_ready_replica() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["a-1", "a-2", "b-1", "b-2"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let [one, two, three, four] = replicas.each_ref();
    let in_turn = |replicas: &[&Replica]| picked(&zoned(&net, replicas), "round-robin");
    let all = in_turn(&[one, two, three, four]);
    let gate = Setup::new(&net).manifest("app.yaml", &all).flag("--zone", "a").flag("--workers", "2").start();
    assert_eq!(answered(&gate, 40), set(&["a-1", "a-2"]));
    gate.write("app.yaml", &in_turn(&[two, three, four]));
    assert_eq!(answered(&gate, 40), set(&["a-2"]));
    gate.write("app.yaml", &in_turn(&[three, four]));
    assert_eq!(answered(&gate, 40), set(&["b-1", "b-2"]), "the zone has none: all");
    gate.write("app.yaml", &all);
    assert_eq!(answered(&gate, 40), set(&["a-1", "a-2"]));
    for way in ["least-busy", "least-request", "random", "hash uri", "client-ip"] {
        gate.write("app.yaml", &picked(&zoned(&net, &[one, two, three, four]), way));
        assert!(answered(&gate, 40).is_subset(&set(&["a-1", "a-2"])), "{way}");
    }
}

#[test]
fn a_zone_that_has_too_much_to_do_spills() {
    let _alone = alone();
    let net = Net::take();
    let near = Replica::start(&net, "a-1", Behaviour::Held);
    let far = Replica::start(&net, "b-1", Behaviour::Held);
    let gate = Setup::new(&net).manifest("app.yaml", zoned(&net, &[&near, &far])).flag("--zone", "a").start();
    let address = gate.http();
    let ask = |count: u64, asked: u64| {
        let clients: Vec<Client> = (0..count)
            .map(|_| {
                let mut client = Client::connect(address);
                client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
                client
            })
            .collect();
        tidegate_tests::await_until("all to be asked", || near.requests() + far.requests() == asked + count);
        clients
    };
    let _few = ask(17, 0);
    assert_eq!((near.requests(), far.requests()), (17, 0), "they are held, and the near one takes them");
    let _many = ask(83, 17);
    assert!((10..=30).contains(&far.requests()), "a fourth of what the near one has: {} and {}", near.requests(), far.requests());
}

#[test]
fn a_near_replica_that_fails_is_not_the_zone_s_only_answer() {
    let _alone = alone();
    let net = Net::take();
    let near = Replica::start(&net, "a-1", Behaviour::RawThenReset(Vec::new()));
    let far = Replica::start(&net, "b-1", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", zoned(&net, &[&near, &far])).flag("--zone", "a").start();
    for _ in 0..50 {
        assert_eq!(gate.get("app.example", "/").replica(), "b-1", "GET is repeated elsewhere");
    }
    assert!(near.requests() <= 10, "it was tried {} times", near.requests());
}
