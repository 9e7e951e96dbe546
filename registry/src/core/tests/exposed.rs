//! Who can be reached from outside.

use super::Exposure::{External, Internal};
use super::*;

/// `a/web` and `b/db`, each with a pod.
fn world() -> Vec<Object> {
    vec![
        object(service("a/web", &[])),
        object(pod("a/web-1", "web", "10.0.0.1")),
        object(service("b/db", &[])),
        object(pod("b/db-1", "db", "10.0.0.2")),
    ]
}

fn with(more: Vec<Object>) -> Registry {
    registry(world().into_iter().chain(more).collect())
}

fn way(name: &str, host: &str) -> Object {
    let (_, service) = name.split_once('/').unwrap();
    object(ingress(name, None, &[(host, "/", service)]))
}

#[test]
fn outside_there_is_only_what_an_external_route_names() {
    let mut registry = with(vec![way("a/web", "web.example")]);
    let snapshot = publish(&mut registry);
    assert_eq!(snapshot.external.services.len(), 1);
    assert_eq!(addresses(&snapshot, External, "a/web"), ["10.0.0.1:8080"]);
    assert_eq!(route(&snapshot, External, "web.example", "/x"), "a/web:80");
    assert_eq!(addresses(&snapshot, Internal, "b/db"), ["10.0.0.2:8080"]);
    assert!(snapshot.internal.routes.routes().is_empty(), "an external Ingress is not on the inside");
    assert_eq!(registry.problems(), []);
    let rows = registry.exposure();
    let sides: Vec<_> = rows.iter().map(|row| (&*row.service, &*row.exposure)).collect();
    assert_eq!(sides, [("a/web:80", "external"), ("b/db:80", "internal")]);
    assert_eq!(rows[0].by, ["http web.example / (Ingress a/web)", "vip 127.96.0.2:80"]);
    assert_eq!(rows[1].by, ["vip 127.96.0.3:80"]);
}

#[test]
fn an_internal_ingress_is_never_outside() {
    let inner = ingress("a/web", Some("tidegate-internal"), &[("web.example", "/", "web")]);
    let mut registry = with(vec![object(inner)]);
    let snapshot = publish(&mut registry);
    assert!(snapshot.external.services.is_empty() && snapshot.external.routes.routes().is_empty());
    assert_eq!(route(&snapshot, Internal, "web.example", "/"), "a/web:80");
}

#[test]
fn a_sealed_service_keeps_its_vip_and_loses_its_way_out() {
    for seal in [SEAL, ("tidegate.dev/exposure", "intrenal"), ("tidegate.dev/exposre", "internal")] {
        let mut registry = with(vec![namespace("b", &[seal]), way("b/db", "db.example")]);
        let snapshot = publish(&mut registry);
        assert_eq!(route(&snapshot, External, "db.example", "/"), "Host");
        assert!(snapshot.external.services.is_empty());
        let refused = snapshot.external.refused.find("db.example", "/").unwrap();
        assert!(matches!(&refused.action, Action::Refused(why) if why.contains("Namespace b")));
        assert_eq!(addresses(&snapshot, Internal, "b/db"), ["10.0.0.2:8080"]);
        assert_eq!(snapshot.internal.listeners.len(), 2);
        let told = problems(&registry, Reason::NotExposed);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("m/all.yaml: Ingress b/db: spec.rules[0].http.paths[0].backend.service.name:"), "{told:?}");
    }
}

#[test]
fn a_seal_that_comes_later_closes_the_way_and_its_removal_opens_it() {
    let open = || world().into_iter().chain([way("b/db", "db.example")]);
    let mut registry = registry(open().collect());
    assert_eq!(route(&publish(&mut registry), External, "db.example", "/"), "b/db:80");
    again(&mut registry, open().chain([namespace("b", &[SEAL])]).collect());
    assert_eq!(route(&publish(&mut registry), External, "db.example", "/"), "Host");
    again(&mut registry, open().collect());
    assert_eq!(route(&publish(&mut registry), External, "db.example", "/"), "b/db:80");
}

