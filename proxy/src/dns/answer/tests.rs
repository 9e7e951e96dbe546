use config::manifest;
use config::settings::Settings;
use hickory_server::proto::op::ResponseCode::{NXDomain, NoError, ServFail};
use proptest::prelude::*;
use registry::core::Registry;
use registry::event::{Batch, Change, Content, Event};
use registry::snapshot::{NameTable, Snapshot};
use registry::state::Saved;

use super::super::rules::Rules;
use super::*;

const WORLD: &str = "
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {clusterIP: 127.96.0.10, selector: {app: web}, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432, targetPort: 15432}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: db-0, labels: {app: db}}
spec: {hostname: db-0, subdomain: db, containers: [{name: a}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: db-1, labels: {app: db}}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: db-2, labels: {app: db}}
status: {podIP: 'fd00::2', phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: out}
spec: {type: ExternalName, externalName: partner.example}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: same}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: ring}
spec: {type: ExternalName, externalName: ring.shop}
---
apiVersion: v1
kind: Service
metadata: {namespace: data, name: web}
spec: {clusterIP: 127.96.0.11, ports: [{port: 80}]}
";

struct World {
    snapshot: std::sync::Arc<Snapshot>,
    rules: Rules,
}

impl World {
    fn new(search: &[&str]) -> World {
        let mut settings = Settings { workers: 1, ..Settings::default() };
        settings.dns.search = search.iter().map(|&name| name.to_owned()).collect();
        let mut registry = Registry::new(&settings, Saved::default());
        let read = manifest::parse(WORLD.as_bytes());
        assert!(read.problems.iter().all(|problem| problem.severity != config::problem::Severity::Error), "{:?}", read.problems);
        let change = Change { origin: std::path::Path::new("all.yaml").into(), content: Content::Manifest(read) };
        registry.apply(Event::Batch(Batch { source: "folder:m".into(), changes: vec![change], whole: true }), Default::default());
        let snapshot = registry.publish(Default::default()).unwrap();
        World { snapshot, rules: Rules::of(&settings, &["127.0.0.53".parse().unwrap()]) }
    }

    fn book(&self) -> Book<'_> {
        Book { names: &self.snapshot.internal.names, version: 7, rules: &self.rules }
    }

    fn ask(&self, name: &str, kind: RecordType) -> Answer {
        answer(&self.book(), &Name::from_ascii(name).unwrap(), kind, 0)
    }

    fn told(&self, name: &str, kind: RecordType) -> Told {
        match self.ask(name, kind) {
            Answer::Told(told) => told,
            other => panic!("{name} {kind}: {other:?}"),
        }
    }

    /// The data of the answers, as text.
    fn says(&self, name: &str, kind: RecordType) -> Vec<String> {
        let told = self.told(name, kind);
        assert_eq!(told.code, NoError, "{name} {kind}");
        assert_eq!(told.answers.is_empty(), told.authority.len() == 1, "{name} {kind}: an empty answer has its SOA");
        told.answers.iter().map(|record| record.data.to_string()).collect()
    }

    fn is_missing(&self, name: &str) -> bool {
        let told = self.told(name, RecordType::A);
        told.code == NXDomain && told.answers.is_empty() && told.authority.len() == 1
    }
}

use RecordType as T;

#[test]
fn a_service_has_its_virtual_ip_whoever_stands_behind_it() {
    let world = World::new(&[]);
    for name in ["web.shop.svc.cluster.local.", "web.shop.", "web.shop.svc.", "WEB.Shop.sVC.Cluster.LOCAL."] {
        assert_eq!(world.says(name, T::A), ["127.96.0.10"], "{name}");
        assert!(world.says(name, T::AAAA).is_empty() && world.says(name, T::MX).is_empty(), "{name}");
    }
    let told = world.told("Web.Shop.svc.cluster.local.", T::A);
    assert_eq!((told.answers[0].name.to_string(), told.answers[0].ttl), ("Web.Shop.svc.cluster.local.".into(), 5));
    assert_eq!(world.says("_http._tcp.web.shop.svc.cluster.local.", T::SRV), ["0 1 80 web.shop.svc.cluster.local."]);
    assert_eq!(world.says("_dns._udp.web.shop.svc.", T::SRV), ["0 1 53 web.shop.svc.cluster.local."]);
    let told = world.told("_HTTP._tcp.web.shop.svc.cluster.local.", T::SRV);
    assert_eq!(told.additionals[0].data.to_string(), "127.96.0.10");
    for missing in ["_dns._tcp.web", "_http._udp.web", "http._tcp.web", "_sctp.web", "_x._tcp.web", "10-1-0-1.web", "x.web"] {
        assert!(world.is_missing(&format!("{missing}.shop.svc.cluster.local.")), "{missing}");
    }
    assert!(world.says("_tcp.web.shop.svc.cluster.local.", T::A).is_empty(), "ports are below it");
}

