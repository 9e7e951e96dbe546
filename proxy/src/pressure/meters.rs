//! What every worker knows of rates together: one word for each client or route that has lately asked.
//!
//! A word is a part of a hash and the point in time of [`gcra`](super::gcra), read and replaced whole, so that workers share no lock and
//! count exactly together. A point that has passed is as good as none: its word is free, and nothing is lost when another takes it.
//!
//! Invariant: a word whose point has not passed is never given to another. Where all words of a set are such, further clients are let in
//! and not counted. Two clients are taken for one where their hashes share the set and [`TAG_BITS`] bits: one new client in a hundred
//! thousand, beside a set that is full. Two workers that meet a client first at the very moment that a word becomes free may
//! remember it twice; the later point counts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::gcra::{Gcra, PER_MS, PER_US};

/// Words in a set, which is a cache line.
const WAYS: usize = 8;
/// Bits of a hash in a word.
const TAG_BITS: u32 = 20;
/// Bits of a point in time, in units of 100 ns: twenty days, of which what lies more than half ahead has passed.
const TIME_BITS: u32 = 64 - TAG_BITS;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// Another worker may have read the clock so much later: a second.
const SKEW: u64 = 1_000 * PER_MS;
/// Sets that are looked through at a time.
const SWEPT: usize = 512;

/// A table of words.
#[derive(Debug)]
pub(crate) struct Meters {
    count: usize,
    sets: OnceLock<Box<[Set]>>,
    /// Where the next sweep goes on.
    next: AtomicUsize,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metered {
    /// It may go on.
    Passes,
    /// It may, since there is no room to count it.
    Uncounted,
    /// It is one too many. Time until one more may come, in units of 100 ns.
    TooMany(u64),
}

impl Meters {
    /// So many sets, a power of two.
    pub(crate) const fn new(count: usize) -> Meters {
        Meters { count, sets: OnceLock::new(), next: AtomicUsize::new(0) }
    }

    /// One more request of whoever has this hash.
    pub(crate) fn take(&self, key: u64, gcra: &Gcra, now_us: u64) -> Metered {
        // The first call takes a lock, against the law: never again after it, and most processes never make it.
        let sets = self.sets.get_or_init(|| (0..self.count).map(|_| Set::default()).collect());
        let (set, now) = (&sets[key as usize & (self.count - 1)], now_us * PER_US);
        loop {
            let Some((word, known)) = set.of(key, now) else { return Metered::Uncounted };
            let ahead = if known.is_of(key) { known.ahead(now) } else { 0 };
            let next = match gcra.pass(ahead) {
                Ok(ahead) => Word::new(key, now.wrapping_add(ahead)),
                // It is of a rate that was lower, before an annotation was changed.
                Err(_) if ahead > gcra.furthest() + SKEW => {
                    let _ = word.compare_exchange(known.0, Word::new(key, now.wrapping_add(gcra.furthest())).0, Relaxed, Relaxed);
                    continue;
                }
                Err(wait) => return Metered::TooMany(wait),
            };
            // Another worker was faster: the set is looked at again.
            if word.compare_exchange(known.0, next.0, Relaxed, Relaxed).is_ok() {
                return Metered::Passes;
            }
        }
    }

