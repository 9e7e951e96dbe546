//! Replicas that leave: what is under way goes on for a while, and then ends as it should.

use std::net::{IpAddr, TcpListener, TcpStream};

use tidegate_tests::frames::{End, Frames, INITIAL_WINDOW, kind};
use tidegate_tests::wait::DEADLINE;

use super::*;

const DRAIN: &str = "limits: {replicaDrainMs: 500}\n";

fn db(net: &Net, pods: &[String]) -> String {
    file(&[&[service("db", net.port(), net.port())], pods].concat())
}

/// A client whose bytes come back.
fn echoed(client: &mut Client) {
    client.send("ping");
    assert_eq!(client.exactly(4).expect("an echo"), b"ping");
}

#[test]
fn a_connection_lives_until_the_deadline_and_ends_in_good_order() {
    let net = Net::take();
    let (old, new) = (Replica::start(&net, "db-0", Behaviour::TcpEcho), Replica::start(&net, "db-1", Behaviour::TcpEcho));
    let (old_pod, new_pod) = (pod("db-0", "db", old.ip()), pod("db-1", "db", new.ip()));
    for last in [db(&net, std::slice::from_ref(&new_pod)), db(&net, &[terminating(&old_pod), new_pod])] {
        let gate = Setup::new(&net).config(DRAIN).manifest("db.yaml", db(&net, std::slice::from_ref(&old_pod))).start();
        let mut client = Client::connect(vip(&gate, "db"));
        echoed(&mut client);
        gate.write("db.yaml", &last);
        echoed(&mut client);
        assert_eq!(client.rest().expect("an end, not a reset"), b"");
        client.send("more, after the end");
        drop(client);
        await_until("the replica's side is closed", || old.open() == 0);
    }
}

/// A replica that ends once its connections have must not wait for one that rests here.
#[test]
fn a_connection_on_which_the_last_answer_came_is_closed_at_once() {
    let net = Net::take();
    let (old, new) = (Replica::start(&net, "app-0", Behaviour::Held), Replica::start(&net, "app-1", Behaviour::Named));
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).manifest("app.yaml", site(&[&old])).start();
    let mut frames = Frames::connect(gate.http());
    let (plain, stream) = (ask(gate.http(), "GET", "/"), frames.get("app.example", "/"));
    await_until("both to be there", || old.requests() == 2);
    gate.write("app.yaml", &site(&[&new]));
    old.release();
    await_until("the first answer", || old.open() == 1);
    old.release();
    assert_eq!(answer(plain).replica(), "app-0");
    assert_eq!(frames.answer(stream).end, Some(End::Whole));
    await_until("nothing to be left there", || old.open() == 0);
}

#[test]
fn one_that_is_merely_not_ready_keeps_its_connections() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let other = Replica::start(&net, "db-1", Behaviour::TcpGreet(b"hi".to_vec()));
    let ready = pod("db-0", "db", replica.ip());
    let unready = ready.replace("status: 'True'", "status: 'False'");
    let gate = Setup::new(&net).config("limits: {replicaDrainMs: 0}\n").manifest("db.yaml", db(&net, std::slice::from_ref(&ready))).start();
    let address = vip(&gate, "db");
    let mut client = Client::connect(address);
    echoed(&mut client);
    gate.write("db.yaml", &db(&net, &[unready, pod("db-1", "db", other.ip())]));
    // Another one leaves meanwhile, and when its connection has ended, ticks have passed.
    let mut bystander = Client::connect(address);
    assert_eq!(bystander.exactly(2).expect("a greeting"), b"hi");
    gate.write("db.yaml", &db(&net, &[ready]));
    assert_eq!(bystander.rest().expect("an end"), b"");
    echoed(&mut client);
}

#[test]
fn a_request_in_flight_may_end_until_the_deadline() {
    let net = Net::take();
    let (old, new) = (Replica::start(&net, "app-0", Behaviour::Held), Replica::start(&net, "app-1", Behaviour::Named));
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", site(&[&old])).start();
    let request = ask(gate.http(), "POST", "/");
    await_until("it is under way", || old.requests() == 1);
    gate.write("app.yaml", &site(&[&new]));
    old.release();
    assert_eq!(answer(request).replica(), "app-0");

    gate.write("app.yaml", &site(&[&old]));
    let (safe, unsafe_one) = (ask(gate.http(), "GET", "/"), ask(gate.http(), "POST", "/"));
    await_until("they are under way", || old.requests() == 3);
    gate.write("app.yaml", &site(&[&new]));
    assert_eq!(answer(safe).replica(), "app-1", "what may be sent twice is answered by another");
    assert_eq!(answer(unsafe_one).status, 502, "what may have been processed is not sent again");
    assert!(!new.received().iter().any(|request| request.head.starts_with("POST")));
}

