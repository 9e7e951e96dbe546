//! What a seal covers, how it survives what cannot be read, and that its end is told.

use super::Exposure::{External, Internal};
use super::*;

/// `out/front` is outside, at `front.example`, and its slice names these IPs on this port.
fn front(ips: &[&str], port: u16) -> Vec<Object> {
    let mut carrier = slice("out/front-1", "front", ips);
    carrier.ports[0].port = port;
    let way = ingress("out/front", None, &[("front.example", "/", "front")]);
    vec![object(Service { selector: None, ..service("out/front", &[]) }), object(carrier), object(way)]
}

/// What of `out/front` is outside in this world.
fn carried(objects: Vec<Object>) -> Vec<String> {
    addresses(&publish(&mut registry(objects)), External, "out/front")
}

fn named_port(port: u16) -> PodPort {
    PodPort { name: "web".into(), port, protocol: Protocol::Tcp }
}

/// A service of which the `targetPort` is a name.
fn by_name(name: &str, pairs: &[(&str, &str)]) -> Service {
    let mut service = service(name, pairs);
    service.ports[0].target_port = PortRef::Name("web".into());
    service
}

#[test]
fn a_sealed_service_whose_port_is_not_known_covers_all_ports_of_its_pods() {
    let with = |ports: Vec<PodPort>, host_network: bool, pairs: &[(&str, &str)], port: u16| {
        let pod = Pod { ports, host_network, ..pod("data/db-1", "db", "10.0.0.2") };
        carried(front(&["10.0.0.2"], port).into_iter().chain([object(by_name("data/db", pairs)), object(pod)]).collect())
    };
    let unnamed = PodPort { name: "".into(), ..named_port(5432) };
    assert_eq!(with(vec![], false, &[SEAL], 5432), [""; 0], "no port of that name");
    assert_eq!(with(vec![], false, &[], 5432), ["10.0.0.2:5432"], "without the seal it is outside");
    assert_eq!(with(vec![named_port(5432)], false, &[SEAL], 5432), [""; 0]);
    assert_eq!(with(vec![named_port(5432)], false, &[SEAL], 9090), ["10.0.0.2:9090"], "a port that is known is covered alone");
    assert_eq!(with(vec![unnamed.clone()], true, &[SEAL], 5432), [""; 0], "its own port on its node's address");
    assert_eq!(with(vec![unnamed], true, &[SEAL], 9090), ["10.0.0.2:9090"], "the node's address is not its own");
}

/// Found by the property of random worlds.
#[test]
fn a_port_that_is_not_known_uncovers_none_that_is() {
    let mut db = by_name("data/db", &[SEAL]);
    let admin = ServicePort { name: "admin".into(), port: 81, target_port: PortRef::Number(9090), ..db.ports[0].clone() };
    db.ports.push(admin);
    let ports = vec![PodPort { name: "other".into(), ..named_port(5432) }];
    let pod = Pod { ports, host_network: true, ..pod("data/db-1", "db", "10.0.0.2") };
    let with = |port| carried(front(&["10.0.0.2"], port).into_iter().chain([object(db.clone()), object(pod.clone())]).collect());
    assert_eq!((with(5432), with(9090)), (vec![], vec![]), "the pod's own port, and what the service says");
    assert_eq!(with(80), ["10.0.0.2:80"], "the node's address is not its own");
}

#[test]
fn a_sealed_service_covers_its_pods_also_when_its_slices_say_something_else() {
    let with = |change: fn(&mut EndpointSlice), port: u16| {
        let mut own = slice("data/db-x", "db", &["10.0.0.3"]);
        change(&mut own);
        let db = [object(service("data/db", &[SEAL])), object(pod("data/db-1", "db", "10.0.0.2")), object(own)];
        carried(front(&["10.0.0.2", "10.0.0.3", "10.0.0.4"], port).into_iter().chain(db).collect())
    };
    assert_eq!(with(|_| {}, 8080), ["10.0.0.4:8080"], "the port that the pods have");
    assert_eq!(with(|slice| slice.ports[0].port = 9, 8080), ["10.0.0.3:8080", "10.0.0.4:8080"]);
    assert_eq!(with(|slice| slice.ports[0].port = 9, 9), ["10.0.0.2:9", "10.0.0.4:9"]);
    assert_eq!(with(|slice| slice.ports[0].name = "odd".into(), 7), ["10.0.0.2:7", "10.0.0.4:7"], "no port of the service");
    assert_eq!(with(|slice| slice.ports.clear(), 7), ["10.0.0.2:7", "10.0.0.4:7"], "no port at all");
}

