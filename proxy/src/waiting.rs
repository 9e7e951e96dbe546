//! Requests that wait for somebody to answer them: their service has nobody for a moment, as when its only replica is replaced.
//!
//! Invariant: bounded in number and in time. One service may hold as many places as are still free, so that it cannot take those of all
//! others; and once nobody could be reached for [`WITHIN_MS`], its requests are refused at once: it is down, not away for a moment.
//! Whoever has waited longest goes first. What waits was not sent, or may be sent again; and it holds no picture.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::settings::Limits;
use registry::snapshot::Service;
use tokio::sync::Notify;

use crate::stats::{WorkerCounts, plane};

/// A service that nobody answered for so long is not waited for.
pub const WITHIN_MS: u64 = 30_000;
/// Between two tries to reach endpoints that the picture has but nobody can reach; doubled each time.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A service port on one plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(usize, u32);

impl Key {
    /// Of this service on this plane.
    pub fn of(exposure: Exposure, service: &Service) -> Key {
        Key(plane(exposure), service.slot)
    }
}

/// What a worker knows of services without anybody to answer.
#[derive(Debug, Default)]
pub struct Waiting {
    away: RefCell<HashMap<Key, Away, foldhash::fast::RandomState>>,
    /// How many wait for room at each service that is full.
    full: RefCell<HashMap<Key, usize, foldhash::fast::RandomState>>,
    counts: Arc<WorkerCounts>,
    /// How many times a service was found to be away.
    found: Cell<u64>,
    /// Rung with each picture.
    changed: Notify,
}

/// One of them.
#[derive(Debug)]
struct Away {
    /// Which time it is: whoever waited for it the time before is not counted here.
    number: u64,
    since_ms: u64,
    waiting: usize,
}

impl Waiting {
    /// Nobody waits yet; who does is counted there.
    pub fn new(counts: Arc<WorkerCounts>) -> Waiting {
        Waiting { counts, ..Waiting::default() }
    }

    /// One more that waits for room at this service; `None` when as many do as may: it shares the places with those who wait for somebody.
    pub(crate) fn queue(self: &Rc<Self>, key: Key, limits: &Limits) -> Option<Queues> {
        let free = limits.waiting_requests.saturating_sub(self.counts.waiting.get() as usize);
        let mut all = self.full.borrow_mut();
        let queued = all.get(&key).copied().unwrap_or(0);
        (queued < free).then(|| {
            all.insert(key, queued + 1);
            Queues { of: self.clone(), key, _counted: Waits::begin(&self.counts) }
        })
    }

    /// Waits for another picture.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A place among those who wait for this service, for so long. `None` when there is none, or when waiting makes no sense.
    pub fn place(self: &Rc<Self>, key: Key, wait_ms: u64, limits: &Limits, now_ms: u64) -> Option<Place> {
        if wait_ms == 0 {
            return None;
        }
        let free = limits.waiting_requests.saturating_sub(self.counts.waiting.get() as usize);
        let mut all = self.away.borrow_mut();
        let away = all.entry(key).or_insert_with(|| {
            let number = self.found.get() + 1;
            self.found.set(number);
            Away { number, since_ms: now_ms, waiting: 0 }
        });
        if away.waiting >= free || now_ms.saturating_sub(away.since_ms) > WITHIN_MS {
            return None;
        }
        away.waiting += 1;
        let number = away.number;
        self.counts.waited.add(1);
        Some(Place { of: self.clone(), key, number, pauses: Pauses::until(now_ms + wait_ms), _counted: Waits::begin(&self.counts) })
    }

    /// Somebody of this service was reached.
    pub fn reached(&self, key: Key) {
        let mut all = self.away.borrow_mut();
        if all.is_empty() {
            return;
        }
        if let Some(away) = all.remove(&key)
            && away.waiting > 0
        {
            drop(all);
            self.changed.notify_waiters();
        }
    }

    /// There is another picture: whoever waits may look again, in the order in which they came.
    pub(crate) fn ring(&self) {
        self.changed.notify_waiters();
    }

    /// Forgets services that are not asked for any more.
    pub fn sweep(&self, now_ms: u64) {
        self.away.borrow_mut().retain(|_, away| away.waiting > 0 || now_ms.saturating_sub(away.since_ms) <= 2 * WITHIN_MS);
    }
}

/// A request's place. Given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Rc<Waiting>,
    key: Key,
    number: u64,
    pauses: Pauses,
    _counted: Waits,
}

/// How long to wait for a sign before it is worth another look without one: longer each time, and never beyond the end.
#[derive(Debug)]
pub(crate) struct Pauses {
    until_ms: u64,
    next: Duration,
}

/// One more that waits for room at its service, until this is dropped.
#[derive(Debug)]
pub(crate) struct Queues {
    of: Rc<Waiting>,
    key: Key,
    _counted: Waits,
}

/// One more that waits on its worker, until this is dropped.
#[derive(Debug)]
struct Waits(Arc<WorkerCounts>);

impl Place {
    /// How long to wait for another picture before it is worth another look anyway. `None` when the time is over.
    pub fn pause(&mut self, now_ms: u64) -> Option<Duration> {
        self.pauses.next(now_ms)
    }

    /// Waits until it is worth another look. False when the time is over.
    pub(crate) async fn turn(&mut self, now_ms: u64) -> bool {
        let Some(pause) = self.pause(now_ms) else { return false };
        // The end of a pause says only that it is worth a look.
        let _ = tokio::time::timeout(pause, self.of.changed()).await;
        true
    }
}

