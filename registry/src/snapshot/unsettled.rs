//! Endpoints that are not used like the others: left out, on trial, or new.
//!
//! Invariant: who is left out is Ready all the same: it has not left, and its connections live. All times are microseconds of the clock that
//! workers read ([`crate::clock`]).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::{Endpoint, EndpointId};

/// What a pick of such a service looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsettled {
    /// Who is left out; none of them is among the service's endpoints.
    pub aside: Box<[Aside]>,
    /// Who is new, when not all are.
    pub young: Option<Young>,
}

/// An endpoint that is left out for what its requests came to.
#[derive(Clone, Debug)]
pub struct Aside {
    /// Which.
    pub endpoint: Endpoint,
    /// One request may find out whether it is well again.
    pub trial: Option<Arc<Trial>>,
}

impl PartialEq for Aside {
    fn eq(&self, other: &Aside) -> bool {
        let trial = |aside: &Aside| aside.trial.as_ref().map(Arc::as_ptr);
        self.endpoint.id == other.endpoint.id && trial(self) == trial(other)
    }
}

/// The right to send an endpoint one request. Of all workers one has it at a time, and whoever learns what came of it never gives it back.
#[derive(Debug, Default)]
pub struct Trial(AtomicBool);

impl Trial {
    /// Takes the right, unless somebody has it.
    pub fn take(&self) -> bool {
        !self.0.load(Relaxed) && !self.0.swap(true, Relaxed)
    }

    /// Nothing came of it: somebody else may try.
    pub fn give_back(&self) {
        self.0.store(false, Relaxed);
    }
}

/// Endpoints that have yet to grow to their full share of picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Young {
    /// How long that takes.
    window_us: u64,
    /// When each will have it; sorted by id.
    full_us: Box<[(EndpointId, u64)]>,
    /// When all will.
    until_us: u64,
}

impl Young {
    /// Those that will be `window_us` old at these times.
    pub fn new(window_us: u64, full_us: impl IntoIterator<Item = (EndpointId, u64)>) -> Young {
        let mut full_us: Box<[(EndpointId, u64)]> = full_us.into_iter().collect();
        full_us.sort_unstable();
        let until_us = full_us.iter().map(|(_, full)| *full).max().unwrap_or_default();
        Young { window_us: window_us.max(1), full_us, until_us }
    }

    /// Whether nobody is young any more.
    pub fn over(&self, now_us: u64) -> bool {
        now_us >= self.until_us
    }

    /// The part of its full share that an endpoint has now, 0 to 1.
    pub fn share(&self, id: EndpointId, now_us: u64) -> f64 {
        let Ok(at) = self.full_us.binary_search_by_key(&id, |(young, _)| *young) else { return 1.0 };
        let left = self.full_us[at].1.saturating_sub(now_us);
        1.0 - (left as f64 / self.window_us as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn a_share_grows_with_age() {
        let id = |n| EndpointId(NonZeroU64::new(n).unwrap());
        let young = Young::new(1_000, [(id(7), 3_000), (id(2), 2_500)]);
        let share = |n, now| (young.share(id(n), now) * 1_000.0).round() as u64;
        assert_eq!([2_000, 2_250, 2_500, 3_000, 9_000].map(|now| share(7, now)), [0, 250, 500, 1_000, 1_000]);
        assert_eq!((share(2, 2_000), share(3, 2_000), share(7, 0)), (500, 1_000, 0));
        assert!(!young.over(2_999) && young.over(3_000));
    }

    #[test]
    fn a_trial_is_one_workers_until_it_is_given_back() {
        let trial = Trial::default();
        assert!(trial.take() && !trial.take());
        trial.give_back();
        assert!(trial.take());
    }
}
