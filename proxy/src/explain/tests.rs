use std::sync::Arc;

use config::exposure::Exposure::{External, Internal};
use config::host::HostPattern;
use config::object::{AppProtocol, Bounds, Protocol};
use config::tls::Certificate;
use registry::certificate::CertificateTableBuilder;
use registry::snapshot::{Bounded, ServiceIndex, Socket, Way};

use super::*;

fn ask(url: &str, from: Exposure) -> Explanation {
    ask_with(url, from, "GET", &[])
}

fn ask_with(url: &str, from: Exposure, method: &str, headers: &[&str]) -> Explanation {
    let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    let listener = ListenerState::bound("http", External, "HTTP", ([0, 0, 0, 0], 8080).into());
    explain(&worlds::shop(), &[listener], &Question::new(url, from, method, &headers).unwrap())
}

#[test]
fn a_request_that_is_served_names_rule_service_and_endpoints() {
    let said = ask("http://SHOP.example:8080/cart/1?secret=x#top", External);
    assert_eq!((said.outcome, said.status, said.reason.as_deref()), (Outcome::Forward, None, None));
    assert_eq!((said.host.as_str(), said.path.as_str()), ("shop.example", "/cart/1"));
    assert_eq!(said.service.as_deref(), Some("x/web:80"));
    assert_eq!(said.route.unwrap().owner, "Ingress x/y");
    assert_eq!(said.endpoints.len(), 2);
    assert_eq!(said.listener.as_deref(), Some("http 0.0.0.0:8080"));
    assert_eq!(said.notes, Vec::<String>::new());
}

#[test]
fn how_an_endpoint_is_picked_is_said_with_whoever_says_it() {
    let said = |change: fn(&mut Service)| {
        let mut snapshot = worlds::shop();
        let mut service = Service::clone(&snapshot.external.services[0]);
        change(&mut service);
        snapshot.external.services = Arc::from([Arc::new(service), snapshot.external.services[1].clone()]);
        explain(&snapshot, &[], &Question::new("http://shop.example/cart", External, "GET", &[]).unwrap())
    };
    assert_eq!(said(|_| {}).balance.as_deref(), Some("least-busy"));
    let of_service = said(|service| service.balance = Some(Balance::RoundRobin));
    assert_eq!(of_service.balance.as_deref(), Some("round-robin (annotation of the Service)"));
    let kept = said(|service| (service.balance, service.affinity_s) = (Some(Balance::RoundRobin), Some(60)));
    assert_eq!(kept.balance.as_deref(), Some("client-ip (sessionAffinity of the Service)"));
    const MOST: Bounds = Bounds { in_flight: Some(400), endpoint_in_flight: None, pending: Some(50) };
    let bounded = said(|service| service.bounded = Bounded::renewed(MOST, None));
    assert_eq!(bounded.bounds.as_deref(), Some("max-in-flight 400, max-pending 50 (annotations of the Service)"));
    let near = said(|service| service.near = 1);
    assert!(near.notes.iter().any(|note| note.starts_with("the first 1 of 2 endpoints are near")), "{:?}", near.notes);
    assert_eq!(ask("http://shop.example/empty", External).balance, None);
}

#[test]
fn a_miss_says_what_was_near() {
    let said = ask("http://shop.example/kart", External);
    assert_eq!((said.status, said.reason.as_deref()), (Some(404), Some("no-route")));
    assert!(said.notes.iter().any(|note| note.contains("/cart (Prefix)")), "{:?}", said.notes);
    let said = ask("http://shop.exmaple/cart", External);
    assert!(said.notes.iter().any(|note| note.contains("serves shop.example")), "{:?}", said.notes);
    let said = ask("http://admin.example/", External);
    assert!(said.notes.iter().any(|note| note.contains("--from internal")), "{:?}", said.notes);
}

#[test]
fn a_refused_exposure_names_its_seal_and_is_a_plain_miss() {
    let said = ask("http://db.example/", External);
    assert_eq!((said.status, said.reason.as_deref(), said.service), (Some(404), Some("no-route"), None));
    assert!(said.notes.iter().any(|note| note == "not-exposed: Service x/db is sealed by Namespace x"), "{:?}", said.notes);
}

