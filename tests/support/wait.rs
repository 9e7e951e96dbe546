//! Waiting for something that will come, with a deadline.

use std::time::{Duration, Instant};

/// Long enough for a slow machine; a test that needs it all has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks.
pub const GLANCE: Duration = Duration::from_millis(5);

/// Looks until `condition` holds.
///
/// # Panics
/// When it does not within [`DEADLINE`]; `what` says what was waited for.
pub fn await_until(what: &str, mut condition: impl FnMut() -> bool) {
    await_some(what, || condition().then_some(()));
}

/// Looks until there is something.
///
/// # Panics
/// When there is nothing within [`DEADLINE`].
pub fn await_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    await_within(DEADLINE, what, look)
}

/// The same with a deadline of its own, for what takes long to start.
///
/// # Panics
/// When there is nothing within `patience`.
pub fn await_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {patience:?} in vain: {what}");
        glance();
    }
}

/// The pause between two looks at another process, which has no event to await.
pub fn glance() {
    std::thread::park_timeout(GLANCE);
}
