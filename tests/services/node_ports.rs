//! Node ports and load balancers over TCP: bound live, kept through a restart, refused by ranges, closed by seals elsewhere (exposure).

use std::io::Read;
use std::process::Command;

use tidegate_tests::objects::tcp;

use super::*;

/// `web` of this type with one replica; `more` goes into its spec.
fn web(net: &Net, replica: &Replica, more: &str) -> String {
    tcp(net, "web", net.port(), &[replica]).replace("spec: {selector", &format!("spec: {{{more}, selector"))
}

fn listener(way: &str, net: &Net) -> String {
    format!("{way} default/web:{}", net.port())
}

/// Connects and is reset, or refused, before a byte.
fn is_turned_away(to: SocketAddr) -> bool {
    match Client::try_connect(to).and_then(|mut client| client.stream.read(&mut [0; 1])) {
        Err(error) => [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::ConnectionRefused].contains(&error.kind()),
        Ok(_) => false,
    }
}

#[test]
fn curl_reaches_a_node_port_which_outlives_a_restart() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let gate = setup(&net).manifest("web.yaml", web(&net, &replica, "type: NodePort")).start();
    let at = bound(&gate, &listener("node-port", &net));
    assert!(at.ip() == outside(&net) && (30_000..=32_767).contains(&at.port()), "{at}");
    let output = Command::new("curl").args(["-sS", "--max-time", "10", &format!("http://{at}/")]).output().expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "web-0");
    let row = gate.rows("services").into_iter().find(|row| row["name"] == "web").expect("it is a service");
    assert_eq!((row["node_port"].as_u64(), row["exposure"].as_str()), (Some(u64::from(at.port())), Some("external")));
    assert_eq!(row["outside"][0], format!("node-port {at}"));
    await_until("it is counted", || gate.sum("tidegate_outward_connections_total", &["default/web"]) == 1.0);
    await_until("the number is saved", || {
        std::fs::read_to_string(gate.state().join("vips")).is_ok_and(|text| text.contains(&at.port().to_string()))
    });
    let earlier = tcp(&net, "aaa", net.port(), &[]).replace("spec: {selector", "spec: {type: NodePort, selector");
    let gate = gate.into_setup().manifest("0.yaml", earlier).start();
    assert_eq!(bound(&gate, &listener("node-port", &net)), at, "also when another comes before it");
}

#[test]
fn ports_open_and_close_with_the_manifests() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::TcpGreet(b"hello".to_vec()));
    let gate = setup(&net).manifest("web.yaml", web(&net, &replica, "type: ClusterIP")).start();
    for number in [31_000, 31_001] {
        let text = web(&net, &replica, "type: NodePort").replace("targetPort", &format!("nodePort: {number}, targetPort"));
        gate.write("web.yaml", &text);
        let at = SocketAddr::new(outside(&net), number);
        await_until("it answers", || Client::try_connect(at).is_ok_and(|mut client| client.exactly(5).is_ok()));
    }
    await_until("the old one is closed", || Client::try_connect(SocketAddr::new(outside(&net), 31_000)).is_err());
    gate.write("web.yaml", &web(&net, &replica, "type: ClusterIP"));
    await_until("the new one is closed", || Client::try_connect(SocketAddr::new(outside(&net), 31_001)).is_err());
    assert!(gate.rows("listeners").iter().all(|row| !row["name"].as_str().unwrap_or_default().starts_with("node-port")));
}

#[test]
fn a_stranger_on_the_port_is_told_and_its_end_is_noticed() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::TcpGreet(b"hello".to_vec()));
    let at = SocketAddr::new(outside(&net), 31_100);
    let stranger = std::net::TcpListener::bind(at).expect("the test's own address");
    let text = web(&net, &replica, "type: NodePort").replace("targetPort", "nodePort: 31100, targetPort");
    let gate = setup(&net).manifest("web.yaml", text).start();
    gate.await_problem(&["BindFailed", "node-port default/web", &at.to_string()]);
    let row = gate.rows("services").into_iter().find(|row| row["name"] == "web").expect("it is a service");
    assert_eq!(row["outside"][0], format!("node-port {at} (not bound)"));
    drop(stranger);
    assert_eq!(bound(&gate, &listener("node-port", &net)), at);
    assert_eq!(Client::connect(at).exactly(5).expect("the greeting"), b"hello");
}

