//! What Services carry outside by themselves: node ports and load balancers.

use std::net::SocketAddr;

use super::Exposure::{External, Internal};
use super::*;
use crate::snapshot::{ServiceListener, Socket, Way};
use crate::state::Grant;

fn of(name: &str, service_type: ServiceType, pairs: &[(&str, &str)]) -> Service {
    Service { service_type, ..service(name, pairs) }
}

/// `a/web` of this type, with a pod.
fn web(service_type: ServiceType, change: impl FnOnce(&mut Service)) -> Vec<Object> {
    let mut web = of("a/web", service_type, &[]);
    change(&mut web);
    vec![object(web), object(pod("a/web-1", "web", "10.0.0.1"))]
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// `WAY SERVICE ADDRESS` of all that is bound outside.
fn outside(snapshot: &Snapshot) -> Vec<String> {
    let shown = |(socket, listener): (&Socket, &ServiceListener)| {
        assert_eq!(snapshot.external.service(listener.service).name, listener.name);
        format!("{} {}", listener.shown(), socket.address)
    };
    let mut all: Vec<String> = snapshot.external.listeners.iter().map(shown).collect();
    all.sort();
    all
}

fn with_local(objects: Vec<Object>) -> Registry {
    let mut registry = registry(objects);
    registry.set_own_addresses(OwnAddresses { listeners: vec![at("0.0.0.0:8080")], local: vec!["192.0.2.7".parse().unwrap()] });
    registry
}

#[test]
fn a_node_port_is_bound_outside_and_a_seal_closes_it() {
    for (pairs, expected) in [(&[][..], vec!["node-port a/web:80 0.0.0.0:30080"]), (&[SEAL], vec![])] {
        let mut asked = of("a/web", ServiceType::NodePort, pairs);
        asked.ports[0].node_port = Some(30_080);
        let mut registry = with_local(vec![object(asked), object(pod("a/web-1", "web", "10.0.0.1"))]);
        let snapshot = publish(&mut registry);
        assert_eq!(outside(&snapshot), expected);
        assert_eq!(snapshot.external.services.len(), expected.len(), "what is sealed does not exist there");
        assert_eq!(addresses(&snapshot, Internal, "a/web"), ["10.0.0.1:8080"], "its VIP stays");
        assert_eq!(problems(&registry, Reason::NotExposed).len(), 1 - expected.len());
        let row = &registry.services()[0];
        assert_eq!((row.node_port, row.outside.len()), (Some(30_080), expected.len()));
        assert_eq!(registry.exposure()[0].by.iter().any(|by| by == "node-port 0.0.0.0:30080"), !expected.is_empty());
        assert_eq!(registry.exposure()[0].exposure, if expected.is_empty() { "internal" } else { "external" });
    }
}

#[test]
fn a_seal_that_comes_and_goes_closes_and_opens_the_same_port() {
    let mut registry = with_local(web(ServiceType::NodePort, |_| {}));
    let first = outside(&publish(&mut registry));
    assert_eq!(first, ["node-port a/web:80 0.0.0.0:30000"]);
    let sealed = web(ServiceType::NodePort, |_| {}).into_iter().chain([namespace("a", &[SEAL])]).collect();
    again(&mut registry, sealed);
    assert!(outside(&publish(&mut registry)).is_empty());
    again(&mut registry, web(ServiceType::NodePort, |_| {}));
    assert_eq!(outside(&publish(&mut registry)), first);
    assert_eq!(registry.lifted().len(), 1, "and that is told");
}

#[test]
fn node_ports_are_saved_beside_the_addresses() {
    let mut first = registry(web(ServiceType::NodePort, |_| {}));
    publish(&mut first);
    let grants = first.unsaved().grants.unwrap();
    assert!(grants.iter().any(|grant| matches!(grant, Grant::NodePort { number: 30_000, .. })), "{grants:?}");
    let other = of("a/aaa", ServiceType::NodePort, &[]);
    let objects = web(ServiceType::NodePort, |_| {}).into_iter().chain([object(other)]).collect();
    let mut second = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved { grants, ..Saved::default() });
    second.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    assert_eq!(outside(&publish(&mut second)), ["node-port a/aaa:80 0.0.0.0:30001", "node-port a/web:80 0.0.0.0:30000"]);
}

