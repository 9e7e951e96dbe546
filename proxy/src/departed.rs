//! Replicas that left the picture of a worker, and when the connections to them end.
//!
//! Invariant: time runs for one whose pod is terminating or gone, and not for one that is merely not ready. What was under way when it left
//! may go on until then; nothing new is sent.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use registry::snapshot::{Plane, Replica, ReplicaId};

/// A worker's.
#[derive(Debug, Default)]
pub struct Departed(RefCell<Vec<Gone>>);

#[derive(Debug)]
struct Gone {
    replica: Arc<Replica>,
    /// When it was first seen to be leaving, in milliseconds since the start of the process.
    since_ms: Option<u64>,
}

impl Departed {
    /// `after` follows `before`: whoever is in no service now, or in one less, has left. Calls `gone` with each. For whoever is picked from
    /// again no time runs, until it leaves again.
    pub fn follow(&self, before: &Plane, after: &Plane, mut gone: impl FnMut(ReplicaId)) {
        left(after, before, |replica| self.0.borrow_mut().retain(|gone| gone.replica.id != replica.id));
        left(before, after, |replica| {
            gone(replica.id);
            self.add(replica);
        });
    }

    fn add(&self, replica: &Arc<Replica>) {
        let mut all = self.0.borrow_mut();
        if !all.iter().any(|gone| gone.replica.id == replica.id) {
            all.push(Gone { replica: replica.clone(), since_ms: None });
        }
    }

    /// It has left, and goes: what was used for it once is not used again.
    pub(crate) fn holds(&self, replica: ReplicaId) -> bool {
        self.0.borrow().iter().any(|gone| gone.replica.id == replica && gone.replica.load.leaving.load(Relaxed))
    }

    /// Calls `end` with each whose time is over. One that nobody else knows any more needs no time.
    pub fn sweep(&self, now_ms: u64, patience_ms: u64, end: impl Fn(ReplicaId)) {
        self.0.borrow_mut().retain_mut(|gone| {
            if gone.replica.load.leaving.load(Relaxed) {
                let since_ms = *gone.since_ms.get_or_insert(now_ms);
                if now_ms.saturating_sub(since_ms) >= patience_ms {
                    end(gone.replica.id);
                    return false;
                }
            } else {
                gone.since_ms = None;
            }
            Arc::strong_count(&gone.replica) > 1
        });
    }
}

/// Calls `gone` with each replica that a service of `before` had and its successor in `after` has not.
fn left(before: &Plane, after: &Plane, mut gone: impl FnMut(&Arc<Replica>)) {
    let aligned =
        before.services.len() == after.services.len() && before.services.iter().zip(after.services.iter()).all(|(a, b)| a.slot == b.slot);
    if aligned {
        for (a, b) in before.services.iter().zip(after.services.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b)) {
            let now: HashSet<ReplicaId> = b.endpoints.iter().map(|endpoint| endpoint.replica.id).collect();
            a.endpoints.iter().map(|endpoint| &endpoint.replica).filter(|replica| !now.contains(&replica.id)).for_each(&mut gone);
        }
        return;
    }
    let now: HashSet<ReplicaId> =
        after.services.iter().flat_map(|service| &service.endpoints).map(|endpoint| endpoint.replica.id).collect();
    let then = before.services.iter().flat_map(|service| &service.endpoints).map(|endpoint| &endpoint.replica);
    then.filter(|replica| !now.contains(&replica.id)).for_each(gone);
}

#[cfg(test)]
mod tests {
    use config::exposure::Exposure;
    use registry::snapshot::Service;

    use super::*;
    use crate::explain::worlds;

    fn replica() -> Arc<Replica> {
        worlds::service("web", 1).endpoints[0].replica.clone()
    }

    fn ended(departed: &Departed, now_ms: u64) -> usize {
        let count = std::cell::Cell::new(0);
        departed.sweep(now_ms, 1_000, |_| count.set(count.get() + 1));
        count.get()
    }

    #[test]
    fn time_runs_from_when_it_leaves_and_not_while_it_is_merely_not_ready() {
        let (departed, replica) = (Departed::default(), replica());
        departed.add(&replica);
        departed.add(&replica);
        assert_eq!(ended(&departed, 10_000), 0);
        replica.load.leaving.store(true, Relaxed);
        assert_eq!(ended(&departed, 20_000), 0);
        assert_eq!(ended(&departed, 20_999), 0);
        assert_eq!(ended(&departed, 21_000), 1);
        assert_eq!(ended(&departed, 50_000), 0, "once");
    }

    #[test]
    fn no_time_runs_for_one_that_is_picked_from_again() {
        let departed = Departed::default();
        let plane = |service: &Arc<Service>| Plane { services: Arc::from([service.clone()]), ..Plane::empty(Exposure::External) };
        let service = worlds::service("web", 2);
        let (both, first) = (plane(&service), plane(&Arc::new(service.with(service.endpoints[..1].into(), 0, None))));
        let left = std::cell::RefCell::new(Vec::new());
        let follow = |before, after| departed.follow(before, after, |replica| left.borrow_mut().push(replica));
        // The last one is picked from while it terminates, as before when it was not ready for a moment.
        let last = &service.endpoints[1].replica;
        follow(&both, &first);
        follow(&first, &both);
        last.load.leaving.store(true, Relaxed);
        assert_eq!((ended(&departed, 0), ended(&departed, 5_000)), (0, 0));
        follow(&both, &first);
        assert_eq!((ended(&departed, 5_000), ended(&departed, 5_999), ended(&departed, 6_000)), (0, 0, 1));
        assert_eq!(*left.borrow(), [last.id, last.id]);
    }

    #[test]
    fn one_that_nobody_knows_any_more_is_forgotten() {
        let departed = Departed::default();
        departed.add(&replica());
        assert_eq!(ended(&departed, 0), 0);
        assert!(departed.0.borrow().is_empty());
    }
}
