//! Whether a replica of a service port was ever reached.
//!
//! Invariant: one word for all pictures, planes and workers, which never takes back what it said: whose replicas are all gone for a moment is
//! waited for then, whoever it was that reached one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Of one service port.
#[derive(Clone, Debug, Default)]
pub struct Reached(Arc<AtomicBool>);

impl Reached {
    /// Whether one was.
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// One was. Costs a load when that is known, so that workers share the word without writing to it.
    pub fn set(&self) {
        if !self.get() {
            self.0.store(true, Relaxed);
        }
    }
}
