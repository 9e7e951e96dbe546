//! Workloads: which pods are theirs, what is missing, and what their labels cover.

use super::Exposure::External;
use super::*;

fn workload(kind: Kind, name: &str, replicas: u32, pairs: &[(&str, &str)]) -> Workload {
    let meta = meta(name, pairs);
    let selector = Selector { labels: labels(&[("app", &meta.name)]), expressions: Vec::new() };
    Workload { meta, kind, replicas, selector, owner: None }
}

fn deployment(name: &str, replicas: u32) -> Object {
    Object::Workload(workload(Kind::Deployment, name, replicas, &[]))
}

fn owned(pod: Pod, kind: &str, name: &str) -> Object {
    object(Pod { owner: Some(Owner { kind: kind.into(), name: name.into(), uid: None }), ..pod })
}

/// Desired, ready, unhealthy, leaving.
fn counts(objects: Vec<Object>, kind: &str) -> [u32; 4] {
    let views = registry(objects).workloads();
    let view = views.into_iter().find(|view| view.kind == kind).expect("the workload is known");
    [view.desired, view.ready, view.unhealthy, view.leaving]
}

#[test]
fn pods_are_counted_by_what_they_are() {
    let web = |name: &str| pod(&format!("shop/{name}"), "web", "10.0.0.1");
    let deleting = |pod: Pod| Pod { meta: Meta { deleting: true, ..pod.meta }, ..pod };
    let objects = vec![
        deployment("shop/web", 5),
        object(web("a")),
        object(web("b")),
        object(Pod { ready: false, ..web("c") }),
        object(Pod { ready: false, ips: Vec::new(), ..web("d") }),
        object(Pod { finished: true, ready: false, ..web("e") }),
        object(deleting(web("f"))),
        object(pod("shop/other", "api", "10.0.0.2")),
        object(pod("data/g", "web", "10.0.0.3")),
    ];
    assert_eq!(counts(objects, "Deployment"), [5, 2, 2, 1], "finished, of another label, or of another namespace: not its pods");
}

#[test]
fn a_pod_that_another_controller_owns_is_not_counted() {
    let web = |name: &str| pod(&format!("shop/{name}"), "web", "10.0.0.1");
    let set = |owner: Option<&str>| {
        let owner = owner.map(|name| Owner { kind: "Deployment".into(), name: name.into(), uid: None });
        let mut set = workload(Kind::ReplicaSet, "shop/web", 1, &[]);
        set.meta.name = "web-1".into();
        Object::Workload(Workload { owner, ..set })
    };
    let with = |pod: Object, more: Vec<Object>| counts(more.into_iter().chain([deployment("shop/web", 1), pod]).collect(), "Deployment")[1];
    assert_eq!(with(owned(web("a"), "StatefulSet", "web"), vec![]), 0);
    assert_eq!(with(owned(web("a"), "Job", "web"), vec![]), 0);
    assert_eq!(with(owned(web("a"), "ReplicaSet", "web-1"), vec![]), 1, "its ReplicaSet is not written here");
    assert_eq!(with(owned(web("a"), "ReplicaSet", "web-1"), vec![set(Some("web"))]), 1);
    assert_eq!(with(owned(web("a"), "ReplicaSet", "web-1"), vec![set(Some("other"))]), 0, "the ReplicaSet is another Deployment's");
    let both = |name| counts(vec![set(None), owned(web("a"), "ReplicaSet", name)], "ReplicaSet")[1];
    assert_eq!((both("web-1"), both("web-2")), (1, 0));
}

#[test]
fn expressions_alone_find_pods_too() {
    let mut wanted = workload(Kind::StatefulSet, "shop/web", 1, &[]);
    wanted.selector = Selector { labels: Labels::new(), expressions: vec![Expression { key: "app".into(), test: Test::Exists }] };
    let objects = vec![Object::Workload(wanted), object(pod("shop/a", "x", "10.0.0.1"))];
    assert_eq!(counts(objects, "StatefulSet"), [1, 1, 0, 0]);
}

#[test]
fn check_warns_of_what_is_missing_and_a_running_process_does_not() {
    let said = |objects: Vec<Object>| {
        let registry = registry(objects);
        assert_eq!(registry.problems(), []);
        registry.check().problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let web = || pod("shop/a", "web", "10.0.0.1");
    assert_eq!(said(vec![deployment("shop/web", 1), object(web())]), [""; 0]);
    assert_eq!(said(vec![deployment("shop/web", 0)]), [""; 0], "nobody wants any");
    let none = said(vec![deployment("shop/web", 2)]);
    assert!(none[0].contains("m/all.yaml: Deployment shop/web: spec.selector: its selector finds no pod; expected 2 ready"), "{none:?}");
    let some = said(vec![deployment("shop/web", 2), object(Pod { ready: false, ..web() })]);
    assert!(some[0].contains("spec.replicas: 0 of its pods are ready, 1 not; expected 2 ready"), "{some:?}");
}

#[test]
fn a_workload_that_is_labelled_internal_keeps_its_pods_inside() {
    let world = |pairs: &[(&str, &str)]| {
        vec![
            Object::Workload(workload(Kind::Deployment, "out/front", 1, pairs)),
            object(pod("out/front-1", "front", "10.0.0.2")),
            object(service("out/front", &[])),
            object(ingress("out/front", None, &[("front.example", "/", "front")])),
        ]
    };
    let outside = |registry: &mut Registry| addresses(&publish(registry), External, "out/front");
    let mut registry = registry(world(&[SEAL]));
    assert_eq!(outside(&mut registry), [""; 0]);
    again(&mut registry, world(&[]));
    assert_eq!(outside(&mut registry), ["10.0.0.2:8080"]);
    again(&mut registry, world(&[("tidegate.dev/exposed", "external")]));
    assert_eq!(outside(&mut registry), [""; 0], "what cannot be understood seals");
    let told = problems(&registry, Reason::Invalid);
    assert!(told.iter().any(|problem| problem.contains("the addresses of its pods are sealed")), "{told:?}");
    again(&mut registry, world(&[OPEN]));
    assert_eq!(outside(&mut registry), ["10.0.0.2:8080"]);
}

#[test]
fn a_pod_that_comes_to_a_sealed_workload_is_sealed() {
    let sealed = || Object::Workload(workload(Kind::Deployment, "out/front", 1, &[SEAL]));
    let way = || [object(service("out/front", &[])), object(ingress("out/front", None, &[("front.example", "/", "front")]))];
    let mut registry = registry(way().into_iter().chain([sealed()]).collect());
    publish(&mut registry);
    again(&mut registry, way().into_iter().chain([sealed(), object(pod("out/front-1", "front", "10.0.0.2"))]).collect());
    assert_eq!(addresses(&publish(&mut registry), External, "out/front"), [""; 0]);
}
