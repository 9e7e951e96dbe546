//! Labels and classes, case by case.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn class(name: &str, controller: &str, default: bool, pairs: &[(&str, &str)]) -> (Name, Option<Arc<Object>>) {
    let meta = Meta { name: name.into(), labels: labels(pairs), ..Meta::default() };
    let class = IngressClass { meta, controller: controller.into(), default };
    (name.into(), Some(Arc::new(Object::IngressClass(class))))
}

fn ingress(class: Option<&str>) -> Ingress {
    Ingress { meta: Meta::default(), class: class.map(Name::from), default_backend: None, rules: Vec::new(), tls: Vec::new() }
}

const OUTSIDE: Side = Side::Ours(Exposure::External);
const INSIDE: Side = Side::Ours(Exposure::Internal);

#[test]
fn what_cannot_be_understood_is_unclear() {
    let label = |key: &str, value: &str| Meta { labels: labels(&[(key, value)]), ..Meta::default() };
    let annotation = |key: &str, value: &str| Meta { annotations: labels(&[(key, value)]), ..Meta::default() };
    for (kind, meta, expected) in [
        (Kind::Service, label("app", "x"), Said::Nothing),
        (Kind::Service, label("tidegate.dev/exposure", "internal"), Said::Clearly(Exposure::Internal)),
        (Kind::Service, label("tidegate.dev/exposure", "external"), Said::Clearly(Exposure::External)),
        (Kind::Service, label("tidegate.dev/exposure", "Internal"), Said::Unclear),
        (Kind::Service, label("tidegate.dev/exposure", ""), Said::Unclear),
        (Kind::Service, label("tidegate.dev/exposre", "internal"), Said::Unclear),
        (Kind::Service, label("tidegate.dev/", "internal"), Said::Unclear),
        (Kind::Service, label("tidegate.devs/exposure", "internal"), Said::Nothing),
        (Kind::Service, annotation("tidegate.dev/exposure", "external"), Said::Unclear),
        (Kind::Ingress, annotation("tidegate.dev/exposure", "internal"), Said::Clearly(Exposure::Internal)),
        (Kind::Ingress, annotation("tidegate.dev/rewrite", "x"), Said::Unclear),
    ] {
        assert_eq!(said(kind, &meta), expected, "{kind:?} {meta:?}");
    }
    let mut both = label("tidegate.dev/exposure", "external");
    both.annotations = labels(&[("tidegate.dev/exposure", "internal")]);
    assert_eq!(said(Kind::Ingress, &both), Said::Clearly(Exposure::Internal), "internal anywhere beats external");
}

#[test]
fn every_unclear_label_is_a_problem() {
    let meta = Meta {
        name: "x".into(),
        labels: labels(&[("tidegate.dev/exposure", "intern"), ("tidegate.dev/x", "y"), ("app", "x")]),
        annotations: labels(&[("tidegate.dev/exposure", "internal")]),
        ..Meta::default()
    };
    let problems = label_problems(&Object::Namespace(config::object::Namespace { meta }));
    let fields: Vec<_> = problems.iter().filter_map(|problem| problem.place.field.as_deref()).collect();
    assert_eq!(fields.len(), 3, "{fields:?}");
}

#[test]
fn internal_anywhere_beats_external() {
    let service = |pairs: &[(&str, &str)]| Service {
        meta: Meta { labels: labels(pairs), ..Meta::default() },
        service_type: Default::default(),
        cluster_ip: Default::default(),
        selector: None,
        ports: Vec::new(),
        publish_not_ready: false,
        affinity_s: None,
        proxy_protocol: None,
        external_ips: Vec::new(),
        unknown_fields: Vec::new(),
    };
    let (internal, external) = (Said::Clearly(Exposure::Internal), Said::Clearly(Exposure::External));
    let open = service(&[("tidegate.dev/exposure", "external")]);
    assert_eq!(seal(&open, internal, false), Some(Seal::Namespace("".into(), internal)));
    assert_eq!(seal(&open, Said::Nothing, true), None);
    assert_eq!(seal(&service(&[]), Said::Nothing, false), None);
    assert_eq!(seal(&service(&[]), Said::Nothing, true), Some(Seal::Strict));
    assert_eq!(seal(&service(&[]), external, true), None);
    assert!(seal(&service(&[("tidegate.dev/exposure", "internal")]), external, true).is_some());
    assert!(seal(&service(&[]), Said::Unclear, false).is_some());
}

