//! How endpoints are picked, as far as the picture says it: what a Service asks for, which endpoints are near, and what they are called.

use config::annotations::Verdict;
use config::filter::Balance;

use super::Exposure::{External, Internal};
use super::*;

fn settings(node: Option<&str>, zone: Option<&str>) -> Settings {
    Settings { workers: 1, node_name: node.map(str::to_owned), zone: zone.map(str::to_owned), ..Settings::default() }
}

fn in_zone(name: &str, ip: &str, node: &str, zone: Option<&str>) -> Object {
    let mut pod = Pod { node: Some(node.into()), ..pod(name, "web", ip) };
    pod.meta.labels.extend(zone.map(|zone| ("topology.kubernetes.io/zone".into(), zone.into())));
    object(pod)
}

/// `a/web` behind `web.example`, with three pods in two zones.
fn web(change: impl FnOnce(&mut Service)) -> Vec<Object> {
    let mut web = service("a/web", &[]);
    change(&mut web);
    let way = object(ingress("a/way", None, &[("web.example", "/", "web")]));
    let pods = [("a/1", "10.0.0.1", "n1", "b"), ("a/2", "10.0.0.2", "n2", "a"), ("a/3", "10.0.0.3", "n3", "a")];
    let pods = pods.map(|(name, ip, node, zone)| in_zone(name, ip, node, Some(zone)));
    [object(web), way].into_iter().chain(pods).collect()
}

fn with(settings: &Settings, objects: Vec<Object>) -> Registry {
    let mut registry = Registry::new(settings, Saved { seed: Seed::random(), ..Saved::default() });
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry
}

/// The addresses' last bytes, near ones first, and how many they are.
fn order(snapshot: &Snapshot, exposure: Exposure) -> (String, usize) {
    let last = |address: String| address.trim_start_matches("10.0.0.").split(':').next().unwrap_or_default().to_owned();
    let all: Vec<String> = addresses(snapshot, exposure, "a/web").into_iter().map(last).collect();
    (all.join(" "), find(snapshot, exposure, "a/web").map_or(0, |service| service.near))
}

fn balanced(text: &str) -> impl FnOnce(&mut Service) {
    let annotations = labels(&[("tidegate.dev/balance", text)]);
    move |service| service.meta.annotations = annotations
}

#[test]
fn a_service_says_how_its_endpoints_are_picked() {
    let mut registry = with(&settings(None, None), web(|_| {}));
    assert_eq!(find(&publish(&mut registry), Internal, "a/web").unwrap().balance, None);
    again(&mut registry, web(balanced("round-robin")));
    let snapshot = publish(&mut registry);
    for exposure in [External, Internal] {
        assert_eq!(find(&snapshot, exposure, "a/web").unwrap().balance, Some(Balance::RoundRobin), "{exposure}");
    }
    let judged = |registry: &Registry| registry.check().annotations.into_iter().map(|row| (row.owner, row.verdict)).collect::<Vec<_>>();
    assert_eq!(judged(&registry), [("Service a/web".to_owned(), Verdict::Honoured)]);
    again(
        &mut registry,
        web(|service| {
            balanced("hash header X-User")(service);
            service.affinity_s = Some(60);
        }),
    );
    publish(&mut registry);
    assert_eq!(judged(&registry), [("Service a/web".to_owned(), Verdict::Differs)], "sessionAffinity wins");
    again(&mut registry, web(|_| {}));
    let snapshot = publish(&mut registry);
    assert!(find(&snapshot, External, "a/web").unwrap().balance.is_none() && judged(&registry).is_empty());
}

#[test]
fn a_way_that_nobody_knows_is_told_and_costs_nothing_else() {
    let mut registry = with(&settings(None, None), web(balanced("fastest")));
    let snapshot = publish(&mut registry);
    let served = find(&snapshot, External, "a/web").unwrap();
    assert_eq!((served.endpoints.len(), &served.balance), (3, &None));
    let told = problems(&registry, Reason::Invalid);
    for word in ["Service a/web", "metadata.annotations[\"tidegate.dev/balance\"]", "`fastest`", "least-busy", "fix:"] {
        assert!(told[0].contains(word), "{word} in {told:?}");
    }
    assert_eq!(registry.check().annotations[0].verdict, Verdict::Wrong);
    assert!(registry.problems().iter().all(|problem| problem.reason != Reason::NotExposed), "it seals nothing");
}

#[test]
fn endpoints_of_our_zone_come_first_on_both_planes() {
    let near = |settings: Settings, distribution: Option<Distribution>| {
        let mut registry = with(&settings, web(|service| service.distribution = distribution));
        let snapshot = publish(&mut registry);
        assert_eq!(order(&snapshot, External), order(&snapshot, Internal));
        (order(&snapshot, Internal), problems(&registry, Reason::NotServed).len())
    };
    let (zone, node) = (Some(Distribution::SameZone), Some(Distribution::SameNode));
    assert_eq!(near(settings(None, Some("a")), zone), (("2 3 1".to_owned(), 2), 0));
    assert_eq!(near(settings(None, Some("b")), zone), (("1 2 3".to_owned(), 1), 0));
    assert_eq!(near(settings(Some("n3"), Some("b")), node), (("3 1 2".to_owned(), 1), 0));
    assert_eq!(near(settings(Some("n9"), Some("a")), node), (("2 3 1".to_owned(), 2), 0), "nobody on the node");
    assert_eq!(near(settings(None, Some("c")), zone), (("1 2 3".to_owned(), 0), 0), "nobody in the zone");
    assert_eq!(near(settings(None, Some("a")), None), (("1 2 3".to_owned(), 0), 0), "nobody asked for it");
    assert_eq!(near(settings(None, None), zone), (("1 2 3".to_owned(), 0), 1), "nobody says where we are, and that is told");
}

