//! Addresses stay, and nobody shares one.

use config::object::Meta;
use proptest::prelude::*;

use super::*;

fn key(name: &str) -> ServiceKey {
    ServiceKey { namespace: "a".into(), name: name.into() }
}

fn service(cluster_ip: ClusterIp, created: Option<i64>) -> Service {
    Service {
        meta: Meta { created, ..Meta::default() },
        service_type: ServiceType::ClusterIp,
        cluster_ip,
        selector: None,
        ports: Vec::new(),
        publish_not_ready: false,
        affinity_s: None,
        proxy_protocol: None,
        external_ips: Vec::new(),
        unknown_fields: Vec::new(),
    }
}

fn vips(cidr: &str) -> Vips {
    Vips::new(cidr.parse().unwrap(), Vec::new())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_kept_through_deletion_and_restart() {
    let mut first = vips("127.96.0.0/16");
    let any = service(ClusterIp::Allocate, None);
    let (a, b, c) = (key("a"), key("b"), key("c"));
    first.update([(&b, Some(&any)), (&a, Some(&any))]);
    assert_eq!(first.of(&a), Some(ip("127.96.0.2")), "in the order of names; the first address is left out");
    let before = first.of(&b);
    first.update([(&b, None)]);
    assert_eq!(first.of(&b), None);
    first.update([(&c, Some(&any))]);
    first.update([(&b, Some(&any))]);
    assert_eq!(first.of(&b), before);
    let mut second = Vips::new("127.96.0.0/16".parse().unwrap(), first.unsaved().unwrap());
    assert_eq!(first.unsaved(), None);
    assert_eq!(second.unsaved(), None, "what was saved is not written again");
    second.update([(&c, Some(&any)), (&b, Some(&any))]);
    assert_eq!((second.of(&b), second.of(&c)), (before, first.of(&c)));
}

#[test]
fn the_oldest_of_two_that_ask_for_one_address_has_it_and_the_heir_gets_it_later() {
    let mut vips = vips("127.96.0.0/16");
    let asked = ClusterIp::Asked(ip("127.96.0.9"));
    let (young, old) = (service(asked, Some(20)), service(asked, Some(10)));
    vips.update([(&key("young"), Some(&young))]);
    assert_eq!(vips.of(&key("young")), Some(ip("127.96.0.9")));
    let changed = vips.update([(&key("old"), Some(&old))]);
    assert!(changed.contains(&key("young")));
    assert_eq!((vips.of(&key("young")), vips.of(&key("old"))), (None, Some(ip("127.96.0.9"))));
    assert_eq!(vips.problems().map(|(key, _)| &*key.name).collect::<Vec<_>>(), ["young"]);
    vips.update([(&key("old"), None)]);
    assert_eq!(vips.of(&key("young")), Some(ip("127.96.0.9")));
    assert_eq!(vips.problems().count(), 0);
}

#[test]
fn an_allocated_address_yields_to_a_service_that_asks_for_it() {
    let mut vips = vips("127.96.0.0/16");
    let any = service(ClusterIp::Allocate, None);
    vips.update([(&key("a"), Some(&any))]);
    let asks = service(ClusterIp::Asked(ip("127.96.0.2")), None);
    let changed = vips.update([(&key("z"), Some(&asks))]);
    assert!(changed.contains(&key("a")));
    assert_eq!((vips.of(&key("a")), vips.of(&key("z"))), (Some(ip("127.96.0.3")), Some(ip("127.96.0.2"))));
}

#[test]
fn an_address_outside_costs_only_itself() {
    for asked in ["10.0.0.1", "127.96.0.0", "127.96.255.255", "::1"] {
        let mut vips = vips("127.96.0.0/16");
        vips.update([(&key("a"), Some(&service(ClusterIp::Asked(ip(asked)), None)))]);
        assert_eq!(vips.of(&key("a")), None, "{asked}");
        assert_eq!(vips.problems().count(), 1, "{asked}");
    }
}

#[test]
fn a_full_range_takes_from_the_dead_and_then_says_so() {
    let mut vips = vips("10.0.0.0/29"); // .2 to .6
    let any = service(ClusterIp::Allocate, None);
    let keys: Vec<_> = (0..7).map(|n| key(&n.to_string())).collect();
    vips.update(keys[..5].iter().map(|key| (key, Some(&any))));
    vips.update([(&keys[2], None)]);
    vips.update([(&keys[5], Some(&any)), (&keys[6], Some(&any))]);
    assert_eq!(vips.of(&keys[5]), Some(ip("10.0.0.4")));
    assert_eq!(vips.of(&keys[6]), None);
    assert_eq!(vips.problems().map(|(key, _)| key).collect::<Vec<_>>(), [&keys[6]]);
}

#[test]
fn thirty_thousand_services_get_addresses_quickly() {
    let mut vips = vips("127.96.0.0/16");
    let any = service(ClusterIp::Allocate, None);
    let keys: Vec<_> = (0..30_000).map(|n| key(&n.to_string())).collect();
    vips.update(keys.iter().map(|key| (key, Some(&any))));
    let distinct: BTreeSet<_> = keys.iter().map(|key| vips.of(key).unwrap()).collect();
    assert_eq!(distinct.len(), keys.len());
}

proptest! {
    #[test]
    fn nobody_shares_and_everybody_stays(steps in proptest::collection::vec((0..12u8, 0..4u8, 2..20u8), 1..80)) {
        let mut vips = vips("10.0.0.0/24");
        let mut living: BTreeMap<ServiceKey, Service> = BTreeMap::new();
        for (who, what, last) in steps {
            let key = key(&who.to_string());
            let before: BTreeMap<_, _> = living.keys().map(|key| (key.clone(), vips.of(key))).collect();
            match what {
                0 => _ = living.remove(&key),
                1 => _ = living.insert(key.clone(), service(ClusterIp::Asked(IpAddr::from([10, 0, 0, last])), Some(i64::from(last % 3)))),
                _ => _ = living.insert(key.clone(), service(ClusterIp::Allocate, None)),
            }
            let changed = vips.update([(&key, living.get(&key))]);
            let held: Vec<_> = living.keys().filter_map(|key| vips.of(key)).collect();
            prop_assert_eq!(held.len(), held.iter().collect::<BTreeSet<_>>().len(), "shared");
            for (key, service) in &living {
                if service.cluster_ip == ClusterIp::Allocate {
                    prop_assert!(vips.of(key).is_some());
                }
                if !changed.contains(key) {
                    prop_assert_eq!(Some(&vips.of(key)), before.get(key), "moved without saying so");
                }
            }
        }
    }
}
