//! Who keeps whom, over many clients and services, with time as an argument.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;

use config::object::{Protocol, ServiceKey};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use registry::snapshot::{PortName, Replica, ReplicaId};

use super::*;

const KEEP_S: u32 = 600;
const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_000 * SECOND;

/// Endpoints at 10.0.x.y:8080, one for each number.
fn service(slot: u32, numbers: impl IntoIterator<Item = u16>) -> Service {
    let endpoint = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let id = NonZeroU64::new(u64::from(number) + 1 + (u64::from(slot) << 16)).unwrap();
        let replica = Replica {
            id: ReplicaId(id),
            address: ([10, 0, high, low], 8080).into(),
            pod: None,
            speaks: Default::default(),
            load: Default::default(),
        };
        Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
    };
    let name = PortName { service: ServiceKey { namespace: "a".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp };
    let endpoints = numbers.into_iter().map(endpoint).collect();
    Service { affinity_s: Some(KEEP_S), endpoints, ..Service::unreachable(name, slot) }
}

fn at(clients: &Clients, service: &Service, client: impl Into<IpAddr>, now_us: u64) -> SocketAddr {
    clients.pick(service, KEEP_S, client.into(), &[], now_us).unwrap().replica.address
}

/// Where each goes.
fn places(clients: &Clients, service: &Service, who: &[IpAddr], now_us: u64) -> Vec<SocketAddr> {
    who.iter().map(|&client| at(clients, service, client, now_us)).collect()
}

/// Neighbours, as clients of one network are.
fn neighbours(first: u32, count: u32) -> Vec<IpAddr> {
    (0..count).map(|number| Ipv4Addr::from_bits(first.wrapping_add(number)).into()).collect()
}

/// Chi-square of how evenly these are spread over `places`.
fn chi(chosen: &[SocketAddr], places: usize) -> f64 {
    let mut counts: BTreeMap<SocketAddr, f64> = BTreeMap::new();
    chosen.iter().for_each(|place| *counts.entry(*place).or_default() += 1.0);
    let even = chosen.len() as f64 / places as f64;
    let empty = (places - counts.len()) as f64 * even;
    counts.values().map(|count| (count - even).powi(2) / even).sum::<f64>() + empty
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everybody_ranks_alike_in_whatever_order(first in any::<u32>(), count in 1u16..40, slot in any::<u16>()) {
        let who = neighbours(first, 50);
        let here = places(&Clients::default(), &service(0, 0..count), &who, NOW);
        let there = places(&Clients::default(), &service(u32::from(slot), (0..count).rev()), &who, 7);
        prop_assert_eq!(here, there, "another process, another slot, another order");
    }

    #[test]
    fn when_an_endpoint_goes_only_its_own_clients_move(first in any::<u32>(), count in 2u16..40, gone in any::<u16>()) {
        let (clients, who, gone) = (Clients::default(), neighbours(first, 300), gone % count);
        let before = places(&clients, &service(0, 0..count), &who, NOW);
        let without = service(0, (0..count).filter(|&number| number != gone));
        let [high, low] = gone.to_be_bytes();
        let left = SocketAddr::from(([10, 0, high, low], 8080));
        for memory in [&clients, &Clients::default()] {
            for (before, after) in before.iter().zip(places(memory, &without, &who, NOW)) {
                prop_assert_eq!(*before == left, *before != after);
            }
        }
    }

    #[test]
    fn a_new_endpoint_takes_nobody_who_is_remembered_and_later_no_more_than_its_share(first in any::<u32>(), count in 1u16..20) {
        let (clients, who) = (Clients::default(), neighbours(first, 1_000));
        let more = service(0, 0..=count);
        let before = places(&clients, &service(0, 0..count), &who, NOW);
        prop_assert_eq!(&before, &places(&clients, &more, &who, NOW + u64::from(KEEP_S) * SECOND));
        let later = places(&clients, &more, &who, NOW + u64::from(2 * KEEP_S + 1) * SECOND);
        let moved: Vec<_> = before.iter().zip(&later).filter(|(before, later)| before != later).map(|(_, later)| *later).collect();
        let [high, low] = count.to_be_bytes();
        prop_assert!(moved.iter().all(|place| *place == SocketAddr::from(([10, 0, high, low], 8080))), "those who move go to the new one");
        let share = 1_000.0 / f64::from(count + 1);
        // Binomial: six standard deviations are far outside chance.
        prop_assert!((moved.len() as f64 - share).abs() < 6.0 * share.sqrt(), "{} of 1000 moved to one of {}", moved.len(), count + 1);
    }

    #[test]
    fn neighbours_are_spread_evenly(first in any::<u32>(), net in any::<u64>()) {
        let ten = service(0, 0..10);
        let v6: Vec<IpAddr> = (0..5_000).map(|host| Ipv6Addr::from_bits(u128::from(net) << 64 | host).into()).collect();
        for who in [neighbours(first, 5_000), v6] {
            // Nine degrees of freedom: mean 9, standard deviation 4.2. Above 50 is one in ten million.
            let chi = chi(&places(&Clients::default(), &ten, &who, NOW), 10);
            prop_assert!(chi < 50.0, "chi-square {}", chi);
        }
    }

    #[test]
    fn what_was_tried_is_not_picked_again(client in any::<u32>(), count in 1u16..6, avoided in 0usize..6) {
        let (clients, service) = (Clients::default(), service(0, 0..count));
        let avoid: Vec<_> = service.endpoints.iter().take(avoided).map(|endpoint| endpoint.id).collect();
        let client = Ipv4Addr::from_bits(client);
        at(&clients, &service, client, NOW);
        let picked = clients.pick(&service, KEEP_S, client.into(), &avoid, NOW);
        prop_assert_eq!(picked.is_none(), avoided >= usize::from(count));
        if let Some(picked) = picked {
            prop_assert!(!avoid.contains(&picked.id));
            prop_assert_eq!(at(&clients, &service, client, NOW), picked.replica.address, "and where it went instead is where it stays");
        }
    }
}

