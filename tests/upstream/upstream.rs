//! Replicas that speak TLS or HTTP/2, on the wire: what they are called, shown and sent, and what is never sent to the wrong one.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use tidegate_tests::frames::{Answer, Frames, PREFACE, frame, kind, request};
use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::{Authority, Behaviour, Client, Net, Setup, Shows, Tidegate, TlsReplica};

mod failing;
mod grpc;
mod invitations;
mod lanes;
mod leaves;
mod opening;
mod reached;
mod refused;
mod secrets;
mod switched;
mod windows;

/// What a replica must be called where nothing else is said.
const NAME: &str = "shop.default.svc";
/// By the Secret `inner`.
const BY_INNER: &str = "tidegate.dev/upstream-ca: inner";

/// A Service `shop` in TLS behind `shop.example`, with these annotations and endpoints.
fn shop(net: &Net, app: &str, annotations: &str, pods: &[IpAddr]) -> String {
    let service = objects::service("shop", 80, net.port()).replacen("{port: 80", &format!("{{appProtocol: {app}, port: 80"), 1).replacen(
        "metadata: {",
        &format!("metadata: {{annotations: {{{annotations}}}, "),
        1,
    );
    let pods = pods.iter().enumerate().map(|(at, ip)| objects::pod(&format!("shop-{at}"), "shop", *ip));
    file(&[service, ingress("shop", "shop.example", &[path("Prefix", "/", "shop", 80)])].into_iter().chain(pods).collect::<Vec<_>>())
}

/// A gate, one replica in TLS, and the authority `inner` that vouches for it.
struct Scene {
    gate: Tidegate,
    replica: TlsReplica,
    inner: Authority,
    net: Net,
}

impl Scene {
    fn new(behaviour: Behaviour, shows: impl FnOnce(&Authority) -> Shows) -> Scene {
        Scene::with(behaviour, BY_INNER, shows, |setup| setup)
    }

    fn with(
        behaviour: Behaviour,
        annotations: &str,
        shows: impl FnOnce(&Authority) -> Shows,
        adjust: impl FnOnce(Setup) -> Setup,
    ) -> Scene {
        let (net, inner) = (Net::take(), Authority::new());
        let replica = TlsReplica::start(&net, "one", behaviour, &shows(&inner));
        let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "https", annotations, &[replica.ip()]));
        let gate = adjust(setup.manifest("inner.yaml", inner.secret("inner"))).start();
        Scene { gate, replica, inner, net }
    }

    fn refusals(&self, reason: &str) -> f64 {
        refusals(&self.gate, reason)
    }
}

/// A replica of HTTP/2 that a test plays by hand, to one caller.
struct Caller {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Listens on the net's next address, and hands the first caller to `plays`.
fn by_hand(net: &Net, plays: impl FnOnce(Caller) + Send + 'static) -> (IpAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((net.replica_ip(), net.port())).expect("the net's addresses are free");
    let ip = listener.local_addr().expect("it is bound").ip();
    let playing = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a caller");
        drop(listener);
        plays(Caller { stream, read: Vec::new() });
    });
    (ip, playing)
}

impl Caller {
    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.stream.write_all(&frame(kind, flags, stream, payload)); // who is gone hears nothing
    }

    /// Reads until this many heads of requests have come, or to the end.
    fn heads(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            if self.read.starts_with(b"PRI") && self.read.len() >= PREFACE.len() {
                self.read.drain(..PREFACE.len());
            }
            let length = self.read.get(..3).map_or(0, |bytes| bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)));
            if !self.read.starts_with(b"PRI") && self.read.len() >= 9 + length {
                left -= usize::from(self.read[3] == kind::HEADERS);
                self.read.drain(..9 + length);
                continue;
            }
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(count) if count > 0 => self.read.extend_from_slice(&bytes[..count]),
                _ => return,
            }
        }
    }
}

/// Begins a call of gRPC that is whole with its head.
fn call(client: &mut Frames) -> u32 {
    let fields = [&request("POST", "shop.example", "/x.Y/Z")[..], &[("content-type", "application/grpc"), ("te", "trailers")]].concat();
    client.ask(&fields, true)
}

/// How often the gate refused for this reason, outside.
fn refusals(gate: &Tidegate, reason: &str) -> f64 {
    gate.sum("tidegate_refusals_total", &[&format!("reason=\"{reason}\""), "exposure=\"external\""])
}

/// What a client asks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Http1,
    Http2,
}

const BOTH: [By; 2] = [By::Http1, By::Http2];

/// The usual certificate.
fn good(inner: &Authority) -> Shows {
    Shows::new(inner.ecdsa(&[NAME]))
}

/// Posts `content` to `shop.example` on a connection of its own: status and content of the answer.
fn post(at: SocketAddr, by: By, content: &[u8]) -> (u16, Vec<u8>) {
    match by {
        By::Http1 => {
            let mut client = Client::connect(at);
            client.send(format!("POST /cart?item=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", content.len()));
            client.send(content);
            let answer = client.response();
            (answer.status, answer.body)
        }
        By::Http2 => {
            let mut client = Frames::connect(at);
            let stream = client.post("shop.example", "/cart?item=1");
            content.chunks(16_384).for_each(|piece| client.data(stream, piece, false));
            client.data(stream, b"", true);
            let answer = client.answer(stream);
            (answer.status, answer.body)
        }
    }
}

/// Gets `/` of `shop.example` on a connection of its own: the status.
fn get(at: SocketAddr, by: By) -> u16 {
    match by {
        By::Http1 => Client::connect(at).get("shop.example", "/").status,
        By::Http2 => Frames::connect(at).fetch("shop.example", "/").status,
    }
}