#[test]
fn a_sealed_namespace_covers_its_pods_whoever_names_them() {
    let with = |pod: Pod, port: u16| {
        let world = front(&["10.0.0.2"], port).into_iter().chain([namespace("data", &[SEAL]), object(pod)]);
        carried(world.collect())
    };
    let plain = || pod("data/job-1", "job", "10.0.0.2");
    for port in [80, 8080, 65535] {
        assert_eq!(with(plain(), port), [""; 0], "{port}");
    }
    assert_eq!(with(Pod { finished: true, ..plain() }, 80), ["10.0.0.2:80"], "its address is another's now");
    assert_eq!(with(pod("open/job-1", "job", "10.0.0.2"), 80), ["10.0.0.2:80"]);
    let on_node = |port| with(Pod { host_network: true, ports: vec![named_port(8080)], ..plain() }, port);
    assert_eq!((on_node(8080), on_node(80)), (vec![], vec!["10.0.0.2:80".to_owned()]));
}

#[test]
fn the_seal_of_a_namespace_follows_its_pods_as_they_come_and_go() {
    let world = |more: Vec<Object>| front(&["10.0.0.2", "10.0.0.3"], 80).into_iter().chain(more).collect::<Vec<_>>();
    let mut registry = registry(world(vec![object(pod("data/a", "a", "10.0.0.2"))]));
    let mut step = |more: Vec<Object>| {
        again(&mut registry, world(more));
        addresses(&publish(&mut registry), External, "out/front")
    };
    assert_eq!(step(vec![object(pod("data/a", "a", "10.0.0.2")), namespace("data", &[SEAL])]), ["10.0.0.3:80"]);
    assert_eq!(step(vec![object(pod("data/a", "a", "10.0.0.3")), namespace("data", &[SEAL])]), ["10.0.0.2:80"]);
    assert_eq!(step(vec![namespace("data", &[SEAL])]), ["10.0.0.2:80", "10.0.0.3:80"]);
    assert_eq!(step(vec![object(pod("data/a", "a", "10.0.0.3")), namespace("data", &[SEAL])]), ["10.0.0.2:80"]);
    assert_eq!(step(vec![object(pod("data/a", "a", "10.0.0.3"))]), ["10.0.0.2:80", "10.0.0.3:80"]);
}

#[test]
fn a_slice_that_is_sealed_itself_covers_its_addresses_without_a_service() {
    for (service, legacy) in [(Some("absent"), false), (None, false), (Some("absent"), true)] {
        let mut sealed = EndpointSlice { service: service.map(Name::from), legacy, ..slice("data/x-1", "absent", &["10.0.0.2"]) };
        let world = |slice: &EndpointSlice| front(&["10.0.0.2", "10.0.0.3"], 8080).into_iter().chain([object(slice.clone())]).collect();
        assert_eq!(carried(world(&sealed)).len(), 2, "it says nothing");
        sealed.meta.labels.extend(labels(&[SEAL]));
        let mut registry = registry(world(&sealed));
        assert_eq!(addresses(&publish(&mut registry), External, "out/front"), ["10.0.0.3:8080"]);
        assert!(problems(&registry, Reason::NotExposed)[0].contains("data/x-1"), "{:?}", registry.problems());
        sealed.ports[0].port = 9;
        again(&mut registry, world(&sealed));
        assert_eq!(addresses(&publish(&mut registry), External, "out/front").len(), 2, "another port");
    }
}

#[test]
fn an_ingress_of_nobodys_class_or_of_two_is_not_served() {
    let served = |change: fn(&mut Ingress)| {
        let mut way = ingress("a/web", Some("tidegate"), &[("web.example", "/", "web")]);
        change(&mut way);
        let mut registry = registry(vec![object(service("a/web", &[])), object(way)]);
        let snapshot = publish(&mut registry);
        let told = registry.problems().iter().map(ToString::to_string).collect::<Vec<_>>();
        (route(&snapshot, External, "web.example", "/"), route(&snapshot, Internal, "web.example", "/"), told)
    };
    let (out, inside, told) = served(|ingress| ingress.class = Some("".into()));
    assert_eq!((&*out, &*inside), ("Host", "Host"));
    assert!(told[0].contains("spec.ingressClassName") && told[0].contains("nobody has"), "{told:?}");
    let (out, inside, told) = served(|ingress| {
        ingress.meta.annotations = labels(&[("kubernetes.io/ingress.class", "tidegate-internal")]);
    });
    assert_eq!((&*out, &*inside), ("Host", "Host"));
    assert!(told[0].starts_with("error") && told[0].contains("`tidegate`") && told[0].contains("`tidegate-internal`"), "{told:?}");
    let (out, _, told) = served(|ingress| ingress.meta.annotations = labels(&[("kubernetes.io/ingress.class", "old")]));
    assert_eq!(out, "a/web:80");
    assert!(told[0].starts_with("warning Conflict"), "{told:?}");
    let (out, _, told) = served(|ingress| ingress.meta.unclear = true);
    assert_eq!(out, "Host");
    assert!(told[0].contains("NotExposed"), "{told:?}");
}

