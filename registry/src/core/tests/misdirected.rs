//! Random sites with certificates and terms for clients: which requests a connection may carry, judged by a plain reading of the rules.
//!
//! A connection is opened for one host (SNI) and asks for another (authority): by HTTP/1 anybody may, by HTTP/2 browsers do (coalescing).
//! No request may reach a host whose certificate, or whose demand on clients, is another's.

use std::sync::LazyLock;

use config::tls::{Authorities, Certificate};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::client::Demand;

/// Hosts as Ingresses name them; the last is all.
const PATTERNS: [&str; 6] = ["a.example", "b.example", "x.wild.example", "*.wild.example", "*.example", ""];
/// Hosts as clients name them.
const ASKED: [&str; 7] = ["a.example", "b.example", "c.example", "x.wild.example", "y.wild.example", "deep.x.wild.example", "none.test"];
/// Secrets that Ingresses name: two with ECDSA keys, one with an RSA key, a copy of the first, one that is sealed and one that is not there.
const SECRETS: [&str; 6] = ["one", "two", "rsa", "copy", "sealed", "gone"];
/// What may hold authorities.
const HOLDERS: [&str; 4] = ["ca", "configmap/ca", "configmap/sealed", "gone"];

struct Issued {
    pairs: [Certificate; 3],
    authorities: [Authorities; 2],
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let issue = |kind| {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let issued = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        (
            Certificate::from_pem(issued.as_bytes(), key.serialize_pem().as_bytes()).unwrap(),
            Authorities::from_pem(issued.as_bytes()).unwrap(),
        )
    };
    let [one, two] = [issue(&rcgen::PKCS_ECDSA_P256_SHA256), issue(&rcgen::PKCS_ECDSA_P256_SHA256)];
    let rsa = issue(&rcgen::PKCS_RSA_SHA256);
    Issued { pairs: [one.0, two.0, rsa.0], authorities: [one.1, two.1] }
});

/// Which pair a Secret holds that may be shown.
fn pair(secret: &str) -> Option<usize> {
    match secret {
        "one" | "copy" => Some(0),
        "two" => Some(1),
        "rsa" => Some(2),
        _ => None,
    }
}

/// Which authorities a holder has for clients outside.
fn authority(holder: &str) -> Option<usize> {
    match holder {
        "ca" => Some(0),
        "configmap/ca" => Some(1),
        _ => None,
    }
}

fn world() -> Vec<Object> {
    let secret = |(name, at, labels): (&str, usize, &[(&str, &str)])| {
        let certificate = Some(ISSUED.pairs[at].clone());
        Object::Secret(Secret { meta: meta(&format!("a/{name}"), labels), certificate, ca: None, auth: None })
    };
    let map = |(name, at, labels): (&str, usize, &[(&str, &str)])| {
        let ca = Some(ISSUED.authorities[at].clone());
        Object::ConfigMap(ConfigMap { meta: meta(name, labels), ca, fields: Ok(Box::default()) })
    };
    let ca = Secret { meta: meta("a/ca", &[]), certificate: None, ca: Some(ISSUED.authorities[0].clone()), auth: None };
    let secrets = [("one", 0, &[][..]), ("two", 1, &[]), ("rsa", 2, &[]), ("copy", 0, &[]), ("sealed", 0, &[SEAL])].map(secret);
    let maps = [("a/ca", 1, &[][..]), ("a/sealed", 1, &[SEAL])].map(map);
    let services = [object(service("a/web", &[])), object(service("a/shut", &[SEAL])), object(pod("a/web-1", "web", "10.0.0.1"))];
    services.into_iter().chain(secrets).chain(maps).chain([Object::Secret(ca)]).collect()
}