#[test]
fn a_load_balancer_is_where_it_asks_to_be_when_that_is_here() {
    for (asked, expected) in [(None, "0.0.0.0:80"), (Some("192.0.2.7"), "192.0.2.7:80"), (Some("198.51.100.1"), "0.0.0.0:80")] {
        let mut registry = with_local(web(ServiceType::LoadBalancer, |service| {
            service.carrier = Carrier { ip: asked.map(|ip| ip.parse().unwrap()), node_ports: false, ..Carrier::default() };
        }));
        assert_eq!(outside(&publish(&mut registry)), [format!("load-balancer a/web:80 {expected}")]);
        assert_eq!(problems(&registry, Reason::NotServed).len(), usize::from(asked == Some("198.51.100.1")), "{asked:?}");
    }
    let mut inside = with_local(web(ServiceType::LoadBalancer, |service| service.carrier.ip = Some("127.96.0.9".parse().unwrap())));
    assert_eq!(outside(&publish(&mut inside)), ["node-port a/web:80 0.0.0.0:30000"], "an address of the service CIDR is for the inside");
    assert_eq!(problems(&inside, Reason::AddressRefused).len(), 1);
}

#[test]
fn source_ranges_hold_for_all_that_a_load_balancer_binds() {
    let ranges = || vec!["198.51.100.0/24".parse().unwrap()];
    let mut registry = with_local(web(ServiceType::LoadBalancer, |service| service.carrier.sources = ranges()));
    let snapshot = publish(&mut registry);
    assert_eq!(outside(&snapshot), ["load-balancer a/web:80 0.0.0.0:80", "node-port a/web:80 0.0.0.0:30000"]);
    for listener in snapshot.external.listeners.values() {
        assert!(listener.lets_in("198.51.100.9".parse().unwrap()) && listener.lets_in("::ffff:198.51.100.9".parse().unwrap()));
        assert!(!listener.lets_in("203.0.113.1".parse().unwrap()) && !listener.lets_in("127.0.0.1".parse().unwrap()));
    }
    assert!(registry.exposure()[0].by.contains(&"load-balancer 0.0.0.0:80 from 198.51.100.0/24".to_owned()));
    // A change of the ranges alone is a new picture.
    again(&mut registry, web(ServiceType::LoadBalancer, |_| {}));
    assert!(publish(&mut registry).external.listeners.values().all(|listener| listener.sources.is_empty()));
}

#[test]
fn another_class_is_another_load_balancers_and_its_node_ports_stay() {
    let class = |name: &str| web(ServiceType::LoadBalancer, |service| service.carrier.class = Some(name.into()));
    let mut other = with_local(class("other.example/lb"));
    assert_eq!(outside(&publish(&mut other)), ["node-port a/web:80 0.0.0.0:30000"]);
    assert!(problems(&other, Reason::NotServed)[0].contains("`other.example/lb`"));
    assert_eq!(outside(&publish(&mut with_local(class("tidegate.dev/load-balancer")))).len(), 2);
}

#[test]
fn a_clash_refuses_that_socket_alone() {
    let mut old = of("a/old", ServiceType::LoadBalancer, &[]);
    old.meta.created = Some(1);
    let mut young = of("a/young", ServiceType::LoadBalancer, &[]);
    young.ports.push(ServicePort { name: "more".into(), port: 81, ..young.ports[0].clone() });
    young.ports.push(ServicePort { name: "own".into(), port: 8080, ..young.ports[0].clone() });
    for service in [&mut old, &mut young] {
        service.carrier.node_ports = false;
    }
    let mut registry = with_local(vec![object(young), object(old)]);
    assert_eq!(outside(&publish(&mut registry)), ["load-balancer a/old:80 0.0.0.0:80", "load-balancer a/young:81 0.0.0.0:81"]);
    let told = problems(&registry, Reason::Conflict);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|text| text.contains("spec.ports[0].port") && text.contains("load-balancer of Service a/old:80")), "{told:?}");
    assert!(told.iter().any(|text| text.contains("our own listener 0.0.0.0:8080")), "{told:?}");
}

