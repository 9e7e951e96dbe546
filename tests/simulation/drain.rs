//! What is under way at a replica that has left: it may go on until its deadline, and no longer.

use std::task::{Context, Waker};

use proxy::deadline::{Deadline, TICK};
use registry::snapshot::ReplicaId;

use super::law::Fault;
use super::world::{CHURN_MS, Next, World};

/// Time between two sweeps of a worker.
pub(super) const TICK_MS: u64 = TICK.as_millis() as u64;

/// Whether what lives by this was told to end.
pub(super) fn is_cut(deadline: &Deadline) -> bool {
    deadline.poll_cut(&Context::from_waker(Waker::noop())).is_ready()
}

impl World {
    /// A worker looks at what has left, as often as it looks at deadlines.
    pub(super) fn sweep(&mut self, worker: usize) -> Result<(), String> {
        if self.now_ms < CHURN_MS + 1_000 || !self.requests.is_empty() {
            self.at(TICK_MS, Next::Sweep(worker));
        }
        let one = &self.workers[worker];
        one.deadlines.sweep(self.now_ms);
        let patience_ms = if self.fault == Some(Fault::CutsAtOnce) { 0 } else { self.limits.replica_drain_ms };
        if self.fault != Some(Fault::NeverCuts) {
            one.departed.sweep(self.now_ms, patience_ms, |replica| one.deadlines.cut(replica));
        }
        let cut = self.requests.values().filter(|request| request.worker == worker);
        let mut cut: Vec<(usize, u64, ReplicaId)> =
            cut.filter_map(|request| Some((request.id, request.step, request.cut_from()?))).collect();
        cut.sort_unstable();
        for (id, step, replica) in cut {
            // Now, since it may be picked from again before the request hears of it.
            self.hold_patience(id, worker, replica)?;
            self.at(0, Next::Request(id, step));
        }
        Ok(())
    }

    /// Since when a worker picks from a replica no more whose pod leaves.
    fn away_since(&self, worker: usize, replica: ReplicaId) -> Option<u64> {
        Some(self.pods.left_ms(replica)?.max(self.workers[worker].absent_since(replica)?))
    }

    /// Something under way is cut now: its time must be over.
    fn hold_patience(&self, request: usize, worker: usize, replica: ReplicaId) -> Result<(), String> {
        let patience_ms = self.limits.replica_drain_ms;
        match self.away_since(worker, replica) {
            None => Err(format!("request {request} is cut too early: {replica:?} has not left")),
            Some(since) if self.now_ms < since + patience_ms => {
                Err(format!("request {request} is cut too early: {replica:?} left {} ms ago, {patience_ms} may pass", self.now_ms - since))
            }
            Some(_) => Ok(()),
        }
    }

    /// Something under way ends by itself: its time was not over, but for what lies between two sweeps.
    pub(super) fn hold_deadline(&self, request: usize, worker: usize, replica: ReplicaId) -> Result<(), String> {
        let most_ms = self.limits.replica_drain_ms + 2 * TICK_MS;
        match self.away_since(worker, replica) {
            Some(since) if self.now_ms > since + most_ms => {
                Err(format!("request {request} outlives {replica:?}, which left {} ms ago, by more than {most_ms} ms", self.now_ms - since))
            }
            _ => Ok(()),
        }
    }
}
