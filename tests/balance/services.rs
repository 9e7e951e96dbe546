//! A Service's own word for how its endpoints are picked: for its virtual IP, and for Ingresses that say nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tidegate_tests::objects::{file, ingress, path, pod, service_at};
use tidegate_tests::{Does, Http2Replica};

use super::*;

/// A Service `app` at a virtual IP with this annotation, and an Ingress with that one; empty is none.
fn balanced(net: &Net, replicas: &[&Replica], of_service: &str, of_ingress: &str) -> String {
    let annotated = |object: String, way: &str| match way {
        "" => object,
        way => object.replacen("metadata: {", &format!("metadata: {{annotations: {{tidegate.dev/balance: {way}}}, "), 1),
    };
    let service = annotated(service_at("app", net.vip(7), net.port(), net.port()), of_service);
    let way = annotated(ingress("app", "app.example", &[path("Prefix", "/", "app", net.port())]), of_ingress);
    let pods = replicas.iter().map(|replica| pod(replica.name(), "app", replica.address().ip()));
    file(&[service, way].into_iter().chain(pods).collect::<Vec<_>>())
}

fn named<const N: usize>(net: &Net, names: [&str; N]) -> [Replica; N] {
    names.map(|name| Replica::start(net, name, Behaviour::Named))
}

/// Whom these connections reach, one after the other, by opaque TCP.
fn reached(net: &Net, clients: impl Iterator<Item = IpAddr>) -> Vec<String> {
    clients.map(|client| Client::connect_from(client, net.vip_address(7)).get("x", "/").replica().to_owned()).collect()
}

fn one_client(times: usize) -> impl Iterator<Item = IpAddr> {
    std::iter::repeat_n([127, 0, 7, 1].into(), times)
}

#[test]
fn connections_go_as_the_service_says() {
    let _alone = alone();
    let net = Net::take();
    let replicas = named(&net, ["one", "two", "three"]);
    let all = replicas.each_ref();
    let gate = Setup::new(&net).manifest("app.yaml", balanced(&net, &all, "round-robin", "")).start();
    gate.listener(&format!("vip default/app:{}", net.port()));
    let turns = reached(&net, one_client(12));
    assert!(turns.iter().zip(&turns[3..]).all(|(first, fourth)| first == fourth), "{turns:?}");
    assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 3);
    for way in ["hash client-ip", "client-ip"] {
        gate.write("app.yaml", &balanced(&net, &all, way, ""));
        assert_eq!(reached(&net, one_client(12)).into_iter().collect::<BTreeSet<_>>().len(), 1, "{way}");
        let many: BTreeSet<String> = reached(&net, (1..60).map(|last| [127, 0, 7, last].into())).into_iter().collect();
        assert_eq!(many.len(), 3, "{way}");
    }
    gate.write("app.yaml", &balanced(&net, &all, "hash header X-User", ""));
    let many: BTreeSet<String> = reached(&net, one_client(60)).into_iter().collect();
    assert_eq!(many.len(), 3, "a connection that is not read has no header");
}

#[test]
fn an_ingress_that_says_nothing_does_as_its_service_and_one_that_does_is_heard() {
    let _alone = alone();
    let net = Net::take();
    let replicas = named(&net, ["one", "two", "three"]);
    let all = replicas.each_ref();
    let gate = Setup::new(&net).manifest("app.yaml", balanced(&net, &all, "hash header X-User", "")).flag("--workers", "2").start();
    let asked = |user: &str| {
        let ask = |_| {
            let mut client = Client::connect(gate.http());
            client.send(format!("GET / HTTP/1.1\r\nHost: app.example\r\nX-User: {user}\r\n\r\n"));
            client.response().replica().to_owned()
        };
        (0..24).map(ask).collect::<BTreeSet<String>>().len()
    };
    assert_eq!((asked("anna"), asked("bert")), (1, 1));
    let explained =
        |gate: &Tidegate| gate.api("explain?url=http://app.example/&from=external")["balance"].as_str().unwrap_or_default().to_owned();
    assert_eq!(explained(&gate), "hash header X-User (annotation of the Service)");
    gate.write("app.yaml", &balanced(&net, &all, "hash header X-User", "round-robin"));
    assert_eq!(asked("anna"), 3);
    assert_eq!(explained(&gate), "round-robin (annotation of the Ingress)");
    gate.write("app.yaml", &balanced(&net, &all, "fastest", ""));
    gate.await_problem(&["Service default/app", "tidegate.dev/balance", "fastest"]);
    assert_eq!(explained(&gate), "least-busy");
    assert!(asked("anna") > 1, "nothing keeps her");
}

#[test]
fn requests_of_http_1_to_replicas_of_http_2_take_turns_with_all_of_them() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["one", "two", "three", "four"].map(|name| Http2Replica::start(&net, name, Does::Echo, 100));
    let service = service_at("app", net.vip(7), net.port(), net.port())
        .replacen("{port: ", "{appProtocol: kubernetes.io/h2c, port: ", 1)
        .replacen("metadata: {", "metadata: {annotations: {tidegate.dev/balance: round-robin}, ", 1);
    let way = ingress("app", "app.example", &[path("Prefix", "/", "app", net.port())]);
    let pods = replicas.iter().map(|replica| pod(replica.name(), "app", replica.ip()));
    let text = file(&[service, way].into_iter().chain(pods).collect::<Vec<_>>());
    let gate = Setup::new(&net).manifest("app.yaml", text).flag("--workers", "1").start();
    let mut client = Client::connect(gate.http());
    assert!((0..8).all(|_| client.get("app.example", "/").status == 200));
    assert_eq!(replicas.each_ref().map(Http2Replica::requests), [2; 4]);
}
