//! What Services are called by DNS, and what a change of their names costs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::plainly::Plainly;
use super::*;
use crate::snapshot::{Called, NamedHost};

fn world(objects: Vec<Object>) -> (Registry, Arc<Snapshot>) {
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    let snapshot = again(&mut registry, objects).unwrap();
    (registry, snapshot)
}

fn again(registry: &mut Registry, objects: Vec<Object>) -> Option<Arc<Snapshot>> {
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry.publish(T)
}

fn headless(name: &str) -> Service {
    Service { cluster_ip: ClusterIp::Headless, ..service(name, &[]) }
}

/// `NAME=ADDRESS` of whoever is named below a headless service.
fn hosts(snapshot: &Snapshot, namespace: &str, name: &str) -> Vec<String> {
    match snapshot.internal.names.service(namespace, name) {
        Some(Called::Headless(hosts)) => hosts.iter().map(|NamedHost { ip, name, .. }| format!("{name}={ip}")).collect(),
        other => panic!("{other:?}"),
    }
}

fn called_pod(name: &str, ip: &str, hostname: &str, subdomain: &str) -> Pod {
    Pod { hostname: Some(hostname.into()), subdomain: Some(subdomain.into()), ..pod(name, "db", ip) }
}

#[test]
fn a_virtual_ip_has_the_name_of_its_service_and_its_endpoints_cost_no_name() {
    let web = |ip| vec![object(service("a/web", &[])), object(pod("a/web-1", "web", ip))];
    let (mut registry, first) = world(web("10.0.0.1"));
    let Some(Called::Vip { ip: Some(ip), ports }) = first.internal.names.service("a", "web") else { panic!("{first:?}") };
    assert!(first.internal.listeners.keys().any(|socket| socket.address.ip() == *ip));
    assert_eq!((&*ports[0].name, ports[0].port), ("http", 80), "its own port, not the pod's");
    let second = again(&mut registry, web("10.0.0.2")).unwrap();
    assert!(Arc::ptr_eq(&first.internal.names, &second.internal.names));
    assert!(!second.external.names.has_namespace("a"), "outside nothing has a name");
    let third = again(&mut registry, Vec::new()).unwrap();
    assert!(!third.internal.names.has_namespace("a"));
}

#[test]
fn a_virtual_ip_that_cannot_be_given_leaves_the_name() {
    let foreign = Service { cluster_ip: ClusterIp::Asked("192.0.2.1".parse().unwrap()), ..service("a/web", &[]) };
    let (_, snapshot) = world(vec![object(foreign)]);
    assert!(matches!(snapshot.internal.names.service("a", "web"), Some(Called::Vip { ip: None, .. })));
}

#[test]
fn a_headless_service_names_who_is_ready_by_its_host_name_or_its_address() {
    let all = |ready| {
        vec![
            object(headless("a/db")),
            object(called_pod("a/db-0", "10.0.0.1", "db-0", "db")),
            object(called_pod("a/db-1", "10.0.0.2", "db-1", "other")),
            object(pod("a/db-2", "db", "fd00::2")),
            object(Pod { ready, ..pod("a/db-3", "db", "10.0.0.4") }),
            object(Pod { finished: true, ..pod("a/db-4", "db", "10.0.0.5") }),
            object(Pod { meta: Meta { deleting: true, ..meta("a/db-5", &[("app", "db")]) }, ..pod("a/db-5", "db", "10.0.0.6") }),
            object(pod("a/web-0", "web", "10.0.0.7")),
        ]
    };
    let (mut registry, snapshot) = world(all(false));
    let three = ["db-0=10.0.0.1", "10-0-0-2=10.0.0.2", "fd00--2=fd00::2"];
    assert_eq!(hosts(&snapshot, "a", "db"), three);
    let snapshot = again(&mut registry, all(true)).unwrap();
    assert_eq!(hosts(&snapshot, "a", "db"), [three[0], three[1], "10-0-0-4=10.0.0.4", three[2]]);
    let at = |ip: &str| snapshot.internal.names.at(ip.parse().unwrap()).count();
    assert_eq!((at("10.0.0.1"), at("fd00::2"), at("10.0.0.7")), (1, 1, 0));
}

#[test]
fn who_is_not_ready_is_named_where_the_service_says_so() {
    let objects = |publish_not_ready| {
        let service = Service { publish_not_ready, ..headless("a/db") };
        vec![object(service), object(Pod { ready: false, ..pod("a/db-0", "db", "10.0.0.1") })]
    };
    let (mut registry, snapshot) = world(objects(true));
    assert_eq!(hosts(&snapshot, "a", "db"), ["10-0-0-1=10.0.0.1"]);
    let snapshot = again(&mut registry, objects(false)).unwrap();
    assert!(hosts(&snapshot, "a", "db").is_empty());
}

#[test]
fn a_headless_service_without_ports_has_names_too() {
    let (_, snapshot) =
        world(vec![object(Service { ports: Vec::new(), ..headless("a/db") }), object(called_pod("a/db-0", "10.0.0.1", "one", "db"))]);
    assert_eq!(hosts(&snapshot, "a", "db"), ["one=10.0.0.1"]);
    assert!(snapshot.internal.services.is_empty(), "nothing is forwarded for it");
}

