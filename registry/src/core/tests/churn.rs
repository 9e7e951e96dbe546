//! Random worlds that change: after every step the planes are judged by a slow reading of the objects themselves, and compared with
//! a registry that saw only the last state.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::core::tests::plainly::{Plainly, World, own};

/// One file of one object.
#[derive(Clone, Debug)]
enum Step {
    Put(Box<Object>),
    /// Takes away the object at this position, modulo how many there are.
    Remove(usize),
}

const SPACES: [&str; 3] = ["a", "b", "c"];
const APPS: [&str; 3] = ["s0", "s1", "s2"];

fn name(prefix: &'static str, many: u8) -> impl Strategy<Value = String> {
    (select(&SPACES[..]), 0..many).prop_map(move |(namespace, n)| format!("{namespace}/{prefix}{n}"))
}

fn ips() -> impl Strategy<Value = IpAddr> {
    // The last is a VIP that some services ask for, the one before it is ours.
    let odd = select(vec![IpAddr::from([10, 9, 9, 9]), IpAddr::from([127, 96, 9, 9])]);
    prop_oneof![8 => (1..7u8).prop_map(|n| IpAddr::from([10, 0, 0, n])), 1 => odd]
}

/// Mostly nothing; else one of the words, a wrong word, or a wrong key.
fn said() -> impl Strategy<Value = Labels> {
    let wrong = [("tidegate.dev/exposure", "Internal"), ("tidegate.dev/exposure", ""), ("tidegate.dev/expose", "internal")];
    let words = select([SEAL, SEAL, OPEN].into_iter().chain(wrong).collect::<Vec<_>>());
    prop_oneof![5 => Just(Labels::new()), 2 => words.prop_map(|pair| labels(&[pair]))]
}

/// What pods are and services select; one more often, so that services share pods.
fn apps() -> impl Strategy<Value = &'static str> {
    select(vec![APPS[0], APPS[0], APPS[0], APPS[1], APPS[2]])
}

fn namespaces() -> impl Strategy<Value = Object> {
    let read = |(name, labels)| Object::Namespace(Namespace { meta: Meta { labels, ..meta(name, &[]) } });
    (select(&SPACES[..]), said()).prop_map(read)
}

fn services() -> impl Strategy<Value = Object> {
    let plain = ServiceType::ClusterIp;
    let outward = [ServiceType::NodePort, ServiceType::LoadBalancer, ServiceType::ExternalName("x.example".into())];
    let kinds = select([plain.clone(), plain.clone(), plain].into_iter().chain(outward).collect::<Vec<_>>());
    (name("s", 3), said(), kinds, any::<[bool; 7]>(), apps(), 0..3i64).prop_map(|(name, said, service_type, flags, app, created)| {
        let [asked, by_name, selecting, two, ranged, node_ports, odd] = flags;
        let mut service = Service { service_type, ..service(&name, &[]) };
        let sources = ranged.then(|| "198.51.100.0/24".parse().unwrap()).into_iter().collect();
        service.carrier = Carrier { sources, node_ports, ..Carrier::default() };
        service.unknown_fields = (odd && ranged).then(|| "spec.odd".to_owned()).into_iter().collect();
        service.meta.labels = said;
        service.meta.created = (created > 0).then_some(created);
        if two {
            let admin = ServicePort { name: "admin".into(), port: 81, target_port: PortRef::Number(9090), ..service.ports[0].clone() };
            service.ports.push(admin);
        }
        service.selector = selecting.then(|| labels(&[("app", app)]));
        // A service keeps an address that it once asked for; so that history plays no part, one asks always or never.
        service.cluster_ip = match (name.ends_with("s0"), asked) {
            (true, _) => ClusterIp::Allocate,
            (false, true) => ClusterIp::Asked(IpAddr::from([127, 96, 9, 9])),
            (false, false) => ClusterIp::Headless,
        };
        if by_name {
            service.ports[0].target_port = PortRef::Name("http".into());
        }
        Object::Service(service)
    })
}