#[test]
fn a_field_that_nobody_knows_closes_the_way_out() {
    let odd = |service: &mut Service| service.unknown_fields = vec!["spec.loadBalancerSourceRange".into()];
    let mut registry = with_local(web(ServiceType::LoadBalancer, odd));
    let snapshot = publish(&mut registry);
    assert!(outside(&snapshot).is_empty() && snapshot.external.services.is_empty());
    assert_eq!(problems(&registry, Reason::NotExposed).len(), 1);
}

#[test]
fn strict_mode_closes_what_does_not_say_external() {
    let strict = Settings { exposure_mode: ExposureMode::Strict, ..Settings::default() };
    let mut registry = Registry::new(&strict, Saved::default());
    let open = object(of("a/open", ServiceType::NodePort, &[OPEN]));
    registry.apply(batch(true, vec![("m/all.yaml", manifest(web(ServiceType::NodePort, |_| {}).into_iter().chain([open]).collect()))]), T);
    let snapshot = publish(&mut registry);
    assert_eq!(outside(&snapshot).len(), 1);
    assert!(outside(&snapshot)[0].starts_with("node-port a/open:80"));
    assert!(problems(&registry, Reason::NotExposed)[0].contains("strict mode"));
}

/// A slice of `a/web` names the database of the sealed namespace `b`, and our own node port.
#[test]
fn a_node_port_carries_no_sealed_address_and_leads_to_no_listener_of_ours() {
    let mut stolen = slice("a/web-1", "web", &["10.0.0.1", "10.0.0.2"]);
    stolen.ports[0].port = 30_080;
    stolen.endpoints.push(SliceEndpoint { ip: "192.0.2.7".parse().unwrap(), ..stolen.endpoints[0].clone() });
    stolen.endpoints.push(SliceEndpoint { ip: "127.0.0.1".parse().unwrap(), ..stolen.endpoints[0].clone() });
    let mut web = of("a/web", ServiceType::NodePort, &[]);
    web.ports[0].node_port = Some(30_080);
    web.selector = None;
    let mut db = service("b/db", &[]);
    db.ports[0].target_port = PortRef::Number(30_080);
    let sealed = vec![namespace("b", &[SEAL]), object(db), object(pod("b/db-1", "db", "10.0.0.2"))];
    let mut registry = with_local(sealed.into_iter().chain([object(web.clone()), object(stolen.clone())]).collect());
    let snapshot = publish(&mut registry);
    assert_eq!(addresses(&snapshot, External, "a/web"), ["10.0.0.1:30080"]);
    assert_eq!(addresses(&snapshot, Internal, "a/web"), ["10.0.0.1:30080", "10.0.0.2:30080"]);
    assert_eq!(problems(&registry, Reason::AddressRefused).len(), 2);
    // Once the node port is another one, nobody listens there.
    web.ports[0].node_port = Some(30_081);
    again(&mut registry, vec![object(web), object(stolen)]);
    assert_eq!(addresses(&publish(&mut registry), External, "a/web").len(), 4);
}

#[test]
fn a_service_that_is_routed_and_has_a_node_port_is_outside_once() {
    let way = object(ingress("a/way", None, &[("web.example", "/", "web")]));
    let mut registry = with_local(web(ServiceType::NodePort, |_| {}).into_iter().chain([way]).collect());
    let snapshot = publish(&mut registry);
    assert_eq!((snapshot.external.services.len(), outside(&snapshot).len()), (1, 1));
    assert_eq!(registry.exposure()[0].by.len(), 3, "{:?}", registry.exposure());
}