#[test]
fn nobody_ready_is_a_503() {
    let said = ask("http://shop.example/empty", External);
    assert_eq!((said.status, said.reason.as_deref()), (Some(503), Some("no-endpoint")));
    assert_eq!(said.service.as_deref(), Some("x/empty:80"));
}

#[test]
fn hostile_requests_get_the_answer_that_serving_gives() {
    for url in ["http://user@shop.example/cart", "http://a..b/", "http://shop.example:99999/"] {
        let said = ask(url, External);
        assert_eq!((said.status, said.reason.as_deref()), (Some(400), Some("bad-request")), "{url}");
    }
    let twice = ask_with("http://shop.example/cart", External, "GET", &["Content-Length: 1", "Transfer-Encoding: chunked"]);
    assert_eq!(twice.status, Some(400));
    assert_eq!(ask_with("http://shop.example/cart", External, "CONNECT", &[]).status, Some(400));
    let host = ask_with("http://elsewhere.example/cart", External, "GET", &["Host: shop.example"]);
    assert_eq!((host.outcome, host.host.as_str()), (Outcome::Forward, "shop.example"));
}

#[test]
fn a_vip_is_there_for_the_inside_alone() {
    let inside = ask("http://127.96.0.2:5432/", Internal);
    assert_eq!((inside.outcome, inside.service.as_deref()), (Outcome::Forward, Some("x/db:80")));
    for name in ["db", "DB.x", "db.x.svc", "db.x.svc.cluster.local."] {
        let named = ask(&format!("http://{name}:5432/"), Internal);
        assert_eq!((named.outcome, named.listener), (inside.outcome, inside.listener.clone()), "{name}");
    }
    for other in ["http://db:80/", "http://db.y:5432/", "http://db.x.svc.elsewhere:5432/", "http://127.96.0.3:5432/"] {
        assert_eq!(ask(other, Internal).reason.as_deref(), Some("no-route"), "{other}");
    }
    assert_eq!(ask("http://127.96.0.2:5432/", External).reason.as_deref(), Some("no-route"));
}

#[test]
fn a_vip_is_told_by_what_it_speaks() {
    use AppProtocol::{Grpc, H2c, Http, Https, Opaque};
    let said = |app| {
        let mut world = worlds::shop();
        let mut services = world.internal.services.to_vec();
        let balance = Some(Balance::Hash(HashBy::Header("x-user".into())));
        services[1] = Arc::new(Service { app, balance, ..Service::clone(&services[1]) });
        world.internal.services = services.into();
        explain(&world, &[], &Question::new("http://127.96.0.2:5432/", Internal, "GET", &[]).unwrap())
    };
    for (app, note, balance) in [
        (Http, "its appProtocol says HTTP", "hash header x-user"),
        (H2c, "its appProtocol says HTTP", "hash header x-user"),
        (Grpc, "its appProtocol says HTTP", "hash header x-user"),
        (Https, "a Service's own port is opaque TCP", "least-request"),
        (Opaque, "a Service's own port is opaque TCP", "least-request"),
    ] {
        let said = said(app);
        assert!(said.notes.iter().any(|text| text.starts_with(note)), "{app:?}: {:?}", said.notes);
        assert!(said.balance.as_deref().unwrap().starts_with(balance), "{app:?}: {:?}", said.balance);
    }
}

#[test]
fn a_node_port_is_told_by_its_port_and_whom_it_lets_in() {
    let mut world = worlds::shop();
    let name = world.external.services[0].name.clone();
    let sources = Arc::from(["198.51.100.0/24".parse().unwrap()]);
    let listener = ServiceListener { way: Way::NodePort, service: ServiceIndex(0), name, sources };
    let socket = Socket::new(Protocol::Tcp, "0.0.0.0:30080".parse().unwrap());
    world.external.listeners = Arc::new([(socket, listener)].into_iter().collect());
    let ask = |url, from| explain(&world, &[], &Question::new(url, from, "GET", &[]).unwrap());
    for url in ["http://192.0.2.1:30080/x", "http://any.example:30080/", "https://192.0.2.1:30080/"] {
        let said = ask(url, External);
        assert_eq!(said.listener.as_deref(), Some("node-port x/web:80 0.0.0.0:30080"), "{url}");
        assert_eq!((said.outcome, said.endpoints.len()), (Outcome::Forward, 2), "{url}");
        assert!(said.notes.iter().any(|note| note.contains("198.51.100.0/24")), "{:?}", said.notes);
        assert!(ask(url, Internal).listener.is_none_or(|listener| !listener.starts_with("node-port")), "{url}");
    }
    assert!(ask("http://shop.example/cart", External).route.is_some());
}

