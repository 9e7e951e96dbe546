//! What workers know of a replica together.
//!
//! Invariant: every access is relaxed and none is a lock: a stale value costs a worse pick, or an ejection a moment later, never a wrong
//! answer. Workers write; the registry reads, and starts the count of failures anew.

use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

/// How busy a replica is, how fast, and what its requests came to.
#[derive(Debug, Default)]
pub struct Load {
    /// Requests (or opaque connections) in flight, and begun.
    pub in_flight: Flights,
    /// Peak EWMA of the time to a response head, in microseconds; 0 while unmeasured.
    pub latency_us: AtomicU32,
    /// When it was last measured, in microseconds since the process started.
    pub measured_us: AtomicU64,
    /// Its pod is terminating, or nobody names it any more: connections to it will not be used for long.
    pub leaving: AtomicBool,
    /// Failures since the last success.
    pub failures: AtomicU32,
    /// All failures; wraps.
    pub failed: AtomicU32,
    /// A worker has told the registry of too many failures in a row, and has not been heard yet.
    pub told: AtomicBool,
}

/// One more begun.
const BEGUN: u64 = 1 << 32;

/// Two counts in one word, so that a beginning costs one instruction: in flight below, begun above. Both wrap.
#[derive(Debug, Default)]
pub struct Flights(AtomicU64);

impl Flights {
    /// One more is begun, and in flight.
    pub fn begin(&self) {
        self.0.fetch_add(BEGUN | 1, Relaxed);
    }

    /// The same, unless `most` are in flight. Nobody who is refused is ever counted.
    pub fn begin_within(&self, most: Option<u32>) -> bool {
        let most = most.unwrap_or(u32::MAX);
        self.0.fetch_update(Relaxed, Relaxed, |word| ((word as u32) < most).then(|| word.wrapping_add(BEGUN | 1))).is_ok()
    }

    /// One of them has ended.
    pub fn end(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many are in flight: read as a plain atomic is.
    pub fn load(&self, order: Ordering) -> u32 {
        self.0.load(order) as u32
    }

    /// How many ever began.
    pub fn begun(&self) -> u32 {
        (self.0.load(Relaxed) >> 32) as u32
    }

    /// So many are in flight, all of them begun: for worlds made by hand.
    pub fn store(&self, count: u32, order: Ordering) {
        self.0.store(u64::from(count) * (BEGUN | 1), order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_stays_counted_when_it_ends_also_where_the_count_wraps() {
        let flights = Flights::default();
        flights.store(3, Relaxed);
        flights.end();
        assert_eq!((flights.load(Relaxed), flights.begun()), (2, 3));
        let flights = Flights(AtomicU64::new(u64::MAX << 32));
        flights.begin();
        assert_eq!((flights.load(Relaxed), flights.begun()), (1, 0));
    }
}