#[test]
fn a_headless_service_has_everybody_and_each_has_a_name() {
    let world = World::new(&[]);
    assert_eq!(world.says("db.shop.svc.cluster.local.", T::A), ["10.1.0.1", "10.1.0.2"]);
    assert_eq!(world.says("db.shop.", T::AAAA), ["fd00::2"]);
    assert_eq!(world.says("db-0.db.shop.svc.cluster.local.", T::A), ["10.1.0.1"]);
    assert_eq!(world.says("10-1-0-2.db.shop.svc.cluster.local.", T::A), ["10.1.0.2"]);
    assert_eq!(world.says("fd00--2.db.shop.svc.", T::AAAA), ["fd00::2"]);
    assert!(world.is_missing("10-1-0-1.db.shop.svc.cluster.local."), "it has a host name");
    let told = world.told("_sql._tcp.db.shop.svc.cluster.local.", T::SRV);
    let says: Vec<String> = told.answers.iter().map(|record| record.data.to_string()).collect();
    let places = ["db-0", "10-1-0-2", "fd00--2"].map(|host| format!("0 1 15432 {host}.db.shop.svc.cluster.local."));
    assert_eq!(says, places);
    let kinds: Vec<T> = told.additionals.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [T::A, T::A, T::AAAA]);
}

#[test]
fn each_takes_its_turn() {
    let world = World::new(&[]);
    let name = Name::from_ascii("db.shop.").unwrap();
    let first = |turn| match answer(&world.book(), &name, T::A, turn) {
        Answer::Told(told) => told.answers[0].data.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!([first(0), first(1), first(2), first(usize::MAX)], ["10.1.0.1", "10.1.0.2", "10.1.0.1", "10.1.0.2"]);
}

#[test]
fn short_names_are_looked_for_where_the_settings_say() {
    let (none, both) = (World::new(&[]), World::new(&["data", "shop"]));
    assert!(none.is_missing("web.") && both.is_missing("nobody."));
    assert_eq!(both.says("web.", T::A), ["127.96.0.11"], "the first namespace that has it");
    assert_eq!(both.says("db.", T::AAAA), ["fd00::2"]);
    let told = both.told("nobody.", T::A);
    assert_eq!(told.authority[0].name.to_string(), "nobody.");
    assert_eq!(both.ask("web.nowhere.", T::A), Answer::Foreign, "it may be a domain");
}

#[test]
fn the_zone_says_what_it_is_and_what_is_between() {
    let world = World::new(&[]);
    assert_eq!(world.says("dns-version.cluster.local.", T::TXT), ["1.1.0"]);
    assert_eq!(world.says("cluster.local.", T::NS), ["ns.dns.cluster.local."]);
    assert_eq!(world.told("cluster.local.", T::NS).additionals[0].data.to_string(), "127.0.0.53");
    assert_eq!(world.says("ns.dns.cluster.local.", T::A), ["127.0.0.53"]);
    let soa = "ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5";
    assert_eq!(world.says("cluster.local.", T::SOA), [soa]);
    for between in ["svc.cluster.local.", "shop.svc.cluster.local.", "dns.cluster.local.", "svc.", "shop.svc."] {
        assert!(world.says(between, T::A).is_empty(), "{between}");
    }
    for missing in
        ["nobody.svc.cluster.local.", "nobody.shop.svc.cluster.local.", "x.cluster.local.", "web.nowhere.svc.", "x.y.svc.cluster.local."]
    {
        let told = world.told(missing, T::A);
        assert_eq!((told.code, told.authority[0].record_type()), (NXDomain, T::SOA), "{missing}");
        let apex = if missing.ends_with("local.") { "cluster.local." } else { "svc." };
        assert_eq!(told.authority[0].name.to_string(), apex, "{missing}");
    }
}

#[test]
fn an_external_name_is_an_alias_that_is_followed() {
    let world = World::new(&[]);
    let told = world.told("out.shop.svc.cluster.local.", T::A);
    assert_eq!(told.answers[0].data.to_string(), "partner.example.");
    assert_eq!(told.then.unwrap().to_string(), "partner.example.");
    assert_eq!(world.told("out.shop.", T::CNAME).then, None, "the alias itself was asked for");
    assert!(world.is_missing("x.out.shop.svc.cluster.local."));
    assert_eq!(world.says("same.shop.", T::A), ["web.shop.svc.cluster.local.", "127.96.0.10"]);
    assert_eq!(world.told("ring.shop.", T::A).code, ServFail);
}

#[test]
fn addresses_have_names_and_private_ones_are_asked_of_nobody() {
    let world = World::new(&[]);
    assert_eq!(world.says("10.0.96.127.in-addr.arpa.", T::PTR), ["web.shop.svc.cluster.local."]);
    assert_eq!(world.says("1.0.1.10.in-addr.arpa.", T::PTR), ["db-0.db.shop.svc.cluster.local."]);
    assert_eq!(world.says("2.0.1.10.IN-ADDR.arpa.", T::PTR), ["10-1-0-2.db.shop.svc.cluster.local."]);
    let six = format!("2.{}d.f.ip6.arpa.", "0.".repeat(29));
    assert_eq!(world.says(&six, T::PTR), ["fd00--2.db.shop.svc.cluster.local."]);
    for private in
        ["9.0.1.10.in-addr.arpa.", "9.9.96.127.in-addr.arpa.", "1.0.168.192.in-addr.arpa.", "lb._dns-sd._udp.0.1.10.in-addr.arpa."]
    {
        assert!(world.is_missing(private), "{private}");
    }
    assert!(world.says("1.10.in-addr.arpa.", T::SOA).is_empty(), "others are below it");
    for foreign in ["8.8.8.8.in-addr.arpa.", "in-addr.arpa.", "8.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."] {
        assert_eq!(world.ask(foreign, T::PTR), Answer::Foreign, "{foreign}");
    }
}

#[test]
fn what_nobody_is_answered_and_what_is_foreign() {
    let world = World::new(&[]);
    assert_eq!(world.ask("cluster.local.", T::AXFR), Answer::Refused);
    for foreign in [".", "example.com.", "web.shop.example.", "cluster.local.example.", "xcluster.local.", "local."] {
        let expected = foreign != "local.";
        assert_eq!(world.ask(foreign, T::A) == Answer::Foreign, expected, "{foreign}");
    }
    assert_eq!(world.says("localhost.", T::A), ["127.0.0.1"]);
    assert_eq!(world.says("shop.localhost.", T::AAAA), ["::1"]);
}

/// Labels of every kind, such as come by chance, and such as names here have.
fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let known = [
        "web", "db", "shop", "data", "svc", "cluster", "local", "_tcp", "_http", "db-0", "in-addr", "arpa", "ip6", "10", "0", "127", "d",
        "*",
    ];
    let word = prop_oneof![
        3 => prop::sample::select(known.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..=63),
    ];
    prop::collection::vec(word, 0..12)
}

