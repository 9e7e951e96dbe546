//! Which replica is the least busy: power of two choices on in-flight and latency (peak EWMA).
//!
//! Sans-io: time and randomness are arguments. Invariant: a pick costs the same for 3 and for 1,000 endpoints, and allocates nothing.
//! Latency is the time to the response head. Differences under a factor of two, and all below [`FLOOR_US`], are ties, which in-flight
//! decides and then chance; a replica that was never measured ties with any other. A failure counts as slow, so that a replica that
//! fails fast attracts nothing. Estimates fade while a replica is not picked, so that it is tried again. Near endpoints come first
//! ([`near`]). Other ways to pick are below ([`affinity`], [`hash`], [`cookie`]); which one counts: `choice.rs`; where a
//! Service is bounded, `bounded` passes over who is full;
//! where some endpoints are new, [`slow`] has a word.

pub mod affinity;
pub(crate) mod bounded;
pub(crate) mod choice;
pub mod cookie;
pub mod hash;
pub mod near;
pub mod slow;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use registry::snapshot::{Carried, Endpoint, EndpointId, Load, Replica};

use crate::pressure::seats::Seat;

/// Latencies below this are all alike.
pub const FLOOR_US: u32 = 500;
/// An estimate halves in this time without a measurement.
pub const HALF_LIFE_US: u64 = 700_000;
/// What a failure to connect, or a reset, counts as.
pub const FAILURE_US: u32 = 1_000_000;

/// What makes a replica busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// In-flight requests and their latency.
    Latency,
    /// In-flight requests alone, or open connections (opaque TCP).
    Connections,
}

/// Picks an endpoint that is not in `avoid`; `None` when there is no such endpoint.
pub fn pick<'e>(endpoints: &'e [Endpoint], avoid: &[EndpointId], by: By, now_us: u64, rng: &mut Rng) -> Option<&'e Endpoint> {
    let (first, second) = match endpoints {
        [] => return None,
        [only] => (only, only),
        _ => two(endpoints, rng),
    };
    if !avoid.is_empty() && (avoid.contains(&first.id) || avoid.contains(&second.id)) {
        return pick_other(endpoints, avoid, rng);
    }
    let first_is_better = prefer_first(&first.replica.load, &second.replica.load, by, now_us).unwrap_or_else(|| rng.bool());
    Some(if first_is_better { first } else { second })
}

/// Two different endpoints, each pair equally likely.
fn two<'e>(endpoints: &'e [Endpoint], rng: &mut Rng) -> (&'e Endpoint, &'e Endpoint) {
    let count = endpoints.len();
    let one = rng.usize(..count);
    let other = (one + 1 + rng.usize(..count - 1)) % count;
    (&endpoints[one], &endpoints[other])
}

/// After a failure: any endpoint that was not tried. Rare, so a scan from a random place will do.
fn pick_other<'e>(endpoints: &'e [Endpoint], avoid: &[EndpointId], rng: &mut Rng) -> Option<&'e Endpoint> {
    let (before, after) = endpoints.split_at(rng.usize(..endpoints.len()));
    after.iter().chain(before).find(|endpoint| !avoid.contains(&endpoint.id))
}

/// Any endpoint that was not tried.
pub fn at_random<'e>(endpoints: &'e [Endpoint], avoid: &[EndpointId], rng: &mut Rng) -> Option<&'e Endpoint> {
    if endpoints.is_empty() { None } else { pick_other(endpoints, avoid, rng) }
}

/// The next one that was not tried. Each worker begins at another (`first`), so that few requests do not all go to the same.
pub fn in_turn<'e>(endpoints: &'e [Endpoint], avoid: &[EndpointId], first: usize, turn: &Cell<usize>) -> Option<&'e Endpoint> {
    for _ in 0..endpoints.len() {
        let at = first.wrapping_add(turn.replace(turn.get().wrapping_add(1))) % endpoints.len();
        if !avoid.contains(&endpoints[at].id) {
            return Some(&endpoints[at]);
        }
    }
    None
}

/// `None` is a tie.
fn prefer_first(first: &Load, second: &Load, by: By, now_us: u64) -> Option<bool> {
    let busy = (first.in_flight.load(Relaxed), second.in_flight.load(Relaxed));
    let by_busy = match busy.0.cmp(&busy.1) {
        std::cmp::Ordering::Less => Some(true),
        std::cmp::Ordering::Greater => Some(false),
        std::cmp::Ordering::Equal => None,
    };
    let latency = (estimate(first, now_us), estimate(second, now_us));
    if by == By::Connections || latency.0 == 0 || latency.1 == 0 {
        return by_busy;
    }
    let (low, high) = (latency.0.min(latency.1).max(FLOOR_US), latency.0.max(latency.1).max(FLOOR_US));
    if high < 2 * low {
        return by_busy;
    }
    let cost = |busy: u32, latency: u32| (u64::from(busy) + 1) * u64::from(latency.max(FLOOR_US));
    Some(cost(busy.0, latency.0) <= cost(busy.1, latency.1))
}

/// The latency estimate now, in microseconds; 0 when never measured.
pub fn estimate(load: &Load, now_us: u64) -> u32 {
    let latency = load.latency_us.load(Relaxed);
    let halvings = now_us.saturating_sub(load.measured_us.load(Relaxed)) / HALF_LIFE_US;
    if latency == 0 { 0 } else { latency.checked_shr(halvings.min(31) as u32).unwrap_or(0).max(1) }
}

/// A response head came after `took_us`.
pub fn answered(load: &Load, took_us: u64, now_us: u64) {
    let sample = took_us.clamp(1, u64::from(u32::MAX)) as u32;
    let before = estimate(load, now_us);
    let next = match before {
        0 => sample,
        _ if sample > before => before + (sample - before) / 2,
        _ => before - (before - sample) / 8,
    };
    measured(load, next.max(1), now_us);
}

/// The replica answered, but with a status that says it could not do its work (500 to 599): it counts as ten times slower.
pub fn answered_badly(load: &Load, took_us: u64, now_us: u64) {
    let slow = u64::from(estimate(load, now_us)).max(took_us).saturating_mul(10);
    answered(load, slow.min(u64::from(FAILURE_US)), now_us);
}

/// The replica could not be connected to, or broke the connection.
pub fn failed(load: &Load, now_us: u64) {
    measured(load, estimate(load, now_us).max(FAILURE_US), now_us);
}

fn measured(load: &Load, latency_us: u32, now_us: u64) {
    load.latency_us.store(latency_us, Relaxed);
    load.measured_us.store(now_us, Relaxed);
}

/// One request or connection in flight; ends when dropped.
#[derive(Debug)]
pub struct InFlight {
    replica: Arc<Replica>,
    /// It counts for a service with bounds.
    carried: Option<Carried>,
    /// It counts for a client with bounds.
    pub(crate) seat: Option<Arc<Seat>>,
}

impl InFlight {
    /// Counts one more on this replica.
    pub fn begin(replica: &Arc<Replica>) -> InFlight {
        replica.load.in_flight.begin();
        InFlight { replica: replica.clone(), carried: None, seat: None }
    }

    /// The same, unless there are `most` on it.
    fn begin_within(replica: &Arc<Replica>, most: Option<u32>) -> Option<InFlight> {
        replica.load.in_flight.begin_within(most).then(|| InFlight { replica: replica.clone(), carried: None, seat: None })
    }

    /// Whose.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Whoever sees that the replica is free may be carried, and whoever waits for that looks only once it is.
        let _room = self.carried.take().map(Carried::end);
        self.replica.load.in_flight.end();
    }
}

#[cfg(test)]
mod tests;
