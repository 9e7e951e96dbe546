//! SIGTERM: stop accepting, finish, exit 0.

use super::*;

fn held() -> (Tidegate, Replica, Net, Client) {
    let (gate, replica, net) = one_app(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await_until("the request to reach the replica", || replica.requests() == 1);
    (gate, replica, net, client)
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_0() {
    let (mut gate, replica, _net, mut client) = held();
    let address = gate.http();
    gate.signal(Signal::TERM);
    await_until("new connections to be refused", || Client::try_connect(address).is_err());
    replica.release();
    let response = client.response();
    assert_eq!(response.replica(), "app-0", "the answer that was waited for arrives");
    assert!(client.closed(), "and its connection ends");
    let status = gate.await_exit();
    assert_eq!(status.code(), Some(0), "{status}:\n{}", gate.log());
}

#[test]
fn idle_connections_do_not_hold_up_the_drain() {
    let (mut gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    let mut served = Client::connect(gate.http());
    assert_eq!(served.get("app.example", "/").status, 200);
    let mut silent = Client::connect(gate.http());
    await_until("both to be accepted", || gate.sum("tidegate_connections_open", &["external"]) >= 2.0);
    let start = Instant::now();
    assert_eq!(gate.stop().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    assert!(served.closed() && silent.closed());
}

#[test]
fn readyz_says_no_while_draining() {
    let (mut gate, replica, _net, mut client) = held();
    gate.signal(Signal::TERM);
    await_until("readyz to say no", || gate.ask("/readyz").status == 503);
    replica.release();
    assert_eq!(client.response().status, 200);
    assert_eq!(gate.await_exit().code(), Some(0));
}

#[test]
fn the_drain_has_a_deadline() {
    let (mut gate, replica, _net) = one_app(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 300}\n"));
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await_until("the request to reach the replica", || replica.requests() == 1);
    let start = Instant::now();
    let status = gate.stop();
    assert_eq!(status.code(), Some(0), "{status}:\n{}", gate.log());
    assert!((Duration::from_millis(250)..Duration::from_secs(7)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(client.try_response(false).is_err(), "what did not finish is cut");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut gate, _replica, _net, _client) = held();
    let address = gate.http();
    gate.signal(Signal::TERM);
    await_until("the drain to begin", || Client::try_connect(address).is_err());
    let start = Instant::now();
    gate.signal(Signal::TERM);
    let status = gate.await_exit();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    assert!(status.code().is_some_and(|code| code != 0) || status.signal().is_some(), "cutting what was in flight is no success: {status}");
}

#[test]
fn sigint_drains_like_sigterm() {
    let (mut gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup);
    assert_eq!(gate.get("app.example", "/").status, 200);
    gate.signal(Signal::INT);
    assert_eq!(gate.await_exit().code(), Some(0));
}

#[test]
fn an_open_vip_connection_may_finish() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let mut gate = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).start();
    let ip = gate.rows("services")[0]["vip"].as_str().and_then(|ip| ip.parse().ok()).expect("a VIP");
    let address = SocketAddr::new(ip, net.port());
    await_until("the VIP to be bound", || Client::try_connect(address).is_ok());
    let mut client = Client::connect(address);
    client.send("ping");
    assert_eq!(client.exactly(4).expect("the echo"), b"ping");
    gate.signal(Signal::TERM);
    await_until("the VIP to be closed", || Client::try_connect(address).is_err());
    client.send("pong");
    assert_eq!(client.exactly(4).expect("it still flows"), b"pong");
    client.finish();
    assert_eq!(client.rest().expect("the end"), b"bye");
    assert_eq!(gate.await_exit().code(), Some(0));
}
