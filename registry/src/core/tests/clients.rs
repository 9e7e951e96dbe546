//! What clients must show: by host, by the oldest Ingress, and nobody where that cannot be had.

use config::tls::{Authorities, Certificate};

use super::Exposure::{External, Internal};
use super::*;
use crate::client::{ClientPolicy, Demand};

const HOSTS: [&str; 5] = ["web.example", "staff.example", "open.example", "more.example", "*.wild.example"];

fn issued() -> (Authorities, Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let issued = rcgen::CertificateParams::new(HOSTS.map(str::to_owned)).unwrap().self_signed(&key).unwrap();
    let pem = issued.pem();
    (Authorities::from_pem(pem.as_bytes()).unwrap(), Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap())
}

fn authorities(name: &str, ca: &Authorities, labels: &[(&str, &str)]) -> Object {
    Object::Secret(Secret { meta: meta(name, labels), certificate: None, ca: Some(ca.clone()), auth: None })
}

fn in_a_map(name: &str, ca: &Authorities, labels: &[(&str, &str)]) -> Object {
    Object::ConfigMap(ConfigMap { meta: meta(name, labels), ca: Some(ca.clone()), fields: Ok(Box::default()) })
}

fn terms(ca: &str, optional: bool) -> Option<ClientTerms> {
    Some(ClientTerms { namespace: "a".into(), ca: CaRef::parse(ca).unwrap(), optional })
}

/// An Ingress for `host` made at `created`, which asks its clients for something.
fn site(name: &str, host: &str, created: i64, client: Option<ClientTerms>) -> Ingress {
    let tls = IngressTls { at: 0, hosts: Vec::new(), secret: "web".into() };
    let plain = ingress(name, None, &[(host, if created == 1 { "/" } else { "/more" }, "web")]);
    Ingress { meta: Meta { created: Some(created), ..plain.meta.clone() }, tls: vec![tls], client, ..plain }
}

fn world(ingresses: Vec<Ingress>, secrets: Vec<Object>) -> Vec<Object> {
    let (_, pair) = issued();
    let shown = Object::Secret(Secret { meta: meta("a/web", &[]), certificate: Some(pair), ca: None, auth: None });
    let service = [object(service("a/web", &[])), object(pod("a/web-1", "web", "10.0.0.1")), shown];
    service.into_iter().chain(ingresses.into_iter().map(object)).chain(secrets).collect()
}

fn policy(snapshot: &Snapshot, host: &str) -> Option<Arc<ClientPolicy>> {
    match snapshot.external.certificates.demand(Some(host))? {
        Demand::By(policy) => Some(policy.clone()),
        Demand::Nobody(why) => panic!("{why}"),
    }
}

#[test]
fn a_host_asks_its_clients_and_its_routes_say_so() {
    let (ca, _) = issued();
    let (staff, open) = (site("a/staff", "staff.example", 1, terms("ca", false)), site("a/open", "open.example", 1, None));
    let wild = site("a/wild", "*.wild.example", 1, terms("ca", true));
    let objects = world(vec![staff, open, wild], vec![authorities("a/ca", &ca, &[])]);
    let mut registry = registry(objects.clone());
    let first = publish(&mut registry);
    assert_eq!(registry.problems(), []);
    let staff = policy(&first, "staff.example").unwrap();
    assert!(!staff.terms.optional && policy(&first, "open.example").is_none() && policy(&first, "none.example").is_none());
    assert!(policy(&first, "a.wild.example").unwrap().terms.optional);
    let route = |host: &str| first.external.routes.find(host, "/").unwrap().client.as_deref().cloned();
    assert_eq!((route("staff.example"), route("open.example")), (terms("ca", false), None));
    let carries = |opened: &str, host: &str| first.external.certificates.carries(Some(opened), host);
    assert!(!carries("open.example", "staff.example") && !carries("staff.example", "open.example"), "one certificate, two policies");
    assert!(carries("a.wild.example", "b.wild.example") && carries("staff.example", "staff.example"));

    let (other, _) = issued();
    let renewed = |ca: &Authorities| -> Vec<Object> {
        let renew = |object: &Object| if &*object.key().name == "ca" { authorities("a/ca", ca, &[]) } else { object.clone() };
        objects.iter().map(renew).collect()
    };
    again(&mut registry, renewed(&other));
    let second = publish(&mut registry);
    assert!(Arc::ptr_eq(&first.external.routes, &second.external.routes), "a Secret compiles no routes");
    let changed = policy(&second, "staff.example").unwrap();
    assert_ne!(changed, staff);
    let moved = site("a/more", "more.example", 2, None);
    again(&mut registry, renewed(&other).into_iter().chain([object(moved)]).collect());
    let third = publish(&mut registry);
    assert!(Arc::ptr_eq(&changed, &policy(&third, "staff.example").unwrap()), "what is the same keeps its tickets");
}

