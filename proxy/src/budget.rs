//! How many requests of a service may be sent again after something of them was sent: a share of its traffic, and a few always, so that
//! repetitions cannot double the load of a service that is in trouble.
//!
//! Sans-io: the traffic so far and the time are arguments. Nothing is counted here for a request that is not repeated. A request of which
//! nothing was sent costs no replica anything and is not bounded by this.

use std::cell::Cell;

/// A share is taken of the traffic in this time.
const WINDOW_MS: u64 = 10_000;
/// So many in that time are always free.
const FREE: u64 = 20;
/// Parts of a repetition that are counted.
const PARTS: u64 = 1_000;

/// One service's, on one worker.
#[derive(Debug)]
pub struct Budget {
    at_ms: Cell<u64>,
    /// Requests answered until then.
    answered: Cell<u64>,
    /// What may be spent, in [`PARTS`].
    parts: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { at_ms: Cell::new(0), answered: Cell::new(0), parts: Cell::new(FREE * PARTS) }
    }
}

impl Budget {
    /// Takes one repetition out of `percent` of the traffic, when `answered` requests were answered so far. False when there is none.
    pub fn take(&self, percent: u64, answered: u64, now_ms: u64) -> bool {
        let since = now_ms.saturating_sub(self.at_ms.replace(now_ms));
        let passed = since.min(WINDOW_MS);
        let traffic = answered.saturating_sub(self.answered.replace(answered));
        // What was earned fades within the window, and of a longer time its share counts.
        let kept = self.parts.get() * (WINDOW_MS - passed) / WINDOW_MS;
        let earned = traffic * percent * (PARTS / 100) * passed.max(1) / since.max(1);
        let parts = kept + earned + FREE * PARTS * passed / WINDOW_MS;
        let free = parts >= PARTS;
        self.parts.set(parts - if free { PARTS } else { 0 });
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, answered: u64, now_ms: u64) -> u64 {
        (0..100_000).take_while(|_| budget.take(20, answered, now_ms)).count() as u64
    }

    #[test]
    fn a_few_are_free_and_more_follow_the_traffic() {
        let budget = Budget::default();
        assert_eq!(taken(&budget, 0, 0), FREE);
        assert_eq!(taken(&budget, 1_000, 1_000), 200 + FREE / 10);
        assert_eq!(taken(&budget, 1_000, 1_000), 0);
        assert_eq!(taken(&budget, 1_000, 1_000 + WINDOW_MS), FREE);
    }

    #[test]
    fn of_a_long_time_the_last_part_counts() {
        let budget = Budget::default();
        assert_eq!(taken(&budget, 0, 0), FREE);
        assert_eq!(taken(&budget, 100_000, 10 * WINDOW_MS), 2_000 + FREE);
    }

    #[test]
    fn over_time_the_share_is_kept() {
        let budget = Budget::default();
        let (mut answered, mut spent) = (0, 0);
        for second in 0..600 {
            answered += 500;
            spent += taken(&budget, answered, second * 1_000);
        }
        let share = spent as f64 / answered as f64;
        assert!((0.18..0.21).contains(&share), "{share}");
    }
}
