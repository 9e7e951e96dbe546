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
use crate::waiting::{Key, Pauses, Queues};
use crate::worker::Worker;

/// A request's way through the line.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Its place, until somebody is chosen for it.
    place: Option<(Pending, Queues)>,
    /// Between two looks of who is first: what another Service frees at a replica that both have rings no bell here. They go on when it
    /// must come back into the line.
    pauses: Pauses,
    /// Nobody was before it when it came, so that there may be room since it last looked.
    at_once: bool,
}

/// What is to be done after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There may be room.
    Again,
    /// The same, and time has passed: whoever failed may be well.
    Afresh,
    /// The time is over, or nobody may wait.
    Never,
}

impl Queued {
    fn new(wait: Duration) -> Queued {
        Queued { place: None, pauses: Pauses::until(now_us() / 1000 + wait.as_millis() as u64), at_once: false }
    }

    /// Takes the last place at this service, unless it has one. False when there is none.
    fn join(&mut self, worker: &Worker, key: Key, bounded: &Bounded) -> bool {
        if !self.place.as_ref().is_some_and(|(pending, _)| pending.is_at(bounded)) {
            let counted = self.pauses.left(now_us() / 1000).and_then(|_| worker.waiting.queue(key, &worker.limits));
            self.place = counted.and_then(|counted| Some((bounded.queue()?, counted)));
            if self.place.is_some() {
                worker.counts.worker().waited.add(1);
            }
            self.at_once = self.place.as_ref().is_some_and(|(pending, _)| pending.is_first());
        }
        self.place.is_some()
    }

    /// Whether room at this service port is this one's.
    pub(crate) fn is_first_at(&self, bounded: &Bounded) -> bool {
        self.place.as_ref().is_some_and(|(pending, _)| pending.is_at(bounded) && pending.is_first())
    }

    /// Somebody was chosen for it.
    pub(crate) fn leave(&mut self) {
        self.place = None;
    }

    /// Waits until it may look for room.
    async fn turn(&mut self, worker: &Worker) -> Look {
        if std::mem::take(&mut self.at_once) {
            return Look::Again;
        }
        let Some((pending, _)) = &self.place else { return Look::Never };
        loop {
            let (first, now_ms) = (pending.is_first(), now_us() / 1000);
            let pause = if first { self.pauses.next(now_ms) } else { self.pauses.left(now_ms) };
            let Some(pause) = pause else { return Look::Never };
            let look = tokio::select! {
                () = pending.rung() => Look::Again,
                () = worker.waiting.changed() => Look::Afresh,
                () = tokio::time::sleep(pause) => Look::Afresh,
            };
            if pending.is_first() {
                return look;
            }
        }
    }
}

/// Waits for a turn to look for room at a service that is full, for so long in all. That nothing came of it is counted: by `bound` where
/// nobody may wait.
pub(crate) async fn wait(
    worker: &Worker,
    (exposure, service): (Exposure, &Service),
    bound: Bound,
    wait: Duration,
    queued: &mut Option<Queued>,
) -> Look {
    let queued = queued.get_or_insert_with(|| Queued::new(wait));
    let look = match &service.bounded {
        // Its bounds went meanwhile.
        None => Look::Again,
        Some(bounded) if queued.join(worker, Key::of(exposure, service), bounded) => queued.turn(worker).await,
        Some(_) => Look::Never,
    };
    if look == Look::Never {
        queued.leave();
        let waits = service.bounded.as_ref().is_some_and(|bounded| bounded.most.pending.is_some());
        worker.counts.of(exposure, service).full[if waits { Bound::Pending } else { bound } as usize].add(1);
    }
    look
}