impl Pauses {
    /// Until then, in milliseconds since the start of the process.
    pub(crate) fn until(until_ms: u64) -> Pauses {
        Pauses { until_ms, next: PAUSE }
    }

    /// The next one. `None` when the time is over.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Duration> {
        let pause = self.next.min(self.left(now_ms)?);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Some(pause)
    }

    /// All the time that is left, if any.
    pub(crate) fn left(&self, now_ms: u64) -> Option<Duration> {
        let left = self.until_ms.saturating_sub(now_ms);
        (left > 0).then(|| Duration::from_millis(left))
    }
}

impl Waits {
    fn begin(counts: &Arc<WorkerCounts>) -> Waits {
        counts.waiting.add(1);
        Waits(counts.clone())
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        let mut all = self.of.full.borrow_mut();
        if let Some(queued) = all.get_mut(&self.key) {
            *queued -= 1;
            if *queued == 0 {
                all.remove(&self.key);
            }
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.sub(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(away) = self.of.away.borrow_mut().get_mut(&self.key).filter(|away| away.number == self.number) {
            away.waiting = away.waiting.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Key = Key(0, 1);
    const BLOG: Key = Key(0, 2);

    fn limits(places: usize) -> Limits {
        Limits { waiting_requests: places, ..Limits::default() }
    }

    fn take(waiting: &Rc<Waiting>, key: Key, count: usize) -> Vec<Place> {
        std::iter::from_fn(|| waiting.place(key, 1_000, &limits(8), 0)).take(count).collect()
    }

    #[test]
    fn one_service_never_takes_the_places_of_all() {
        let waiting = Rc::<Waiting>::default();
        let shop = take(&waiting, SHOP, 100);
        assert_eq!(shop.len(), 4);
        let blog = take(&waiting, BLOG, 100);
        assert_eq!(blog.len(), 2);
        assert_eq!(waiting.counts.waiting.get(), 6);
        drop(shop);
        assert_eq!(take(&waiting, BLOG, 100).len(), 2, "it holds two of eight, and half are for others");
        drop(blog);
        assert_eq!(waiting.counts.waiting.get(), 0);
        let queued: Vec<Queues> = std::iter::from_fn(|| waiting.queue(SHOP, &limits(8))).take(100).collect();
        assert_eq!((queued.len(), take(&waiting, BLOG, 100).len()), (4, 2), "nor does one that is full");
        drop(queued);
        assert!(waiting.full.borrow().is_empty() && waiting.counts.waiting.get() == 0);
    }

    #[test]
    fn a_service_that_is_down_is_not_waited_for_until_somebody_was_reached() {
        let waiting = Rc::<Waiting>::default();
        assert!(waiting.place(SHOP, 1_000, &limits(8), 5).is_some());
        assert!(waiting.place(SHOP, 1_000, &limits(8), 5 + WITHIN_MS).is_some());
        assert!(waiting.place(SHOP, 1_000, &limits(8), 6 + WITHIN_MS).is_none());
        waiting.reached(SHOP);
        assert!(waiting.place(SHOP, 1_000, &limits(8), 6 + WITHIN_MS).is_some());
        assert!(waiting.place(SHOP, 0, &limits(8), 6 + WITHIN_MS).is_none(), "nobody is to wait");
    }

    #[test]
    fn who_waited_the_time_before_takes_nothing_from_who_waits_now() {
        let waiting = Rc::<Waiting>::default();
        let before = waiting.place(SHOP, 1_000, &limits(8), 0);
        waiting.reached(SHOP);
        let now = waiting.place(SHOP, 1_000, &limits(8), 0);
        drop(before);
        assert_eq!(waiting.away.borrow()[&SHOP].waiting, 1);
        drop(now);
        assert_eq!(waiting.away.borrow()[&SHOP].waiting, 0);
    }

    #[test]
    fn a_service_that_nobody_asks_for_is_forgotten() {
        let waiting = Rc::<Waiting>::default();
        let place = waiting.place(SHOP, 1_000, &limits(8), 0);
        waiting.sweep(10 * WITHIN_MS);
        assert!(waiting.place(SHOP, 1_000, &limits(8), 10 * WITHIN_MS).is_none(), "it is waited for");
        drop(place);
        waiting.sweep(10 * WITHIN_MS);
        assert!(waiting.place(SHOP, 1_000, &limits(8), 10 * WITHIN_MS).is_some());
    }

    #[tokio::test]
    async fn those_who_wait_go_in_the_order_in_which_they_came() {
        let waiting = Rc::<Waiting>::default();
        let went = Rc::<RefCell<Vec<usize>>>::default();
        let local = tokio::task::LocalSet::new();
        for number in 0..4 {
            let (mut place, went) = (waiting.place(SHOP, 1_000, &limits(64), 0).unwrap(), went.clone());
            place.pauses.next = LONGEST_PAUSE;
            local.spawn_local(async move {
                assert!(place.turn(0).await);
                went.borrow_mut().push(number);
            });
        }
        local.run_until(tokio::task::yield_now()).await;
        assert!(went.borrow().is_empty());
        waiting.ring();
        local.await;
        assert_eq!(*went.borrow(), [0, 1, 2, 3]);
    }

    #[test]
    fn pauses_grow_and_time_ends() {
        let waiting = Rc::<Waiting>::default();
        let mut place = waiting.place(SHOP, 1_000, &limits(8), 0).unwrap();
        let pauses: Vec<u128> = [0, 20, 60, 140, 300, 620, 999].into_iter().map(|now| place.pause(now).unwrap().as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 380, 1]);
        assert!(place.pause(1_000).is_none());
    }
}
