//! Everything that a replica can do wrong on a real socket: each ends in a stated outcome, with a stated reason, within its time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tidegate_tests::frames::{End, Frames, request};
use tidegate_tests::objects::{app, file, ingress, path, pod, service};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate};

mod sources;
mod vanished;

/// Milliseconds that a route waits for a replica's next bytes.
const READ_MS: u64 = 400;
/// By then every fault has ended: no limit of these tests is longer, and machines are slow.
const SOON: Duration = Duration::from_secs(8);

const RESETS: &str = "resets each connection";
const BROKEN_AT_ONCE: &str = "breaks its first chunk";

/// What the client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Status(u16),
    /// An answer that began and cannot be taken for whole.
    Cut,
}

struct Fault {
    name: &'static str,
    behaviour: Behaviour,
    seen: Seen,
    reason: &'static str,
}

fn faults() -> Vec<Fault> {
    let fault = |name, behaviour, seen, reason| Fault { name, behaviour, seen, reason };
    let raw = |bytes: &[u8]| Behaviour::Raw(bytes.to_vec());
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let half = [&head[..], b"half"].concat();
    vec![
        fault("takes the request and says nothing", Behaviour::Held, Seen::Status(504), "timeout-request"),
        fault("takes the connection and reads nothing", Behaviour::NeverRead, Seen::Status(504), "timeout-request"),
        fault("answers too late", Behaviour::After(Duration::from_secs(30)), Seen::Status(504), "timeout-request"),
        fault("says half of a head and stops", raw(b"HTTP/1.1 200 OK\r\nContent-"), Seen::Status(504), "timeout-request"),
        fault("says half of a body and stops", raw(&half), Seen::Cut, "timeout-request"),
        fault(
            "says half of a chunk and stops",
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"),
            Seen::Cut,
            "timeout-request",
        ),
        fault("resets within the body", Behaviour::RawThenReset(half.clone()), Seen::Cut, "upstream-reset"),
        fault("closes within the body", Behaviour::RawThenClose(half), Seen::Cut, "upstream-reset"),
        fault("closes within the head", Behaviour::RawThenClose(b"HTTP/1.1 200".to_vec()), Seen::Status(502), "upstream-reset"),
        fault(RESETS, Behaviour::ResetOnAccept, Seen::Status(502), "upstream-reset"),
        fault("closes without a byte", Behaviour::RawThenClose(Vec::new()), Seen::Status(502), "upstream-reset"),
        fault(
            "answers garbage",
            raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n"),
            Seen::Status(502),
            "upstream-reset",
        ),
        fault("answers in another protocol", raw(b"220 mail.example ESMTP\r\n\r\n"), Seen::Status(502), "upstream-reset"),
        fault("breaks its own framing", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab"), Seen::Status(502), "upstream-reset"),
        fault(BROKEN_AT_ONCE, raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Seen::Cut, "upstream-reset"),
    ]
}

/// A service behind `app.example`, whose route waits [`READ_MS`].
fn site(net: &Net, replicas: &[&Replica]) -> String {
    let name = "kind: Ingress\nmetadata: {";
    let annotated = format!("{name}annotations: {{tidegate.dev/read-timeout: {READ_MS}ms}}, ");
    app(net, "app", "app.example", replicas).replace(name, &annotated)
}

fn gate(net: &Net, replicas: &[&Replica]) -> Tidegate {
    Setup::new(net).config("limits: {connectTimeoutMs: 500, endpointWaitMs: 0}\n").manifest("app.yaml", site(net, replicas)).start()
}

fn by_http_1(gate: &Tidegate, method: &str) -> Seen {
    let mut client = Client::connect(gate.http());
    client.send(format!("{method} / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n"));
    match client.try_response(false) {
        Ok(answer) => Seen::Status(answer.status),
        Err(_) => Seen::Cut,
    }
}

fn by_http_2(gate: &Tidegate, method: &str) -> Seen {
    let mut client = Frames::connect(gate.http());
    let stream = client.ask(&request(method, "app.example", "/"), true);
    let answer = client.answer(stream);
    if answer.end == Some(End::Whole) { Seen::Status(answer.status) } else { Seen::Cut }
}

fn refused(gate: &Tidegate, reason: &str) -> f64 {
    gate.sum("tidegate_refusals_total", &[&format!("reason=\"{reason}\""), "exposure=\"external\""])
}

#[test]
fn each_fault_has_its_outcome_its_reason_and_its_time() {
    std::thread::scope(|scope| {
        for Fault { name, behaviour, seen, reason } in faults() {
            scope.spawn(move || {
                let net = Net::take();
                let replica = Replica::start(&net, "bad", behaviour);
                let gate = gate(&net, &[&replica]);
                let began = Instant::now();
                assert_eq!(by_http_1(&gate, "GET"), seen, "{name}: GET");
                assert_eq!(by_http_1(&gate, "POST"), seen, "{name}: POST");
                // What is here of a body is judged before a client of HTTP/2 sees the head.
                let seen = if name == BROKEN_AT_ONCE { Seen::Status(502) } else { seen };
                assert_eq!(by_http_2(&gate, "GET"), seen, "{name}: GET by HTTP/2");
                assert!(began.elapsed() < 3 * SOON, "{name}: {:?}", began.elapsed());
                // A reset may come before the connection counts as standing.
                let before = if name == RESETS { refused(&gate, "upstream-connect") } else { 0.0 };
                assert_eq!(before + refused(&gate, reason), 3.0, "{name}");
                replica.now(Behaviour::Named);
                assert_eq!(by_http_1(&gate, "GET"), Seen::Status(200), "{name}: and then it is well");
            });
        }
    });
}

#[test]
fn beside_a_replica_that_is_well_no_fault_before_an_answer_costs_a_request_that_may_be_sent_twice() {
    std::thread::scope(|scope| {
        for Fault { name, behaviour, .. } in
            faults().into_iter().filter(|fault| fault.reason == "upstream-reset" && fault.seen != Seen::Cut)
        {
            scope.spawn(move || {
                let net = Net::take();
                let (good, bad) = (Replica::start(&net, "good", Behaviour::Named), Replica::start(&net, "bad", behaviour.clone()));
                let gate = gate(&net, &[&good, &bad]);
                // Something that is no answer, or half of one, may be all that there ever is: it is not asked for again.
                let said = !matches!(&behaviour, Behaviour::ResetOnAccept)
                    && !matches!(&behaviour, Behaviour::RawThenClose(said) if said.is_empty());
                for turn in 0..10 {
                    let seen = by_http_1(&gate, "GET");
                    assert!(seen == Seen::Status(200) || (said && seen == Seen::Status(502)), "{name}, turn {turn}: {seen:?}");
                }
            });
        }
    });
}

/// A place where connections are never answered: its queue is full and nobody takes from it.
struct BlackHole {
    address: SocketAddr,
    _full: Vec<TcpStream>,
    _listener: TcpListener,
}

impl BlackHole {
    fn new(net: &Net) -> BlackHole {
        let address = SocketAddr::new(net.replica_ip(), net.port());
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&address.into()).and_then(|()| socket.listen(0)).expect("an address of ours");
        let mut full = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            full.push(stream);
            assert!(full.len() < 16, "the queue has no end");
        }
        BlackHole { address, _full: full, _listener: socket.into() }
    }
}

