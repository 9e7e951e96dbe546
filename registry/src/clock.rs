//! Time as all of the process counts it: microseconds since it started.
//!
//! One reading of the monotonic clock for each question. What decides never reads it: it is told. Workers and the registry read the same
//! one, so that a picture can say when something will be.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Microseconds since the first call of this function in the process.
pub fn now_us() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}