#[test]
fn affinity_is_told() {
    let mut world = worlds::shop();
    let mut services = world.external.services.to_vec();
    services[0] = std::sync::Arc::new(Service { affinity_s: Some(600), ..Service::clone(&services[0]) });
    world.external.services = services.into();
    let said = explain(&world, &[], &Question::new("http://shop.example/cart", External, "GET", &[]).unwrap());
    assert!(said.notes.iter().any(|note| note.contains("keeps its endpoint until 600 s")), "{:?}", said.notes);
}

#[test]
fn only_http_urls_are_explained() {
    let new = |url| Question::new(url, External, "GET", &[]);
    assert!(new("https://a/").unwrap().https && !new("http://a/").unwrap().https);
    assert!(new("shop.example/cart").is_err() && new("ftp://a/").is_err());
    assert!(new("http://shop.example").is_ok());
}

#[test]
fn a_connection_in_tls_needs_a_certificate_and_carries_no_other_host() {
    let mut world = worlds::shop();
    let mut certificates = CertificateTableBuilder::default();
    for host in ["shop.example", "admin.example"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let issued = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
        let certificate = Certificate::from_pem(issued.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let secret = format!("x/{host}").into();
        certificates.add(&"Ingress x/y".into(), &HostPattern::parse_ingress(host).unwrap(), &secret, &certificate).unwrap();
    }
    world.external.certificates = Arc::new(certificates.build());
    let ask = |url: &str, headers: &[String]| explain(&world, &[], &Question::new(url, External, "GET", headers).unwrap());
    let served = ask("https://Shop.example/cart", &[]);
    assert_eq!((served.outcome, served.service.as_deref()), (Outcome::Forward, Some("x/web:80")));
    assert!(served.notes.contains(&"certificate for shop.example: Secret x/shop.example (Ingress x/y)".to_owned()), "{:?}", served.notes);
    for none in ["https://other.example/", "https://127.0.0.1/", "https://db.example/"] {
        let said = ask(none, &[]);
        assert_eq!((said.outcome, said.status, said.reason), (Outcome::Refuse, None, None), "{none}");
        assert!(said.why.contains("unrecognized_name"), "{}", said.why);
    }
    let said = ask("https://admin.example/cart", &["Host: shop.example".to_owned()]);
    assert_eq!((said.status, said.reason.as_deref()), (Some(421), Some("misdirected")));
}

#[test]
fn what_is_no_request_is_no_question() {
    let new = |url: &str, method: &str, headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
        Question::new(url, External, method, &headers).map_err(|error| error.to_string())
    };
    let url = "http://shop.example/";
    assert!(new(url, "PURGE", &["x-a:", "X-B: c: d"]).is_ok());
    for wrong in ["http:///cart", "http://?x", "http://shop.example/a b", "http://shop.example/\r\nX: y", "http://shop.example/\0"] {
        assert!(new(wrong, "GET", &[]).unwrap_err().contains("fix:"), "{wrong:?}");
    }
    for wrong in ["", "G ET", "GET\r\n", "G:T", "GÄT"] {
        assert!(new(url, wrong, &[]).unwrap_err().starts_with("method "), "{wrong:?}");
    }
    for wrong in ["nocolon", ": x", "a b: c", "a : b", "a: b\r\nc: d", "a: \0"] {
        assert!(new(url, "GET", &["x: y", wrong]).unwrap_err().starts_with("header "), "{wrong:?}");
    }
}