#[test]
fn a_class_is_ours_by_name_or_controller() {
    let none = Classes::default();
    assert_eq!(none.side(&ingress(None)), OUTSIDE);
    assert_eq!(none.side(&ingress(Some("tidegate"))), OUTSIDE);
    assert_eq!(none.side(&ingress(Some("tidegate-internal"))), INSIDE);
    assert!(matches!(none.side(&ingress(Some("nginx"))), Side::Foreign(_)));
    let also = Classes { also: vec!["nginx".into()], objects: [class("nginx", "k8s.io/ingress-nginx", true, &[])].into() };
    assert_eq!(also.side(&ingress(Some("nginx"))), OUTSIDE);
    let internal = [("tidegate.dev/exposure", "internal")];
    let objects = [
        class("tidegate", "somebody/else", false, &[]),
        class("tidegate-internal", CONTROLLER, false, &[("tidegate.dev/exposure", "external")]),
        class("inner", CONTROLLER, false, &internal),
        class("outer", CONTROLLER, false, &[]),
        class("typo", CONTROLLER, false, &[("tidegate.dev/exposure", "inernal")]),
        ("unread".into(), None),
    ];
    let classes = Classes { also: Vec::new(), objects: objects.into() };
    assert!(matches!(classes.side(&ingress(Some("tidegate"))), Side::Foreign(_)));
    assert_eq!(classes.side(&ingress(Some("tidegate-internal"))), INSIDE, "whatever its label says");
    assert_eq!(classes.side(&ingress(Some("inner"))), INSIDE);
    assert_eq!(classes.side(&ingress(Some("outer"))), OUTSIDE);
    assert!(matches!(classes.side(&ingress(Some("typo"))), Side::Sealed(_)));
    assert!(matches!(classes.side(&ingress(Some("unread"))), Side::Sealed(_)));
    assert!(matches!(classes.side(&ingress(None)), Side::Sealed(_)), "the class that cannot be read may be the default");
    let readable = Classes { also: Vec::new(), objects: classes.objects.into_iter().filter(|(_, object)| object.is_some()).collect() };
    assert_eq!(readable.side(&ingress(None)), OUTSIDE, "no class is marked default");
}

#[test]
fn an_empty_class_is_nobodys_and_two_classes_must_be_on_one_side() {
    let classes = Classes { also: vec!["nginx".into()], objects: [("unread".into(), None)].into() };
    assert_eq!(classes.side(&ingress(Some(""))), Side::Nobodys);
    let both = |field: &str, annotation: &str| {
        let mut both = ingress(Some(field));
        both.meta.annotations = labels(&[("kubernetes.io/ingress.class", annotation)]);
        classes.side(&both)
    };
    for (field, annotation) in [("tidegate", "tidegate-internal"), ("tidegate-internal", "tidegate"), ("tidegate", "unread")] {
        let Side::Torn(why) = both(field, annotation) else { panic!("{field} {annotation}") };
        assert!(why.contains(&format!("`{field}`")) && why.contains(&format!("`{annotation}`")), "{why}");
    }
    assert_eq!(both("tidegate", "nginx"), OUTSIDE);
    assert_eq!(both("tidegate", "somebody-elses"), OUTSIDE);
    assert_eq!(both("tidegate-internal", "tidegate-internal"), INSIDE);
    assert!(matches!(both("somebody-elses", "tidegate"), Side::Foreign(_)));
}

#[test]
fn the_default_class_decides_for_an_ingress_without_one() {
    let foreign = Classes { also: Vec::new(), objects: [class("nginx", "k8s.io/ingress-nginx", true, &[])].into() };
    assert!(matches!(foreign.side(&ingress(None)), Side::Foreign(_)));
    let internal = [("tidegate.dev/exposure", "internal")];
    let inner = Classes { also: Vec::new(), objects: [class("inner", CONTROLLER, true, &internal)].into() };
    assert_eq!(inner.side(&ingress(None)), INSIDE);
}
