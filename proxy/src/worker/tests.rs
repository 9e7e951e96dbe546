//! A worker on its own: a hand-made picture, a real client, a real replica.

use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::num::NonZeroU64;
use std::thread::JoinHandle;

use config::host::HostPattern;
use config::object::{PathType, Protocol, ServiceKey};
use config::settings::Settings;
use registry::route::{Action, Route, RouteTableBuilder};
use registry::snapshot::{
    Aside, Endpoint, EndpointId, Plane, PortName, Replica, ReplicaId, Service, ServiceIndex, ServiceListener, Unsettled, Way,
};

use super::arrival::host;
use super::*;
use crate::listener::Speaks;

#[test]
fn long_connections_leave_no_worker_idle_and_many_are_moved_seldom() {
    let place = |open: [usize; 2], here, all| host(open.into_iter(), here, all);
    let mut open = [0, 0];
    for _ in 0..4 {
        open[place(open, 0, false)] += 1; // the kernel gave them all to the first
    }
    assert_eq!(open, [2, 2]);
    assert_eq!(place([100, 90], 0, false), 0, "a socket of its own");
    assert_eq!(place([120, 90], 0, false), 1);
    assert_eq!(place([91, 90], 0, true), 1, "it accepts for all");
    assert_eq!(place([90, 90], 1, true), 1);
    assert_eq!(host([7].into_iter(), 0, false), 0);
}

struct Scene {
    shared: Arc<Shared>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    reports: mpsc::UnboundedReceiver<Report>,
    worker: JoinHandle<()>,
}

impl Scene {
    fn new(snapshot: Snapshot) -> Scene {
        let (orders, received) = mpsc::unbounded_channel();
        let (reports_to, reports) = mpsc::unbounded_channel();
        let (snapshots, watched) = watch::channel(Arc::new(snapshot));
        let shared = Arc::new(Shared {
            terms: Terms::of(&Settings::default()),
            tls: crate::tls::common().unwrap(),
            open: [AtomicUsize::new(0)].into(),
            acknowledged: [AtomicU64::new(0)].into(),
            clients: Clients::default(),
            pressure: Pressure::default(),
            orders: [orders].into(),
            reports: reports_to,
        });
        let start = Start { id: 0, shared: shared.clone(), orders: received, snapshots: watched, counts: Arc::default(), access: None };
        Scene { shared, snapshots, reports, worker: std::thread::spawn(|| run(start).unwrap()) }
    }

    fn listen(&self, speaks: Speaks, exposure: Exposure, socket: StdListener) -> SocketAddr {
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let listener = Listener { name: "http".into(), exposure, speaks, address };
        self.shared.orders[0].send(Order::Accept(Arc::new(listener), socket)).unwrap();
        address
    }

    fn drain(self) {
        self.shared.orders[0].send(Order::Drain).unwrap();
        self.worker.join().unwrap();
    }
}

fn snapshot(version: u64, replica: Option<SocketAddr>, vip: Option<SocketAddr>) -> Snapshot {
    let id = NonZeroU64::MIN;
    let endpoint = |address| Endpoint {
        id: EndpointId(id),
        replica: Arc::new(Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: Default::default() }),
    };
    let name = PortName { service: ServiceKey { namespace: "x".into(), name: "y".into() }, port: 80, protocol: Protocol::Tcp };
    let endpoints = replica.map(endpoint).into_iter().collect();
    let service = Arc::new(Service { endpoints, ..Service::unreachable(name.clone(), 0) });
    let mut routes = RouteTableBuilder::default();
    let host = HostPattern::parse_ingress("a.test").unwrap();
    let action = Action::Forward(ServiceIndex(0));
    routes
        .add(Route {
            owner: "Ingress x/y".into(),
            host,
            path_type: PathType::Prefix,
            path: "/".into(),
            action,
            client: None,
            filters: None,
        })
        .unwrap();
    let routes = Arc::new(routes.build());
    let listener = ServiceListener { way: Way::Vip, service: ServiceIndex(0), name, sources: Arc::default() };
    let listener = |address| [Protocol::Tcp, Protocol::Udp].map(|protocol| (Socket::new(protocol, address), listener.clone()));
    let vips = Arc::new(vip.into_iter().flat_map(listener).collect());
    let plane = |exposure| Plane {
        exposure,
        routes: routes.clone(),
        refused: Arc::default(),
        certificates: Arc::default(),
        services: Arc::from([service.clone()]),
        listeners: if exposure == Exposure::Internal { Arc::clone(&vips) } else { Arc::default() },
        names: Arc::default(),
    };
    Snapshot { version, external: plane(Exposure::External), internal: plane(Exposure::Internal) }
}