#[test]
fn slices_win_over_the_selector_and_give_their_host_names_and_ports() {
    let mut first = slice("a/db-x", "db", &["10.1.0.1", "10.1.0.2"]);
    first.endpoints[0].hostname = Some("one".into());
    let mut second = slice("a/db-y", "db", &["10.1.0.1"]);
    second.endpoints[0].hostname = Some("one".into());
    second.ports[0] = SlicePort { name: "metrics".into(), port: 9000, protocol: Protocol::Tcp };
    let mut lost = slice("a/db-z", "db", &["10.1.0.3"]);
    lost.endpoints[0].ready = false;
    let (_, snapshot) =
        world(vec![object(headless("a/db")), object(pod("a/db-0", "db", "10.0.0.1")), object(first), object(second), object(lost)]);
    assert_eq!(hosts(&snapshot, "a", "db"), ["one=10.1.0.1", "10-1-0-2=10.1.0.2"]);
    let Some(Called::Headless(hosts)) = snapshot.internal.names.service("a", "db") else { panic!() };
    let ports: Vec<(&str, u16)> = hosts[0].ports.iter().map(|port| (&*port.name, port.port)).collect();
    assert_eq!(ports, [("http", 8080), ("metrics", 9000)]);
}

#[test]
fn an_external_name_leads_elsewhere_whether_we_may_connect_there_or_not() {
    let out = Service { service_type: ServiceType::ExternalName("partner.example".into()), ..service("a/out", &[]) };
    let (_, snapshot) = world(vec![object(out)]);
    assert_eq!(snapshot.internal.names.service("a", "out"), Some(&Called::Elsewhere("partner.example".into())));
}

#[test]
fn two_listeners_of_one_name_and_address_are_told_apart_by_their_protocol() {
    let mut registry = Registry::new(&Settings::default(), Saved::default());
    let address = "127.0.0.1:53".parse().unwrap();
    for protocol in ["UDP", "TCP"] {
        registry.report(Report::Listener(ListenerState::bound("dns", Exposure::Internal, protocol, address)), T);
    }
    assert_eq!(registry.listeners().len(), 2);
    registry.report(Report::Closed("dns".into(), address), T);
    assert!(registry.listeners().is_empty());
}

/// Who is named below a headless service, straight from the rules.
fn plainly_named(world: &Plainly<'_>, service: &Service) -> BTreeSet<(String, IpAddr)> {
    let named = |host: Option<&Name>, ip: IpAddr| (host.map_or_else(|| ip.to_string().replace('.', "-"), ToString::to_string), ip);
    if world.slices(service).next().is_some() {
        let any_new = world.slices(service).any(|slice| !slice.legacy);
        let endpoints = world.slices(service).filter(|slice| slice.legacy != any_new).flat_map(|slice| &slice.endpoints);
        return endpoints.filter(|at| at.ready).map(|at| named(at.hostname.as_ref(), at.ip)).collect();
    }
    let ready = world.selected(service).filter(|pod| pod.ready && !pod.meta.deleting);
    let below = |pod: &Pod| pod.subdomain.as_ref() == Some(&service.meta.name);
    ready.filter_map(|pod| Some(named(pod.hostname.as_ref().filter(|_| below(pod)), *pod.ips.first()?))).collect()
}

/// Judges all names of a random world.
pub(super) fn judge(world: &Plainly<'_>, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let table = &snapshot.internal.names;
    let mut answers: BTreeMap<IpAddr, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut exist: BTreeSet<(&str, &str)> = BTreeSet::new();
    for service in world.services() {
        let key = (&*service.meta.namespace, &*service.meta.name);
        exist.insert(key);
        let called = table.service(key.0, key.1);
        let ips: Vec<IpAddr> = match (&service.service_type, service.cluster_ip, called) {
            (ServiceType::ExternalName(to), _, Some(Called::Elsewhere(name))) if name == to => Vec::new(),
            (_, ClusterIp::Headless, Some(Called::Headless(hosts))) => {
                let said: Vec<(String, IpAddr)> = hosts.iter().map(|host| (host.name.to_string(), host.ip)).collect();
                prop_assert!(said.is_sorted_by_key(|(name, ip)| (*ip, name.clone())), "{:?}", said);
                let all: BTreeSet<(String, IpAddr)> = said.iter().cloned().collect();
                prop_assert_eq!(all.len(), said.len(), "each once");
                prop_assert_eq!(all, plainly_named(world, service), "{}/{}", key.0, key.1);
                hosts.iter().map(|host| host.ip).collect()
            }
            (_, ClusterIp::Allocate | ClusterIp::Asked(_), Some(Called::Vip { ip, .. })) => {
                let listens = |ip: &IpAddr| {
                    snapshot
                        .internal
                        .listeners
                        .iter()
                        .any(|(at, of)| at.address.ip() == *ip && (&*of.name.service.namespace, &*of.name.service.name) == key)
                };
                prop_assert!(ip.as_ref().is_none_or(listens), "{}/{} is called {:?}", key.0, key.1, ip);
                ip.iter().copied().collect()
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        ips.into_iter().for_each(|ip| _ = answers.entry(ip).or_default().insert(key));
    }
    for (namespace, name) in ["a", "b", "c"].iter().flat_map(|namespace| ["s0", "s1", "s2"].map(|name| (*namespace, name))) {
        prop_assert_eq!(table.service(namespace, name).is_some(), exist.contains(&(namespace, name)));
        prop_assert_eq!(table.has_namespace(namespace), exist.iter().any(|key| key.0 == namespace));
        prop_assert!(!snapshot.external.names.has_namespace(namespace));
    }
    let pods = (0..8u8).map(|last| IpAddr::from([10, 0, 0, last]));
    for ip in pods.chain(answers.keys().copied().collect::<Vec<_>>()) {
        let found: BTreeSet<(&str, &str)> = table.at(ip).map(|(namespace, name, _)| (&**namespace, &**name)).collect();
        prop_assert_eq!(found, answers.get(&ip).cloned().unwrap_or_default(), "{}", ip);
    }
    Ok(())
}
