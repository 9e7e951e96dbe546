//! Deadlines of a worker's connections, without a timer for each: one sweep four times a second looks at them all.
//!
//! Invariant: setting a deadline is a store; only a connection whose time has come is woken. Precision is [`TICK`]: a deadline is met
//! up to one tick late, never early.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use registry::snapshot::ReplicaId;

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
    /// Whose connection it lives by.
    follows: Cell<Option<ReplicaId>>,
    /// That connection is to end.
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    fn expire(&self) {
        self.expired.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Wakes whoever polls with this context once something has come.
    fn watch(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

/// The time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl Deadlines {
    /// A deadline for a new connection, not set.
    pub fn register(self: &Rc<Self>) -> Deadline {
        let entry = Rc::new(Entry {
            at_ms: Cell::new(NEVER),
            idle: Cell::new(false),
            expired: Cell::new(false),
            follows: Cell::new(None),
            cut: Cell::new(false),
            waker: RefCell::new(None),
        });
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

    /// Wakes every connection that lives by one to this replica.
    pub fn cut(&self, replica: ReplicaId) {
        for entry in self.entries.borrow().iter().flatten().filter(|entry| entry.follows.get() == Some(replica)) {
            entry.cut.set(true);
            entry.wake();
        }
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

    /// Whether the deadline has come.
    pub fn expired(&self) -> bool {
        self.entry.expired.get()
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
            self.entry.watch(context);
            Poll::Pending
        })
        .await
    }

    /// From now on it lives by a connection to this replica, or by none. To be called before connecting: what left meanwhile is cut once.
    pub fn follow(&self, replica: Option<ReplicaId>) {
        self.entry.follows.set(replica);
        self.entry.cut.set(false);
    }

    /// That connection is to end.
    pub fn is_cut(&self) -> bool {
        self.entry.cut.get()
    }

    /// Ready once that connection is to end.
    pub fn poll_cut(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_cut() {
            return Poll::Ready(());
        }
        self.entry.watch(context);
        Poll::Pending
    }

    /// Runs `work` until it ends, or until the connection that it lives by is to end; `work` is dropped then.
    pub async fn until_cut<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_cut(context).map(|()| None),
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

    #[tokio::test]
    async fn what_lives_by_a_replica_ends_with_it_and_nothing_else_does() {
        let replica = |id| Some(ReplicaId(std::num::NonZeroU64::new(id).unwrap()));
        let deadlines = Rc::new(Deadlines::default());
        let (one, other) = (deadlines.register(), deadlines.register());
        one.follow(replica(1));
        other.follow(replica(2));
        deadlines.cut(replica(1).unwrap());
        assert_eq!(one.until_cut(std::future::pending::<()>()).await, None);
        let mut waits = Box::pin(other.until_cut(std::future::pending::<()>()));
        assert!(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await);
        one.follow(replica(2));
        assert!(poll_fn(|context| Poll::Ready(one.poll_cut(context).is_pending())).await, "it lives by another one now");
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
