//! Virtual service IPs: opaque TCP, on the inside only.

mod claim;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;

use tidegate_tests::objects::{file, pod, service, service_at, tcp, unready_pod};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until, command};

/// The address of a service's VIP.
fn vip_of(gate: &Tidegate, name: &str) -> SocketAddr {
    let rows = gate.rows("services");
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no service {name} in {rows:?}"));
    let ip = row["vip"].as_str().unwrap_or_else(|| panic!("no VIP: {row}"));
    let port = row["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_else(|| panic!("no port: {row}"));
    SocketAddr::new(ip.parse().expect("an address"), port)
}

fn bound(gate: &Tidegate, address: SocketAddr) {
    await_until(&format!("{address} to be bound"), || {
        gate.rows("listeners").iter().any(|row| row["address"] == address.to_string() && row["error"].is_null())
    });
}

#[test]
fn bytes_flow_both_ways_and_half_close_is_respected() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    let mut client = Client::connect(address);
    client.send("ping");
    assert_eq!(client.exactly(4).expect("the echo"), b"ping");
    let block: Vec<u8> = (0..2_000_000u32).map(|n| (n % 253) as u8).collect();
    let mut writer = client.stream.try_clone().expect("a socket can be cloned");
    let sent = block.clone();
    let sending = std::thread::spawn(move || writer.write_all(&sent));
    assert!(client.exactly(block.len()).expect("the echo") == block, "the bytes came back changed");
    sending.join().expect("the writer panicked").expect("all was written");
    client.finish();
    assert_eq!(client.rest().expect("the end"), b"bye", "what comes after our end arrives, and so does the other end");
}

#[test]
fn a_replica_may_speak_first_and_nothing_is_sniffed() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpGreet(b"220 welcome\r\n".to_vec()));
    let gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    assert_eq!(Client::connect(address).exactly(13).expect("the greeting"), b"220 welcome\r\n");
}

#[test]
fn without_a_ready_endpoint_it_resets_at_once_and_serves_once_there_is_one() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let with = |pod: String| file(&[service("db", net.port(), net.port()), pod]);
    let gate = Setup::new(&net).manifest("db.yaml", with(unready_pod("db-0", "db", replica.ip()))).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    // The reset may be seen while connecting already.
    let met = Client::try_connect(address).and_then(|mut client| client.stream.read(&mut [0; 1]));
    assert_eq!(met.expect_err("a reset, not an orderly end").kind(), std::io::ErrorKind::ConnectionReset);
    gate.write("db.yaml", &with(pod("db-0", "db", replica.ip())));
    let mut client = Client::connect(address);
    client.send("ping");
    assert_eq!(client.exactly(4).expect("the echo"), b"ping");
    assert_eq!(replica.connections(), 1, "the connection that was reset reached nobody");
}

#[test]
fn pods_that_are_not_ready_are_published_when_the_service_says_so() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpGreet(b"hello".to_vec()));
    let with = |publish: bool| {
        let service = service("db", net.port(), net.port());
        let service = service.replace("spec: {", &format!("spec: {{publishNotReadyAddresses: {publish}, "));
        file(&[service, unready_pod("db-0", "db", replica.ip())])
    };
    let gate = Setup::new(&net).manifest("db.yaml", with(true)).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    assert_eq!(Client::connect(address).exactly(5).expect("the greeting"), b"hello");
    gate.write("db.yaml", &with(false));
    let met = Client::try_connect(address).and_then(|mut client| client.stream.read(&mut [0; 1]));
    assert_eq!(met.expect_err("a reset: nobody is ready").kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_client_keeps_its_replica_when_the_service_has_affinity() {
    let net = Net::take();
    let replicas = ["db-0", "db-1", "db-2"].map(|name| Replica::start(&net, name, Behaviour::TcpGreet(name.into())));
    let manifest = |affinity: &str| {
        tcp(&net, "db", net.port(), &replicas.each_ref())
            .replace("spec: {selector", &format!("spec: {{sessionAffinity: {affinity}, selector"))
    };
    let gate = Setup::new(&net).manifest("db.yaml", manifest("None")).flag("--workers", "4").start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    let greeted = |last: u8| -> BTreeSet<Vec<u8>> {
        // All stay open, so that workers and replicas differ in how busy they are.
        let mut open: Vec<Client> = (0..6).map(|_| Client::connect_from([127, 0, 8, last].into(), address)).collect();
        open.iter_mut().map(|client| client.exactly(4).expect("the greeting")).collect()
    };
    assert!(greeted(1).len() > 1, "without affinity the least busy one is asked");
    gate.write("db.yaml", &manifest("ClientIP"));
    let all: Vec<_> = (1..=48).map(greeted).collect();
    assert!(all.iter().all(|one| one.len() == 1), "{all:?}");
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 3, "all three serve somebody");
}