/// A client whom the second of two endpoints would win from the first, and the services before and after it came.
fn drawn_away() -> (IpAddr, Service, Service) {
    let (one, two) = (service(0, [0]), service(0, [0, 1]));
    let drawn = |client: &IpAddr| at(&Clients::default(), &two, *client, NOW) != at(&Clients::default(), &one, *client, NOW);
    (neighbours(1, 100).into_iter().find(drawn).expect("half of them are"), one, two)
}

#[test]
fn the_time_counts_from_the_last_use() {
    let (client, one, two) = drawn_away();
    let clients = Clients::default();
    let stays = at(&clients, &one, client, NOW);
    let step = u64::from(KEEP_S) * SECOND;
    for turn in 1..5 {
        assert_eq!(at(&clients, &two, client, NOW + turn * step), stays, "used again within the time");
    }
    assert_ne!(at(&clients, &two, client, NOW + 5 * step + SECOND), stays, "not used for longer");
}

#[test]
fn a_worker_whose_clock_is_a_moment_behind_knows_the_client_too() {
    let (client, one, two) = drawn_away();
    let clients = Clients::default();
    let stays = at(&clients, &one, client, NOW);
    assert_eq!(at(&clients, &two, client, NOW - 1), stays);
}

#[test]
fn one_address_in_two_spellings_is_one_client() {
    let (client, one, two) = drawn_away();
    let IpAddr::V4(v4) = client else { panic!("{client}") };
    let clients = Clients::default();
    let stays = at(&clients, &one, v4.to_ipv6_mapped(), NOW);
    assert_eq!(at(&clients, &two, client, NOW), stays);
}

#[test]
fn an_endpoint_that_returns_does_not_call_its_clients_back() {
    let clients = Clients::default();
    let (both, who) = (service(0, [0, 1]), neighbours(1, 100));
    let before = places(&clients, &both, &who, NOW);
    let alone = places(&clients, &service(0, [1]), &who, NOW);
    assert_ne!(before, alone);
    assert_eq!(places(&clients, &both, &who, NOW), alone);
}

#[test]
fn services_do_not_know_each_other_s_clients() {
    let (client, one, _) = drawn_away();
    let clients = Clients::default();
    at(&clients, &one, client, NOW);
    let other = service(1, [0, 1]);
    assert_eq!(at(&clients, &other, client, NOW), at(&Clients::default(), &other, client, NOW));
}

#[test]
fn more_clients_than_can_be_remembered_go_where_the_hash_says() {
    let clients = Clients::default();
    let (ten, who) = (service(0, 0..10), neighbours(0, 300_000));
    let before = places(&clients, &ten, &who, NOW);
    let moved = |after: &[SocketAddr]| after.iter().zip(&before).filter(|(after, before)| after != before).count();
    let again = moved(&places(&clients, &ten, &who, NOW));
    assert!(again < 5, "many are forgotten, and nobody moves but for words that two share: {again} moved");
    let last = &who[..100_000];
    places(&clients, &ten, last, NOW + SECOND);
    let drawn = moved(&places(&clients, &service(0, 0..11), last, NOW + SECOND));
    assert!(drawn < 1_500, "those who came last are remembered, but for sets that more than eight of them share: {drawn} moved");
}

#[test]
fn workers_that_race_agree_once_the_picture_is_the_same() {
    let clients = Clients::default();
    let who = neighbours(1, 2_000);
    let pictures = [service(0, 0..3), service(0, 0..4), service(0, 1..4)];
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (clients, who, pictures) = (&clients, &who, &pictures);
            scope.spawn(move || pictures.iter().for_each(|picture| _ = places(clients, picture, who, NOW + worker)));
        }
    });
    let settled = places(&clients, &pictures[2], &who, NOW);
    assert!((0..4).all(|_| places(&clients, &pictures[2], &who, NOW) == settled));
    assert_eq!(settled.iter().collect::<HashSet<_>>().len(), 3);
}
