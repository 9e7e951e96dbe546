use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use config::exposure::Exposure;
use config::host::{HostPattern, MAX_HOST, normalise};
use config::object::{PathType, Protocol, ServiceKey};
use registry::route::{Action, Route, RouteTable, RouteTableBuilder};
use registry::snapshot::{Endpoint, EndpointId, Plane, PortName, Replica, ReplicaId, Service, ServiceIndex};

use super::*;
use crate::http::body::BodyReader;
use crate::http::decide::{Decision, decide};
use crate::http::head::{HeadLimits, RequestHead};

fn scene() -> Scene {
    Scene {
        external_host: "shop.localhost".to_owned(),
        external: "127.0.0.1:8080".parse().unwrap(),
        sealed_service: "db".to_owned(),
        sealed_namespace: "data".to_owned(),
        sealed_host: "leak.localhost".to_owned(),
        internal_host: "db.internal".to_owned(),
        vip: "127.96.0.2:5432".parse().unwrap(),
        replica: "127.40.0.7:5432".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
    }
}

#[test]
fn names_and_requests_are_unique() {
    let names: HashSet<_> = TRICKS.iter().map(|trick| trick.name).collect();
    assert_eq!(names.len(), TRICKS.len(), "two tricks share a name");
    let requests: HashSet<_> = TRICKS.iter().map(|trick| trick.bytes(&scene())).collect();
    assert_eq!(requests.len(), TRICKS.len(), "two tricks send the same bytes");
    assert!(TRICKS.len() >= 60, "{} tricks", TRICKS.len());
}

#[test]
fn every_placeholder_resolves() {
    for trick in TRICKS {
        let mut rest = trick.request;
        while let Some((_, placeholder, after)) = next_placeholder(rest) {
            assert!(scene().value(placeholder).is_some(), "{}: {{{placeholder}}}", trick.name);
            rest = after;
        }
        assert!(!trick.bytes(&scene()).contains(&b'{'), "{}", trick.name);
        assert!(!trick.why.is_empty() && !trick.name.contains(' '), "{}", trick.name);
    }
}

#[test]
fn addresses_are_spelled_as_resolvers_read_them() {
    let scene = scene();
    for (placeholder, text) in [
        ("vip-mapped", "[::ffff:127.96.0.2]"),
        ("vip-decimal", "2136997890"),
        ("vip-hex", "0x7f600002"),
        ("vip-octal", "0177.0140.00.02"),
        ("vip-dashes", "127-96-0-2"),
    ] {
        assert_eq!(scene.value(placeholder).as_deref(), Some(text));
    }
}

#[test]
fn only_a_refusal_counts_as_refused() {
    let secret = b"s3cret";
    let ok = |answer: &[u8]| refused(answer, secret);
    assert!(ok(b""));
    assert!(ok(b"HTTP/1.1 404 Not Found\r\n\r\n"));
    assert!(ok(b"HTTP/1.1 400 Bad Request\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n"));
    assert!(ok(b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0"), "HTTP/2 that greets and answers nothing");
    assert!(!ok(b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88"), "HEADERS");
    assert!(!ok(b"\0\0\0\x04\0\0\0\0\0\0\0"), "half a frame");
    assert!(!ok(b"HTTP/1.1 200 OK\r\n\r\n"), "a success");
    assert!(!ok(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "somebody was asked");
    assert!(!ok(b"HTTP/1.1 404 Not Found\r\n\r\ns3cret"), "the secret in a refusal");
    assert!(!ok(b"HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "a second answer behind the first");
    assert!(!ok(b"s3cret"), "raw bytes of the inside");
    assert!(!ok(b"# TYPE tidegate_snapshot_version gauge"), "our own metrics");
}

/// An external plane with the public site, a wildcard under it, and nothing else.
fn plane() -> Plane {
    let id = NonZeroU64::MIN;
    let replica = Replica {
        id: ReplicaId(id),
        address: "127.40.0.1:8080".parse().unwrap(),
        pod: None,
        speaks: Default::default(),
        load: Default::default(),
    };
    let name = PortName { service: ServiceKey { namespace: "web".into(), name: "shop".into() }, port: 8080, protocol: Protocol::Tcp };
    let endpoints = Box::new([Endpoint { id: EndpointId(id), replica: Arc::new(replica) }]);
    let service = Service { endpoints, ..Service::unreachable(name, 0) };
    let mut routes = RouteTableBuilder::default();
    for host in ["shop.localhost", "*.shop.localhost"] {
        let host = HostPattern::parse_ingress(host).unwrap();
        let action = Action::Forward(ServiceIndex(0));
        routes
            .add(Route {
                owner: "Ingress web/shop".into(),
                host,
                path_type: PathType::Prefix,
                path: "/".into(),
                action,
                client: None,
                filters: None,
            })
            .unwrap();
    }
    let refused = Arc::new(RouteTable::default());
    Plane {
        exposure: Exposure::External,
        routes: Arc::new(routes.build()),
        refused,
        certificates: Arc::default(),
        services: [Arc::new(service)].into(),
        listeners: Default::default(),
        names: Default::default(),
    }
}

/// Whether the first request in these bytes would be sent to a replica: the reader, the host and the decision that serve traffic.
fn forwards(plane: &Plane, bytes: &[u8]) -> bool {
    let mut head = RequestHead::new(HeadLimits { bytes: 64 * 1024, fields: 100 });
    let Ok(Some(length)) = head.read(bytes) else { return false };
    if BodyReader::new(head.framing()).advance(&bytes[length..]).is_err() {
        return false; // what is here of the body is judged before a replica is asked
    }
    let authority = head.authority().map_or(&[][..], |span| span.of(bytes));
    let mut buf = [0; MAX_HOST];
    let host = if authority.is_empty() { Ok("") } else { normalise(authority, &mut buf) };
    let path = std::str::from_utf8(head.path().of(bytes)).unwrap_or("/");
    host.is_ok_and(|host| matches!(decide(plane, host, path), Decision::Forward { .. }))
}

#[test]
fn no_forbidden_trick_finds_a_route() {
    let plane = plane();
    assert!(forwards(&plane, b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"), "the public site serves");
    for trick in TRICKS.iter().filter(|trick| trick.expect == Expect::Refused) {
        assert!(!forwards(&plane, &trick.bytes(&scene())), "{}: {}", trick.name, trick.why);
    }
}

#[test]
fn a_trick_that_may_see_the_public_site_could_see_it() {
    let plane = plane();
    for trick in TRICKS.iter().filter(|trick| trick.expect == Expect::PublicOrRefused) {
        assert!(forwards(&plane, &trick.bytes(&scene())), "{} is refused before a replica is asked: say that it must be", trick.name);
    }
}