fn pods() -> impl Strategy<Value = Object> {
    let ips = proptest::collection::vec(ips(), 0..3);
    (name("p", 4), apps(), ips, said(), any::<[bool; 4]>(), 0..3u8).prop_map(|(name, app, ips, said, flags, uid)| {
        let mut pod = pod(&name, app, "10.0.0.1");
        pod.ips = ips;
        pod.meta.labels.extend(said);
        pod.ready = flags[0] || flags[1];
        pod.finished = flags[1] && flags[2] && flags[3];
        pod.meta.deleting = flags[2] && !flags[3];
        pod.meta.uid = (uid > 0).then(|| format!("{name}-{uid}").into());
        let name = if flags[1] { "other" } else { "http" };
        pod.ports = vec![PodPort { name: name.into(), port: if flags[3] { 8080 } else { 80 }, protocol: Protocol::Tcp }];
        pod.host_network = flags[0] && flags[2];
        Object::Pod(pod)
    })
}

fn slices() -> impl Strategy<Value = Object> {
    let endpoints = proptest::collection::vec((ips(), any::<[bool; 3]>(), 0..6u8), 0..4);
    let odd = (any::<bool>(), 0..8u8, 0..8u8);
    (name("s", 3), endpoints, 0..3u8, odd, said()).prop_map(|(service, endpoints, n, (odd, port, named), said)| {
        let (namespace, of) = service.split_once('/').unwrap();
        let mut slice = slice(&format!("{namespace}/slice{n}"), of, &[]);
        slice.legacy = n == 2;
        slice.meta.labels = said;
        slice.ports[0].port = if odd { 80 } else { 8080 };
        match port {
            0 => slice.ports[0].name = "strange".into(),
            1 => slice.ports.clear(),
            _ => {}
        }
        slice.service = slice.service.filter(|_| named > 0);
        let read = |(ip, flags, pod): (IpAddr, [bool; 3], u8)| SliceEndpoint {
            ip,
            ready: flags[0],
            serving: flags[0] || flags[1],
            terminating: flags[2],
            pod: (pod < 4).then(|| (format!("p{pod}").into(), None)),
            node: None,
        };
        slice.endpoints = endpoints.into_iter().map(read).collect();
        Object::EndpointSlice(slice)
    })
}

fn ingresses() -> impl Strategy<Value = Object> {
    let hosts = select(vec!["", "x.example", "*.example", "y.example"]);
    let rule = (hosts, select(vec!["/", "/api"]), select(vec!["s0", "s1", "s2", "absent"]));
    let class = select(vec![None, None, Some("tidegate"), Some("tidegate-internal"), Some("mine"), Some("foreign")]);
    let default = proptest::option::of(select(&APPS[..]));
    (name("i", 3), class, proptest::collection::vec(rule, 0..3), default, said()).prop_map(|(name, class, rules, default, said)| {
        let mut ingress = ingress(&name, class, &rules);
        ingress.default_backend = default.map(backend);
        ingress.meta.annotations = said;
        Object::Ingress(ingress)
    })
}

fn classes() -> impl Strategy<Value = Object> {
    let controller = select(vec![exposure::CONTROLLER, exposure::CONTROLLER, "somebody.else/x"]);
    (select(vec!["tidegate", "mine", "foreign"]), controller, said(), 0..8u8).prop_map(|(name, controller, labels, default)| {
        let meta = Meta { labels, ..meta(name, &[]) };
        Object::IngressClass(IngressClass { meta, controller: controller.into(), default: default == 0 })
    })
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let object = prop_oneof![2 => namespaces(), 6 => services(), 7 => pods(), 4 => slices(), 5 => ingresses(), 1 => classes()];
    let step = prop_oneof![5 => object.prop_map(|object| Step::Put(Box::new(object))), 1 => any::<usize>().prop_map(Step::Remove)];
    let step = step.boxed();
    // The first batch is large, so that the rest changes something that serves.
    let first = proptest::collection::vec(step.clone(), 10..40);
    let rest = proptest::collection::vec(proptest::collection::vec(step, 1..4), 1..25);
    (first, rest).prop_map(|(first, rest)| [first].into_iter().chain(rest).collect())
}

fn file(key: &ObjectKey) -> String {
    format!("m/{key}.yaml")
}

fn new_registry() -> Registry {
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.set_own_addresses(own());
    registry
}

fn files(named: &[(String, Option<Object>)]) -> Vec<(&str, Content)> {
    let content = |object: &Option<Object>| object.clone().map_or(Content::Gone, |object| manifest(vec![object]));
    named.iter().map(|(name, object)| (name.as_str(), content(object))).collect()
}