/// A replica that reads one head for each answer, as often as there are answers, on one connection after the other.
fn replica(answers: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let heads = std::thread::spawn(move || {
        let mut heads = Vec::new();
        while heads.len() < answers.len() {
            let (mut stream, _) = socket.accept().unwrap();
            while heads.len() < answers.len() {
                let head = read_until(&mut stream, b"\r\n\r\n");
                if head.is_empty() {
                    break;
                }
                stream.write_all(answers[heads.len()].as_bytes()).unwrap();
                heads.push(head);
            }
        }
        heads
    });
    (address, heads)
}

fn read_until(stream: &mut StdStream, end: &[u8]) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) && stream.read(&mut byte).unwrap_or(0) == 1 {
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn two_requests_share_a_connection_on_both_sides() {
    let (address, heads) = replica(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
    ]);
    let scene = Scene::new(snapshot(1, Some(address), None));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let mut client = StdStream::connect(front).unwrap();
    client
        .write_all(b"GET /one HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\r\nHost: A.TEST.:80\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.contains("\r\n\r\nok"), "{got}");
    assert!(got.ends_with("3\r\nyes\r\n0\r\n\r\n") && got.contains("Connection: close"), "{got}");
    let heads = heads.join().unwrap();
    assert!(
        heads[0].starts_with("GET /one HTTP/1.1\r\nHost: a.test\r\n") && heads[0].contains("X-Forwarded-For: 127.0.0.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(heads[1].starts_with("GET /two HTTP/1.1\r\nHost: A.TEST.:80\r\n"), "{}", heads[1]);
    scene.drain();
}

#[test]
fn what_leads_nowhere_is_answered_and_the_connection_stays() {
    let scene = Scene::new(snapshot(1, None, None));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let mut client = StdStream::connect(front).unwrap();
    for (host, status) in [("b.test", "404"), ("a.test", "503"), ("b.test", "404")] {
        write!(client, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let head = read_until(&mut client, b"\r\n\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {head}");
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        client.read_exact(&mut body).unwrap();
    }
    scene.drain();
}

#[test]
fn a_vip_carries_bytes_and_half_closes_and_resets_without_an_endpoint() {
    let echo = StdListener::bind("127.0.0.1:0").unwrap();
    let address = echo.local_addr().unwrap();
    let echoes = std::thread::spawn(move || {
        let (mut stream, _) = echo.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap(); // ends by the client's half-close alone
        stream.write_all(&all).unwrap();
    });
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let vip = socket.local_addr().unwrap();
    let mut scene = Scene::new(snapshot(1, Some(address), Some(vip)));
    scene.listen(Speaks::Tcp, Exposure::Internal, socket);
    let mut client = StdStream::connect(vip).unwrap();
    client.write_all(b"through and back").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "through and back");
    echoes.join().unwrap();

    scene.snapshots.send(Arc::new(snapshot(2, None, Some(vip)))).unwrap();
    let acknowledged = loop {
        if let Some(Report::Acknowledged { version: 2.., worker }) = scene.reports.blocking_recv() {
            break worker;
        }
    };
    assert_eq!(acknowledged, 0);
    let mut client = StdStream::connect(vip).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    scene.drain();
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_drain() {
    let scene = Scene::new(snapshot(1, None, None));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let mut silent = StdStream::connect(front).unwrap();
    let mut served = StdStream::connect(front).unwrap();
    served.write_all(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").unwrap();
    assert!(read_until(&mut served, b"\r\n\r\n").starts_with("HTTP/1.1 404 "));
    scene.drain(); // comes back long before the head's time is up
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

/// The body went up piece by piece and is here no more: half a request must not be sent to another replica.
#[test]
fn a_request_whose_body_was_streamed_is_not_sent_again() {
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let scene = Scene::new(snapshot(1, Some(socket.local_addr().unwrap()), None));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let mut client = StdStream::connect(front).unwrap();
    client.write_all(b"PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n").unwrap();
    let (mut stream, _) = socket.accept().unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    client.write_all(b"body").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(stream);
    let answer = read_until(&mut client, b"\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("Connection: close"), "{answer}");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody was asked again");
    drop(client);
    scene.drain();
}

/// A replica that answers before it has the whole body: neither connection may go on, whatever both sides say.
#[test]
fn an_early_answer_ends_both_connections() {
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let scene = Scene::new(snapshot(1, Some(socket.local_addr().unwrap()), None));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let mut client = StdStream::connect(front).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nGET ").unwrap();
    let (mut early, _) = socket.accept().unwrap();
    read_until(&mut early, b"GET ");
    early.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
    let answer = read_until(&mut client, b"\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("Connection: close"), "{answer}");
    drop(client);
    let mut other = StdStream::connect(front).unwrap();
    other.write_all(b"GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let (mut fresh, _) = socket.accept().unwrap();
    assert!(read_until(&mut fresh, b"\r\n\r\n").starts_with("GET /other "), "a new connection, not the one with half a body");
    drop((fresh, other));
    scene.drain();
}

#[test]
fn connections_that_were_queued_are_served_before_a_drain_ends() {
    let (address, heads) = replica(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]);
    let scene = Scene::new(snapshot(1, Some(address), None));
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let mut client = StdStream::connect(socket.local_addr().unwrap()).unwrap();
    client.write_all(b"GET /queued HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    scene.listen(Speaks::Http, Exposure::External, socket);
    scene.drain();
    assert!(read_until(&mut client, b"\r\n\r\n").starts_with("HTTP/1.1 200 "));
    heads.join().unwrap();
}

/// A VIP's socket of datagrams, bound like the binder would.
fn receive(scene: &Scene, exposure: Exposure) -> SocketAddr {
    let socket = crate::listener::bind_udp("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener { name: "vip x/y:80/UDP".into(), exposure, speaks: Speaks::Udp, address };
    scene.shared.orders[0].send(Order::Receive(Arc::new(listener), socket)).unwrap();
    address
}

#[test]
fn a_datagram_goes_to_the_endpoint_and_its_answer_comes_from_the_vip() {
    let replica = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let scene = Scene::new(snapshot(1, None, None));
    let address = receive(&scene, Exposure::Internal);
    let (stranger, client) = (receive(&scene, Exposure::External), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    scene.snapshots.send(Arc::new(snapshot(2, Some(replica.local_addr().unwrap()), Some(address)))).unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = [0; 64];
    // Until the worker has the picture, what is sent is dropped.
    replica.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let from = loop {
        client.send(b"ping").unwrap();
        if let Ok((4, from)) = replica.recv_from(&mut buffer) {
            break from;
        }
    };
    assert_ne!(from, client.local_addr().unwrap(), "the flow has a socket of its own");
    replica.send_to(b"pong", from).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 4, "a connected socket hears the VIP alone");
    // What is bound outside finds nothing on the external plane.
    client.send_to(b"leak", stranger).unwrap();
    client.send_to(b"again", address).unwrap();
    let next = std::iter::from_fn(|| replica.recv_from(&mut buffer).ok().map(|(length, _)| length)).find(|length| *length != 4);
    assert_eq!(next, Some(5), "only what came by the VIP arrives");
    scene.drain();
}

/// The picture with one more endpoint, which is on trial.
fn with_trial(mut snapshot: Snapshot, address: SocketAddr) -> Snapshot {
    let id = NonZeroU64::new(2).unwrap();
    let replica = Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: Default::default() };
    let aside = Aside { endpoint: Endpoint { id: EndpointId(id), replica: Arc::new(replica) }, trial: Some(Arc::default()) };
    let unsettled = Some(Box::new(Unsettled { aside: Box::new([aside]), young: None }));
    snapshot.external.services = Arc::from([Arc::new(Service { unsettled, ..Service::clone(&snapshot.external.services[0]) })]);
    snapshot
}

#[test]
fn one_request_at_a_time_is_a_trial_and_what_came_of_it_is_told_once() {
    let (well, heads) = replica(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"; 2]);
    let tried = StdListener::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(10));
    socket2::SockRef::from(&tried).set_read_timeout(patience).unwrap();
    let mut scene = Scene::new(with_trial(snapshot(1, Some(well), None), tried.local_addr().unwrap()));
    let front = scene.listen(Speaks::Http, Exposure::External, StdListener::bind("127.0.0.1:0").unwrap());
    let ask = || {
        let mut client = StdStream::connect(front).unwrap();
        client.set_read_timeout(patience).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        client
    };
    let first = ask();
    let (mut trial, _) = tried.accept().unwrap();
    read_until(&mut trial, b"\r\n\r\n");
    assert!(read_until(&mut ask(), b"\r\n\r\n").starts_with("HTTP/1.1 200 "), "another goes to the one that is well");
    drop(first);
    assert_eq!(trial.read(&mut [0]).unwrap(), 0, "its client left, and nothing came of it");
    let mut second = ask();
    let (mut trial, _) = tried.accept().unwrap();
    read_until(&mut trial, b"\r\n\r\n");
    trial.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(read_until(&mut second, b"\r\n\r\n").starts_with("HTTP/1.1 503 "));
    assert!(read_until(&mut ask(), b"\r\n\r\n").starts_with("HTTP/1.1 200 "), "the trial is over, whatever the picture says");
    heads.join().unwrap();
    scene.shared.orders[0].send(Order::Drain).unwrap();
    scene.worker.join().unwrap();
    scene.reports.close();
    let told = std::iter::from_fn(|| scene.reports.blocking_recv()).filter_map(|report| match report {
        Report::Tried { replica, well, .. } => Some((replica.id.0.get(), well)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(2, false)]);
}
