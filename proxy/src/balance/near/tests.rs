//! When a request goes far, in a seeded simulation without sockets.

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::super::hash::tests::service;
use super::super::{InFlight, failed};
use super::*;

/// `near` near endpoints and `far` others.
fn split(near: u32, far: u32) -> Service {
    Service { near: near as usize, ..service(0, 0..near + far) }
}

/// Requests that are held all at once, `count` of them; how many each endpoint has then.
fn held(service: &Service, by: By, count: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng::with_seed(seed);
    let _flights: Vec<InFlight> =
        (0..count).map(|_| InFlight::begin(&pick(service, &[], by, 1_000, &mut rng).expect("there are endpoints").replica)).collect();
    service.endpoints.iter().map(|endpoint| endpoint.replica.load.in_flight.load(Relaxed)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_goes_far_while_the_near_ones_have_little_to_do(seed in any::<u64>(), near in 1_u32..6, far in 1_u32..20) {
        for by in [By::Latency, By::Connections] {
            let service = split(near, far);
            // Two at random, the less busy one: none is given one too many before all have nearly as many.
            let held = held(&service, by, (near * MANY) as usize, seed);
            let away: u32 = held[near as usize..].iter().sum();
            prop_assert!(away <= near, "{:?}", held);
            if near <= 2 { prop_assert!(away == 0, "{:?}", held); }
        }
    }

    #[test]
    fn too_many_spill_until_a_far_one_would_have_a_quarter(seed in any::<u64>(), near in 1_u32..4, far in 2_u32..8) {
        let service = split(near, far);
        let held = held(&service, By::Connections, 1_000, seed);
        let (here, there) = held.split_at(near as usize);
        let (most, least) = (f64::from(*here.iter().max().unwrap()), f64::from(*there.iter().min().unwrap()));
        prop_assert!(least > 0.0 && (2.5..5.0).contains(&(most / least)), "{:?}", held);
        prop_assert!(here.iter().all(|near| there.iter().all(|far| near > far)), "the near ones have more: {:?}", held);
    }

    #[test]
    fn where_none_is_nearer_it_is_the_less_busy_of_two(seed in any::<u64>(), count in 1_u32..20) {
        let service = service(0, 0..count);
        let (mut rng, mut same) = (Rng::with_seed(seed), Rng::with_seed(seed));
        for _ in 0..50 {
            let (here, there) = (pick(&service, &[], By::Latency, 1, &mut rng), crate::balance::pick(&service.endpoints, &[], By::Latency, 1, &mut same));
            prop_assert!(here.map(|endpoint| endpoint.id) == there.map(|endpoint| endpoint.id));
        }
    }
}

#[test]
fn the_only_near_one_that_failed_is_left_alone_for_a_while() {
    let service = split(1, 2);
    let mut rng = Rng::with_seed(7);
    let mut far = |now_us| {
        let picked = pick(&service, &[], By::Latency, now_us, &mut rng).expect("there are endpoints");
        picked.id != service.endpoints[0].id
    };
    assert!(!far(1_000));
    failed(&service.endpoints[0].replica.load, 1_000);
    assert!((0..20).all(|_| far(1_001)));
    assert!(!far(1_000 + super::super::HALF_LIFE_US), "and then tried again");
    service.endpoints.iter().for_each(|endpoint| failed(&endpoint.replica.load, 5_000_000));
    assert!(!far(5_000_001), "all failed: there is no reason to go far");
}

#[test]
fn what_was_tried_is_passed_over_near_ones_first() {
    let service = split(2, 2);
    let ids: Vec<EndpointId> = service.endpoints.iter().map(|endpoint| endpoint.id).collect();
    let mut rng = Rng::with_seed(7);
    let mut picked = |avoid: &[EndpointId]| pick(&service, avoid, By::Latency, 1, &mut rng).map(|endpoint| endpoint.id);
    assert!((0..20).all(|_| picked(&ids[..1]) == Some(ids[1])));
    assert!((0..20).all(|_| picked(&ids[..3]) == Some(ids[3])));
    assert_eq!(picked(&ids), None);
    assert!((0..20).all(|_| picked(&ids[2..]).is_some_and(|id| ids[..2].contains(&id))));
    let in_turn = |avoid: &[EndpointId]| first(&service, |some| some.iter().find(|endpoint| !avoid.contains(&endpoint.id)));
    assert_eq!(in_turn(&ids[..2]).map(|endpoint| endpoint.id), Some(ids[2]));
    assert!(first(&split(0, 0), |some| some.first()).is_none());
}
