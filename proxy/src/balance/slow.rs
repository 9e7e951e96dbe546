//! New endpoints are picked less often at first (`slowStartMs`, `tidegate.dev/slow-start`), whatever picks.
//!
//! A young endpoint that was picked passes a part of its picks on to others, the smaller a part the older it is. So its share of picks grows
//! linearly with its age to what it would be without, and the policy that picks need not know. Sans-io: time and randomness are arguments.
//! Invariant: somebody is picked whenever somebody would be; nothing is allocated.

use std::num::NonZeroU64;

use fastrand::Rng;
use registry::snapshot::{Endpoint, EndpointId, Young};

/// Young endpoints that may pass one pick on.
const TURNS: usize = 4;
/// Times that it is picked anew until it is another one. Avoiding it at once would favour whoever stands behind it in the list.
const DRAWS: usize = 8;
/// Endpoints that are avoided by one pick, at most: more than any request is tried on by default.
const ROOM: usize = 16;

/// An endpoint by `pick`, which is told whom to avoid.
pub fn pick<'e>(
    young: &Young,
    avoid: &[EndpointId],
    now_us: u64,
    rng: &mut Rng,
    pick: impl Fn(&[EndpointId], &mut Rng) -> Option<&'e Endpoint>,
) -> Option<&'e Endpoint> {
    let mut picked = pick(avoid, rng)?;
    if young.over(now_us) || avoid.len() + TURNS > ROOM {
        return Some(picked);
    }
    let mut passed = [EndpointId(NonZeroU64::MIN); ROOM];
    passed[..avoid.len()].copy_from_slice(avoid);
    for turn in avoid.len()..avoid.len() + TURNS {
        let share = young.share(picked.id, now_us);
        if share >= 1.0 || rng.f64() < share {
            break;
        }
        passed[turn] = picked.id;
        let another = |endpoint: &&Endpoint| !passed[..=turn].contains(&endpoint.id);
        let drawn = (0..DRAWS).find_map(|_| pick(avoid, rng).filter(another));
        // When nobody else is left it is this one's after all.
        let Some(other) = drawn.or_else(|| pick(&passed[..=turn], rng)) else { break };
        picked = other;
    }
    Some(picked)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
    use registry::snapshot::{Replica, ReplicaId};

    use super::*;
    use crate::balance::{self, By};

    const WINDOW: u64 = 1_000;
    const PICKS: usize = 20_000;

    fn endpoint(n: u64) -> Endpoint {
        let id = NonZeroU64::new(n).unwrap();
        let address = ([127, 0, 0, 1], 1).into();
        let replica = Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: Default::default() };
        Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
    }

    type Policy = fn(&[Endpoint], &[EndpointId], &mut Rng, &Cell<usize>) -> Option<usize>;

    /// The policies that nothing ties to an endpoint.
    const POLICIES: [Policy; 3] = [
        |endpoints, avoid, rng, _| at(endpoints, balance::pick(endpoints, avoid, By::Latency, 1, rng)),
        |endpoints, avoid, rng, _| at(endpoints, balance::at_random(endpoints, avoid, rng)),
        |endpoints, avoid, _, turn| at(endpoints, balance::in_turn(endpoints, avoid, 0, turn)),
    ];

    fn at(endpoints: &[Endpoint], picked: Option<&Endpoint>) -> Option<usize> {
        let picked = picked?;
        endpoints.iter().position(|endpoint| endpoint.id == picked.id)
    }

    /// How often each of `count` endpoints is picked at `now`, when the first so many are full-grown at these times.
    fn picks(count: u64, full: &[u64], now: u64, seed: u64, policy: Policy) -> Vec<usize> {
        let endpoints: Vec<Endpoint> = (1..=count).map(endpoint).collect();
        let young = Young::new(WINDOW, endpoints.iter().map(|endpoint| endpoint.id).zip(full.iter().copied()));
        let (mut rng, turn) = (Rng::with_seed(seed), Cell::new(0));
        let mut picks = vec![0; endpoints.len()];
        for _ in 0..PICKS {
            let by = |avoid: &[EndpointId], rng: &mut Rng| policy(&endpoints, avoid, rng, &turn).map(|at| &endpoints[at]);
            let picked = pick(&young, &[], now, &mut rng, by);
            picks[at(&endpoints, picked).unwrap()] += 1;
        }
        picks
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn a_share_grows_linearly_to_that_of_the_others(seed in any::<u64>(), count in 2..8u64) {
            for (policy, in_turn) in POLICIES.into_iter().zip([false, false, true]) {
                for age in [0, 250, 500, 750, 1_000] {
                    let picks = picks(count, &[WINDOW + 1_000], 1_000 + age, seed, policy);
                    let grown = age as f64 / WINDOW as f64;
                    // A turn that is passed on is the next one's, so that a round has one pick less.
                    let round = if in_turn { count as f64 - 1.0 + grown } else { count as f64 };
                    let expected = PICKS as f64 * grown / round;
                    // Six standard deviations of a count of this size are less than 6 * 100.
                    prop_assert!((picks[0] as f64 - expected).abs() < 600.0, "{age}: {picks:?}, expected {expected}");
                    let others = (PICKS - picks[0]) as f64 / (count - 1) as f64;
                    prop_assert!(picks[1..].iter().all(|&n| (n as f64 - others).abs() < 700.0), "{age}: {picks:?}");
                }
            }
        }

        #[test]
        fn of_two_young_ones_the_older_gets_more(seed in any::<u64>()) {
            let picks = picks(4, &[1_900, 1_300], 1_000, seed, POLICIES[0]);
            prop_assert!(picks[0] * 3 < picks[1] && picks[1] < picks[2], "{:?}", picks);
        }
    }

    #[test]
    fn the_youngest_is_picked_when_nobody_else_is_left() {
        let endpoints = [endpoint(1), endpoint(2)];
        let young = Young::new(WINDOW, [(endpoints[0].id, 2_000)]);
        let mut rng = Rng::with_seed(3);
        let mut by = |avoid: &[EndpointId]| {
            pick(&young, avoid, 1_000, &mut rng, |avoid, rng| balance::at_random(&endpoints, avoid, rng)).map(|endpoint| endpoint.id)
        };
        assert!((0..100).all(|_| by(&[]) == Some(endpoints[1].id)));
        assert!((0..100).all(|_| by(&[endpoints[1].id]) == Some(endpoints[0].id)));
        assert_eq!(by(&[endpoints[0].id, endpoints[1].id]), None);
    }
}
