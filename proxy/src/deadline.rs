//! Deadlines of a worker's connections, without a timer for each: one sweep four times a second looks at them all.
//!
//! Invariant: setting a deadline is a store; only a connection whose time has come is woken. Precision is [`TICK`]: a deadline is met
//! up to one tick late, never early.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Time between sweeps.
pub const TICK: Duration = Duration::from_millis(250);

const NEVER: u64 = u64::MAX;

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub struct Deadlines {
    now_ms: Cell<u64>,
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Entry {
    at_ms: Cell<u64>,
    /// Waiting for a request: ends at once when the worker drains.
    idle: Cell<bool>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    fn expire(&self) {
        self.expired.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl Deadlines {
    /// A deadline for a new connection, not set.
    pub fn register(self: &Rc<Self>) -> Deadline {
        let entry =
            Rc::new(Entry { at_ms: Cell::new(NEVER), idle: Cell::new(false), expired: Cell::new(false), waker: RefCell::new(None) });
        let mut entries = self.entries.borrow_mut();
        let at = self.free.borrow_mut().pop().unwrap_or(entries.len());
        if at == entries.len() {
            entries.push(None);
        }
        entries[at] = Some(entry.clone());
        Deadline { all: self.clone(), entry, at }
    }

    /// Wakes every connection whose deadline is not after `now_ms`.
    pub fn sweep(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
        self.expire(|entry| entry.at_ms.get() <= now_ms);
    }

    /// Wakes every connection that waits for a request.
    pub fn expire_idle(&self) {
        self.expire(|entry| entry.idle.get());
    }

    /// Wakes every connection: the process ends now.
    pub fn expire_all(&self) {
        self.expire(|_| true);
    }

    fn expire(&self, due: impl Fn(&Entry) -> bool) {
        for entry in self.entries.borrow().iter().flatten().filter(|entry| due(entry)) {
            entry.expire();
        }
    }
}

/// One connection's deadline.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    entry: Rc<Entry>,
    at: usize,
}

impl Deadline {
    /// The deadline is `ms` milliseconds from now.
    pub fn set(&self, ms: u64) {
        // A tick on top: `now_ms` may be that old, and a deadline must not come early.
        self.entry.expired.set(false);
        self.entry.idle.set(false);
        self.entry.at_ms.set(self.all.now_ms.get().saturating_add(ms).saturating_add(TICK.as_millis() as u64));
    }

    /// As [`Deadline::set`], for a connection that waits for a request.
    pub fn set_idle(&self, ms: u64) {
        self.set(ms);
        self.entry.idle.set(true);
    }

    /// The deadline is now.
    pub fn expire(&self) {
        self.entry.expire();
    }

    /// There is no deadline now.
    pub fn clear(&self) {
        self.entry.at_ms.set(NEVER);
        self.entry.idle.set(false);
    }

    /// Runs `work` until it ends or the deadline comes.
    ///
    /// # Errors
    /// [`Expired`] when the deadline came first; `work` is dropped then.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, Expired> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            if self.entry.expired.get() {
                return Poll::Ready(Err(Expired));
            }
            let mut waker = self.entry.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.all.entries.borrow_mut()[self.at] = None;
        self.all.free.borrow_mut().push(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_comes_late_by_a_tick_at_most_and_never_early() {
        let deadlines = Rc::new(Deadlines::default());
        deadlines.sweep(1_000);
        let deadline = deadlines.register();
        deadline.set(500);
        let mut waits = Box::pin(deadline.guard(std::future::pending::<()>()));
        let mut still_waits = async |now| {
            deadlines.sweep(now);
            poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await
        };
        assert!(still_waits(1_500).await);
        assert!(!still_waits(1_750).await);
    }

    #[tokio::test]
    async fn draining_ends_only_what_is_idle() {
        let deadlines = Rc::new(Deadlines::default());
        let (idle, busy) = (deadlines.register(), deadlines.register());
        idle.set_idle(1_000);
        busy.set(1_000);
        deadlines.expire_idle();
        assert_eq!(idle.guard(std::future::pending::<()>()).await, Err(Expired));
        let mut waits = Box::pin(busy.guard(std::future::pending::<()>()));
        assert!(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await);
    }

    #[test]
    fn a_dropped_deadline_leaves_its_place() {
        let deadlines = Rc::new(Deadlines::default());
        drop(deadlines.register());
        let _one = deadlines.register();
        let _two = deadlines.register();
        assert_eq!(deadlines.entries.borrow().len(), 2);
    }
}
