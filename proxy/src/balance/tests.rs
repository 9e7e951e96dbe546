//! Distribution of picks, in a seeded simulation without sockets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use registry::snapshot::ReplicaId;

use super::*;

fn endpoints(count: u64) -> Vec<Endpoint> {
    (1..=count)
        .filter_map(NonZeroU64::new)
        .map(|id| {
            let address = ([127, 0, 0, 1], 1).into();
            let replica = Arc::new(Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: Default::default() });
            Endpoint { id: EndpointId(id), replica }
        })
        .collect()
}

/// `clients` closed-loop clients; `serve` tells how long a request takes at an endpoint and whether it fails. Returns picks of each.
fn simulate(
    endpoints: &[Endpoint],
    clients: usize,
    requests: usize,
    seed: u64,
    serve: impl Fn(usize, &mut Rng) -> (u64, bool),
) -> Vec<usize> {
    let mut rng = Rng::with_seed(seed);
    let mut world = Rng::with_seed(seed ^ 0x5eed);
    let mut picks = vec![0; endpoints.len()];
    let mut flying: BinaryHeap<Reverse<(u64, usize, u64, bool)>> = BinaryHeap::new();
    let mut held: Vec<Vec<InFlight>> = endpoints.iter().map(|_| Vec::new()).collect();
    let mut now = 1_000;
    for sent in 0..requests {
        if sent >= clients {
            let Reverse((ends, at, took, failed_so)) = flying.pop().expect("a client waits");
            now = ends;
            held[at].pop();
            let load = &endpoints[at].replica.load;
            if failed_so { failed(load, now) } else { answered(load, took, now) }
        }
        let picked = pick(endpoints, &[], By::Latency, now, &mut rng).expect("there are endpoints");
        let at = picked.id.0.get() as usize - 1;
        let (took, fails) = serve(at, &mut world);
        picks[at] += 1;
        held[at].push(InFlight::begin(&picked.replica));
        flying.push(Reverse((now + took, at, took, fails)));
    }
    picks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_slow_replica_gets_less_than_a_twelfth(seed in any::<u64>()) {
        let endpoints = endpoints(3);
        let picks = simulate(&endpoints, 32, 20_000, seed, |at, rng| (if at == 2 { 50_000 } else { 5_000 } + rng.u64(..500), false));
        prop_assert!(picks[2] * 1000 < 83 * 20_000, "{:?}", picks);
    }

    #[test]
    fn equal_replicas_share_equally_even_one_at_a_time(seed in any::<u64>()) {
        let endpoints = endpoints(2);
        let picks = simulate(&endpoints, 1, 5_000, seed, |_, rng| (1_000 + rng.u64(..800), false));
        prop_assert!(picks.iter().all(|&n| n > 1_750), "{:?}", picks);
    }

    #[test]
    fn failing_fast_attracts_nothing(seed in any::<u64>()) {
        let endpoints = endpoints(3);
        let picks = simulate(&endpoints, 16, 10_000, seed, |at, rng| if at == 0 { (50, true) } else { (5_000 + rng.u64(..500), false) });
        prop_assert!(picks[0] * 3 <= 10_000, "{:?}", picks);
    }

    #[test]
    fn equal_load_is_spread_over_a_thousand(seed in any::<u64>()) {
        let endpoints = endpoints(1_000);
        let mut rng = Rng::with_seed(seed);
        let mut picks = vec![0u32; 1_000];
        for _ in 0..100_000 {
            picks[pick(&endpoints, &[], By::Connections, 1, &mut rng).unwrap().id.0.get() as usize - 1] += 1;
        }
        // Chi-square with 999 degrees of freedom: mean 999, standard deviation 45; six of them is far outside chance.
        let chi: f64 = picks.iter().map(|&n| (f64::from(n) - 100.0).powi(2) / 100.0).sum();
        prop_assert!(chi < 1_270.0, "chi-square {}", chi);
    }

    #[test]
    fn what_was_tried_is_not_picked_again(seed in any::<u64>(), count in 1u64..6, avoided in 0usize..6) {
        let endpoints = endpoints(count);
        let avoid: Vec<_> = endpoints.iter().take(avoided).map(|e| e.id).collect();
        let picked = pick(&endpoints, &avoid, By::Latency, 1, &mut Rng::with_seed(seed));
        prop_assert_eq!(picked.is_none(), avoided >= count as usize);
        if let Some(picked) = picked { prop_assert!(!avoid.contains(&picked.id)); }
    }
}

#[test]
fn the_busier_of_two_is_never_picked_when_latency_ties() {
    let endpoints = endpoints(2);
    let _busy = InFlight::begin(&endpoints[0].replica);
    let mut rng = Rng::with_seed(7);
    assert!((0..1000).all(|_| pick(&endpoints, &[], By::Latency, 1, &mut rng).unwrap().id == endpoints[1].id));
}

#[test]
fn an_estimate_fades_until_the_replica_is_tried_again() {
    let endpoints = endpoints(1);
    let load = &endpoints[0].replica.load;
    failed(load, 1_000);
    assert_eq!(estimate(load, 1_000), FAILURE_US);
    assert!(estimate(load, 1_000 + 12 * HALF_LIFE_US) < FLOOR_US);
    assert!(estimate(load, u64::MAX) >= 1, "measured stays measured");
}

#[test]
fn one_after_the_other_is_even_and_passes_over_what_was_tried() {
    let endpoints = endpoints(3);
    let turn = Cell::new(usize::MAX);
    let next = |avoid: &[EndpointId]| in_turn(&endpoints, avoid, 1, &turn).map(|endpoint| endpoint.id.0.get());
    let picked: Vec<_> = (0..6).filter_map(|_| next(&[])).collect();
    assert!((0..3).all(|at| picked[at] == picked[at + 3]) && picked[0] != picked[1] && picked[1] != picked[2], "{picked:?}");
    let (first, second) = (endpoints[0].id, endpoints[1].id);
    assert!((0..4).all(|_| next(&[first, second]) == Some(3)));
    assert_eq!(in_turn(&endpoints[..1], &[first], 0, &turn).map(|endpoint| endpoint.id), None);
    assert!(in_turn(&[], &[], 0, &turn).is_none() && at_random(&[], &[], &mut Rng::with_seed(1)).is_none());
}

#[test]
fn at_random_is_even() {
    let endpoints = endpoints(4);
    let mut rng = Rng::with_seed(7);
    let mut picks = [0u32; 4];
    for _ in 0..8_000 {
        picks[at_random(&endpoints, &[], &mut rng).unwrap().id.0.get() as usize - 1] += 1;
    }
    assert!(picks.iter().all(|&picks| (1_800..2_200).contains(&picks)), "{picks:?}");
}
