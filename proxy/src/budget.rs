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

/// One service's, on one worker.
#[derive(Debug, Default)]
pub struct Budget {
    began_ms: Cell<u64>,
    /// Requests answered when the window began.
    answered: Cell<u64>,
    spent: Cell<u64>,
}

impl Budget {
    /// Takes one repetition out of `percent` of the traffic, when `answered` requests were answered so far. False when there is none.
    pub fn take(&self, percent: u64, answered: u64, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.began_ms.get()) >= WINDOW_MS {
            // What was answered lately counts for a window that has just begun, too, as if it had come in the middle of it.
            let lately = answered.saturating_sub(self.answered.get()).min(answered) / 2;
            self.began_ms.set(now_ms);
            self.answered.set(answered - lately);
            self.spent.set(0);
        }
        let traffic = answered.saturating_sub(self.answered.get());
        let allowed = FREE + traffic.saturating_mul(percent) / 100;
        let free = self.spent.get() < allowed;
        self.spent.set(self.spent.get() + u64::from(free));
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
        assert_eq!(taken(&budget, 0, WINDOW_MS), FREE);
        assert_eq!(taken(&budget, 1_000, WINDOW_MS + 1_000), 200);
        assert_eq!(taken(&budget, 1_000, WINDOW_MS + 2_000), 0);
    }

    #[test]
    fn a_window_that_begins_knows_what_came_before() {
        let budget = Budget::default();
        assert_eq!(taken(&budget, 0, WINDOW_MS), FREE);
        assert_eq!(taken(&budget, 1_000, 2 * WINDOW_MS), FREE + 100);
    }

    #[test]
    fn over_time_the_share_is_kept() {
        let budget = Budget::default();
        let (mut answered, mut spent) = (0, 0);
        for second in 0..600 {
            answered += 500;
            spent += taken(&budget, answered, WINDOW_MS + second * 1_000);
        }
        let share = spent as f64 / answered as f64;
        assert!((0.18..0.32).contains(&share), "{share}");
    }
}
