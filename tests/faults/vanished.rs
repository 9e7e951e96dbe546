//! Replicas whose machine vanishes without a word: connections to them stand, and nothing on them comes to anything.
//!
//! `limits.vanishedMs` is short here, so that what ends, ends by it; where something else must end it, that is the default and longer than
//! any test waits.

use std::net::IpAddr;

use tidegate_tests::objects::service_at;
use tidegate_tests::wait::glance;
use tidegate_tests::{Does, Http2Replica, Machine, await_until};

use super::*;

const SHORT: &str = "limits: {vanishedMs: 1000, connectTimeoutMs: 500, endpointWaitMs: 0}\n";
const EJECTS: &str = "outlier: {consecutiveFailures: 1, baseEjectionMs: 600000, maxEjectionMs: 600000}\n";

/// How a client asks.
type Asks = fn(&Tidegate, &str) -> Seen;
const BOTH: [Asks; 2] = [by_http_1, by_http_2];

/// A service behind `app.example` whose replicas are asked in turn.
fn in_turn(net: &Net, said: &str, protocol: &str, replicas: &[(&str, IpAddr)]) -> String {
    let service = service("app", 80, net.port()).replace("{port: 80", &format!("{{{protocol}port: 80"));
    let annotated = format!("metadata: {{annotations: {{tidegate.dev/balance: round-robin{said}}}, ");
    let ingress = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]).replace("metadata: {", &annotated);
    let pods = replicas.iter().map(|(name, ip)| pod(name, "app", *ip));
    file(&[service, ingress].into_iter().chain(pods).collect::<Vec<_>>())
}

/// A gate before a replica on a machine that can vanish, and maybe another one.
struct Scene {
    gate: Tidegate,
    gone: Replica,
    other: Option<Replica>,
    machine: Machine,
}

impl Scene {
    /// `None`: there can be no such machine.
    fn new(config: &str, said: &str, behaviour: Behaviour, other: bool) -> Option<Scene> {
        let net = Net::take();
        let machine = Machine::start(&net)?;
        let gone = machine.replica("gone", behaviour);
        let other = other.then(|| Replica::start(&net, "other", Behaviour::Named));
        let replicas: Vec<_> = [Some(&gone), other.as_ref()].into_iter().flatten().map(|replica| (replica.name(), replica.ip())).collect();
        let gate = Setup::new(&net).config(config).manifest("app.yaml", in_turn(&net, said, "", &replicas)).start();
        Some(Scene { gate, gone, other, machine })
    }

    /// As many requests as there are replicas: each is asked once.
    fn ask_each(&self, asks: Asks, method: &str) -> Vec<Seen> {
        (0..=usize::from(self.other.is_some())).map(|_| asks(&self.gate, method)).collect()
    }

    /// Each has an idle connection, and then one is gone.
    fn vanish_idle(&mut self) {
        assert!(self.ask_each(by_http_1, "GET").iter().all(|seen| *seen == Seen::Status(200)));
        assert_eq!(self.gone.open(), 1);
        self.machine.vanish();
    }
}

/// How many were lost; all others were answered.
fn lost(seen: &[Seen]) -> usize {
    let lost = seen.iter().filter(|seen| **seen == Seen::Status(502)).count();
    assert_eq!(seen.iter().filter(|seen| **seen == Seen::Status(200)).count() + lost, seen.len(), "{seen:?}");
    lost
}

#[test]
fn an_idle_connection_to_it_costs_no_get_while_there_is_another_and_each_request_ends_in_time() {
    std::thread::scope(|scope| {
        for (asks, method, other) in BOTH
            .into_iter()
            .flat_map(|asks| [("GET", true), ("POST", true), ("GET", false), ("POST", false)].map(|(method, other)| (asks, method, other)))
        {
            let Some(mut scene) = Scene::new(SHORT, "", Behaviour::Named, other) else { return };
            scope.spawn(move || {
                scene.vanish_idle();
                let began = Instant::now();
                let lost = lost(&scene.ask_each(asks, method));
                assert!(began.elapsed() < SOON, "{method}, another: {other}: {:?}", began.elapsed());
                // What was written may have been processed, whatever became of the machine: a POST is not sent again.
                assert_eq!(lost, usize::from(method == "POST" || !other), "{method}, another: {other}");
                assert_eq!(refused(&scene.gate, "upstream-reset"), lost as f64, "{method}, another: {other}");
            });
        }
    });
}