#[test]
fn without_its_authorities_a_host_takes_nobody() {
    let (ca, pair) = issued();
    let bare = Object::Secret(Secret { meta: meta("a/ca", &[]), certificate: Some(pair), ca: None, auth: None });
    for secrets in [vec![], vec![bare], vec![authorities("b/ca", &ca, &[])], vec![authorities("a/ca", &ca, &[SEAL])]] {
        let mut registry = registry(world(vec![site("a/staff", "staff.example", 1, terms("ca", false))], secrets));
        let snapshot = publish(&mut registry);
        assert!(matches!(snapshot.external.certificates.demand(Some("staff.example")), Some(Demand::Nobody(_))));
        assert!(snapshot.external.routes.find("staff.example", "/").unwrap().client.is_some());
        let told = registry.problems().iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("Ingress a/staff: metadata.annotations: there is no Secret a/ca with `ca.crt`"), "{told}");
    }
}

#[test]
fn a_config_map_vouches_as_a_secret_does_and_neither_stands_in_for_the_other() {
    let ((ca, _), (other, _)) = (issued(), issued());
    let site = |ca: &str| site("a/staff", "staff.example", 1, terms(ca, false));
    let of = |named: &str, holders: Vec<Object>| {
        let mut registry = registry(world(vec![site(named)], holders));
        let snapshot = publish(&mut registry);
        match snapshot.external.certificates.demand(Some("staff.example")) {
            Some(Demand::By(policy)) => Ok(policy.is_of(&ca)),
            Some(Demand::Nobody(why)) => Err(why.to_string()),
            None => panic!("nothing is asked"),
        }
    };
    let both = || vec![in_a_map("a/ca", &ca, &[]), authorities("a/ca", &other, &[])];
    assert_eq!((of("configmap/ca", both()), of("ca", both())), (Ok(true), Ok(false)));
    for holders in [vec![authorities("a/ca", &ca, &[])], vec![in_a_map("b/ca", &ca, &[])], vec![in_a_map("a/ca", &ca, &[SEAL])]] {
        assert_eq!(of("configmap/ca", holders), Err("there is no ConfigMap a/ca with `ca.crt`, or it is sealed".to_owned()));
    }
    // A change counts from the next handshake on, without routes being compiled.
    let mut registry = registry(world(vec![site("configmap/ca")], vec![in_a_map("a/ca", &other, &[])]));
    let first = publish(&mut registry);
    registry.apply(batch(false, vec![("m/late.yaml", manifest(vec![in_a_map("a/none", &ca, &[])]))]), T);
    assert!(registry.publish(T).is_none(), "nobody names the other one");
    again(&mut registry, world(vec![site("configmap/ca")], vec![in_a_map("a/ca", &ca, &[])]));
    let second = publish(&mut registry);
    assert!(policy(&second, "staff.example").unwrap().is_of(&ca) && !policy(&first, "staff.example").unwrap().is_of(&ca));
}

#[test]
fn the_oldest_ingress_of_a_host_decides_and_who_asks_for_more_is_not_served() {
    let (ca, _) = issued();
    let of = |first, second| {
        let ingresses = vec![site("a/one", "web.example", 1, first), site("a/two", "web.example", 2, second)];
        let mut registry = registry(world(ingresses, vec![authorities("a/ca", &ca, &[]), authorities("a/other", &ca, &[])]));
        let snapshot = publish(&mut registry);
        let served = snapshot.external.routes.find("web.example", "/more").is_ok_and(|route| &*route.path == "/more");
        let told = registry.problems().iter().filter(|problem| problem.to_string().contains("Ingress a/two: metadata.annotations")).count();
        (policy(&snapshot, "web.example").map(|policy| policy.terms.ca.to_string()), served, told)
    };
    assert_eq!(of(terms("ca", false), terms("ca", false)), (Some("ca".into()), true, 0));
    assert_eq!(of(terms("ca", false), None), (Some("ca".into()), true, 0), "whoever asks for nothing is asked all the same");
    assert_eq!(of(terms("ca", false), terms("other", false)), (Some("ca".into()), false, 1));
    assert_eq!(of(terms("ca", true), terms("ca", false)), (Some("ca".into()), false, 1));
    assert_eq!(of(None, terms("ca", false)), (None, false, 1));
}

#[test]
fn a_host_without_a_certificate_can_ask_nobody() {
    let (ca, _) = issued();
    let bare = Ingress { tls: Vec::new(), ..site("a/staff", "staff.example", 1, terms("ca", false)) };
    let mut registry = registry(world(vec![bare], vec![authorities("a/ca", &ca, &[])]));
    let snapshot = publish(&mut registry);
    let told = registry.problems()[0].to_string();
    assert!(told.contains("Ingress a/staff: spec.tls: staff.example has no certificate of its own"), "{told}");
    assert!(snapshot.plane(External).routes.find("staff.example", "/").unwrap().client.is_some());
    assert!(snapshot.plane(Internal).certificates.demand(Some("staff.example")).is_none());
}
