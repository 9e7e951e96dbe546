//! Whose success rate is far below its fellows'.
//!
//! The measure is the field's (a mean less some standard deviations), with two words of caution: it says nothing of few endpoints or few
//! requests, and a small gap is no gap, however alike the others are.

use config::settings::Outlier as Rules;

use super::Cause;
use crate::snapshot::EndpointId;

/// A rate that is not below the mean by this much is as good as any: where all others never fail, one failure in a thousand would be many
/// deviations.
const GAP: f64 = 0.05;

/// What came of an endpoint's requests in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) id: EndpointId,
    /// That began in it.
    pub(crate) requests: u32,
    /// That failed in it, also of those that began before.
    pub(crate) failed: u32,
}

impl Tally {
    fn rate(&self) -> f64 {
        1.0 - f64::from(self.failed.min(self.requests)) / f64::from(self.requests.max(1))
    }
}

/// Who of a service port's endpoints should be ejected, the worst first.
pub(crate) fn outliers(tallies: &[Tally], rules: &Rules) -> Vec<(EndpointId, Cause)> {
    let counted: Vec<&Tally> = tallies.iter().filter(|tally| tally.requests >= rules.success_rate_requests).collect();
    if rules.success_rate_factor == 0 || counted.len() < rules.success_rate_endpoints as usize {
        return Vec::new();
    }
    let count = counted.len() as f64;
    let mean = counted.iter().map(|tally| tally.rate()).sum::<f64>() / count;
    let variance = counted.iter().map(|tally| (tally.rate() - mean).powi(2)).sum::<f64>() / count;
    let least = mean - (variance.sqrt() * f64::from(rules.success_rate_factor) / 1000.0).max(GAP);
    let mut worst: Vec<&Tally> = counted.into_iter().filter(|tally| tally.rate() < least).collect();
    worst.sort_by(|a, b| a.rate().total_cmp(&b.rate()).then(a.id.cmp(&b.id)));
    let thousandths = |rate: f64| (rate * 1000.0).round() as u32;
    worst.into_iter().map(|tally| (tally.id, Cause::Rate { own: thousandths(tally.rate()), mean: thousandths(mean) })).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    /// Endpoints 1, 2, ... that failed so often of so many.
    fn judged(tallies: &[(u32, u32)]) -> Vec<u64> {
        let tally = |(at, &(failed, requests)): (usize, &(u32, u32))| Tally {
            id: EndpointId(NonZeroU64::new(at as u64 + 1).unwrap()),
            requests,
            failed,
        };
        let tallies: Vec<Tally> = tallies.iter().enumerate().map(tally).collect();
        outliers(&tallies, &Rules::default()).iter().map(|(id, _)| id.0.get()).collect()
    }

    #[test]
    fn one_far_below_its_fellows_is_found() {
        assert_eq!(judged(&[(0, 100), (1, 100), (100, 100), (0, 500), (2, 300)]), [3]);
        assert_eq!(judged(&[(0, 100), (0, 100), (0, 100), (30, 100), (0, 100)]), [4]);
        assert_eq!(judged(&[(1, 100), (1, 100), (95, 100), (1, 100), (1, 100), (1, 100), (1, 100), (99, 100), (1, 100), (1, 100)]), [8, 3]);
    }

    #[test]
    fn nobody_is_where_all_are_alike_or_nearly_or_little_is_known() {
        assert_eq!(judged(&[(100, 100); 9]), [0; 0], "all fail");
        assert_eq!(judged(&[(0, 100), (0, 100), (0, 100), (4, 100), (0, 100)]), [0; 0], "a small gap");
        assert_eq!(judged(&[(0, 100), (0, 100), (100, 100), (0, 100)]), [0; 0], "four endpoints");
        assert_eq!(judged(&[(0, 100), (0, 100), (99, 99), (0, 100), (0, 100)]), [0; 0], "its requests are too few");
        assert_eq!(judged(&[(0, 100), (0, 99), (100, 100), (0, 100), (0, 100)]), [0; 0], "one of five has too few");
        assert_eq!(judged(&[(50, 100), (0, 100), (50, 100), (0, 100), (50, 100), (0, 100)]), [0; 0], "half of them");
        assert_eq!(judged(&[]), [0; 0]);
    }

    #[test]
    fn more_failures_than_requests_are_as_many() {
        assert_eq!(judged(&[(0, 100), (0, 100), (300, 100), (0, 100), (0, 100)]), [3]);
    }
}