#[test]
fn a_reset_of_the_replica_reaches_the_client() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    let mut client = Client::connect(address);
    client.send("ping");
    client.exactly(4).expect("the echo");
    replica.die();
    let error = client.stream.read(&mut [0; 1]).expect_err("a reset, not an orderly end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_replica_that_cannot_be_reached_is_passed_over() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let mut gone = Replica::start(&net, "db-1", Behaviour::TcpEcho);
    gone.die();
    let gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica, &gone])).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    for turn in 0..20 {
        let mut client = Client::connect(address);
        client.send("ping");
        assert_eq!(client.exactly(4).unwrap_or_else(|error| panic!("{turn}: {error}")), b"ping");
    }
}

#[test]
fn every_port_of_a_service_answers_and_ports_come_and_go_live() {
    let net = Net::take();
    let first = Replica::start(&net, "one", Behaviour::TcpGreet(b"first".to_vec()));
    let second = Replica::at((first.ip(), net.port() + 1).into(), "two", Behaviour::TcpGreet(b"second".to_vec()));
    let with = |ports: &str| {
        file(&[
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {{clusterIP: {}, selector: {{app: db}}, ports: [{ports}]}}\n",
                net.vip(77)
            ),
            pod("db-0", "db", first.ip()),
        ])
    };
    let one = format!("{{name: a, port: {}}}", net.port());
    let two = format!("{{name: b, port: {}}}", second.address().port());
    let gate = Setup::new(&net).manifest("db.yaml", with(&format!("{one}, {two}"))).start();
    let addresses = [net.port(), net.port() + 1].map(|port| SocketAddr::from((net.vip(77), port)));
    for (address, expected) in addresses.iter().zip(["first", "second"]) {
        bound(&gate, *address);
        assert_eq!(Client::connect(*address).exactly(expected.len()).expect("the greeting"), expected.as_bytes());
    }
    gate.write("db.yaml", &with(&one));
    await_until("the second port to be closed", || Client::try_connect(addresses[1]).is_err());
    assert_eq!(Client::connect(addresses[0]).exactly(5).expect("the greeting"), b"first");
    gate.write("db.yaml", &with(&format!("{one}, {two}")));
    bound(&gate, addresses[1]);
    assert_eq!(Client::connect(addresses[1]).exactly(6).expect("the greeting"), b"second");
}

#[test]
fn names_are_printed_for_a_hosts_file() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("db.yaml", service_at("data/db", net.vip(9), net.port(), net.port())).start();
    let printed = command(["get", "services", "-o", "hosts", "--admin", &gate.admin().to_string()]);
    let printed = printed.exited(0);
    let line = printed.lines().find(|line| line.starts_with(&net.vip(9).to_string())).unwrap_or_else(|| panic!("{printed}"));
    let names: Vec<_> = line.split_whitespace().skip(1).collect();
    for name in ["db.data", "db.data.svc.cluster.local"] {
        assert!(names.contains(&name), "{name} in {line}");
    }
}

#[test]
fn connections_and_bytes_are_counted() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).start();
    let address = vip_of(&gate, "db");
    bound(&gate, address);
    let mut client = Client::connect(address);
    client.send("12345");
    client.exactly(5).expect("the echo");
    await_until("one open connection", || gate.sum("tidegate_vip_connections_open", &["db"]) == 1.0);
    client.finish();
    client.rest().expect("the end");
    await_until("it is closed and counted", || {
        gate.sum("tidegate_vip_connections_open", &["db"]) == 0.0
            && gate.sum("tidegate_vip_connections_total", &["db"]) == 1.0
            && gate.sum("tidegate_vip_bytes_total", &["db"]) == 13.0
    });
}
