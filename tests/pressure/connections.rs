//! Connections that a worker, and a client, may have: `limits.connections` and `limits.connectionsPerClient`.

use std::net::IpAddr;

use super::*;

fn gate(net: &Net, app: &Replica, workers: &str, settings: &str) -> Tidegate {
    let setup = Setup::new(net).flag("--workers", workers).config(settings);
    setup.manifest("app.yaml", objects::app(net, "app", HOST, &[app])).start()
}

fn refused(gate: &Tidegate, limit: &str) -> f64 {
    gate.sum("tidegate_connections_refused_total", &["exposure=\"external\"", &format!("limit=\"{limit}\"")])
}

/// Whether a client from there is served.
fn serves(gate: &Tidegate, last: u8) -> Option<Client> {
    let from: IpAddr = [127, 0, 8, last].into();
    let mut client = Client::try_connect_from(from, gate.http()).ok()?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let answer = client.try_response(false).ok()?;
    assert_eq!(answer.status, 200);
    Some(client)
}

#[test]
fn a_worker_takes_so_many_and_resets_more() {
    let net = Net::take();
    let app = Replica::start(&net, "one", Behaviour::Named);
    let gate = gate(&net, &app, "1", "limits: {connections: 3}\n");
    let mut held: Vec<Client> = (1..=3).map(|last| serves(&gate, last).expect("there is room")).collect();
    assert!(serves(&gate, 4).is_none());
    assert_eq!((refused(&gate, "connections"), app.requests()), (1.0, 3), "and who asks the admin listener is served");
    assert!(held.iter_mut().all(|client| client.get(HOST, "/").status == 200), "those that are open go on");
    held.pop();
    await_until("its place to be free", || gate.sum("tidegate_connections_open", &["external"]) == 2.0);
    held.push(serves(&gate, 4).expect("there is room again"));
    // Live, as all limits are.
    gate.say("limits: {connections: 0}\n");
    await_until("the bound to be gone", || serves(&gate, 5).is_some());
}

#[test]
fn a_client_has_so_many_over_all_workers() {
    let net = Net::take();
    let app = Replica::start(&net, "one", Behaviour::Named);
    let gate = gate(&net, &app, "2", "limits: {connectionsPerClient: 4}\n");
    let held: Vec<Client> = (0..4).map(|_| serves(&gate, 1).expect("there is room")).collect();
    let open = gate.metric("tidegate_worker_connections_open");
    assert!(open.iter().all(|(_, open)| *open == 2.0), "two on each worker: {open:?}");
    assert!((0..3).all(|_| serves(&gate, 1).is_none()));
    assert!(serves(&gate, 2).is_some());
    assert_eq!((refused(&gate, "connections-per-client"), refused(&gate, "connections")), (3.0, 0.0));
    drop(held);
    await_until("its places to be free", || serves(&gate, 1).is_some());
}

#[test]
fn a_trusted_proxy_is_no_client_and_those_it_speaks_for_are() {
    let net = Net::take();
    let app = Replica::start(&net, "one", Behaviour::Named);
    let gate = gate(&net, &app, "2", "limits: {connectionsPerClient: 1}\ntrustedProxies: [127.0.8.1/32]\nproxyProtocol: [http]\n");
    let speak = |told: &str| -> Option<Client> {
        let mut client = Client::try_connect_from([127, 0, 8, 1].into(), gate.http()).ok()?;
        client.send(format!("PROXY TCP4 {told} 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        (client.try_response(false).ok()?.status == 200).then_some(client)
    };
    let held = [speak("198.51.100.1"), speak("198.51.100.2")];
    assert!(held.iter().all(Option::is_some));
    assert!(speak("198.51.100.1").is_none());
    assert_eq!(refused(&gate, "connections-per-client"), 1.0);
    let stranger = serves(&gate, 2);
    assert!(stranger.is_some() && serves(&gate, 2).is_none());
    drop(held);
    await_until("its place to be free", || speak("198.51.100.1").is_some());
}