#[test]
fn an_answer_that_has_begun_is_cut_after_the_deadline() {
    let net = Net::take();
    let pieces = ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", "never"].map(|piece| piece.as_bytes().to_vec());
    let (old, new) = (Replica::start(&net, "app-0", Behaviour::Pieces(pieces.into())), Replica::start(&net, "app-1", Behaviour::Named));
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", site(&[&old])).start();
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    client.through(b"begun").expect("the beginning");
    let mut streams = Frames::connect(gate.http());
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "app.example"), (":path", "/")];
    let stream = streams.ask(&fields, true);
    streams.until("the beginning", |client| client.on(stream).body == b"begun");
    gate.write("app.yaml", &site(&[&new]));
    assert!(client.closed(), "it cannot look whole");
    streams.until("the stream's end", |client| client.on(stream).end.is_some());
    assert!(matches!(streams.on(stream).end, Some(End::Reset(_))), "{:?}", streams.on(stream).end);
    let next = streams.ask(&fields, true);
    streams.until("the next answer", |client| client.on(next).end.is_some());
    assert_eq!(streams.on(next).status, 200);
}

/// A client that is given a byte at a time, so that it is never idle, and what has come once its stream has ended.
fn takes_little(gate: &Tidegate, meanwhile: impl FnOnce()) -> Frames {
    let mut client = Frames::with(gate.http(), &[(INITIAL_WINDOW, 1000)]);
    client.greedy = false;
    let stream = client.get("app.example", "/");
    client.until("what fits", |client| client.on(stream).body.len() == 1000);
    meanwhile();
    await_until("its end", || {
        client.say(kind::WINDOW_UPDATE, 0, stream, &1u32.to_be_bytes());
        client.settle();
        client.on(stream).end.is_some()
    });
    assert!(matches!(client.on(stream).end, Some(End::Reset(_))), "it cannot look whole: {:?}", client.on(stream).end);
    client
}

#[test]
fn an_answer_that_is_taken_slowly_is_cut_as_well() {
    let net = Net::take();
    let [old, new] =
        [("app-0", Behaviour::Body(2_000_000)), ("app-1", Behaviour::Named)].map(|(name, does)| Replica::start(&net, name, does));
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", site(&[&old])).start();
    takes_little(&gate, || gate.write("app.yaml", &site(&[&new])));
    await_until("the replica's side is closed", || old.open() == 0);
    assert_eq!(gate.sum("tidegate_requests_in_flight", &["app"]), 0.0);
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"upstream-reset\""]), 1.0);
}

#[test]
fn an_answer_that_is_taken_slowly_has_the_time_of_its_route_and_no_more() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Body(2_000_000));
    let name = "kind: Ingress\nmetadata: {";
    let timed =
        app(&net, "app", "app.example", &[&replica]).replace(name, &format!("{name}annotations: {{tidegate.dev/request-timeout: 2s}}, "));
    let gate = Setup::new(&net).manifest("app.yaml", timed).start();
    takes_little(&gate, || {});
    await_until("the replica's side is closed", || replica.open() == 0);
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"timeout-request\""]), 1.0);
}

/// Between two pieces it is the replica that is silent; while its client takes nothing, it is not.
#[test]
fn a_replica_is_not_silent_while_its_client_is_slow() {
    let net = Net::take();
    let pieces = [&b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nbegu"[..], b"n..."].map(<[u8]>::to_vec);
    let replica = Replica::start(&net, "app-0", Behaviour::Pieces(pieces.into()));
    let name = "kind: Ingress\nmetadata: {";
    let timed =
        app(&net, "app", "app.example", &[&replica]).replace(name, &format!("{name}annotations: {{tidegate.dev/read-timeout: 2s}}, "));
    let gate = Setup::new(&net).manifest("app.yaml", timed).start();
    let mut client = Frames::with(gate.http(), &[(INITIAL_WINDOW, 0)]);
    let stream = client.get("app.example", "/");
    client.until("the head", |client| client.on(stream).status == 200);
    assert!(!client.until_quiet(std::time::Duration::from_secs(3)), "it was closed");
    client.say(kind::WINDOW_UPDATE, 0, stream, &8u32.to_be_bytes());
    client.until("the beginning", |client| client.on(stream).body == b"begu" || client.on(stream).end.is_some());
    replica.release();
    let answer = client.answer(stream);
    assert_eq!((answer.body.as_slice(), answer.end), (&b"begun..."[..], Some(End::Whole)));
}

/// An agreement to speak WebSocket, and a frame of text behind it.
fn greeting() -> Behaviour {
    let mut said = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec();
    said.extend_from_slice(b"\x81\x02hi");
    Behaviour::Switch(said)
}

const SWITCH: &str = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGlkZWdhdGU=\r\n\r\n";
/// A close frame with the status 1001.
const CLOSE: &[u8] = b"\x88\x02\x03\xe9";

fn switched(gate: &Tidegate) -> Client {
    let mut client = Client::connect(gate.http());
    client.send(SWITCH);
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(4).expect("a frame"), b"\x81\x02hi");
    client
}