/// One Ingress, as a test says it.
#[derive(Clone, Debug)]
struct Site {
    created: Option<i64>,
    hosts: Vec<&'static str>,
    /// Hosts and Secret of each entry of `spec.tls`.
    tls: Vec<(Vec<&'static str>, &'static str)>,
    client: Option<(&'static str, bool)>,
    /// It is sealed by its own label, or leads to a service that is.
    labelled: bool,
    shut: bool,
}

fn sites() -> impl Strategy<Value = Vec<Site>> {
    let hosts = |most| subsequence(&PATTERNS[..], 0..=most);
    let named = subsequence(&PATTERNS[..PATTERNS.len() - 1], 0..=2);
    let tls = proptest::collection::vec((named, select(&SECRETS[..])), 0..3);
    let client = prop_oneof![3 => Just(None), 2 => (select(&HOLDERS[..]), any::<bool>()).prop_map(Some)];
    let created = prop_oneof![Just(None), (1..4i64).prop_map(Some)];
    let rarely = || prop_oneof![6 => Just(false), 1 => Just(true)];
    let site = (created, hosts(3), tls, client, rarely(), rarely());
    let site = site.prop_map(|(created, hosts, tls, client, labelled, shut)| Site { created, hosts, tls, client, labelled, shut });
    proptest::collection::vec(site, 0..6)
}

/// The Ingress of a site. Each has a path of its own, so that only hosts are fought for.
fn written(at: usize, site: &Site) -> Object {
    let (path, backend_name) = (format!("/{at}"), if site.shut { "shut" } else { "web" });
    let hosts = if site.hosts.is_empty() { &[""][..] } else { &site.hosts };
    let rules: Vec<(&str, &str, &str)> = hosts.iter().map(|host| (*host, &*path, backend_name)).collect();
    let mut ingress = ingress(&format!("a/site{at}"), None, &rules);
    ingress.meta.created = site.created;
    if site.labelled {
        ingress.meta.labels = labels(&[SEAL]);
    }
    let pattern = |host: &&str| HostPattern::parse_ingress(host).unwrap();
    let entry = |(at, (hosts, secret)): (usize, &(Vec<&str>, &str))| IngressTls {
        at,
        hosts: hosts.iter().map(pattern).collect(),
        secret: (*secret).into(),
    };
    ingress.tls = site.tls.iter().enumerate().map(entry).collect();
    let terms = |(ca, optional): (&str, bool)| ClientTerms { namespace: "a".into(), ca: CaRef::parse(ca).unwrap(), optional };
    ingress.client = site.client.map(terms);
    object(ingress)
}

/// What each host pattern has, found by reading the sites from the oldest on.
#[derive(Default)]
struct Reading {
    /// Who has the pattern, and the Secrets that are shown for it.
    shown: BTreeMap<&'static str, (Option<usize>, Vec<&'static str>)>,
    asked: BTreeMap<&'static str, Option<(&'static str, bool)>>,
}

impl Reading {
    fn of(sites: &[Site], default: Option<&'static str>) -> Reading {
        let mut reading = Reading::default();
        if let Some(secret) = default.filter(|secret| pair(secret).is_some()) {
            reading.shown.insert("", (None, vec![secret]));
        }
        let mut order: Vec<usize> = (0..sites.len()).collect();
        order.sort_by_key(|at| (sites[*at].created.unwrap_or(i64::MAX), *at));
        for at in order.into_iter().filter(|at| !sites[*at].labelled) {
            let site = &sites[at];
            let own = if site.hosts.is_empty() { vec![""] } else { site.hosts.clone() };
            let all: Vec<&'static str> = own.iter().chain(site.tls.iter().flat_map(|(hosts, _)| hosts)).copied().collect();
            let fights = |host: &&str| reading.asked.get(*host).is_some_and(|theirs| *theirs != site.client);
            if site.client.is_some() && all.iter().any(fights) {
                continue;
            }
            for host in &all {
                reading.asked.entry(*host).or_insert(site.client);
            }
            if !site.shut {
                reading.show(at, site, &own);
            }
        }
        reading
    }