#[test]
fn a_request_without_an_answer_ends_by_the_time_of_its_route_or_else_by_that_of_the_machine() {
    std::thread::scope(|scope| {
        let by_route = (", tidegate.dev/read-timeout: 400ms", 504, "timeout-request");
        let by_machine = ("", 502, "upstream-reset");
        for (asks, (said, status, reason)) in BOTH.into_iter().flat_map(|asks| [(asks, by_route), (asks, by_machine)]) {
            let Some(mut scene) = Scene::new(SHORT, said, Behaviour::Held, false) else { return };
            scope.spawn(move || {
                let Scene { gate, gone, machine, .. } = &mut scene;
                std::thread::scope(|scope| {
                    let request = scope.spawn(|| asks(gate, "POST"));
                    await_until("it is under way", || gone.requests() == 1);
                    machine.vanish();
                    let began = Instant::now();
                    assert_eq!(request.join().expect("the client panicked"), Seen::Status(status), "{reason}");
                    assert!(began.elapsed() < SOON, "{reason}: {:?}", began.elapsed());
                });
                assert_eq!(refused(gate, reason), 1.0);
            });
        }
    });
}

#[test]
fn a_get_that_waits_for_its_answer_is_answered_by_another_replica() {
    std::thread::scope(|scope| {
        for asks in BOTH {
            let Some(mut scene) = Scene::new(SHORT, "", Behaviour::Held, true) else { return };
            scope.spawn(move || {
                let Scene { gate, gone, machine, .. } = &mut scene;
                std::thread::scope(|scope| {
                    let requests = [(); 2].map(|()| scope.spawn(|| asks(gate, "GET")));
                    await_until("one is under way", || gone.requests() == 1);
                    machine.vanish();
                    for request in requests {
                        assert_eq!(request.join().expect("the client panicked"), Seen::Status(200));
                    }
                });
            });
        }
    });
}

#[test]
fn half_an_answer_is_cut_in_time() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let Some(mut scene) = Scene::new(SHORT, "", Behaviour::Pieces(vec![half.to_vec(), b"never".to_vec()]), false) else { return };
    let mut one = Client::connect(scene.gate.http());
    one.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    one.through(b"half").expect("the beginning");
    let mut two = Frames::connect(scene.gate.http());
    let stream = two.get("app.example", "/");
    two.until("the beginning", |client| client.on(stream).body == b"half");
    scene.machine.vanish();
    let began = Instant::now();
    assert!(one.closed(), "it cannot look whole");
    assert!(matches!(two.answer(stream).end, Some(End::Reset(_))), "nor here: {:?}", two.on(stream));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(refused(&scene.gate, "upstream-reset"), 2.0);
}

/// A Service with a replica on a machine that can vanish, for opaque connections.
struct Opaque {
    gate: Tidegate,
    replica: Replica,
    machine: Machine,
    service: String,
    vip: SocketAddr,
}

impl Opaque {
    /// `None`: there can be no such machine.
    fn new(config: &str, behaviour: Behaviour) -> Option<Opaque> {
        let net = Net::take();
        let machine = Machine::start(&net)?;
        let replica = machine.replica("db-0", behaviour);
        let service = service_at("db", net.vip(9), net.port(), net.port());
        let gate = Setup::new(&net).config(config).manifest("db.yaml", file(&[service.clone(), pod("db-0", "db", replica.ip())])).start();
        let vip = gate.listener(&format!("vip default/db:{}", net.port()));
        Some(Opaque { gate, replica, machine, service, vip })
    }

    /// A client whose bytes come back.
    fn echoed(&self) -> Client {
        let mut client = Client::connect(self.vip);
        client.send("ping");
        assert_eq!(client.exactly(4).expect("an echo"), b"ping");
        client
    }
}

#[test]
fn an_opaque_connection_ends_in_good_order_once_the_picture_says_that_its_replica_is_gone() {
    let Some(mut db) = Opaque::new("limits: {replicaDrainMs: 500}\n", Behaviour::TcpEcho) else { return };
    let (mut idle, mut busy) = (db.echoed(), db.echoed());
    db.machine.vanish();
    busy.send("more");
    db.gate.write("db.yaml", &db.service);
    assert_eq!(idle.rest().expect("an end, not a reset"), b"");
    assert_eq!(busy.rest().expect("an end, not a reset"), b"");
}

#[test]
fn an_opaque_connection_whose_replica_is_not_known_to_be_gone_is_reset_in_time() {
    let Some(mut db) = Opaque::new(SHORT, Behaviour::TcpEcho) else { return };
    let (mut idle, mut busy) = (db.echoed(), db.echoed());
    db.machine.vanish();
    let began = Instant::now();
    busy.send("more");
    assert!(busy.closed() && idle.closed(), "what was sent is not acknowledged, and nobody answers whether he is there");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // While it is not known to be gone it is tried, for as long as a connection may take.
    assert!(Client::try_connect(db.vip).and_then(|mut client| client.exactly(1)).is_err(), "no connection to it stands");
}

