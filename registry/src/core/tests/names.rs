//! Outside names: who may be led to, and where their addresses may be.

use super::Exposure::{External, Internal};
use super::*;

fn settings(allow: &[&str], inside: &[&str]) -> Settings {
    let read = |hosts: &[&str]| hosts.iter().map(|host| HostPattern::parse_ingress(host).unwrap()).collect();
    Settings { workers: 1, external_names: read(allow), external_names_inside: read(inside), ..Settings::default() }
}

/// `a/out` leads to this name on port 8443, and is served as `out.example` on both sides.
fn leads(name: &str, pairs: &[(&str, &str)]) -> Vec<Object> {
    let mut out = Service { service_type: ServiceType::ExternalName(name.into()), selector: None, ..service("a/out", pairs) };
    out.ports[0].target_port = PortRef::Number(8443);
    let rules = [("out.example", "/", "out")];
    vec![object(out), object(ingress("a/out", None, &rules)), object(ingress("a/in", Some("tidegate-internal"), &rules))]
}

fn world(settings: &Settings, objects: Vec<Object>) -> Registry {
    let mut registry = Registry::new(settings, Saved::default());
    registry.set_own_addresses(OwnAddresses { listeners: Vec::new(), local: vec!["192.0.2.7".parse().unwrap()] });
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry.publish(T);
    registry
}

fn answers(registry: &mut Registry, name: &str, addresses: &[&str]) {
    let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    registry.apply(Event::Resolved(name.into(), Ok(addresses)), T);
}

#[test]
fn a_name_that_is_not_allowed_is_refused_and_never_asked_for() {
    for allow in [&[][..], &["other.example"], &["*.partner.example"]] {
        let registry = world(&settings(allow, &[]), leads("partner.example", &[]));
        assert!(registry.names().is_empty());
        let snapshot = registry.published.clone().unwrap();
        for side in [External, Internal] {
            assert_eq!(route(&snapshot, side, "out.example", "/"), "Host");
        }
        let told = problems(&registry, Reason::NotExposed);
        assert!(told.iter().all(|text| text.contains("fix: add `partner.example` to externalName.allow")) && told.len() == 2, "{told:?}");
    }
}

#[test]
fn an_allowed_name_has_the_addresses_that_dns_says_and_is_asked_by_its_name() {
    let mut registry = world(&settings(&["*.example"], &[]), leads("partner.example", &[]));
    assert_eq!(registry.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["partner.example"]);
    answers(&mut registry, "partner.example", &["198.51.100.2", "198.51.100.1", "0.0.0.0", "224.0.0.1", "::"]);
    let snapshot = publish(&mut registry);
    for side in [External, Internal] {
        assert_eq!(addresses(&snapshot, side, "a/out"), ["198.51.100.1:8443", "198.51.100.2:8443"]);
        assert_eq!(find(&snapshot, side, "a/out").unwrap().host.as_deref(), Some("partner.example:8443"));
    }
    assert!(snapshot.internal.listeners.is_empty(), "it has no virtual IP");
    let first = ids(&snapshot, "a/out");
    // Nobody answers: the last answer serves, and is stale.
    let silent = Problem::warning(Reason::Unreadable, "DNS does not answer");
    registry.apply(Event::Resolved("partner.example".into(), Err(silent)), Duration::from_secs(9));
    assert!(registry.publish(T).is_none());
    assert!(problems(&registry, Reason::Unreadable)[0].contains("Service a/out"));
    let source = registry.sources(Duration::from_secs(10)).into_iter().find(|source| source.name == "dns:partner.example").unwrap();
    assert_eq!((&*source.state, source.objects, source.age_s), ("stale", 2, 10.0));
    // An answer that says nobody is an answer.
    answers(&mut registry, "partner.example", &["198.51.100.1"]);
    assert_eq!(ids(&publish(&mut registry), "a/out"), first[..1], "who stays keeps their id");
    answers(&mut registry, "partner.example", &[]);
    assert!(addresses(&publish(&mut registry), External, "a/out").is_empty());
    // Another name forgets the first.
    again(&mut registry, leads("other.example", &[]));
    publish(&mut registry);
    assert_eq!(registry.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["other.example"]);
    assert!(registry.sources(T).iter().all(|source| source.name != "dns:partner.example"));
    again(&mut registry, Vec::new());
    publish(&mut registry);
    assert!(registry.names().is_empty());
}

