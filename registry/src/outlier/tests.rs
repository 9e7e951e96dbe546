//! Ejections by themselves: random outcomes and times, and the bounds that they keep.

use std::num::NonZeroU64;

use config::object::{Protocol, ServiceKey};
use proptest::prelude::*;

use super::*;

fn id(n: u64) -> EndpointId {
    EndpointId(NonZeroU64::new(n + 1).unwrap())
}

fn port() -> PortName {
    PortName { service: ServiceKey { namespace: "a".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rules() -> Rules {
    Rules { base_ejection_ms: 1_000, max_ejection_ms: 3_500, ..Rules::default() }
}

fn by(rules: Rules) -> Outliers {
    Outliers { rules, ..Outliers::default() }
}

fn ready(count: u64) -> Vec<EndpointId> {
    (0..count).map(id).collect()
}

fn lasts(turn: Option<Turn>) -> Option<u64> {
    match turn {
        Some(Turn::Ejected(_, lasts)) => Some(lasts.as_millis() as u64),
        _ => None,
    }
}

const CAUSE: Cause = Cause::InARow(5);

#[test]
fn each_ejection_in_a_row_lasts_longer_up_to_the_most() {
    let (mut outliers, four) = (by(rules()), ready(4));
    let mut now = ms(0);
    for expected in [1_000, 2_000, 3_000, 3_500, 3_500] {
        assert_eq!(lasts(outliers.eject(&port(), &four, id(0), CAUSE, now)), Some(expected));
        assert_eq!(outliers.eject(&port(), &four, id(0), CAUSE, now), None, "it is out already");
        now += ms(expected - 1);
        assert!(outliers.tick(now).is_empty());
        assert_eq!(outliers.due(), Some(now + ms(1)));
        now += ms(1);
        assert_eq!(outliers.tick(now), [(port(), id(0), Turn::OnTrial)]);
    }
    assert_eq!(outliers.tried(&port(), &four, id(0), true, now), Some(Turn::Proven));
    assert!(!outliers.is_out(id(0)));
    // Well for two base times: two ejections are forgotten, of the four that count.
    assert!(outliers.tick(now + ms(2_000)).is_empty());
    assert_eq!(lasts(outliers.eject(&port(), &four, id(0), CAUSE, now + ms(2_000))), Some(3_000));
    outliers.forget(id(0));
    assert!(outliers.is_quiet());
    assert_eq!(lasts(outliers.eject(&port(), &four, id(0), CAUSE, now)), Some(1_000), "a new life");
}

#[test]
fn one_on_trial_returns_by_a_success_or_by_time_and_is_out_again_by_a_failure() {
    let (mut outliers, two) = (by(rules()), ready(2));
    let on_trial = |outliers: &mut Outliers, now| {
        outliers.eject(&port(), &two, id(1), CAUSE, now);
        outliers.tick(now + ms(10_000));
        assert!(outliers.standing(id(1)).is_some_and(|standing| standing.on_trial) && outliers.trial(id(1)).is_some());
    };
    on_trial(&mut outliers, ms(0));
    assert_eq!(lasts(outliers.tried(&port(), &two, id(1), false, ms(10_000))), Some(2_000));
    assert!(outliers.trial(id(1)).is_none());
    assert_eq!(outliers.tried(&port(), &two, id(1), true, ms(10_000)), None, "a late success of the trial before");
    outliers.forget(id(1));
    on_trial(&mut outliers, ms(0));
    assert!(outliers.tick(ms(10_999)).is_empty());
    assert_eq!(outliers.tick(ms(11_000)), [(port(), id(1), Turn::Returned)]);
    assert_eq!(outliers.tried(&port(), &two, id(1), false, ms(11_000)), None);
}

#[test]
fn the_last_one_is_never_ejected_nor_more_than_the_share() {
    let out = |count: u64, percent: u32| {
        let mut outliers = by(Rules { max_ejected_percent: percent, ..rules() });
        let all = ready(count);
        all.iter().filter(|id| outliers.eject(&port(), &all, **id, CAUSE, ms(0)).is_some()).count()
    };
    assert_eq!([0, 1, 2, 3, 4, 5, 10].map(|count| out(count, 50)), [0, 0, 1, 1, 2, 2, 5]);
    assert_eq!([1, 2, 3, 10].map(|count| out(count, 100)), [0, 1, 2, 9]);
    assert_eq!([9, 10, 19, 20].map(|count| out(count, 10)), [0, 1, 1, 2]);
    assert_eq!(out(10, 0), 0);
    let mut outliers = by(rules());
    assert_eq!(outliers.eject(&port(), &ready(4), id(7), CAUSE, ms(0)), None, "it is not Ready");
}

#[test]
fn one_whose_trial_failed_returns_when_it_is_the_last() {
    let mut outliers = by(rules());
    outliers.eject(&port(), &ready(2), id(0), CAUSE, ms(0));
    outliers.tick(ms(1_000));
    assert_eq!(outliers.tried(&port(), &ready(1), id(0), false, ms(1_000)), Some(Turn::Spared));
}

#[test]
fn all_are_used_when_too_few_are_left() {
    let outliers = by(rules());
    let cases = [((4, 2), true), ((3, 1), true), ((3, 2), false), ((2, 1), true), ((1, 1), false), ((0, 0), false), ((5, 0), false)];
    for ((ready, out), leaves_out) in cases {
        assert_eq!(outliers.leaves_out(ready, out), leaves_out, "{out} of {ready}");
    }
    let never = by(Rules { panic_percent: 0, ..rules() });
    assert!(never.leaves_out(100, 99) && !never.leaves_out(100, 100), "somebody is always used");
}

#[test]
fn new_rules_let_go_of_whom_they_would_not_eject() {
    let mut outliers = by(rules());
    let six = ready(6);
    outliers.eject(&port(), &six, id(0), CAUSE, ms(0));
    outliers.eject(&port(), &six, id(1), Cause::Rate { own: 0, mean: 990 }, ms(0));
    let turns = outliers.renew(Rules { consecutive_failures: 0, ..rules() }, ms(1));
    assert_eq!(turns, [(port(), id(0), Turn::Returned)]);
    assert!(outliers.renew(Rules { base_ejection_ms: 5, max_ejection_ms: 10, ..rules() }, ms(2)).is_empty());
    assert_eq!(outliers.due(), Some(ms(12)));
    assert_eq!(outliers.renew(Rules { max_ejected_percent: 0, ..rules() }, ms(3)), [(port(), id(1), Turn::Returned)]);
    assert!(outliers.is_quiet());
}

#[test]
fn causes_are_told_in_words() {
    let told = [CAUSE, Cause::InARow(1), Cause::Rate { own: 125, mean: 984 }, Cause::Trial].map(|cause| cause.to_string());
    assert_eq!(told, ["5 failures in a row", "a failure", "success rate 12.5 %, where the mean is 98.4 %", "its trial failed"]);
}

/// What happens to a service port of up to eight endpoints.
#[derive(Clone, Debug)]
enum Step {
    Fails(u64),
    Tried(u64, bool),
    /// Becomes Ready, or is no longer.
    Turns(u64),
    Gone(u64),
    Waits(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8u64).prop_map(Step::Fails),
        3 => (0..8u64, any::<bool>()).prop_map(|(n, well)| Step::Tried(n, well)),
        2 => (0..8u64).prop_map(Step::Turns),
        1 => (0..8u64).prop_map(Step::Gone),
        4 => (0..4_000u64).prop_map(Step::Waits),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_whatever_happens(
        steps in proptest::collection::vec(step(), 1..200),
        percent in 0..=100u32,
        panic_percent in 0..=100u32,
    ) {
        let rules = Rules { max_ejected_percent: percent, panic_percent, ..rules() };
        let mut outliers = by(rules);
        let (mut ready, mut now) = (ready(8), ms(0));
        for step in steps {
            let is_out = |outliers: &Outliers, ready: &[EndpointId]| ready.iter().filter(|id| outliers.is_out(**id)).count();
            let before = is_out(&outliers, &ready);
            match step {
                Step::Fails(n) => _ = outliers.eject(&port(), &ready, id(n), CAUSE, now),
                Step::Tried(n, well) => _ = outliers.tried(&port(), &ready, id(n), well, now),
                Step::Turns(n) if ready.contains(&id(n)) => ready.retain(|other| *other != id(n)),
                Step::Turns(n) => ready.push(id(n)),
                Step::Gone(n) => {
                    ready.retain(|other| *other != id(n));
                    outliers.forget(id(n));
                }
                Step::Waits(wait) => {
                    now += ms(wait);
                    outliers.tick(now);
                }
            }
            let out = is_out(&outliers, &ready);
            if out > before && !matches!(step, Step::Turns(_)) {
                prop_assert!(out * 100 <= ready.len() * percent as usize, "{out} of {} by {percent} %", ready.len());
                prop_assert!(out < ready.len());
            }
            if outliers.leaves_out(ready.len(), out) {
                prop_assert!(out < ready.len() && (ready.len() - out) * 100 >= ready.len() * panic_percent as usize);
            }
            for n in 0..8 {
                if let Some(standing) = outliers.standing(id(n)) {
                    prop_assert!(standing.until <= now + ms(3_500), "out for {:?}", standing.until - now);
                }
            }
            prop_assert!(outliers.due().is_none_or(|due| due > now), "nothing is left behind");
        }
        // Once nothing fails any more all are in, after an ejection and a trial at most; and later nothing is known of it.
        outliers.tick(now + ms(3_500));
        outliers.tick(now + ms(4_500));
        prop_assert!((0..8).all(|n| !outliers.is_out(id(n))));
        outliers.tick(now + ms(9_000));
        prop_assert!(outliers.is_quiet());
    }
}