    /// Frees words of the next sets whose points have passed, so that none is ever so old that it looks young.
    pub(crate) fn sweep(&self, now_us: u64) {
        let Some(sets) = self.sets.get() else { return };
        let from = self.next.fetch_add(SWEPT, Relaxed);
        for at in from..from.wrapping_add(SWEPT) {
            for word in &sets[at & (self.count - 1)].0 {
                let known = Word(word.load(Relaxed));
                if known.0 != 0 && known.ahead(now_us * PER_US) == 0 {
                    let _ = word.compare_exchange(known.0, 0, Relaxed, Relaxed); // it is in use again
                }
            }
        }
    }
}

impl Set {
    /// The word of this hash, as it was read; of two the one whose point is later. Else a free one.
    fn of(&self, key: u64, now: u64) -> Option<(&AtomicU64, Word)> {
        let known = self.0.iter().map(|word| (word, Word(word.load(Relaxed))));
        let rank = |(_, known): &(&AtomicU64, Word)| match (known.is_of(key), known.ahead(now)) {
            (false, 0) => 1,
            (false, _) => 0,
            (true, ahead) => 2 + ahead,
        };
        known.max_by_key(rank).filter(|found| rank(found) > 0)
    }
}

/// A part of a hash, and a point in time. 0 is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn new(key: u64, point: u64) -> Word {
        Word((key >> TIME_BITS << TIME_BITS) | (point & TIME))
    }

    fn is_of(self, key: u64) -> bool {
        self.0 != 0 && (self.0 ^ key) >> TIME_BITS == 0
    }

    /// How far its point is ahead of now; 0 when it has passed.
    fn ahead(self, now: u64) -> u64 {
        let ahead = self.0.wrapping_sub(now) & TIME;
        if self.0 == 0 || ahead > TIME / 2 { 0 } else { ahead }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicU64;

    use config::filter::Rate;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::*;

    fn gcra(requests: u64, burst: u64) -> Gcra {
        Gcra::new(&Rate { requests, per_ms: 1_000, burst })
    }

    /// Hashes that share a set of `count` sets and differ in their tags.
    fn crowd(count: usize) -> impl Iterator<Item = u64> {
        (1..).map(move |tag: u64| (tag << TIME_BITS) | (7 & (count as u64 - 1)))
    }

    #[test]
    fn a_full_set_lets_further_ones_in_and_forgets_nobody() {
        let meters = Meters::new(16);
        let slow = gcra(1, 1);
        let keys: Vec<u64> = crowd(16).take(WAYS + 3).collect();
        let take = |key: u64, now_us| meters.take(key, &slow, now_us);
        assert!(keys[..WAYS].iter().all(|&key| take(key, 5) == Metered::Passes));
        assert!(keys[WAYS..].iter().all(|&key| take(key, 5) == Metered::Uncounted), "there is no room to count them");
        assert!(keys[..WAYS].iter().all(|&key| take(key, 5) == Metered::TooMany(1_000 * PER_MS)), "nobody lost its place");
        // Their points have passed by now: the others have the words, and are counted.
        let later = 5 + 1_000_000;
        assert!(keys[3..].iter().all(|&key| take(key, later) == Metered::Passes));
        assert!(keys[3..].iter().all(|&key| matches!(take(key, later), Metered::TooMany(_))));
    }

    #[test]
    fn a_point_that_is_swept_is_the_same_as_one_that_has_passed() {
        let meters = Meters::new(16);
        let slow = gcra(10, 1);
        let key = crowd(16).next().unwrap();
        assert_eq!(meters.take(key, &slow, 0), Metered::Passes);
        let held = |now_us| {
            (0..16).for_each(|_| meters.sweep(now_us));
            meters.sets.get().unwrap().iter().flat_map(|set| &set.0).filter(|word| word.load(Relaxed) != 0).count()
        };
        assert_eq!((held(99_999), held(100_000)), (1, 0));
        assert_eq!(meters.take(key, &slow, 100_000), Metered::Passes);
    }

    #[test]
    fn a_rate_that_is_raised_is_not_held_against_what_was_used_up_before() {
        let meters = Meters::new(16);
        let key = crowd(16).next().unwrap();
        let (slow, fast) = (Gcra::new(&Rate { requests: 1, per_ms: 60_000, burst: 10 }), gcra(1, 1));
        (0..10).for_each(|_| assert_eq!(meters.take(key, &slow, 0), Metered::Passes));
        assert_eq!(meters.take(key, &fast, 0), Metered::TooMany(1_000 * PER_MS), "not ten minutes");
        assert_eq!(meters.take(key, &fast, 1_000_000), Metered::Passes);
    }

    #[test]
    fn threads_count_exactly_together() {
        let meters = Meters::new(16);
        let burst = 1_000;
        let gcra = gcra(1, burst);
        let passed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..burst {
                        // Time stands still: nothing is won by waiting.
                        let went = meters.take(crowd(16).next().unwrap(), &gcra, 42) == Metered::Passes;
                        passed.fetch_add(u64::from(went), Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), burst);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// One word for each client, as far as there is room, is as good as a list without end.
        #[test]
        fn it_counts_as_a_list_of_all_clients_would(
            start in any::<u32>(),
            requests in 1u64..50,
            burst in 1u64..6,
            steps in proptest::collection::vec((0usize..WAYS, 0u64..200_000), 1..300),
        ) {
            let (meters, gcra) = (Meters::new(16), gcra(requests, burst));
            let keys: Vec<u64> = crowd(16).take(WAYS).collect();
            let mut list: HashMap<usize, u64> = HashMap::new();
            let mut now_us = u64::from(start) * 1_000;
            for (who, gap) in steps {
                now_us += gap;
                let now = now_us * PER_US;
                let expected = gcra.pass(list.get(&who).map_or(0, |point| point.saturating_sub(now)));
                if let Ok(ahead) = expected {
                    list.insert(who, now + ahead);
                }
                let met = meters.take(keys[who], &gcra, now_us);
                prop_assert_eq!(met, expected.map_or_else(Metered::TooMany, |_| Metered::Passes));
            }
        }
    }
}
