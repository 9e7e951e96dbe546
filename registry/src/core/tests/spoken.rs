//! How replicas are spoken to: by `appProtocol`, and in TLS by the Secrets that a Service names.

use config::object::{AppProtocol, UpstreamTerms};
use config::tls::{Authorities, Certificate};

use super::Exposure::{External, Internal};
use super::*;
use crate::speech::Speech;

/// An authority of its own, and a pair.
fn issued() -> (Authorities, Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let issued = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = issued.pem();
    (Authorities::from_pem(pem.as_bytes()).unwrap(), Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap())
}

fn secret(name: &str, (ca, certificate): &(Authorities, Certificate)) -> Object {
    Object::Secret(Secret { meta: meta(name, &[]), certificate: Some(certificate.clone()), ca: Some(ca.clone()), auth: None })
}

/// `a/web` behind `web.example`, with one pod.
fn web(speaks: &str, upstream: UpstreamTerms, more: Vec<Object>) -> Vec<Object> {
    let mut web = Service { upstream, ..service("a/web", &[]) };
    web.ports[0].app_protocol = Some(speaks.into());
    let way = ingress("a/web", None, &[("web.example", "/", "web")]);
    [object(web), object(way), object(pod("a/web-1", "web", "10.0.0.1"))].into_iter().chain(more).collect()
}

fn named(ca: &str) -> UpstreamTerms {
    UpstreamTerms { ca: CaRef::parse(ca), ..UpstreamTerms::default() }
}

/// The newest picture, whether this is new or not.
fn publish_if_new(registry: &mut Registry) -> Arc<Snapshot> {
    registry.publish(T).or_else(|| registry.published.clone()).unwrap()
}

#[test]
fn another_protocol_is_another_replica() {
    let mut registry = registry(web("http", UpstreamTerms::default(), Vec::new()));
    let mut seen = Vec::new();
    for (text, app, speaks) in [
        ("http", AppProtocol::Http, Speech::Http1),
        ("kubernetes.io/h2c", AppProtocol::H2c, Speech::H2c),
        ("grpc", AppProtocol::Grpc, Speech::H2c),
        ("mysql", AppProtocol::Opaque, Speech::Http1),
    ] {
        again(&mut registry, web(text, UpstreamTerms::default(), Vec::new()));
        let snapshot = publish_if_new(&mut registry);
        for exposure in [External, Internal] {
            let service = find(&snapshot, exposure, "a/web").unwrap();
            assert_eq!((service.app, &service.endpoints[0].replica.speaks), (app, &speaks), "{text}");
        }
        seen.push(find(&snapshot, External, "a/web").unwrap().endpoints[0].replica.id);
    }
    assert_eq!(seen[1], seen[2], "gRPC is HTTP/2");
    assert!(seen[0] != seen[1] && seen[2] != seen[3] && seen[0] != seen[3], "{seen:?}");
}

#[test]
fn the_terms_of_tls_are_shared_until_their_content_changes() {
    let (one, two) = (issued(), issued());
    let mut registry = registry(web("https", named("ca"), vec![secret("a/ca", &one)]));
    let of = |snapshot: &Snapshot| find(snapshot, External, "a/web").unwrap().endpoints[0].replica.clone();
    let first = of(&publish(&mut registry));
    let Speech::Tls(terms) = &first.speaks else { panic!("{:?}", first.speaks) };
    assert_eq!(terms.name.to_str(), "web.a.svc");
    again(&mut registry, web("https", named("ca"), vec![secret("a/ca", &one), secret("a/other", &two)]));
    assert!(registry.publish(T).is_none(), "nobody names the other one");
    again(&mut registry, web("https", named("ca"), vec![secret("a/ca", &two)]));
    let second = of(&publish(&mut registry));
    assert_ne!(first.id, second.id, "by other authorities it is another replica");
    let terms = UpstreamTerms { name: Some("web.example".into()), certificate: Some("ca".into()), ..named("ca") };
    again(&mut registry, web("https", terms, vec![secret("a/ca", &two)]));
    let third = of(&publish(&mut registry));
    assert!(matches!(&third.speaks, Speech::Tls(terms) if terms.name.to_str() == "web.example"));
    assert_ne!(second.id, third.id);
    assert_eq!(registry.problems(), []);
}

#[test]
fn without_the_secret_that_is_named_there_is_no_endpoint() {
    let pair = issued();
    let bare = Object::Secret(Secret { meta: meta("a/ca", &[]), certificate: None, ca: Some(pair.0.clone()), auth: None });
    let terms = UpstreamTerms { certificate: Some("ca".into()), ..named("ca") };
    let mut registry = registry(web("https", named("ca"), Vec::new()));
    for (terms, secrets, key) in [
        (named("ca"), vec![secret("a/other", &pair)], "upstream-ca"),
        (terms.clone(), vec![bare], "upstream-certificate"),
        (named("ca"), vec![secret("b/ca", &pair)], "upstream-ca"),
    ] {
        again(&mut registry, web("https", terms, secrets));
        let snapshot = publish_if_new(&mut registry);
        assert!([External, Internal].iter().all(|&side| find(&snapshot, side, "a/web").unwrap().endpoints.is_empty()), "{key}");
        let told = registry.problems()[0].to_string();
        assert!(told.contains(&format!("Service a/web: metadata.annotations[\"tidegate.dev/{key}\"]: there is no Secret a/ca")), "{told}");
    }
    again(&mut registry, web("https", terms, vec![secret("a/ca", &pair)]));
    assert_eq!(find(&publish(&mut registry), External, "a/web").unwrap().endpoints.len(), 1);
    assert_eq!(registry.problems(), []);
    again(&mut registry, web("http", named("gone"), Vec::new()));
    assert_eq!(find(&publish(&mut registry), External, "a/web").unwrap().endpoints.len(), 1, "without TLS it means nothing");
}

#[test]
fn authorities_may_be_in_a_config_map() {
    let (one, two) = (issued(), issued());
    let map = |name: &str, (ca, _): &(Authorities, Certificate)| {
        Object::ConfigMap(ConfigMap { meta: meta(name, &[]), ca: Some(ca.clone()), fields: Ok(Box::default()) })
    };
    let mut registry = registry(web("https", named("configmap/ca"), vec![secret("a/ca", &one)]));
    assert!(find(&publish(&mut registry), External, "a/web").unwrap().endpoints.is_empty());
    let told = registry.problems()[0].to_string();
    assert!(told.contains("there is no ConfigMap a/ca with `ca.crt`") && told.contains("expected a ConfigMap in namespace a"), "{told}");
    let believes = |snapshot: &Snapshot| match &find(snapshot, External, "a/web").unwrap().endpoints[0].replica.speaks {
        Speech::Tls(terms) => terms.clone(),
        other => panic!("{other:?}"),
    };
    again(&mut registry, web("https", named("configmap/ca"), vec![map("a/ca", &one)]));
    let first = believes(&publish(&mut registry));
    again(&mut registry, web("https", named("configmap/ca"), vec![map("a/ca", &two)]));
    assert_ne!(first, believes(&publish(&mut registry)));
    assert_eq!(registry.problems(), []);
}
