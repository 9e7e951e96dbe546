//! Which certificate is on the external plane, and what a Secret's change costs.

use config::tls::Certificate;

use super::Exposure::{External, Internal};
use super::*;

fn issued() -> Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let issued = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    Certificate::from_pem(issued.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn secret(name: &str, certificate: &Certificate) -> Object {
    Object::Secret(Secret { meta: meta(name, &[]), certificate: Some(certificate.clone()), ca: None, auth: None })
}

/// `a/web` at `web.example`, whose certificate is in Secret `a/web`.
fn site() -> Ingress {
    let tls = IngressTls { at: 0, hosts: Vec::new(), secret: "web".into() };
    Ingress { tls: vec![tls], ..ingress("a/web", None, &[("web.example", "/", "web")]) }
}

fn web(more: Vec<Object>) -> Vec<Object> {
    [object(service("a/web", &[])), object(pod("a/web-1", "web", "10.0.0.1"))].into_iter().chain(more).collect()
}

fn shown<'s>(snapshot: &'s Snapshot, exposure: Exposure, host: &str) -> Option<&'s Certificate> {
    snapshot.plane(exposure).certificates.find(Some(host)).map(|offer| &offer.certificates[0].1)
}

#[test]
fn a_secret_s_change_is_a_new_table_and_the_same_routes() {
    let (one, two) = (issued(), issued());
    let mut registry = registry(web(vec![object(site()), secret("a/web", &one), secret("a/other", &one)]));
    let first = publish(&mut registry);
    assert_eq!(shown(&first, External, "web.example"), Some(&one));
    assert!(first.internal.certificates.is_empty() && shown(&first, External, "other.example").is_none());
    assert_eq!(registry.problems(), []);

    again(&mut registry, web(vec![object(site()), secret("a/web", &two), secret("a/other", &one)]));
    let second = publish(&mut registry);
    assert_eq!(shown(&second, External, "web.example"), Some(&two));
    assert!(Arc::ptr_eq(&first.external.routes, &second.external.routes));

    again(&mut registry, web(vec![object(site()), secret("a/web", &two), secret("a/other", &two)]));
    assert!(registry.publish(T).is_none(), "nobody names the other one");

    let moved = Ingress { meta: Meta { created: Some(1), ..meta("a/web", &[]) }, ..site() };
    again(&mut registry, web(vec![object(moved), secret("a/web", &two)]));
    let third = publish(&mut registry);
    assert!(Arc::ptr_eq(&second.external.certificates, &third.external.certificates), "new routes are no new certificates");

    again(&mut registry, web(vec![object(site())]));
    assert!(publish(&mut registry).external.certificates.is_empty());
    let told = registry.problems()[0].to_string();
    assert!(told.contains("Ingress a/web: spec.tls[0].secretName: there is no Secret a/web"), "{told}");
}

#[test]
fn what_is_sealed_or_inside_is_shown_to_nobody() {
    let sealed = Object::Secret(Secret { meta: meta("a/web", &[SEAL]), certificate: Some(issued()), ca: None, auth: None });
    let whole = secret("a/web", &issued());
    let inside = Ingress { class: Some("tidegate-internal".into()), ..site() };
    let labelled = Ingress { meta: meta("a/web", &[SEAL]), ..site() };
    let closed = object(service("a/web", &[SEAL]));
    for objects in [
        web(vec![object(site()), sealed]),
        web(vec![object(inside), whole.clone()]),
        web(vec![object(labelled), whole.clone()]),
        vec![closed, object(site()), whole],
    ] {
        let mut registry = registry(objects);
        let snapshot = publish(&mut registry);
        assert!([External, Internal].iter().all(|&side| shown(&snapshot, side, "web.example").is_none()));
        assert_ne!(registry.problems(), []);
    }
}

#[test]
fn the_default_secret_serves_every_name_and_its_absence_is_told() {
    let settings = Settings { tls_default_secret: Some(secret("a/default", &issued()).key()), ..Settings::default() };
    let mut registry = Registry::new(&settings, Saved::default());
    registry.apply(batch(true, vec![("m/all.yaml", manifest(Vec::new()))]), T);
    assert!(publish(&mut registry).external.certificates.is_empty());
    let told = registry.problems()[0].to_string();
    assert!(told.contains("tls.defaultSecret: there is no Secret a/default"), "{told}");
    let default = issued();
    again(&mut registry, vec![secret("a/default", &default)]);
    assert_eq!(shown(&publish(&mut registry), External, "any.example"), Some(&default));
    assert_eq!(registry.problems(), []);
}

#[test]
fn no_secret_is_saved_and_none_makes_its_file_worth_saving_again() {
    let mut registry = registry(web(vec![secret("a/web", &issued())]));
    publish(&mut registry);
    let saved = registry.unsaved().origins;
    assert!(saved[0].1.as_ref().unwrap().iter().all(|object| object.kind() != Kind::Secret) && saved.len() == 1);
    again(&mut registry, web(vec![secret("a/web", &issued())]));
    assert!(registry.unsaved().origins.is_empty(), "only the Secret changed");
    let origins = saved
        .into_iter()
        .map(|(origin, objects)| (origin, objects.unwrap().iter().map(|object| Object::clone(object)).collect()))
        .collect();
    let mut cold = Registry::new(&Settings::default(), Saved { origins, ..Saved::default() });
    cold.apply(batch(true, vec![("m/all.yaml", manifest(web(vec![secret("a/web", &issued())])))]), T);
    assert!(cold.unsaved().origins.is_empty(), "what was saved is all that is to be saved");
}
