//! What is internal cannot be reached from outside by HTTP/2 either, by whatever host or path.

use std::time::Duration;

use proxy::tricks::{Expect, Scene as Place, TRICKS, leaks};
use tidegate_tests::frames::Frames;
use tidegate_tests::objects::{app, ingress_of, namespace, tcp};

use super::*;

const SECRET: &str = "s3cret-of-the-inside";

/// A public app, and a service that is only inside: its host, a sealed one, and a database in a sealed Namespace.
fn inside() -> (Tidegate, Replica, Replica, Place, Net) {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let db = Replica::start(&net, "db-0", Behaviour::TcpGreet(SECRET.into()));
    let rules = [
        ingress("data/leak", "leak.example", &[path("Prefix", "/", "db", net.port())]),
        ingress_of("tidegate-internal", "data/inside", "db.inside", &[path("Prefix", "/", "db", net.port())]),
        ingress("data/wild", "*.leak.example", &[path("Prefix", "/", "db", net.port())]),
    ];
    let gate = Setup::new(&net)
        .manifest("seal.yaml", namespace("data", "tidegate.dev/exposure: internal"))
        .manifest("web.yaml", app(&net, "web", "shop.example", &[&web]))
        .manifest("db.yaml", tcp(&net, "data/db", net.port(), &[&db]))
        .manifest("rules.yaml", file(&rules))
        .flag("--internal-http", "127.0.0.1:0")
        .start();
    let rows = gate.rows("services");
    let vip = rows.iter().find(|row| row["name"] == "db").and_then(|row| row["vip"].as_str()?.parse().ok()).expect("a VIP");
    let place = Place {
        external_host: "shop.example".to_owned(),
        external: gate.http(),
        sealed_service: "db".to_owned(),
        sealed_namespace: "data".to_owned(),
        sealed_host: "leak.example".to_owned(),
        internal_host: "db.inside".to_owned(),
        vip: SocketAddr::new(vip, net.port()),
        replica: db.address(),
        admin: gate.admin(),
    };
    (gate, web, db, place, net)
}

/// The fields of a request, pseudo fields first, in order.
type Said = Vec<(String, String)>;

/// A trick of HTTP/1 in the words of HTTP/2: its target as path, its Host as authority, all else as fields. `None` when it has no head.
fn said_in_two(bytes: &[u8]) -> Option<(Said, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n").skip_while(|line| line.is_empty());
    let mut words = lines.next()?.splitn(3, ' ');
    let (method, target) = (words.next()?, words.next()?);
    let fields: Said =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let mut said = vec![(":method".to_owned(), method.to_owned()), (":scheme".to_owned(), "http".to_owned())];
    let mut hosts = fields.iter().filter(|(name, _)| name == "host");
    said.extend(hosts.next().map(|(_, host)| (":authority".to_owned(), host.clone())));
    said.push((":path".to_owned(), target.to_owned()));
    said.extend(hosts.cloned());
    said.extend(fields.into_iter().filter(|(name, _)| name != "host"));
    Some((said, bytes[end + 4..].to_vec()))
}

/// Sends it, and says what is wrong with what came back.
fn try_it(place: &Place, fields: &[(String, String)], body: &[u8], public: bool) -> Option<String> {
    let mut client = Frames::connect(place.external);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let stream = client.ask(&fields, body.is_empty());
    if !body.is_empty() {
        client.data(stream, body, true);
    }
    // Every answer is here once the connection has nothing more to do.
    client.until("an answer", |client| client.on(stream).end.is_some());
    client.until_quiet(Duration::from_millis(20));
    let refused = client.answers().all(|answer| answer.status == 0 || (400..500).contains(&answer.status));
    let held = !leaks(&client.content(), SECRET.as_bytes()) && (public || refused);
    (!held).then(|| format!("{fields:?}: {:?}", client.answers().collect::<Vec<_>>()))
}

