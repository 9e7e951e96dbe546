//! Time as the data plane counts it: microseconds since the process started.
//!
//! One reading of the monotonic clock for each question; nothing here knows the wall clock.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Microseconds since the first call of this function in the process.
pub fn now_us() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}
