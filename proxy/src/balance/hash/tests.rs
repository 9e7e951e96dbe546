//! Where keys go, over many keys and services; seeds are what the properties draw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use config::object::{Name, Protocol, ServiceKey};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use registry::snapshot::{PortName, Replica, ReplicaId};

use super::*;

/// A service with an endpoint `shop/web-NUMBER` for each number, at an address and with ids that `process` and not the number decides.
pub(crate) fn service(process: u32, numbers: impl IntoIterator<Item = u32>) -> Service {
    let endpoint = |(at, number): (usize, u32)| {
        let id = NonZeroU64::new(1 + at as u64 + (u64::from(process) << 32)).unwrap();
        let address = SocketAddr::from((process.wrapping_add(at as u32).to_be_bytes(), 8080));
        let pod = Some(Name::from(format!("shop/web-{number}")));
        let replica = Replica { id: ReplicaId(id), address, pod, speaks: Default::default(), load: Default::default() };
        Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
    };
    let name = PortName { service: ServiceKey { namespace: "shop".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp };
    Service { endpoints: numbers.into_iter().enumerate().map(endpoint).collect(), ..Service::unreachable(name, process) }
}

pub(crate) fn called(endpoint: &Endpoint) -> Name {
    endpoint.replica.pod.clone().unwrap_or_default()
}

/// Where each of these keys goes, by name.
fn homes(service: &Service, keys: &[u64]) -> Vec<Name> {
    keys.iter().map(|&key| called(favourite(service, key, &[]).unwrap())).collect()
}

/// Users `u-FIRST`, `u-FIRST+1`, ...: keys as like as users' names are.
fn users(first: u32, count: u32) -> Vec<u64> {
    (0..count).map(|number| of_bytes(format!("u-{}", first.wrapping_add(number)).as_bytes())).collect()
}

/// How many of these were moved.
fn moved(before: &[Name], after: &[Name]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn keys_are_spread_evenly(first in any::<u32>(), count in 2_u32..50) {
        let keys = users(first, 200 * count);
        let mut counts: BTreeMap<Name, f64> = BTreeMap::new();
        homes(&service(1, 0..count), &keys).into_iter().for_each(|home| *counts.entry(home).or_default() += 1.0);
        let free = f64::from(count - 1);
        let chi = counts.values().map(|&keys| (keys - 200.0).powi(2) / 200.0).sum::<f64>() + 200.0 * (count as usize - counts.len()) as f64;
        // Mean and standard deviation of chi-square; its tail is longer than a normal one's where few are free, hence the constant.
        prop_assert!(chi < free + 6.0 * (2.0 * free).sqrt() + 20.0, "chi-square {} of {}", chi, free);
    }

    #[test]
    fn every_process_answers_alike_in_whatever_order_its_endpoints_are(first in any::<u32>(), count in 1_u32..40, process in any::<u32>()) {
        let keys = users(first, 200);
        prop_assert_eq!(homes(&service(0, 0..count), &keys), homes(&service(process, (0..count).rev()), &keys), "new addresses, new ids");
    }

    #[test]
    fn one_that_goes_moves_its_own_keys_alone(first in any::<u32>(), count in 2_u32..40, gone in any::<u32>()) {
        let (keys, gone) = (users(first, 1_000), gone % count);
        let before = homes(&service(0, 0..count), &keys);
        let after = homes(&service(9, (0..count).filter(|&number| number != gone)), &keys);
        let left = Name::from(format!("shop/web-{gone}"));
        for (before, after) in before.iter().zip(&after) {
            prop_assert_eq!(*before == left, before != after, "from {} to {}", before, after);
        }
    }

    #[test]
    fn one_that_comes_takes_its_share_and_nobody_else_moves(first in any::<u32>(), count in 1_u32..40) {
        let keys = users(first, 2_000);
        let (before, after) = (homes(&service(0, 0..count), &keys), homes(&service(0, 0..=count), &keys));
        let came = Name::from(format!("shop/web-{count}"));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == came));
        let share = 2_000.0 / f64::from(count + 1);
        // Binomial: six standard deviations are far outside chance.
        prop_assert!((moved(&before, &after) as f64 - share).abs() < 6.0 * share.sqrt(), "{} of 2000 to one of {}", moved(&before, &after), count + 1);
    }

    #[test]
    fn what_was_tried_is_passed_over_for_the_next_in_rank(key in any::<u64>(), count in 1_u32..8, avoided in 0_usize..9) {
        let service = service(0, 0..count);
        let mut avoid = Vec::new();
        for _ in 0..avoided.min(count as usize) {
            avoid.push(favourite(&service, key, &avoid).unwrap().id);
        }
        let distinct: std::collections::BTreeSet<_> = avoid.iter().collect();
        prop_assert_eq!(distinct.len(), avoid.len());
        let picked = favourite(&service, key, &avoid);
        prop_assert_eq!(picked.is_none(), avoid.len() == count as usize);
        prop_assert!(picked.is_none_or(|picked| !avoid.contains(&picked.id)));
    }

    #[test]
    fn near_ones_come_before_all_others(key in any::<u64>(), count in 2_u32..10, near in 1_usize..9) {
        let near = near.min(count as usize - 1);
        let service = Service { near, ..service(0, 0..count) };
        let mut avoid = Vec::new();
        for turn in 0..count as usize {
            let picked = favourite(&service, key, &avoid).unwrap();
            let at = service.endpoints.iter().position(|endpoint| endpoint.id == picked.id).unwrap();
            prop_assert_eq!(at < near, turn < near);
            avoid.push(picked.id);
        }
    }
}