#[test]
fn datagrams_have_node_ports_at_each_address_so_that_answers_come_from_there() {
    let mut registry = with_local(web(ServiceType::NodePort, |service| service.ports[0].protocol = Protocol::Udp));
    assert_eq!(outside(&publish(&mut registry)), ["node-port a/web:80/UDP 192.0.2.7:30000"]);
}

#[test]
fn local_policies_use_the_endpoints_of_this_node() {
    let settings = |node: Option<&str>| Settings { workers: 1, node_name: node.map(str::to_owned), ..Settings::default() };
    let on = |name: &str, ip: &str, node: Option<&str>| object(Pod { node: node.map(Name::from), ..pod(name, "web", ip) });
    let objects = |local_only: LocalOnly| {
        let way = object(ingress("a/way", None, &[("web.example", "/", "web")]));
        let pods = [on("a/1", "10.0.0.1", Some("one")), on("a/2", "10.0.0.2", Some("two")), on("a/3", "10.0.0.3", None)];
        let web = Service { local_only, ..of("a/web", ServiceType::NodePort, &[]) };
        [object(web), way].into_iter().chain(pods).collect::<Vec<_>>()
    };
    let count = |snapshot: &Snapshot, exposure: Exposure, through: Way| {
        let plane = snapshot.plane(exposure);
        let listener = plane.listeners.values().find(|listener| listener.way == through).unwrap();
        plane.service(listener.service).endpoints.len()
    };
    let mut unnamed = Registry::new(&settings(None), Saved::default());
    let both = LocalOnly { inside: true, outside: true };
    unnamed.apply(batch(true, vec![("m/all.yaml", manifest(objects(both)))]), T);
    let snapshot = publish(&mut unnamed);
    assert_eq!((count(&snapshot, External, Way::NodePort), count(&snapshot, Internal, Way::Vip)), (3, 3), "without a name all is here");

    let mut named = Registry::new(&settings(Some("one")), Saved::default());
    named.apply(batch(true, vec![("m/all.yaml", manifest(objects(LocalOnly::default())))]), T);
    let snapshot = publish(&mut named);
    assert_eq!((count(&snapshot, External, Way::NodePort), count(&snapshot, Internal, Way::Vip)), (3, 3));
    for (local_only, expected) in
        [(LocalOnly { inside: true, outside: false }, (3, 2)), (both, (2, 2)), (LocalOnly { inside: false, outside: true }, (2, 3))]
    {
        again(&mut named, objects(local_only));
        let snapshot = publish(&mut named);
        assert_eq!((count(&snapshot, External, Way::NodePort), count(&snapshot, Internal, Way::Vip)), expected, "{local_only:?}");
        let Action::Forward(index) = &snapshot.external.routes.find("web.example", "/").unwrap().action else { panic!("no route") };
        assert_eq!(snapshot.external.service(*index).endpoints.len(), 3, "a route goes to the endpoints themselves");
    }
    // Places are given back in any order.
    again(&mut named, objects(LocalOnly::default()));
    assert_eq!(publish(&mut named).internal.services.len(), 1);
    again(&mut named, objects(both));
    publish(&mut named);
    again(&mut named, Vec::new());
    let empty = publish(&mut named);
    assert!(empty.internal.services.is_empty() && empty.external.services.is_empty() && empty.external.listeners.is_empty());
}

#[test]
fn external_ips_are_not_served_and_that_is_said() {
    let ips = Service { external_ips: vec!["192.0.2.1".parse().unwrap()], ..service("a/ips", &[]) };
    let mut registry = with_local(vec![object(ips)]);
    assert!(outside(&publish(&mut registry)).is_empty());
    assert_eq!(problems(&registry, Reason::NotServed).len(), 1);
}
