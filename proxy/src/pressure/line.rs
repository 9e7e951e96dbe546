//! Requests, and connections through a Service's own listener, that wait because their Service carries as much as it may:
//! `tidegate.dev/max-pending`.
//!
//! Invariant: bounded in number, by the Service over all workers and by `limits.waitingRequests` on each; and in time, as whoever waits for
//! an endpoint. First come, first served. Nothing that was sent waits here, and nothing that waits holds a picture.

use std::time::Duration;

use config::exposure::Exposure;
use registry::snapshot::{Bounded, Pending, Service};

use crate::clock::now_us;
use crate::stats::Bound;
use crate::waiting::{Pauses, Waits};
use crate::worker::Worker;

/// A place in the line.
#[derive(Debug)]
pub(crate) struct Queued {
    pending: Pending,
    /// Between two looks of who is first: what another Service frees at a replica that both have rings no bell here.
    pauses: Pauses,
    /// Nobody was before it when it came, so that there may be room since it last looked.
    at_once: bool,
    _counted: Waits,
}

impl Queued {
    fn join(worker: &Worker, bounded: &Bounded, wait_ms: u64) -> Option<Queued> {
        let pauses = Pauses::until(now_us() / 1000 + wait_ms);
        let counted = if wait_ms == 0 { None } else { worker.waiting.count(&worker.limits) }?;
        let pending = bounded.queue()?;
        Some(Queued { at_once: pending.is_first(), pending, pauses, _counted: counted })
    }

    /// Whether room at this service port is this one's.
    pub(crate) fn is_first_at(&self, bounded: &Bounded) -> bool {
        self.pending.is_at(bounded) && self.pending.is_first()
    }

    /// Waits until it may look for room. False when the time is over.
    async fn turn(&mut self, worker: &Worker) -> bool {
        if std::mem::take(&mut self.at_once) {
            return true;
        }
        loop {
            let (first, now_ms) = (self.pending.is_first(), now_us() / 1000);
            let pause = if first { self.pauses.next(now_ms) } else { self.pauses.left(now_ms) };
            let Some(pause) = pause else { return false };
            // Whatever ends the wait, all that counts is who is first.
            tokio::select! {
                () = self.pending.rung() => {}
                () = worker.waiting.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if self.pending.is_first() {
                return true;
            }
        }
    }
}

/// Waits for a turn to look for room at a service that is full, for so long in all. False when it is time to refuse, which is counted: by
/// `bound` where nobody may wait.
pub(crate) async fn wait(
    worker: &Worker,
    (exposure, service): (Exposure, &Service),
    bound: Bound,
    wait: Duration,
    place: &mut Option<Queued>,
) -> bool {
    let bounded = service.bounded.as_ref();
    if let Some(bounded) = bounded
        && !place.as_ref().is_some_and(|place| place.pending.is_at(bounded))
    {
        *place = Queued::join(worker, bounded, wait.as_millis() as u64);
    }
    let again = match place {
        Some(place) => place.turn(worker).await,
        None => false,
    };
    if !again {
        *place = None;
        let bound = if bounded.is_some_and(|bounded| bounded.most.pending.is_some()) { Bound::Pending } else { bound };
        worker.counts.of(exposure, service).full[bound as usize].add(1);
    }
    again
}