const OUT: &str = "a/web:80";

/// `a/web` at `web.example`, and a second file.
fn beside(file: Content) -> Registry {
    let way = ingress("a/web", None, &[("web.example", "/", "web")]);
    let web = vec![object(service("a/web", &[])), object(pod("a/web-1", "web", "10.0.0.1")), namespace("a", &[]), object(way)];
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.apply(batch(true, vec![("m/web.yaml", manifest(web)), ("m/z.yaml", file)]), T);
    registry
}

fn out(registry: &mut Registry) -> String {
    registry.publish(T);
    route(registry.published.as_ref().unwrap(), External, "web.example", "/")
}

fn second(registry: &mut Registry, file: Content) -> String {
    registry.apply(batch(false, vec![("m/z.yaml", file)]), T);
    out(registry)
}

fn text(text: &str) -> Content {
    Content::Manifest(config::manifest::parse(text.as_bytes()))
}

const UNREADABLE_SEAL: &str = "{apiVersion: v1, kind: namespace, metadata: {name: a, labels: {tidegate.dev/exposure: internal}}}";

#[test]
fn a_seal_that_cannot_be_read_seals_the_copies_that_can() {
    let mut registry = beside(text(UNREADABLE_SEAL));
    assert_eq!(out(&mut registry), "Host", "also at a cold start");
    assert!(problems(&registry, Reason::NotExposed).iter().all(|text| !text.contains("strict mode")), "its name is known");
    assert_eq!(second(&mut registry, Content::Gone), OUT);
    assert_eq!(second(&mut registry, text(UNREADABLE_SEAL)), "Host");
    let elsewhere = UNREADABLE_SEAL.replace("name: a,", "name: b,");
    assert_eq!(second(&mut registry, text(&elsewhere)), OUT);
}

#[test]
fn a_seal_in_the_same_file_as_an_open_copy_holds() {
    let mut readable = beside(manifest(vec![namespace("b", &[]), namespace("b", &[SEAL]), object(service("b/x", &[]))]));
    out(&mut readable);
    let open = "{apiVersion: v1, kind: Namespace, metadata: {name: b}}";
    let service = "{apiVersion: v1, kind: Service, metadata: {namespace: b, name: x}, spec: {ports: [{port: 80}]}}";
    let seal = UNREADABLE_SEAL.replace("name: a,", "name: b,");
    let mut unreadable = beside(text(&format!("{open}\n---\n{seal}\n---\n{service}")));
    assert_eq!(out(&mut unreadable), OUT);
    for registry in [readable, unreadable] {
        assert!(registry.services().iter().find(|service| service.name == "x").unwrap().sealed, "{:?}", registry.problems());
    }
}

#[test]
fn a_last_good_version_is_sealed_by_what_cannot_be_read() {
    let good = "{apiVersion: v1, kind: Service, metadata: {namespace: b, name: x}, spec: {selector: {app: x}, ports: [{port: 80}]}}";
    let mut registry = beside(text(good));
    registry.publish(T);
    assert!(registry.services().iter().all(|service| !service.sealed));
    let wrong = good.replace("name: x}", "name: x, labels: {tidegate.dev/exposure: internal}}").replace("port: 80", "port: 0");
    assert_eq!(second(&mut registry, text(&wrong)), OUT, "strict mode is not needed");
    let sealed = |registry: &Registry| registry.services().iter().find(|service| service.name == "x").unwrap().sealed;
    assert!(sealed(&registry));
    let told = problems(&registry, Reason::NotExposed);
    assert!(told[0].contains("Service b/x") && told[0].contains("is sealed"), "{told:?}");
    // It is saved sealed, and stays so when the key is lost.
    let saved = registry.unsaved().origins;
    assert!(saved.iter().flat_map(|(_, objects)| objects.iter().flatten()).any(|object| object.meta().unclear), "{saved:?}");
    second(&mut registry, text(&good.replace("port: 80", "port: 0")));
    assert!(sealed(&registry));
    second(&mut registry, text(good));
    assert!(!sealed(&registry));
}

