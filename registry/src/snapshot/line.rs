//! Those who wait for room at a service port, over all workers: first come, first served.
//!
//! Invariant: only the first in line looks for room, and it keeps its place until it leaves the line, so that nobody overtakes. A bell that is
//! rung before anybody listens is heard still. A line that is empty costs who frees room one look at a number.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Line {
    length: AtomicU32,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    next: u64,
    /// By the order in which they came.
    bells: BTreeMap<u64, Arc<Notify>>,
}

/// A place in it.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    bell: Arc<Notify>,
}

impl Line {
    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Acquire) == 0
    }

    /// The last place, unless `most` wait already.
    pub(super) fn join(&self, most: u32) -> Option<Turn> {
        let mut standing = self.standing();
        if standing.bells.len() >= most as usize {
            return None;
        }
        let turn = Turn { number: standing.next, bell: Arc::default() };
        standing.next += 1;
        standing.bells.insert(turn.number, turn.bell.clone());
        self.length.fetch_add(1, AcqRel);
        Some(turn)
    }

    /// Nobody waits longer.
    pub(super) fn is_first(&self, turn: &Turn) -> bool {
        self.standing().bells.first_key_value().is_some_and(|(&first, _)| first == turn.number)
    }

    /// There may be room.
    pub(super) fn ring(&self) {
        if !self.is_empty()
            && let Some((_, bell)) = self.standing().bells.first_key_value()
        {
            bell.notify_one();
        }
    }

    /// It waits no more. There may be room for more than one, so whoever is first now looks, too.
    pub(super) fn leave(&self, turn: &Turn) {
        let mut standing = self.standing();
        let was_first = standing.bells.first_key_value().is_some_and(|(&first, _)| first == turn.number);
        if standing.bells.remove(&turn.number).is_some() {
            self.length.fetch_sub(1, AcqRel);
        }
        // Under the same lock: a bell that was rung for one that leaves now would be heard by nobody.
        if was_first && let Some((_, bell)) = standing.bells.first_key_value() {
            bell.notify_one();
        }
    }

    /// What a thread that panicked has left is whole: nothing can fail between two steps.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until its bell is rung.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn rings(turn: &Turn) -> bool {
        tokio::time::timeout(Duration::ZERO, turn.rung()).await.is_ok()
    }

    #[tokio::test]
    async fn whoever_is_first_is_rung_and_keeps_its_place_until_it_leaves() {
        let line = Line::default();
        line.ring();
        let [one, two, three] = [(); 3].map(|()| line.join(3).unwrap());
        assert!(line.join(3).is_none());
        assert!(!rings(&one).await, "what was free before it came it has seen itself");
        line.ring();
        line.ring();
        assert!(rings(&one).await && !rings(&two).await && line.is_first(&one));
        line.leave(&two);
        assert!(!rings(&three).await);
        line.leave(&one);
        assert!(rings(&three).await && line.is_first(&three), "it may be that there is room for more");
        line.leave(&three);
        assert!(line.is_empty() && line.join(1).is_some());
    }

    #[tokio::test]
    async fn a_bell_is_never_rung_for_one_that_leaves_meanwhile() {
        for round in 0..2_000 {
            let line = Line::default();
            let [one, two, three] = [(); 3].map(|()| line.join(3).unwrap());
            std::thread::scope(|scope| {
                scope.spawn(|| line.leave(&two));
                line.leave(&one);
            });
            assert!(line.is_first(&three) && rings(&three).await, "round {round}");
        }
    }
}