#[test]
fn every_trick_is_refused() {
    let (gate, web, db, place, _net) = inside();
    let before = db.connections();
    let mut said: Vec<_> = TRICKS
        .iter()
        .filter_map(|trick| {
            let (fields, body) = said_in_two(&trick.bytes(&place))?;
            // What HTTP/1 smuggles with its framing is an ordinary request to the public site here, or none at all.
            let public =
                |value: &str| value.to_lowercase().split(':').next().map(|host| host.trim_end_matches('.')) == Some("shop.example");
            let to_public = fields.iter().any(|(name, value)| name == ":authority" && public(value));
            Some((fields, body, to_public || trick.expect == Expect::PublicOrRefused))
        })
        .collect();
    let tricks = said.len();
    // What only HTTP/2 can say.
    let names = [&place.internal_host, &place.sealed_host, &place.vip.to_string(), &place.admin.to_string()].map(Clone::clone);
    for inner in names.iter().map(String::as_str) {
        let line = |authority: &str, path: &str, more: &[(&str, &str)]| {
            let first = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)];
            first.iter().chain(more).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        said.push((line("shop.example", "/", &[("host", inner)]), Vec::new(), true));
        said.push((line(inner, "/", &[("host", "shop.example")]), Vec::new(), false));
        said.push((line(inner, "/", &[("host", inner)]), Vec::new(), false));
        said.push((line("shop.example", &format!("http://{inner}/"), &[]), Vec::new(), false));
        said.push((line("shop.example", &format!("//{inner}/"), &[]), Vec::new(), true));
        said.push((line("shop.example", &format!("/ HTTP/1.1\r\nHost: {inner}\r\n\r\n"), &[]), Vec::new(), false));
        said.push((line(&format!("shop.example\r\nHost: {inner}"), "/", &[]), Vec::new(), false));
        said.push((line("shop.example", "/", &[("x-a", format!("b\r\nHost: {inner}\r\n\r\nGET / HTTP/1.1").as_str())]), Vec::new(), true));
        said.push((line("shop.example", "/", &[(format!("x\r\nhost: {inner}\r\nx").as_str(), "b")]), Vec::new(), true));
        let mut connect = line(inner, "/", &[]);
        connect[0].1 = "CONNECT".to_owned();
        said.push((connect.clone(), Vec::new(), false));
        connect.insert(1, (":protocol".to_owned(), "websocket".to_owned()));
        said.push((connect, b"ping".to_vec(), false));
        let mut scheme = line(inner, "/", &[]);
        scheme[1].1 = "https".to_owned();
        said.push((scheme, Vec::new(), false));
    }
    let failed: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = said
            .chunks(said.len().div_ceil(8))
            .map(|part| {
                let place = &place;
                scope.spawn(move || {
                    part.iter().filter_map(|(fields, body, public)| try_it(place, fields, body, *public)).collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().expect("a stranger panicked")).collect()
    });
    println!("{tricks} tricks of HTTP/1 and {} of HTTP/2 tried", said.len() - tricks);
    assert!(tricks > 100, "only {tricks} of the tricks were understood");
    assert!(failed.is_empty(), "{} of {} got through:\n{}", failed.len(), said.len(), failed.join("\n"));
    assert_eq!(db.connections(), before, "the database was connected to");
    let hosts: Vec<_> = web.received().iter().flat_map(|request| request.all("host")).map(|host| host.to_lowercase()).collect();
    assert!(hosts.iter().all(|host| host.starts_with("shop.example")), "another host reached the public app: {hosts:?}");
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0", "the public app still serves");
}

/// A test of the test: what is refused outside exists inside.
#[test]
fn the_same_service_answers_inside() {
    let (gate, _web, db, place, _net) = inside();
    let before = db.connections();
    let answer = Frames::connect(gate.listener("internal-http")).fetch(&place.internal_host, "/");
    assert_eq!(answer.status, 502, "the database speaks no HTTP, but it was asked");
    assert!(db.connections() > before);
}

#[test]
fn a_request_that_is_public_opens_no_way_for_the_next() {
    let (_gate, _web, db, place, _net) = inside();
    let before = db.connections();
    let mut client = Frames::connect(place.external);
    for turn in 0..20 {
        assert_eq!(client.fetch("shop.example", "/").status, 200);
        assert_eq!(client.fetch(if turn % 2 == 0 { "db.inside" } else { "leak.example" }, "/").status, 404);
    }
    // Both at once, and the inner one behind a body of the public one.
    let first = client.post("shop.example", "/");
    let second = client.get("db.inside", "/");
    client.data(first, b"GET / HTTP/1.1\r\nHost: db.inside\r\n\r\n", true);
    assert_eq!((client.answer(first).status, client.answer(second).status), (200, 404));
    assert_eq!(db.connections(), before);
}

#[test]
fn a_stranger_is_not_heard_on_an_internal_listener() {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let inside = net.replica_ip();
    let rule = ingress_of("tidegate-internal", "web", "web.inside", &[path("Prefix", "/", "web", 80)]);
    let gate = Setup::new(&net)
        .manifest("web.yaml", file(&[tcp(&net, "web", 80, &[&web]), rule]))
        .flag("--internal-http", &format!("{inside}:0"))
        .flag("--internal-cidr", &format!("{}/24", net.pod_ip(0)))
        .start();
    let at = gate.listener("internal-http");
    assert_eq!(Frames::connect_from(inside, at).fetch("web.inside", "/").status, 200, "who belongs here is heard");
    let mut stranger = Frames::connect(at);
    let stream = stranger.get("web.inside", "/");
    stranger.closed();
    assert_eq!(stranger.on(stream).status, 0, "a stranger was answered");
    assert_eq!(web.requests(), 1);
}