/// Changes the world; the files that changed.
fn change(world: &mut World, step: Vec<Step>) -> Vec<(String, Option<Object>)> {
    let mut changed: BTreeMap<String, Option<Object>> = BTreeMap::new();
    for step in step {
        match step {
            Step::Put(object) => {
                changed.insert(file(&object.key()), Some(Object::clone(&object)));
                world.insert(object.key(), *object);
            }
            Step::Remove(at) if !world.is_empty() => {
                let key = world.keys().nth(at % world.len()).unwrap().clone();
                changed.insert(file(&key), None);
                world.remove(&key);
            }
            Step::Remove(_) => {}
        }
    }
    changed.into_iter().collect()
}

/// Every (service port, addresses) of a plane, and every route with what it does.
type Shape = (BTreeMap<String, Vec<String>>, BTreeSet<String>);

fn shape(plane: &Plane, world: &World) -> Shape {
    let exists = |name: &str| world.keys().any(|key| key.kind == Kind::Service && format!("{}/{}", key.namespace, key.name) == name);
    let served = plane.services.iter().filter(|service| exists(&service.name.service.to_string()));
    let addresses = |served: &Served| served.endpoints.iter().map(|endpoint| endpoint.replica.address.to_string()).collect();
    let does = |action: &Action| match action {
        Action::Forward(index) => plane.service(*index).name.to_string(),
        other => format!("{other:?}"),
    };
    let routes = [&plane.routes, &plane.refused].into_iter().flat_map(|table| table.routes());
    let routes = routes.map(|route| format!("{} {} {:?} {} {}", route.owner, route.host, route.path_type, route.path, does(&route.action)));
    (served.map(|served| (served.name.to_string(), addresses(served))).collect(), routes.collect())
}

/// What each id was first seen to mean.
#[derive(Default)]
struct Ids {
    endpoints: BTreeMap<EndpointId, (String, ReplicaId)>,
    replicas: BTreeMap<ReplicaId, std::net::SocketAddr>,
}

impl Ids {
    /// No id means another thing than before, and none that left is in the picture.
    fn check(&mut self, snapshot: &Snapshot, leaving: &BTreeSet<EndpointId>) -> Result<(), TestCaseError> {
        let all = snapshot.internal.services.iter().chain(snapshot.external.services.iter());
        for (service, endpoint) in all.flat_map(|service| service.endpoints.iter().map(move |endpoint| (service, endpoint))) {
            prop_assert!(!leaving.contains(&endpoint.id), "{} holds one that left", service.name);
            let (who, replica) = ((service.name.to_string(), endpoint.replica.id), &endpoint.replica);
            prop_assert_eq!(self.endpoints.entry(endpoint.id).or_insert_with(|| who.clone()), &who, "an endpoint's id used twice");
            prop_assert_eq!(*self.replicas.entry(replica.id).or_insert(replica.address), replica.address, "a replica's id used twice");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_step_keeps_the_gate(steps in steps()) {
        let (mut world, mut registry, mut ids) = (World::new(), new_registry(), Ids::default());
        for (at, step) in steps.into_iter().enumerate() {
            let changed = change(&mut world, step);
            registry.apply(batch(at == 0, files(&changed)), T);
            registry.publish(T);
            let snapshot = registry.published.clone().unwrap();
            Plainly(&world).judge(&snapshot)?;
            let leaving = registry.world.life.leaving().iter().map(|left| left.id).collect();
            ids.check(&snapshot, &leaving)?;
            registry.report(Report::Acknowledged { worker: 0, version: snapshot.version }, T);
            prop_assert!(registry.world.life.leaving().is_empty(), "acknowledged by all is gone");
            // A registry that meets the same objects for the first time, in another order.
            let mut fresh = new_registry();
            let all: Vec<_> = world.iter().rev().map(|(key, object)| (file(key), Some(object.clone()))).collect();
            fresh.apply(batch(true, files(&all)), T);
            let scratch = publish(&mut fresh);
            for exposure in [Exposure::External, Exposure::Internal] {
                prop_assert_eq!(shape(snapshot.plane(exposure), &world), shape(scratch.plane(exposure), &world), "step {}", at);
            }
            prop_assert_eq!(registry.routes(), fresh.routes());
            let told = |registry: &Registry| registry.problems().iter().map(|problem| problem.to_string()).collect::<BTreeSet<_>>();
            prop_assert_eq!(told(&registry), told(&fresh));
        }
    }
}