#[test]
fn two_that_ask_for_one_port_are_told_and_the_older_has_it() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::TcpGreet(b"hello".to_vec()));
    let one = web(&net, &replica, "type: NodePort").replace("targetPort", "nodePort: 31200, targetPort");
    let two = tcp(&net, "zzz", net.port(), &[]).replace("spec: {selector", "spec: {type: NodePort, selector");
    let two = two.replace("targetPort", "nodePort: 31200, targetPort");
    let gate = setup(&net).manifest("web.yaml", file(&[one, two])).start();
    gate.await_problem(&["Conflict", "Service default/zzz", "31200", "default/web"]);
    let at = bound(&gate, &listener("node-port", &net));
    assert_eq!(Client::connect(at).exactly(5).expect("the greeting"), b"hello");
}

#[test]
fn a_load_balancer_is_bound_beside_the_virtual_ip_of_the_same_port() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    // A port that no replica of any test has: a wildcard needs it on every address.
    let port = 9_000 + (net.port() - 12_000) % 900;
    let text = web(&net, &replica, "type: LoadBalancer, allocateLoadBalancerNodePorts: false");
    let text = text.replace(&format!("{{port: {}", net.port()), &format!("{{port: {port}"));
    let gate = setup(&net).manifest("web.yaml", text).config("external: {addresses: [0.0.0.0]}\n").start();
    let at = bound(&gate, &format!("load-balancer default/web:{port}"));
    assert!(at.ip().is_unspecified() && at.port() == port);
    let vip = bound(&gate, &format!("vip default/web:{port}"));
    for address in [SocketAddr::new(outside(&net), port), vip] {
        assert_eq!(Client::connect(address).get("any.example", "/").replica(), "web-0", "{address}");
    }
    await_until("each counts its own", || {
        gate.sum("tidegate_outward_connections_total", &["default/web"]) == 1.0
            && gate.sum("tidegate_vip_connections_total", &["default/web"]) == 1.0
    });
    assert!(gate.rows("listeners").iter().all(|row| !row["name"].as_str().unwrap_or_default().starts_with("node-port")));
}

/// The client's address is 127.0.0.1 unless it binds another.
#[test]
fn source_ranges_turn_strangers_away_before_any_byte_and_follow_the_manifest() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::TcpGreet(b"hello".to_vec()));
    let friend = net.pod_ip(200);
    let ranges = |range: &str| format!("type: LoadBalancer, loadBalancerSourceRanges: ['{range}']");
    let gate = setup(&net).manifest("web.yaml", web(&net, &replica, &ranges(&format!("{friend}/32")))).start();
    let both = [bound(&gate, &listener("load-balancer", &net)), bound(&gate, &listener("node-port", &net))];
    for at in both {
        assert!(is_turned_away(at), "{at}");
        assert_eq!(Client::connect_from(friend, at).exactly(5).expect("the greeting"), b"hello", "{at}");
    }
    assert_eq!((replica.connections(), gate.sum("tidegate_turned_away_total", &["external"])), (2, 2.0));
    gate.write("web.yaml", &web(&net, &replica, &ranges("127.0.0.0/8")));
    assert_eq!(Client::connect(both[0]).exactly(5).expect("the greeting"), b"hello");
    // A range that cannot be read leaves the last good one.
    gate.swap("web.yaml", &web(&net, &replica, &ranges("office")));
    gate.await_problem(&["loadBalancerSourceRanges[0]", "office"]);
    assert_eq!(Client::connect(both[0]).exactly(5).expect("the greeting"), b"hello");
    // A misspelt field would open it to all: it is closed.
    gate.write("web.yaml", &web(&net, &replica, "type: LoadBalancer, loadBalancerSourceRange: ['10.0.0.0/8']"));
    await_until("both are closed", || both.iter().all(|at| Client::try_connect(*at).is_err()));
}

#[test]
fn without_a_ready_endpoint_it_resets_and_check_says_who_is_reachable() {
    let net = Net::take();
    let text = tcp(&net, "web", net.port(), &[]).replace("spec: {selector", "spec: {type: NodePort, selector");
    let gate = setup(&net).manifest("web.yaml", text).start();
    assert!(is_turned_away(bound(&gate, &listener("node-port", &net))));
    let folder = gate.folder().display().to_string();
    let config = gate.home().join("tidegate.yaml").display().to_string();
    let said = tidegate_tests::command(["check", "--manifests", &folder, "--config", &config]);
    assert!(said.exited(0).contains(&format!("node-port {}:30000", outside(&net))), "{}", said.stdout);
    let asserted = tidegate_tests::command(["check", "--manifests", &folder, "--config", &config, "--assert", "internal: default/web"]);
    assert!(asserted.stderr.contains("default/web"), "{}", asserted.stderr);
    assert_eq!(asserted.code, 1);
}
