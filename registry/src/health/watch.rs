//! The task that asks: follows who is wanted, runs what is due, tells what changed.
//!
//! Invariant: at most `MOST_AT_ONCE` checks are under way; those that are due for longest come first, and who is asked late because
//! others stall is asked nonetheless. Who leaves is asked no more, and what was under way to it is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::ask::ask;
use super::{Failure, Job, Judge, Tally, Verdict, Wanted};
use crate::event::Event;

/// Connections that checks may have open at a time.
const MOST_AT_ONCE: usize = 512;

/// Follows who is wanted until nobody wants any more, or nobody listens. The same `seed` asks at the same times.
pub async fn watch(mut wanted: watch::Receiver<Arc<Wanted>>, tally: Arc<Tally>, out: mpsc::Sender<Event>, seed: u64) {
    let began = Instant::now();
    let mut checks = Checks::default();
    let mut judge = Judge::new(seed);
    let mut news = true;
    loop {
        let now = began.elapsed();
        if std::mem::take(&mut news) {
            judge.want(&wanted.borrow_and_update().clone(), now);
            checks.forget(&judge);
        }
        while checks.have_room()
            && let Some(job) = judge.take(now)
        {
            checks.start(job);
        }
        let next = judge.next().unwrap_or(now + Duration::from_secs(3600));
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => news = true,
                Err(_) => return,
            },
            Some((job, answer)) = checks.done() => {
                tally.count(&answer);
                if let Err(failure) = &answer {
                    tracing::debug!(pod = %job.pod, container = %job.probe().container, %failure, "a probe failed");
                }
                if let Some(verdict) = judge.heard(&job, answer, began.elapsed()) {
                    tell(&verdict);
                    if out.send(Event::Judged(verdict)).await.is_err() {
                        return;
                    }
                }
            }
            () = tokio::time::sleep_until(began + next), if checks.have_room() => {}
        }
    }
}

/// For whoever reads the log: what became of a pod, and why. That it fails in another way now is no news.
fn tell(verdict: &Verdict) {
    match &verdict.why {
        _ if !verdict.turned => {}
        None => tracing::info!(pod = %verdict.pod, "ready: its probes pass"),
        Some(why) => tracing::info!(pod = %verdict.pod, "not ready: {why}"),
    }
}

/// Checks that are under way.
#[derive(Default)]
struct Checks {
    running: JoinSet<Result<(), Failure>>,
    jobs: HashMap<Id, (Job, AbortHandle)>,
}

impl Checks {
    fn have_room(&self) -> bool {
        // Those that were given up are none, though they may not have ended yet.
        self.jobs.len() < MOST_AT_ONCE
    }

    fn start(&mut self, job: Job) {
        let asked = job.clone();
        let handle = self.running.spawn(async move { ask(&asked).await });
        self.jobs.insert(handle.id(), (job, handle));
    }

    /// Ends those whose answer nobody wants any more.
    fn forget(&mut self, judge: &Judge) {
        self.jobs.retain(|_, (job, handle)| {
            let wanted = judge.knows(job);
            if !wanted {
                handle.abort();
            }
            wanted
        });
    }

    /// The next that ends and is wanted; `None` when none is under way.
    async fn done(&mut self) -> Option<(Job, Result<(), Failure>)> {
        loop {
            let (id, answer) = match self.running.join_next_with_id().await? {
                Ok(ended) => ended,
                Err(error) => (error.id(), Err(stopped(&error))),
            };
            if let Some((job, _)) = self.jobs.remove(&id) {
                return Some((job, answer));
            }
        }
    }
}

/// A check that panicked must not keep its pod from being asked again.
fn stopped(error: &JoinError) -> Failure {
    if error.is_panic() {
        tracing::error!(%error, "a check stopped");
    }
    Failure::Ours
}

#[cfg(test)]
mod tests;