#[test]
fn one_that_is_there_and_quiet_is_not_taken_for_gone() {
    let Some(db) = Opaque::new(SHORT, Behaviour::TcpEcho) else { return };
    let (mut quiet, mut talks) = (db.echoed(), db.echoed());
    let began = Instant::now();
    // Twice as long as it takes for one that is gone.
    while began.elapsed() < Duration::from_secs(4) {
        talks.send("ping");
        assert_eq!(talks.exactly(4).expect("an echo"), b"ping");
        glance();
    }
    quiet.send("ping");
    assert_eq!(quiet.exactly(4).expect("its connection stands"), b"ping");
    assert_eq!(db.replica.connections(), 2);
}

#[test]
fn one_that_takes_nothing_for_as_long_is_taken_for_gone_though_it_is_there() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::NeverRead);
    let service = service_at("db", net.vip(9), net.port(), net.port());
    let gate = Setup::new(&net).config(SHORT).manifest("db.yaml", file(&[service, pod("db-0", "db", replica.ip())])).start();
    let mut client = Client::connect(gate.listener(&format!("vip default/db:{}", net.port())));
    client.send("a head\r\n\r\n");
    await_until("it to have read all that it reads", || replica.requests() == 1);
    let began = Instant::now();
    client.send(vec![b'x'; 64 << 20]); // more than all buffers on the way hold
    assert!(client.closed());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// The row of an endpoint.
fn is_ejected(gate: &Tidegate, ip: IpAddr, why: &str) -> bool {
    let rows = gate.rows("endpoints");
    let row = rows.iter().find(|row| row["address"].as_str().is_some_and(|address| address.starts_with(&format!("{ip}:"))));
    let row = row.unwrap_or_else(|| panic!("no {ip} in {rows:?}"));
    row["state"] == "Ejected" && row["why"].as_str().is_some_and(|said| said.contains(why))
}

#[test]
fn a_connection_that_stood_and_comes_to_nothing_is_a_failure_of_its_replica() {
    // Only one of two requests is sent to it, on the connection that stands, and neither is sent again.
    let config = format!("{SHORT}{EJECTS}");
    for asks in BOTH {
        let Some(mut scene) = Scene::new(&config, "", Behaviour::Named, true) else { return };
        scene.vanish_idle();
        assert_eq!(lost(&scene.ask_each(asks, "POST")), 1);
        await_until("its ejection", || is_ejected(&scene.gate, scene.gone.ip(), "outlier"));
    }
}

#[test]
fn the_same_of_one_that_speaks_http_2() {
    let net = Net::take();
    let Some(mut machine) = Machine::start(&net) else { return };
    let gone = machine.start_there(|address| Http2Replica::at(address, "gone", Does::Echo, 100));
    let other = Http2Replica::start(&net, "other", Does::Echo, 100);
    let replicas = [&gone, &other].map(|replica| (replica.name(), replica.ip()));
    let manifest = in_turn(&net, "", "appProtocol: kubernetes.io/h2c, ", &replicas);
    let gate = Setup::new(&net).config(&format!("{SHORT}{EJECTS}")).manifest("app.yaml", manifest).start();
    let each = |method| [by_http_1, by_http_2].map(|asks| asks(&gate, method));
    assert_eq!(lost(&each("GET")), 0);
    assert_eq!((gone.open(), other.open()), (1, 1));
    machine.vanish();
    assert_eq!(lost(&each("POST")), 1);
    await_until("its ejection", || is_ejected(&gate, gone.ip(), "outlier"));
    assert_eq!(lost(&each("GET")), 0);
}

#[test]
fn probes_find_it() {
    let net = Net::take();
    let Some(mut machine) = Machine::start(&net) else { return };
    let gone = machine.replica("gone", Behaviour::Named);
    let probe = format!("{{periodSeconds: 1, failureThreshold: 1, httpGet: {{port: {}}}}}", net.port());
    let probed = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: gone, labels: {{app: app}}}}\n\
         spec: {{containers: [{{name: app, image: app, readinessProbe: {probe}}}]}}\nstatus: {{phase: Running, podIP: {}}}\n",
        gone.ip()
    );
    let manifest = file(&[in_turn(&net, "", "", &[]), probed]);
    let gate = Setup::new(&net).config("limits: {endpointWaitMs: 0}\n").manifest("app.yaml", manifest).start();
    await_until("it to be ready", || by_http_1(&gate, "GET") == Seen::Status(200));
    machine.vanish();
    await_until("its probe to fail", || is_ejected(&gate, gone.ip(), "probe: no answer within 1 s"));
    gate.await_newer(0);
    assert_eq!(by_http_1(&gate, "GET"), Seen::Status(503), "nobody is sent there");
}