/// DNS rebinding: the answer is anybody's.
#[test]
fn outside_no_name_leads_to_this_machine_to_metadata_or_to_the_service_cidr() {
    let inward = [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "127.96.0.9",
        "192.0.2.7",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
    ];
    let mut registry = world(&settings(&["partner.example"], &[]), leads("partner.example", &[]));
    for address in inward {
        answers(&mut registry, "partner.example", &[address, "198.51.100.1"]);
        let snapshot = registry.publish(T).or(registry.published.clone()).unwrap();
        assert_eq!(addresses(&snapshot, External, "a/out"), ["198.51.100.1:8443"], "{address}");
        assert_eq!(addresses(&snapshot, Internal, "a/out").len(), 2, "{address}");
        assert!(problems(&registry, Reason::NotExposed)[0].contains("externalName.allowInside does not list partner.example"), "{address}");
    }
    let mut named = world(&settings(&["partner.example"], &["partner.example"]), leads("partner.example", &[]));
    answers(&mut named, "partner.example", &inward);
    let all = addresses(&publish(&mut named), External, "a/out").len();
    assert_eq!(all, inward.len() - 1, "allowed by name; two of them are one");
}

#[test]
fn no_name_carries_a_sealed_address_or_leads_to_a_virtual_ip_or_out_of_a_seal() {
    let sealed = || vec![namespace("b", &[SEAL]), object(pod("b/db-1", "db", "10.0.0.2"))];
    let mut db = service("b/db", &[]);
    db.ports[0].target_port = PortRef::Number(8443);
    db.cluster_ip = ClusterIp::Asked("127.96.0.9".parse().unwrap());
    let vip = ServicePort { name: "vip".into(), port: 8443, ..db.ports[0].clone() };
    db.ports.push(vip);
    let objects = sealed().into_iter().chain([object(db)]).chain(leads("partner.example", &[])).collect();
    let mut registry = world(&settings(&["partner.example"], &["partner.example"]), objects);
    answers(&mut registry, "partner.example", &["10.0.0.2", "10.0.0.3", "127.96.0.9"]);
    let snapshot = publish(&mut registry);
    assert_eq!(addresses(&snapshot, External, "a/out"), ["10.0.0.3:8443"]);
    assert_eq!(addresses(&snapshot, Internal, "a/out"), ["10.0.0.2:8443", "10.0.0.3:8443"]);
    // Sealed itself, it is inside alone.
    let mut inner = world(&settings(&["partner.example"], &[]), leads("partner.example", &[SEAL]));
    answers(&mut inner, "partner.example", &["198.51.100.1"]);
    let snapshot = publish(&mut inner);
    assert_eq!(route(&snapshot, External, "out.example", "/"), "Host");
    assert_eq!(addresses(&snapshot, Internal, "a/out"), ["198.51.100.1:8443"]);
}

#[test]
fn what_dns_said_is_forgotten_with_the_last_way_to_the_name() {
    let (with, without) = (leads("partner.example", &[]), leads("partner.example", &[]).into_iter().take(1).collect::<Vec<_>>());
    let mut registry = world(&settings(&["partner.example"], &[]), with.clone());
    answers(&mut registry, "partner.example", &["198.51.100.1"]);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/out").len(), 1);
    again(&mut registry, without);
    assert!(addresses(&publish(&mut registry), Internal, "a/out").is_empty(), "nobody asks any more whether it is still there");
    answers(&mut registry, "partner.example", &["198.51.100.1"]);
    assert!(registry.publish(T).is_none(), "an answer that comes too late is nobody's");
    again(&mut registry, with);
    assert!(addresses(&publish(&mut registry), External, "a/out").is_empty(), "DNS is asked first");
}

#[test]
fn a_name_that_nothing_is_heard_of_for_long_is_stale_and_its_addresses_serve() {
    let at = Duration::from_secs;
    let mut registry = world(&settings(&["*.example"], &[]), leads("partner.example", &[]));
    answers(&mut registry, "partner.example", &["198.51.100.1"]);
    publish(&mut registry);
    assert!(!registry.miss_silent(at(400)));
    assert!(registry.miss_silent(at(401)));
    assert!(!registry.miss_silent(at(406)), "it is told once");
    let view = registry.sources(at(406)).into_iter().find(|view| view.name == "dns:partner.example").unwrap();
    assert_eq!((view.state.as_str(), view.age_s, view.objects), ("stale", 406.0, 1));
    assert!(registry.publish(T).is_none());
    answers(&mut registry, "partner.example", &["198.51.100.1"]);
    assert!(registry.sources(at(407)).iter().all(|view| view.state == "ok"));
}
