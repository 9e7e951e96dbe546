//! A rate as one point in time: the generic cell rate algorithm (ITU-T I.371 annex A, virtual scheduling).
//!
//! Each request moves the point at which its client has used up all that it may by one interval; whoever would move it too far ahead of now
//! is refused, and moves nothing. Sans-io: time is an argument, in units of 100 ns. Invariant: in any span of time no more pass than
//! fit into it, and the burst; and whoever keeps to the rate is never refused.

use config::filter::Rate;

/// Units in a millisecond.
pub(crate) const PER_MS: u64 = 10_000;
/// Units in a microsecond.
pub(crate) const PER_US: u64 = 10;

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gcra {
    interval: u64,
    /// How far ahead of now the point may be for one more to pass.
    tolerance: u64,
}

impl Gcra {
    /// As it is asked for; its interval is rounded down to 100 ns.
    pub(crate) fn new(rate: &Rate) -> Gcra {
        let interval = (rate.per_ms * PER_MS / rate.requests).max(1);
        Gcra { interval, tolerance: interval * (rate.burst.max(1) - 1) }
    }

    /// The furthest ahead of now that a point ever is.
    pub(crate) fn furthest(&self) -> u64 {
        self.tolerance + self.interval
    }

    /// The point after one more request, when it is `ahead` of now.
    ///
    /// # Errors
    /// Time until one more passes.
    pub(crate) fn pass(&self, ahead: u64) -> Result<u64, u64> {
        if ahead > self.tolerance { Err(ahead - self.tolerance) } else { Ok(ahead + self.interval) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const SECOND: u64 = 1_000 * PER_MS;

    fn rate(requests: u64, per_ms: u64, burst: u64) -> Rate {
        Rate { requests, per_ms, burst }
    }

    /// Which requests at these times pass.
    fn passed(gcra: &Gcra, times: &[u64]) -> Vec<bool> {
        let mut point = 0u64;
        times
            .iter()
            .map(|&now| match gcra.pass(point.saturating_sub(now)) {
                Ok(ahead) => {
                    point = now + ahead;
                    true
                }
                Err(_) => false,
            })
            .collect()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_for_each_interval() {
        let gcra = Gcra::new(&rate(10, 1_000, 3));
        let tenth = SECOND / 10;
        assert_eq!(passed(&gcra, &[0, 0, 0, 0, tenth - 1, tenth, tenth, 2 * tenth]), [true, true, true, false, false, true, false, true]);
        assert_eq!(passed(&gcra, &[0, 0, 0, 10 * SECOND, 10 * SECOND, 10 * SECOND, 10 * SECOND])[3..], [true, true, true, false]);
        assert_eq!(gcra.pass(3 * tenth), Err(tenth));
    }

    #[test]
    fn a_rate_is_kept_to_a_hundred_nanoseconds() {
        for (requests, interval) in [(1, SECOND), (7, 1_428_571), (100, SECOND / 100), (1_000_000, 10)] {
            assert_eq!(Gcra::new(&rate(requests, 1_000, 1)).interval, interval);
        }
        assert_eq!(Gcra::new(&rate(1, 60_000, 10_000)).furthest(), 600_000 * SECOND);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// The two halves of the invariant, by counting.
        #[test]
        fn no_span_lets_more_pass_than_fit_and_who_keeps_to_it_passes(
            requests in 1u64..2_000,
            burst in 1u64..40,
            gaps in proptest::collection::vec(0u64..3 * SECOND / 100, 1..200),
        ) {
            let gcra = Gcra::new(&rate(requests, 1_000, burst));
            let times: Vec<u64> = gaps.iter().scan(0, |now, gap| { *now += gap; Some(*now) }).collect();
            let went: Vec<u64> = times.iter().zip(passed(&gcra, &times)).filter(|(_, passed)| *passed).map(|(&time, _)| time).collect();
            for (at, from) in went.iter().enumerate() {
                for (count, to) in went[at..].iter().enumerate() {
                    prop_assert!((count as u64) < (to - from) / gcra.interval + burst, "{count} within {}", to - from);
                }
            }
            let steady: Vec<u64> = (0..100).map(|step| step * gcra.interval).collect();
            prop_assert_eq!(passed(&gcra, &steady), vec![true; 100]);
        }
    }
}