    fn show(&mut self, at: usize, site: &Site, own: &[&'static str]) {
        for (hosts, secret) in &site.tls {
            let Some(new) = pair(secret) else { continue };
            for host in if hosts.is_empty() { own } else { hosts.as_slice() } {
                let (owner, secrets) = self.shown.entry(*host).or_insert((Some(at), Vec::new()));
                let is_rsa = |pair: usize| pair == 2;
                let another = |have: &&str| is_rsa(pair(have).unwrap()) == is_rsa(new);
                if *owner == Some(at) && !secrets.iter().any(another) {
                    secrets.push(secret);
                }
            }
        }
    }

    /// What the most specific pattern that takes `host` has.
    fn find<'m, T>(map: &'m BTreeMap<&'static str, T>, host: Option<&str>) -> Option<&'m T> {
        let exact = host.and_then(|host| map.get(host));
        let wild = host.and_then(|host| host.split_once('.')).and_then(|(_, rest)| map.get(&*format!("*.{rest}")));
        exact.or(wild).or_else(|| map.get(""))
    }

    /// The pairs that a client is shown.
    fn pairs(&self, host: Option<&str>) -> Vec<usize> {
        Reading::find(&self.shown, host).map_or(Vec::new(), |(_, secrets)| secrets.iter().filter_map(|secret| pair(secret)).collect())
    }

    fn terms(&self, host: Option<&str>) -> Option<(&'static str, bool)> {
        *Reading::find(&self.asked, host)?
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_connection_carries_a_request_for_a_host_with_another_certificate_or_demand(
        sites in sites(),
        default in proptest::option::of(select(&SECRETS[..])),
    ) {
        let key = |name: &str| ObjectKey { kind: Kind::Secret, namespace: "a".into(), name: name.into() };
        let settings = Settings { workers: 1, tls_default_secret: default.map(key), ..Settings::default() };
        let mut registry = Registry::new(&settings, Saved::default());
        let objects = sites.iter().enumerate().map(|(at, site)| written(at, site)).chain(world()).collect();
        registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
        let snapshot = publish(&mut registry);
        let (table, plain) = (&snapshot.external.certificates, Reading::of(&sites, default));
        prop_assert!(snapshot.internal.certificates.is_empty());
        let names = || [None].into_iter().chain(ASKED.map(Some));
        for name in names() {
            let which = |certificate: &Certificate| ISSUED.pairs.iter().position(|pair| pair == certificate).unwrap();
            let shown: Vec<usize> = table.find(name).map_or(Vec::new(), |offer| offer.certificates.iter().map(|(_, pair)| which(pair)).collect());
            prop_assert_eq!(shown, plain.pairs(name), "{:?} is shown", name);
            match (table.demand(name), plain.terms(name)) {
                (None, None) => {}
                (Some(Demand::Nobody(_)), Some((ca, _))) => prop_assert_eq!(authority(ca), None, "{:?} is closed", name),
                (Some(Demand::By(policy)), Some((ca, optional))) => {
                    prop_assert_eq!((policy.terms.ca.to_string(), policy.terms.optional), (ca.to_owned(), optional));
                    prop_assert!(authority(ca).is_some_and(|at| policy.is_of(&ISSUED.authorities[at])), "{:?} by another authority", name);
                }
                (found, due) => prop_assert!(false, "{:?} asks for {:?}, and should for {:?}", name, found, due),
            }
        }
        for (opened, host) in names().flat_map(|opened| ASKED.map(|host| (opened, host))) {
            // Where the authorities are not there nobody comes in, whether a certificate is optional or not.
            let demand = |name| plain.terms(name).map(|(ca, optional)| (ca, optional && authority(ca).is_some()));
            let alike = demand(opened) == demand(Some(host)) && plain.pairs(opened) == plain.pairs(Some(host));
            let due = opened == Some(host) || (alike && !plain.pairs(opened).is_empty());
            prop_assert_eq!(table.carries(opened, host), due, "opened for {:?}, asks for {}", opened, host);
        }
        for (host, (at, site)) in ASKED.iter().flat_map(|host| sites.iter().enumerate().map(move |site| (host, site))) {
            // What a connection was asked is held against what the route says, so a route says what its site asks.
            let Ok(route) = snapshot.external.routes.find(host, &format!("/{at}")) else { continue };
            if *route.owner == *format!("Ingress a/site{at}") && site.client.is_some() {
                let terms = route.client.as_deref().map(|terms| (terms.ca.to_string(), terms.optional));
                prop_assert_eq!(terms, site.client.map(|(ca, optional)| (ca.to_owned(), optional)));
            }
        }
    }
}
