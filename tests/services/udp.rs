//! UDP: flows that stay, move and end; with socat and dig as clients.

use std::process::{Command, Stdio};

use tidegate_tests::dns;

use super::*;

/// `udp`, a Service over UDP on the net's port, with these pods.
fn udp(net: &Net, replicas: &[(&str, &Datagrams)]) -> String {
    let ports = service("udp", net.port(), net.port()).replace("targetPort", "protocol: UDP, targetPort");
    let pods = replicas.iter().map(|(name, replica)| pod(&format!("default/{name}"), "udp", replica.ip()));
    file(&[ports].into_iter().chain(pods).collect::<Vec<_>>())
}

fn vip(gate: &Tidegate, net: &Net) -> SocketAddr {
    bound(gate, &format!("vip default/udp:{}/UDP", net.port()))
}

/// A client on a port of its own.
fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((if to.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).expect("a free port");
    socket.connect(to).expect("a datagram socket connects to anything");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    socket
}

/// Sends, and the answer when there is one in time.
fn ask(client: &UdpSocket, text: &str) -> Option<String> {
    client.send(text.as_bytes()).ok()?;
    let mut buffer = [0; 2048];
    let length = client.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Who answers, asked until somebody does.
fn answered(client: &UdpSocket) -> String {
    let mut found = String::new();
    await_until("an answer", || ask(client, "who").map(|text| found = text).is_some());
    found.split(' ').next().unwrap_or_default().to_owned()
}

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("timeout")
        .arg("20")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error} (`make test` installs it)"));
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// socat connects its socket, so that it hears an answer only when that comes from the virtual IP.
#[test]
fn socat_is_answered_from_the_virtual_ip() {
    let net = Net::take();
    let replica = Datagrams::named(&net, "one");
    let gate = Setup::new(&net).manifest("udp.yaml", udp(&net, &[("one", &replica)])).start();
    let to = vip(&gate, &net);
    assert_eq!(run("socat", &["-t2", "-", &format!("UDP4:{to}")], "hello"), "one hello");
    let service = ["default/udp"];
    assert_eq!(gate.sum("tidegate_udp_flows_total", &service), 1.0);
    assert_eq!(gate.sum("tidegate_udp_datagrams_total", &["default/udp", "down"]), 1.0);
    assert_eq!(gate.sum("tidegate_udp_bytes_total", &["default/udp", "up"]), 5.0);
    assert_eq!(gate.sum("tidegate_udp_bytes_total", &["default/udp", "down"]), 9.0);
}

#[test]
fn dig_resolves_through_it_over_udp_and_falls_back_to_tcp_on_the_same_port() {
    let net = Net::take();
    let server = Datagrams::start(&net, |query| {
        dns(query, 5, |name, kind| {
            (name == "tide.example").then(|| if kind == 1 { vec![IpAddr::from([192, 0, 2, 53])] } else { Vec::new() })
        })
    });
    let both = service("udp", net.port(), net.port())
        .replace("ports: [{", &format!("ports: [{{name: tcp, port: {0}, targetPort: {0}}}, {{name: udp, protocol: UDP, ", net.port()));
    let gate = Setup::new(&net).manifest("udp.yaml", file(&[both, pod("dns-0", "udp", server.ip())])).start();
    let to = vip(&gate, &net);
    assert_eq!(bound(&gate, &format!("vip default/udp:{}", net.port())), to, "TCP and UDP share the address and the port");
    let (server_at, port) = (format!("@{}", to.ip()), to.port().to_string());
    for number in 0..5 {
        let found = run("dig", &[&server_at, "-p", &port, "+short", "+time=2", "+tries=5", "tide.example"], "");
        assert_eq!(found.trim(), "192.0.2.53", "{number}");
    }
    assert!(run("dig", &[&server_at, "-p", &port, "+time=2", "+tries=5", "ebb.example"], "").contains("NXDOMAIN"));
    assert!(server.received() >= 6);
}

#[test]
fn a_flow_stays_and_many_are_spread() {
    let net = Net::take();
    let (one, two) = (Datagrams::named(&net, "one"), Datagrams::named(&net, "two"));
    let gate = Setup::new(&net).manifest("udp.yaml", udp(&net, &[("one", &one), ("two", &two)])).start();
    let to = vip(&gate, &net);
    let first = client(to);
    let stays = answered(&first);
    for number in 0..30 {
        assert_eq!(ask(&first, &number.to_string()), Some(format!("{stays} {number}")));
    }
    let clients: Vec<UdpSocket> = (0..40).map(|_| client(to)).collect();
    let by_one = clients.iter().filter(|client| answered(client) == "one").count();
    assert!((10..=30).contains(&by_one), "{by_one} of 40 went to one");
    assert!(ask(&first, "").is_some_and(|text| text == format!("{stays} ")), "an empty datagram is one too");
    let long = "x".repeat(1400);
    assert_eq!(ask(&first, &long), Some(format!("{stays} {long}")));
}

