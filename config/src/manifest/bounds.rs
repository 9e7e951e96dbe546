//! How much a Service may carry at once: its annotations `tidegate.dev/max-*`.
//!
//! Invariant: a wrong value refuses the object, so that its last good version stays: a bound is never dropped because it was mistyped.

use super::check::Findings;
use crate::exposure::{MAX_ENDPOINT_IN_FLIGHT, MAX_IN_FLIGHT, MAX_PENDING};
use crate::object::{Bounds, Meta};

/// Nothing carries more.
const MOST: u32 = 1_000_000;

pub(super) fn of(meta: &Meta, out: &mut Findings) -> Bounds {
    let mut bound = |key: &str, what: &str| {
        let text = meta.annotations.get(key)?.trim();
        let read = text.parse().ok().filter(|most| (1..=MOST).contains(most));
        read.or_else(|| out.invalid_annotation(key, text, &format!("{what}, 1 to {MOST}")))
    };
    const UNDER_WAY: &str = "requests that may be under way (no bound without the annotation)";
    let (in_flight, endpoint_in_flight) = (bound(MAX_IN_FLIGHT, UNDER_WAY), bound(MAX_ENDPOINT_IN_FLIGHT, UNDER_WAY));
    let pending = bound(MAX_PENDING, "requests that may wait for room (none without the annotation)");
    if pending.is_some() && ![MAX_IN_FLIGHT, MAX_ENDPOINT_IN_FLIGHT].iter().any(|key| meta.annotations.contains_key(*key)) {
        let place = format!("metadata.annotations[\"{MAX_PENDING}\"]");
        out.not_served(place, "nobody waits for room where nothing is bounded", "add `tidegate.dev/max-in-flight`, or remove it");
    }
    Bounds { in_flight, endpoint_in_flight, pending }
}
