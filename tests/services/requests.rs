//! Virtual IPs whose `appProtocol` says HTTP: served request by request.

use std::collections::BTreeSet;

use tidegate_tests::objects::tcp;

use super::*;

/// `web` on the net's port, which says that it speaks this.
fn web(net: &Net, app: &str, replicas: &[&Replica]) -> String {
    tcp(net, "web", net.port(), replicas).replace("targetPort", &format!("appProtocol: {app}, targetPort"))
}

fn vip(gate: &Tidegate, net: &Net) -> SocketAddr {
    bound(gate, &format!("vip default/web:{}", net.port()))
}

#[test]
fn each_request_of_a_connection_is_balanced_and_host_and_path_play_no_part() {
    for app in ["http", "HTTP", "kubernetes.io/ws"] {
        let net = Net::take();
        let (one, two) = (Replica::start(&net, "one", Behaviour::Named), Replica::start(&net, "two", Behaviour::Named));
        let gate = Setup::new(&net).manifest("web.yaml", web(&net, app, &[&one, &two])).start();
        let mut client = Client::connect(vip(&gate, &net));
        let hosts = ["web", "web.default.svc.cluster.local", "anything.example"];
        let by: BTreeSet<String> = (0..60).map(|n| client.get(hosts[n % 3], &format!("/{n}")).replica().to_owned()).collect();
        assert_eq!(by.len(), 2, "{app}: one connection, both replicas");
        assert_eq!(one.last().field("x-forwarded-for"), Some("127.0.0.1".to_owned()));
        // A request is counted right behind the last byte of its answer.
        await_until("sixty requests", || gate.sum("tidegate_requests_total", &["internal", "default/web", "2xx"]) == 60.0);
        assert_eq!(gate.sum("tidegate_requests_total", &["external"]), 0.0);
    }
}

#[test]
fn what_says_nothing_or_speaks_tls_stays_opaque() {
    for app in ["redis", "https"] {
        let net = Net::take();
        let one = Replica::start(&net, "one", Behaviour::TcpGreet(b"hello".to_vec()));
        let gate = Setup::new(&net).manifest("web.yaml", web(&net, app, &[&one])).start();
        let mut client = Client::connect(vip(&gate, &net));
        assert_eq!(client.exactly(5).expect("the replica speaks first"), b"hello", "{app}");
    }
}

#[test]
fn a_replica_that_dies_costs_no_request_and_the_log_tells_each() {
    let net = Net::take();
    let (one, two) = (Replica::start(&net, "one", Behaviour::Named), Replica::start(&net, "two", Behaviour::Named));
    let setup = Setup::new(&net).manifest("web.yaml", web(&net, "http", &[&one, &two])).flag("--access-log", "-");
    let gate = setup.start();
    let mut client = Client::connect(vip(&gate, &net));
    for _ in 0..20 {
        assert_eq!(client.get("web", "/before").status, 200);
    }
    drop(one);
    for _ in 0..20 {
        assert_eq!(client.get("web", "/after").replica(), "two");
    }
    await_until("forty lines of the log", || {
        let log = gate.stdout();
        log.lines().filter(|line| line.contains("exposure=internal") && line.contains("service=default/web")).count() == 40
    });
}

#[test]
fn without_a_ready_endpoint_it_answers_and_what_is_no_http_is_refused() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("web.yaml", web(&net, "http", &[])).start();
    let at = vip(&gate, &net);
    assert_eq!(Client::connect(at).get("web", "/").status, 503);
    let mut client = Client::connect(at);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.response().status, 400);
    // Another word counts from the next connection on.
    let one = Replica::start(&net, "one", Behaviour::TcpGreet(b"hello".to_vec()));
    gate.write("web.yaml", &web(&net, "redis", &[&one]));
    assert_eq!(Client::connect(at).exactly(5).expect("the replica speaks first"), b"hello");
}