#[test]
fn a_seal_without_a_name_turns_strict_mode_on_unless_it_is_the_one_that_was_known() {
    for lost in [
        "{apiVersion: v1, kind: Namepsace, metadata: {name: b, labels: {tidegate.dev/exposure: internal}}}",
        "{apiVersion: v1, kind: List, elements: [{kind: Pod, metadata: {labels: {tidegate.dev/exposure: internal}}}]}",
        "{apiVersion: v1, kind: service, metadata: {name: db, labels: {tidegate.dev/exposure: internal}}}",
        "{kind: Namespace, metadata: {name: b, labels: {tidegate.dev/exposure: internal}}}",
    ] {
        let mut registry = beside(manifest(vec![]));
        assert_eq!(out(&mut registry), OUT);
        assert_eq!(second(&mut registry, text(lost)), "Host", "{lost}");
        assert!(problems(&registry, Reason::NotExposed).iter().any(|text| text.contains("strict mode")), "{lost}");
        assert_eq!(second(&mut registry, manifest(vec![])), OUT, "{lost}");
    }
    let mut known = beside(manifest(vec![namespace("b", &[SEAL])]));
    out(&mut known);
    let nameless =
        |name: &str| text(&format!("{{kind: Namespace, metadata: {{name: {name}, labels: {{tidegate.dev/exposure: internal}}}}}}"));
    assert_eq!(second(&mut known, nameless("b")), OUT, "it is the seal of b");
    assert_eq!(second(&mut known, nameless("c")), "Host", "that is another one");
}

#[test]
fn a_seal_that_is_lifted_is_told_once_when_it_opens_something() {
    let seal = || manifest(vec![namespace("a", &[]), object(service("a/web", &[SEAL]))]);
    let mut registry = beside(seal());
    assert_eq!((out(&mut registry), registry.lifted()), ("Host".to_owned(), vec![]));
    assert_eq!(second(&mut registry, Content::Gone), OUT);
    let lifted = registry.lifted();
    assert_eq!(lifted.len(), 1, "{lifted:?}");
    let told = lifted[0].to_string();
    assert_eq!(told, "seal lifted: Service a/web (in m/z.yaml) seals nothing any more; now reachable from outside: a/web:80");
    assert_eq!(registry.lifted(), []);
    second(&mut registry, seal());
    assert_eq!(registry.lifted(), []);
    second(&mut registry, manifest(vec![namespace("b", &[SEAL])]));
    assert_eq!(registry.lifted().len(), 1);
    assert_eq!(second(&mut registry, Content::Gone), OUT);
    assert_eq!(registry.lifted(), [], "nothing was behind the seal of b");
}

#[test]
fn seals_of_pods_namespaces_and_classes_are_told_too() {
    let class = |pairs: &[(&str, &str)]| {
        let meta = meta("tidegate", pairs);
        Object::IngressClass(IngressClass { meta, controller: exposure::CONTROLLER.into(), default: true })
    };
    let sealed_pod = |pairs: &[(&str, &str)]| {
        let mut pod = pod("a/web-2", "web", "10.0.0.2");
        pod.meta.labels.extend(labels(pairs));
        object(pod)
    };
    for (seal, open, name) in [
        (namespace("a", &[SEAL]), namespace("a", &[]), "Namespace a"),
        (sealed_pod(&[SEAL]), sealed_pod(&[]), "Pod a/web-2"),
        (class(&[("tidegate.dev/exposure", "inernal")]), class(&[]), "IngressClass tidegate"),
    ] {
        let mut registry = beside(manifest(vec![seal]));
        out(&mut registry);
        assert_eq!(second(&mut registry, manifest(vec![open])), OUT, "{name}");
        let lifted: Vec<String> = registry.lifted().iter().map(|lifted| lifted.object.to_string()).collect();
        assert_eq!(lifted, [name]);
    }
    let mut unread = beside(text(UNREADABLE_SEAL.replace("name: a,", "name: b,").as_str()));
    out(&mut unread);
    second(&mut unread, manifest(vec![namespace("b", &[])]));
    assert_eq!(unread.lifted(), []);
}