#[test]
fn nobody_answers_for_nobody() {
    assert!(favourite(&service(0, 0..0), 7, &[]).is_none());
}

/// Who asks, for what, with these fields.
pub(crate) struct Request<'a>(pub(crate) &'a str, pub(crate) &'a [(&'a str, &'a str)]);

impl Signs for Request<'_> {
    fn client(&self) -> IpAddr {
        [192, 0, 2, 1].into()
    }

    fn target(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn each(&self, field: &str, show: &mut dyn FnMut(&[u8])) {
        self.1.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field)).for_each(|(_, value)| show(value.as_bytes()));
    }
}

#[test]
fn each_part_of_a_request_can_be_the_key() {
    let (header, cookie, argument) = (HashBy::Header("X-User".into()), HashBy::Cookie("sid".into()), HashBy::Argument("user".into()));
    let of = |by: &HashBy, target: &str, fields: &[(&str, &str)]| key(by, &Request(target, fields));
    let text = |text: &str| Some(of_bytes(text.as_bytes()));

    assert!(of(&header, "/", &[("x-user", "anna")]).is_some());
    assert_eq!(of(&header, "/", &[("x-user", "anna")]), of(&header, "/other", &[("a", "b"), ("X-USER", "anna")]));
    assert_ne!(of(&header, "/", &[("x-user", "anna")]), of(&header, "/", &[("x-user", "bert")]));
    assert_ne!(of(&header, "/", &[("x-user", "anna"), ("x-user", "bert")]), of(&header, "/", &[("x-user", "bert"), ("x-user", "anna")]));
    assert_eq!(of(&header, "/", &[("x-user", "")]), None, "an empty one is none");
    assert_eq!(of(&header, "/", &[]), None);

    for fields in [&[("cookie", "sid=7")][..], &[("Cookie", "a=b; sid=7;c=d")], &[("cookie", "a=b"), ("cookie", "sid=7; sid=8")]] {
        assert_eq!(of(&cookie, "/", fields), text("7"), "{fields:?}");
    }
    for fields in [&[("cookie", "xsid=7; side=7; SID=7; sid")][..], &[("x", "sid=7")], &[("cookie", "sid=")]] {
        assert_eq!(of(&cookie, "/", fields), None, "{fields:?}");
    }

    for target in ["/?user=7", "/a?b=c&USER=7&user=8", "/?u&user=7#"] {
        assert!(of(&argument, target, &[]).is_some(), "{target}");
    }
    assert_eq!(of(&argument, "/a?b=c&USER=7&user=8", &[]), text("7"));
    for target in ["/", "/user=7", "/?users=7", "/?user", "/?user=", "/?auser=7"] {
        assert_eq!(of(&argument, target, &[]), None, "{target}");
    }

    assert_eq!(of(&HashBy::Uri, "/a?b", &[]), text("/a?b"));
    assert_eq!(of(&HashBy::ClientIp, "/", &[]), Some(of_ip([192, 0, 2, 1].into())));
    let opaque = Opaque([192, 0, 2, 1].into());
    assert_eq!(
        (key(&HashBy::ClientIp, &opaque), key(&HashBy::Uri, &opaque), key(&header, &opaque)),
        (of(&HashBy::ClientIp, "/", &[]), None, None)
    );
}
