//! How much of one client is under way now, over all workers: a seat for each request or connection, given back when it ends.
//!
//! A word is a part of a hash and a count, read and replaced whole, so that workers share no lock. A word that counts nothing is free.
//!
//! Invariant: a word that counts something is never given to another, so that each seat is given back where it was taken. Where all words
//! of a set count something, further clients are let in and not counted. Two workers that meet a client first in the moment that
//! a word becomes free may count it in two: both are added up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Sets of words. With [`WAYS`]: 131,072 clients in 1 MiB.
const SETS: usize = 1 << 14;
/// Words in a set, which is a cache line.
const WAYS: usize = 8;
/// Bits of a count.
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Who has how many seats. Takes no memory until somebody has one.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    sets: OnceLock<Box<[Set]>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// A seat, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    /// Which word.
    at: u32,
}

/// What became of the wish for a seat.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Here it is.
    Seat(Seat),
    /// It needs none, since there is no room to count it.
    Uncounted,
    /// All that it may have are taken.
    TooMany,
}

impl Seats {
    /// One more seat for whoever has this hash, unless it has `most`, 1,000,000 or less.
    pub(crate) fn take(self: &Arc<Self>, key: u64, most: u32) -> Taken {
        // The first call takes a lock, against the law: never again after it, and most processes never make it.
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let at = key as usize % SETS;
        loop {
            let known: [u64; WAYS] = std::array::from_fn(|way| sets[at].0[way].load(Relaxed));
            let is_of = |word: u64| word & COUNT > 0 && (word ^ key) >> COUNT_BITS == 0;
            let taken: u64 = known.iter().filter(|word| is_of(**word)).map(|word| word & COUNT).sum();
            if taken >= u64::from(most) {
                return Taken::TooMany;
            }
            let own = known.iter().position(|word| is_of(*word));
            let Some(way) = own.or_else(|| known.iter().position(|word| word & COUNT == 0)) else { return Taken::Uncounted };
            let next = if own.is_some() { known[way] + 1 } else { (key >> COUNT_BITS << COUNT_BITS) | 1 };
            // Another worker was faster: the set is looked at again.
            if sets[at].0[way].compare_exchange(known[way], next, Relaxed, Relaxed).is_ok() {
                return Taken::Seat(Seat { seats: self.clone(), at: (at * WAYS + way) as u32 });
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(sets) = self.seats.sets.get() {
            let at = self.at as usize;
            sets[at / WAYS].0[at % WAYS].fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Hashes that share a set and differ in their tags.
    fn key(number: u64) -> u64 {
        (number << COUNT_BITS) | 3
    }

    fn seat(seats: &Arc<Seats>, number: u64, most: u32) -> Option<Seat> {
        if let Taken::Seat(seat) = seats.take(key(number), most) { Some(seat) } else { None }
    }

    #[test]
    fn a_client_has_as_many_seats_as_it_may_and_gets_them_back() {
        let seats = Arc::default();
        let mut held: Vec<Seat> = (0..3).map(|_| seat(&seats, 1, 3).unwrap()).collect();
        assert!(matches!(seats.take(key(1), 3), Taken::TooMany));
        assert!(seat(&seats, 2, 3).is_some(), "another one has its own");
        held.pop();
        assert!(seat(&seats, 1, 3).is_some());
        assert!(matches!(seats.take(key(1), 2), Taken::TooMany), "a bound that was lowered");
        drop(held);
        assert!(seat(&seats, 1, 1).is_some());
    }

    #[test]
    fn a_full_set_lets_further_ones_in_and_forgets_nobody() {
        let seats = Arc::default();
        let held: Vec<Seat> = (1..=WAYS as u64).map(|number| seat(&seats, number, 1).unwrap()).collect();
        assert!(matches!(seats.take(key(99), 1), Taken::Uncounted));
        assert!((1..=WAYS as u64).all(|number| matches!(seats.take(key(number), 1), Taken::TooMany)));
        drop(held);
        let _new = seat(&seats, 99, 1).unwrap();
        assert!(matches!(seats.take(key(99), 1), Taken::TooMany));
    }

    #[test]
    fn threads_never_hold_more_together() {
        let seats = Arc::default();
        let (held, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let _sits = seat(&seats, 1, 4).unwrap(); // so that its word is never free
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(seat) = seat(&seats, 1, 4) else { continue };
                        most.fetch_max(held.fetch_add(1, Relaxed) + 1, Relaxed);
                        held.fetch_sub(1, Relaxed);
                        drop(seat);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3, "one beside the one that sits");
        assert!(matches!(seats.take(key(1), 1), Taken::TooMany) && seat(&seats, 1, 2).is_some(), "all came back");
    }
}