/// `a/thief` is outside and its slice names addresses of others; namespace `b` is sealed.
fn theft(addresses: &[&str]) -> Vec<Object> {
    let thief = Service { selector: None, ..service("a/thief", &[]) };
    let stolen = slice("a/thief-1", "thief", addresses);
    vec![namespace("b", &[SEAL]), way("a/thief", "thief.example"), object(thief), object(stolen)]
}

#[test]
fn a_seal_covers_its_addresses_whoever_else_names_them() {
    let stolen = theft(&["10.0.0.1", "10.0.0.2"]);
    let mut registry = with(stolen.clone());
    let snapshot = publish(&mut registry);
    assert_eq!(addresses(&snapshot, External, "a/thief"), ["10.0.0.1:8080"]);
    assert_eq!(addresses(&snapshot, Internal, "a/thief"), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert!(problems(&registry, Reason::NotExposed)[0].contains("10.0.0.2:8080 is an address of Service b/db"));
    // Once the sealed service has left the address, it is free.
    again(&mut registry, stolen.into_iter().chain([object(service("b/db", &[]))]).collect());
    assert_eq!(addresses(&publish(&mut registry), External, "a/thief"), ["10.0.0.1:8080", "10.0.0.2:8080"]);
}

#[test]
fn a_seal_covers_pods_that_are_not_ready_or_leaving_and_all_their_addresses() {
    let mut both = pod("b/db-1", "db", "10.0.0.2");
    both.ips.push("10.0.0.3".parse().unwrap());
    let unready = Pod { ready: false, ..both.clone() };
    let mut leaving = both.clone();
    leaving.meta.deleting = true;
    for hidden in [both, unready, leaving] {
        let objects = theft(&["10.0.0.2", "10.0.0.3", "10.0.0.4"]).into_iter().chain([object(service("b/db", &[])), object(hidden)]);
        assert_eq!(addresses(&publish(&mut registry(objects.collect())), External, "a/thief"), ["10.0.0.4:8080"]);
    }
}

#[test]
fn a_sealed_pod_is_outside_on_no_port() {
    let mut sealed = pod("a/web-1", "web", "10.0.0.1");
    sealed.meta.labels.insert("tidegate.dev/unheard-of".into(), "x".into());
    let objects =
        vec![object(service("a/web", &[])), object(sealed), object(pod("a/web-2", "web", "10.0.0.9")), way("a/web", "web.example")];
    let mut registry = registry(objects);
    let snapshot = publish(&mut registry);
    assert_eq!(addresses(&snapshot, External, "a/web"), ["10.0.0.9:8080"]);
    assert_eq!(addresses(&snapshot, Internal, "a/web").len(), 2);
    assert_eq!(problems(&registry, Reason::Invalid).len(), 1);
    assert!(problems(&registry, Reason::NotExposed)[0].contains("Pod a/web-1"));
}

#[test]
fn strict_mode_lets_out_only_what_says_external() {
    let strict = Settings { exposure_mode: ExposureMode::Strict, ..Settings::default() };
    let mut registry = Registry::new(&strict, Saved::default());
    let open = [object(service("a/open", &[OPEN])), way("a/open", "open.example"), way("a/web", "web.example")];
    registry.apply(batch(true, vec![("m/all.yaml", manifest(world().into_iter().chain(open).collect()))]), T);
    let snapshot = publish(&mut registry);
    assert_eq!(route(&snapshot, External, "web.example", "/"), "Host");
    assert_eq!(route(&snapshot, External, "open.example", "/"), "a/open:80");
    assert!(problems(&registry, Reason::NotExposed)[0].contains("strict mode"));
}

#[test]
fn an_endpoint_that_is_ourselves_is_on_no_plane() {
    let mut loops = slice("a/self-1", "self", &["127.96.0.77", "127.0.0.1", "192.0.2.7", "10.0.0.5", "192.0.2.8"]);
    loops.ports[0].port = 80;
    let vip = Service { cluster_ip: ClusterIp::Asked("127.96.0.77".parse().unwrap()), ..service("b/vip", &[]) };
    let itself = Service { selector: None, ..service("a/self", &[]) };
    let mut registry = registry(vec![object(itself), object(loops), object(vip), way("a/self", "self.example")]);
    registry.set_own_addresses(OwnAddresses {
        listeners: vec!["0.0.0.0:80".parse().unwrap(), "192.0.2.8:80".parse().unwrap()],
        local: vec!["192.0.2.7".parse().unwrap()],
    });
    let snapshot = publish(&mut registry);
    for exposure in [External, Internal] {
        assert_eq!(addresses(&snapshot, exposure, "a/self"), ["10.0.0.5:80"], "{exposure}");
    }
    assert_eq!(problems(&registry, Reason::AddressRefused).len(), 4);
    registry.set_own_addresses(OwnAddresses::default());
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/self").len(), 4, "only the VIP is ours now");
}

#[test]
fn an_endpoint_in_the_claimed_range_is_on_no_plane() {
    let claims = Settings { claim_service_cidr: true, service_cidr: "10.0.0.0/30".parse().unwrap(), ..Settings::default() };
    let mut registry = Registry::new(&claims, Saved::default());
    let pods = ["10.0.0.3", "10.0.0.4"].map(|ip| object(pod(&format!("a/web-{}", &ip[7..]), "web", ip)));
    registry.apply(batch(true, vec![("m/all.yaml", manifest([object(service("a/web", &[]))].into_iter().chain(pods).collect()))]), T);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.4:8080"]);
    let told = problems(&registry, Reason::AddressRefused);
    assert!(told.len() == 1 && told[0].contains("10.0.0.3:8080") && told[0].contains("claims for virtual IPs"), "{told:?}");
}

#[test]
fn a_vip_that_comes_later_takes_an_endpoint_out() {
    let mut loops = slice("a/self-1", "self", &["127.96.0.77"]);
    loops.ports[0].port = 80;
    let objects = vec![object(Service { selector: None, ..service("a/self", &[]) }), object(loops)];
    let mut registry = registry(objects.clone());
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/self").len(), 1);
    let vip = Service { cluster_ip: ClusterIp::Asked("127.96.0.77".parse().unwrap()), ..service("b/vip", &[]) };
    again(&mut registry, objects.into_iter().chain([object(vip)]).collect());
    assert!(addresses(&publish(&mut registry), Internal, "a/self").is_empty());
}

#[test]
fn default_backends_follow_the_same_rules() {
    let mut of_class = ingress("a/all", None, &[]);
    of_class.default_backend = Some(backend("web"));
    let mut of_host = ingress("b/db", None, &[("db.example", "/x", "db")]);
    of_host.default_backend = Some(backend("db"));
    let mut registry = with(vec![namespace("b", &[SEAL]), object(of_class), object(of_host)]);
    let snapshot = publish(&mut registry);
    assert_eq!(route(&snapshot, External, "any.example", "/"), "a/web:80");
    assert_eq!(route(&snapshot, External, "db.example", "/"), "a/web:80", "the sealed default is not there");
    assert_eq!(snapshot.external.services.len(), 1);
    assert_eq!(problems(&registry, Reason::NotExposed).len(), 2);
}

#[test]
fn an_ingress_with_a_label_that_cannot_be_understood_is_refused_outside_only() {
    let mut odd = ingress("a/web", None, &[("web.example", "/", "web")]);
    odd.meta.annotations = labels(&[("tidegate.dev/rewrite", "/x")]);
    let mut outside = with(vec![object(odd.clone())]);
    assert_eq!(route(&publish(&mut outside), External, "web.example", "/"), "Host");
    assert!(problems(&outside, Reason::NotExposed)[0].contains("Ingress a/web"));
    odd.class = Some("tidegate-internal".into());
    assert_eq!(route(&publish(&mut with(vec![object(odd)])), Internal, "web.example", "/"), "a/web:80");
}

#[test]
fn dangling_and_conflicting_rules_are_named_and_cost_only_themselves() {
    let rules = [("web.example", "/", "web"), ("web.example", "/gone", "gone"), ("web.example", "/port", "web")];
    let mut dangling = ingress("a/web", None, &rules);
    dangling.rules[2].paths[0].backend.port = PortRef::Number(81);
    dangling.meta.created = Some(5);
    let late = ingress("a/late", None, &[("web.example", "/", "web"), ("late.example", "/", "web")]);
    let mut registry = with(vec![object(late), object(dangling)]);
    let snapshot = publish(&mut registry);
    assert_eq!(route(&snapshot, External, "web.example", "/x"), "a/web:80");
    assert!(route(&snapshot, External, "web.example", "/gone").contains("there is no Service a/gone"));
    assert!(route(&snapshot, External, "web.example", "/port").contains("has no port `81`"));
    assert_eq!(route(&snapshot, External, "late.example", "/"), "a/web:80");
    let (missing, conflicts) = (problems(&registry, Reason::NotFound), problems(&registry, Reason::Conflict));
    assert!(missing.iter().any(|text| text.contains("one of: 80 (http)")), "{missing:?}");
    assert!(conflicts[0].contains("Ingress a/late: spec.rules[0].http.paths[0].path") && conflicts[0].contains("by Ingress a/web"));
    assert_eq!((missing.len(), conflicts.len()), (2, 1));
}

#[test]
fn a_udp_port_is_no_way_in_and_a_tcp_port_of_the_same_number_is() {
    let mut dns = service("a/dns", &[]);
    dns.ports[0].protocol = Protocol::Udp;
    let mut registry = with(vec![object(dns.clone()), way("a/dns", "dns.example")]);
    let snapshot = publish(&mut registry);
    assert_eq!(route(&snapshot, External, "dns.example", "/"), "Host");
    assert!(problems(&registry, Reason::Invalid)[0].contains("is UDP"));
    assert_eq!(find(&snapshot, Internal, "a/dns").map(|served| served.name.to_string()), Some("a/dns:80/UDP".to_owned()));
    let tcp = ServicePort { protocol: Protocol::Tcp, name: "tcp".into(), ..dns.ports[0].clone() };
    dns.ports.push(tcp);
    let mut registry = with(vec![object(dns), way("a/dns", "dns.example")]);
    assert_eq!(route(&publish(&mut registry), External, "dns.example", "/"), "a/dns:80");
}

#[test]
fn a_slice_may_carry_the_seal_of_its_service() {
    for (label, expected) in [(SEAL, "Host"), (("tidegate.dev/x", "y"), "Host"), (OPEN, "a/web:80")] {
        let mut sliced = slice("a/web-1", "web", &["10.0.0.1"]);
        sliced.meta.labels.extend(labels(&[label]));
        let mut registry = with(vec![object(sliced), way("a/web", "web.example")]);
        assert_eq!(route(&publish(&mut registry), External, "web.example", "/"), expected);
        assert_eq!(registry.services()[0].sealed, expected == "Host");
    }
}

#[test]
fn slices_that_lead_nowhere_are_named() {
    let mut odd = slice("a/web-1", "web", &["10.0.0.1"]);
    odd.ports[0].name = "htpp".into();
    let mut registry = with(vec![object(odd), object(slice("a/x-1", "absent", &["10.0.0.1"]))]);
    publish(&mut registry);
    let told = problems(&registry, Reason::NotFound);
    assert!(told.iter().any(|text| text.contains("EndpointSlice a/x-1") && text.contains("there is no Service a/absent")), "{told:?}");
    assert!(told.iter().any(|text| text.contains("EndpointSlice web-1 names the TCP port `htpp`")), "{told:?}");
}