#[test]
fn a_websocket_gets_a_close_frame_when_its_replica_leaves_and_when_it_dies() {
    let net = Net::take();
    let mut old = Replica::start(&net, "app-0", greeting());
    let new = Replica::start(&net, "app-1", Behaviour::Named);
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", site(&[&old])).start();
    let mut client = switched(&gate);
    gate.write("app.yaml", &site(&[&new]));
    assert_eq!(client.rest().expect("an end"), CLOSE);

    gate.write("app.yaml", &site(&[&old]));
    let mut between = switched(&gate);
    let mut within = switched(&gate);
    within.send(b"\x81\x05he"); // comes back as the first half of a frame
    assert_eq!(within.exactly(4).expect("an echo"), b"\x81\x05he");
    old.die();
    assert_eq!(between.rest().expect("an end, although the replica reset"), CLOSE);
    assert_eq!(within.rest().expect("an end"), b"", "in the middle of a frame nothing of ours may stand");
}

/// An extended CONNECT.
const ON_A_STREAM: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "app.example"),
    (":path", "/"),
    ("sec-websocket-version", "13"),
];

#[test]
fn one_whose_client_takes_nothing_ends_without() {
    let net = Net::take();
    let [old, new] = [("app-0", greeting()), ("app-1", Behaviour::Named)].map(|(name, does)| Replica::start(&net, name, does));
    let site = |replicas: &[&Replica]| app(&net, "app", "app.example", replicas);
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", site(&[&old])).start();
    let mut client = Frames::with(gate.http(), &[(INITIAL_WINDOW, 4)]);
    client.greedy = false;
    let stream = client.ask(&ON_A_STREAM, false);
    client.until("the greeting", |client| client.on(stream).body == b"\x81\x02hi" || client.on(stream).end.is_some());
    gate.write("app.yaml", &site(&[&new]));
    client.until("the end", |client| client.on(stream).end.is_some());
    assert_eq!(client.on(stream).body, b"\x81\x02hi");
    await_until("the replica's side is closed", || old.open() == 0);
}

#[test]
fn a_websocket_on_a_stream_gets_one_too() {
    let net = Net::take();
    let mut old = Replica::start(&net, "app-0", greeting());
    let gate = Setup::new(&net).config(DRAIN).manifest("app.yaml", app(&net, "app", "app.example", &[&old])).start();
    let mut client = Frames::connect(gate.http());
    let stream = client.ask(&ON_A_STREAM, false);
    client.until("the greeting", |client| client.on(stream).body == b"\x81\x02hi" || client.on(stream).end.is_some());
    old.die();
    client.until("the end", |client| client.on(stream).end.is_some());
    assert_eq!(client.on(stream).body, [b"\x81\x02hi", CLOSE].concat());
    assert_eq!(client.on(stream).end, Some(End::Whole));
}

/// One whose queue is full: a connection to it stands only once somebody has accepted.
struct Crowded {
    socket: TcpListener,
    _first: Client,
}

impl Crowded {
    fn start(net: &Net) -> Crowded {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(net.replica_ip(), net.port()).into()).expect("the address is this test's");
        socket.listen(0).expect("a listener");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let socket: TcpListener = socket.into();
        let address = socket.local_addr().expect("a bound listener has an address");
        Crowded { socket, _first: Client::connect(address) }
    }

    fn ip(&self) -> IpAddr {
        self.socket.local_addr().expect("a bound listener has an address").ip()
    }

    /// The two connections that came after the first.
    fn two_more(&self) -> [TcpStream; 2] {
        let accept = || self.socket.accept().expect("a connection").0;
        drop(accept());
        [accept(), accept()]
    }
}

#[test]
fn one_that_leaves_while_it_is_connected_to_is_left_too() {
    let net = Net::take();
    let (crowded, new) = (Crowded::start(&net), Replica::start(&net, "app-1", Behaviour::Named));
    let beside = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let services = [
        service("app", net.port(), net.port()),
        service("db", net.port(), net.port()),
        ingress("app", "app.example", &[path("Prefix", "/", "app", net.port())]),
    ];
    let site = |pods: &[String]| file(&[&services[..], pods].concat());
    let gate = Setup::new(&net)
        .config("limits: {replicaDrainMs: 0, connectTimeoutMs: 60000}\n")
        .manifest("app.yaml", site(&[pod("app-0", "app", crowded.ip()), pod("db-0", "db", beside.ip())]))
        .flag("--workers", "1")
        .start();
    let mut bystander = Client::connect(vip(&gate, "db"));
    echoed(&mut bystander);
    let mut through = Client::connect(vip(&gate, "app"));
    let request = ask(gate.http(), "POST", "/");
    await_until("both are on their way", || gate.sum("tidegate_requests_in_flight", &["default/app"]) == 2.0);
    gate.swap("app.yaml", &site(&[pod("app-1", "app", new.ip())]));
    assert_eq!(bystander.rest().expect("an end"), b"", "what is under way at those that left was cut");
    let streams = crowded.two_more();
    assert_eq!(through.rest().expect("an end"), b"");
    assert_eq!(answer(request).replica(), "app-1", "nothing of it was sent");
    for mut stream in streams {
        let mut sent = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut sent).expect("an end");
        assert_eq!(String::from_utf8_lossy(&sent), "");
    }
}
