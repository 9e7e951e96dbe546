//! The snapshot that a worker runs, and when it may say so.
//!
//! Invariant: a version is acknowledged only when no request of this worker can still send to an endpoint of an older one. A request
//! holds its picture from the pick until its head is sent, and no longer: a long answer pins nothing.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use registry::snapshot::Snapshot;

/// The current picture and the older ones that are still looked at.
pub struct Pictures {
    current: RefCell<Rc<Held>>,
    older: RefCell<Vec<Weak<Held>>>,
    acknowledged: Cell<u64>,
    acknowledge: Box<dyn Fn(u64)>,
}

/// A snapshot that somebody looks at. Dropping the last hold on an old one may let the worker acknowledge the new one.
pub struct Held {
    snapshot: Arc<Snapshot>,
    pictures: Weak<Pictures>,
}

impl Held {
    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pictures) = self.pictures.upgrade() {
            pictures.settle();
        }
    }
}

impl Pictures {
    /// Starts with `first`; `acknowledge` is called with each version that the worker runs alone, `first` included unless it is the
    /// empty one: a worker that starts late may see nothing newer for a long time.
    pub fn new(first: Arc<Snapshot>, acknowledge: impl Fn(u64) + 'static) -> Rc<Pictures> {
        let pictures = Rc::new_cyclic(|pictures| Pictures {
            current: RefCell::new(Rc::new(Held { snapshot: first, pictures: pictures.clone() })),
            older: RefCell::default(),
            acknowledged: Cell::new(0),
            acknowledge: Box::new(acknowledge),
        });
        pictures.settle();
        pictures
    }

    /// The current picture, to look at for a moment.
    pub fn hold(&self) -> Rc<Held> {
        self.current.borrow().clone()
    }

    /// From now on `next` is the picture. Returns the one before.
    pub fn adopt(self: &Rc<Self>, next: Arc<Snapshot>) -> Arc<Snapshot> {
        let next = Rc::new(Held { snapshot: next, pictures: Rc::downgrade(self) });
        let before = self.current.replace(next);
        let snapshot = before.snapshot.clone();
        self.older.borrow_mut().push(Rc::downgrade(&before));
        drop(before); // settles, unless a request still looks at it
        snapshot
    }

    fn settle(&self) {
        // Called while a picture is dropped, perhaps inside `adopt`: the borrows here are short and never nested.
        let waiting = {
            let mut older = self.older.borrow_mut();
            older.retain(|held| held.strong_count() > 0);
            !older.is_empty()
        };
        let version = self.current.borrow().snapshot.version;
        if !waiting && version > self.acknowledged.get() {
            self.acknowledged.set(version);
            (self.acknowledge)(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::exposure::Exposure;
    use registry::snapshot::Plane;

    fn snapshot(version: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot { version, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) })
    }

    #[test]
    fn a_worker_that_starts_late_acknowledges_what_it_starts_with() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = heard.clone();
        let _pictures = Pictures::new(snapshot(1), move |version| hears.borrow_mut().push(version));
        assert_eq!(*heard.borrow(), [1]);
    }

    #[test]
    fn a_version_is_acknowledged_when_nobody_looks_at_an_older_one() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = heard.clone();
        let pictures = Pictures::new(snapshot(0), move |version| hears.borrow_mut().push(version));
        pictures.adopt(snapshot(1));
        assert_eq!(*heard.borrow(), [1]);
        let looking = pictures.hold();
        pictures.adopt(snapshot(2));
        pictures.adopt(snapshot(3));
        assert_eq!(*heard.borrow(), [1], "a request may still send by version 1");
        drop(looking);
        assert_eq!(*heard.borrow(), [1, 3]);
    }
}