fn name(labels: &[Vec<u8>]) -> Option<Name> {
    Name::from_labels(labels.iter().map(|label| &label[..])).ok()
}

proptest! {
    #[test]
    fn whatever_is_asked_is_answered_and_what_is_ours_is_never_foreign(
        labels in labels(),
        ours in prop::sample::select(vec!["cluster.local.", "svc.", "10.in-addr.arpa.", "96.127.in-addr.arpa.", "d.f.ip6.arpa."]),
        kind in any::<u16>(),
        turn in any::<usize>(),
    ) {
        let world = World::new(&["shop"]);
        if let Some(name) = name(&labels) {
            answer(&world.book(), &name, kind.into(), turn);
            if let Ok(name) = name.append_domain(&Name::from_ascii(ours).unwrap()) {
                let foreign = matches!(answer(&world.book(), &name, kind.into(), turn), Answer::Foreign | Answer::Told(Told { then: Some(_), .. }));
                let alias = name.to_lowercase().to_string().starts_with("out.shop.");
                prop_assert!(!foreign || alias, "{name}");
            }
        }
    }

    #[test]
    fn with_an_empty_table_no_name_of_ours_is_there(labels in labels()) {
        let (world, names) = (World::new(&["shop"]), NameTable::default());
        let book = Book { names: &names, ..world.book() };
        let zone = Name::from_ascii("svc.cluster.local.").unwrap();
        if let Some(name) = name(&labels).and_then(|name| name.append_domain(&zone).ok()) {
            let Answer::Told(told) = answer(&book, &name, T::A, 0) else { panic!("{name}") };
            prop_assert!(told.answers.is_empty());
            prop_assert_eq!(told.code == NXDomain, !labels.is_empty());
        }
    }
}