#[test]
fn readiness_and_seals_decide_who_is_near_now() {
    let asked = |service: &mut Service| service.distribution = Some(Distribution::SameZone);
    let mut registry = with(&settings(None, Some("b")), web(asked));
    assert_eq!(order(&publish(&mut registry), External), ("1 2 3".to_owned(), 1));
    let unready = |objects: Vec<Object>, name: &str| {
        let change = |object| match object {
            Object::Pod(pod) if *pod.meta.name == *name => Object::Pod(Pod { ready: false, ..pod }),
            other => other,
        };
        objects.into_iter().map(change).collect::<Vec<_>>()
    };
    again(&mut registry, unready(web(asked), "1"));
    assert_eq!(order(&publish(&mut registry), External), ("2 3".to_owned(), 0), "the zone has none: all others");
    again(&mut registry, web(asked));
    assert_eq!(order(&publish(&mut registry), Internal), ("1 2 3".to_owned(), 1), "it is back");
    let mut sealed = web(asked);
    sealed.push(object(Service {
        selector: Some(labels(&[("app", "web"), ("topology.kubernetes.io/zone", "b")])),
        ..service("a/db", &[SEAL])
    }));
    again(&mut registry, sealed);
    let snapshot = publish(&mut registry);
    assert_eq!((order(&snapshot, External), order(&snapshot, Internal)), (("2 3".to_owned(), 0), ("1 2 3".to_owned(), 1)));
}

#[test]
fn an_endpoint_without_a_zone_makes_all_alike_and_is_named() {
    let mut objects = web(|service| service.distribution = Some(Distribution::SameZone));
    objects.push(in_zone("a/4", "10.0.0.4", "n4", None));
    let mut registry = with(&settings(None, Some("a")), objects);
    assert_eq!(order(&publish(&mut registry), Internal), ("1 2 3 4".to_owned(), 0));
    let told = problems(&registry, Reason::NotServed);
    assert!(told[0].contains("10.0.0.4:8080") && told[0].contains("spec.trafficDistribution"), "{told:?}");
}

#[test]
fn hints_of_slices_are_believed() {
    let mut hinted = slice("a/web-1", "web", &["10.0.0.1", "10.0.0.2"]);
    for (endpoint, zone) in hinted.endpoints.iter_mut().zip(["b", "a"]) {
        endpoint.hints = Some(Arc::new(Hints { zones: vec![zone.into()], nodes: Vec::new() }));
    }
    let mut registry = with(&settings(None, Some("a")), vec![object(service("a/web", &[])), object(hinted)]);
    assert_eq!(order(&publish(&mut registry), Internal), ("2 1".to_owned(), 1));
}

#[test]
fn marks_are_the_same_wherever_a_service_has_its_uid_and_stay_with_the_state_elsewhere() {
    let marks = |seed: &Seed, uid: Option<&str>| {
        let objects = web(|service| service.meta.uid = uid.map(Name::from));
        let mut registry = Registry::new(&settings(None, None), Saved { seed: seed.clone(), ..Saved::default() });
        registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
        find(&publish(&mut registry), External, "a/web").unwrap().marks().to_vec()
    };
    let (one, other) = (Seed::random(), Seed::random());
    assert_eq!(marks(&one, Some("u-1")), marks(&other, Some("u-1")));
    assert_ne!(marks(&one, Some("u-1")), marks(&one, Some("u-2")));
    assert_eq!(marks(&one, None), marks(&one, None));
    assert_ne!(marks(&one, None), marks(&other, None));
    let mut all = [marks(&one, None), marks(&other, None), marks(&one, Some("u-1"))].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9, "each of three endpoints has its own");
}

#[test]
fn numbers_follow_the_endpoints_and_the_seed() {
    let mut registry = with(&settings(None, None), web(|_| {}));
    let first = publish(&mut registry);
    let (ranks, marks) = (
        |snapshot: &Snapshot| find(snapshot, Internal, "a/web").unwrap().ranks().to_vec(),
        |snapshot: &Snapshot| find(snapshot, Internal, "a/web").unwrap().marks().to_vec(),
    );
    let before = (ranks(&first), marks(&first));
    again(&mut registry, web(balanced("random")));
    let same = publish(&mut registry);
    assert_eq!((ranks(&same), marks(&same)), before);
    again(&mut registry, web(|service| service.meta.uid = Some("u-1".into())));
    let seeded = publish(&mut registry);
    assert_eq!(ranks(&seeded), before.0);
    assert!(marks(&seeded).iter().all(|mark| !before.1.contains(mark)));
    let fewer: Vec<Object> = web(|_| {}).into_iter().filter(|object| &*object.meta().name != "2").collect();
    again(&mut registry, fewer);
    let fewer = publish(&mut registry);
    assert_eq!((ranks(&fewer), marks(&fewer)), (vec![before.0[0], before.0[2]], vec![before.1[0], before.1[2]]));
}