#[test]
fn a_flow_moves_the_moment_its_endpoint_leaves() {
    let net = Net::take();
    let (one, two) = (Datagrams::named(&net, "one"), Datagrams::named(&net, "two"));
    let gate = Setup::new(&net).manifest("udp.yaml", udp(&net, &[("one", &one)])).start();
    let client = client(vip(&gate, &net));
    assert_eq!(answered(&client), "one");
    gate.write("udp.yaml", &udp(&net, &[("two", &two)]));
    await_until("its flow is gone", || gate.sum("tidegate_udp_flows_open", &["default/udp"]) == 0.0);
    let before = one.received();
    assert_eq!(answered(&client), "two");
    assert_eq!(one.received(), before, "nothing goes to the one that left, though it still runs");
    gate.write("udp.yaml", &udp(&net, &[]));
    assert_eq!(ask(&client, "anybody"), None);
    assert!(gate.sum("tidegate_udp_dropped_total", &["internal", "no-endpoint"]) >= 1.0);
    gate.write("udp.yaml", &udp(&net, &[("one", &one)]));
    assert_eq!(answered(&client), "one");
}

/// The replica dies and nobody says so: the first datagram that its machine refuses moves the flow.
#[test]
fn a_refusal_moves_the_flow() {
    let net = Net::take();
    let (one, two) = (Datagrams::named(&net, "one"), Datagrams::named(&net, "two"));
    let gate = Setup::new(&net).manifest("udp.yaml", udp(&net, &[("one", &one), ("two", &two)])).start();
    let client = client(vip(&gate, &net));
    let first = answered(&client);
    let (dead, other) = if first == "one" { (one, "two") } else { (two, "one") };
    drop(dead);
    assert_eq!(answered(&client), other);
    assert!(gate.sum("tidegate_udp_dropped_total", &["internal", "refused"]) >= 1.0);
    for _ in 0..10 {
        assert_eq!(answered(&client), other, "it stays there");
    }
}

#[test]
fn flows_end_when_idle_and_are_bounded() {
    let net = Net::take();
    let one = Datagrams::named(&net, "one");
    let gate = Setup::new(&net)
        .manifest("udp.yaml", udp(&net, &[("one", &one)]))
        .config("limits: {udpIdleTimeoutMs: 1500, udpFlows: 2}\n")
        .start();
    let to = vip(&gate, &net);
    let clients = [client(to), client(to), client(to)];
    assert!(clients[..2].iter().all(|client| answered(client) == "one"));
    assert_eq!(ask(&clients[2], "too many"), None);
    assert_eq!(gate.sum("tidegate_udp_dropped_total", &["internal", "full"]), 1.0);
    await_until("they are idle for long enough", || gate.sum("tidegate_udp_flows_open", &["default/udp"]) == 0.0);
    assert_eq!(answered(&clients[2]), "one");
    assert_eq!(gate.sum("tidegate_udp_flows_total", &["default/udp"]), 3.0);
}

#[test]
fn only_peers_inside_are_heard() {
    let net = Net::take();
    let one = Datagrams::named(&net, "one");
    let gate = Setup::new(&net).manifest("udp.yaml", udp(&net, &[("one", &one)])).flag("--internal-cidr", &net.service_cidr()).start();
    let stranger = client(vip(&gate, &net));
    assert_eq!(ask(&stranger, "let me in"), None);
    assert_eq!((one.received(), gate.sum("tidegate_udp_dropped_total", &["internal", "not-admitted"])), (0, 1.0));
}

#[test]
fn a_client_keeps_its_endpoint_by_its_address_where_the_service_says_so() {
    let net = Net::take();
    let (one, two) = (Datagrams::named(&net, "one"), Datagrams::named(&net, "two"));
    let text = udp(&net, &[("one", &one), ("two", &two)]).replace("spec: {selector", "spec: {sessionAffinity: ClientIP, selector");
    let gate = Setup::new(&net).manifest("udp.yaml", text).start();
    let to = vip(&gate, &net);
    let first = answered(&client(to));
    assert!((0..20).all(|_| answered(&client(to)) == first), "one address, many ports, one endpoint");
}

#[test]
fn a_node_port_takes_datagrams_and_a_seal_closes_it() {
    let net = Net::take();
    let one = Datagrams::named(&net, "one");
    let text = udp(&net, &[("one", &one)]).replace("spec: {selector", "spec: {type: NodePort, selector");
    let gate = setup(&net).manifest("udp.yaml", text.clone()).start();
    let name = format!("node-port default/udp:{}/UDP", net.port());
    let to = bound(&gate, &name);
    let client = client(to);
    assert_eq!((to.ip(), answered(&client)), (outside(&net), "one".to_owned()));
    gate.write("udp.yaml", &text.replace("name: udp}", "name: udp, labels: {tidegate.dev/exposure: internal}}"));
    await_until("it is closed", || gate.rows("listeners").iter().all(|row| row["name"] != name.as_str()));
    let before = one.received();
    await_until("the client is refused", || client.send(b"knock").is_err());
    assert_eq!(one.received(), before);
}