#[test]
fn a_replica_whose_machine_swallows_packets_costs_the_time_for_a_connection_and_no_request_while_there_is_another() {
    let net = Net::take();
    let (hole, good) = (BlackHole::new(&net), Replica::start(&net, "good", Behaviour::Named));
    let manifest = |replicas: &[(&str, std::net::IpAddr)]| {
        let pods = replicas.iter().map(|(name, ip)| pod(name, "app", *ip));
        let rest = [service("app", 80, net.port()), ingress("app", "app.example", &[path("Prefix", "/", "app", 80)])];
        file(&rest.into_iter().chain(pods).collect::<Vec<_>>())
    };
    let gate = Setup::new(&net)
        .config("limits: {connectTimeoutMs: 500}\n")
        .manifest("app.yaml", manifest(&[("hole", hole.address.ip()), ("good", good.ip())]))
        .start();
    for method in ["GET", "POST", "GET", "POST"] {
        assert_eq!(by_http_1(&gate, method), Seen::Status(200));
    }
    gate.write("app.yaml", &manifest(&[("hole", hole.address.ip())]));
    let began = Instant::now();
    assert_eq!(by_http_1(&gate, "GET"), Seen::Status(502));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(refused(&gate, "upstream-connect"), 1.0);
}

#[test]
fn a_replica_that_closes_idle_connections_at_the_worst_moment_costs_no_get_and_gets_no_post_twice() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::OnceThenClose);
    let gate = gate(&net, &[&replica]);
    let mut posts = 0;
    for turn in 0..60 {
        assert_eq!(by_http_1(&gate, "GET"), Seen::Status(200), "turn {turn}");
        posts += u32::from(by_http_1(&gate, "POST") == Seen::Status(200));
    }
    let read = replica.received().iter().filter(|request| request.head.starts_with("POST")).count();
    assert!(read as u32 >= posts && read <= 60, "{read} of 60 were read, {posts} answered");
}

#[test]
fn what_a_replica_says_unasked_is_never_an_answer() {
    let net = Net::take();
    let early = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let replica = Replica::start(&net, "one", Behaviour::Raw(early.to_vec()));
    let gate = gate(&net, &[&replica]);
    for _ in 0..10 {
        let answer = gate.get("app.example", "/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(replica.connections(), 10, "a connection with more than was asked for is not used again");
}
