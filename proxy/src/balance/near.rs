//! Near endpoints first, and others when these are none, or have too much to do.
//!
//! Invariant: a request goes far only for a reason that was measured here: every near endpoint was tried, or the near one that is the less
//! busy has both more than [`MANY`] in flight and [`TIMES`] as many as a far one would have, or it failed lately and a far one did not.
//! Where no endpoint is nearer than others this is [`super::pick`]. Sans-io, as that is.

use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use registry::snapshot::{Endpoint, EndpointId, Load, Service};

use super::{By, FAILURE_US, estimate};

/// With so many in flight or fewer a near endpoint is never too busy.
pub const MANY: u32 = 16;
/// So many times what a far endpoint would have in flight is too much for a near one.
pub const TIMES: u32 = 4;

/// The less busy one of two that are near, unless it is too busy for that.
pub fn pick<'s>(service: &'s Service, avoid: &[EndpointId], by: By, now_us: u64, rng: &mut Rng) -> Option<&'s Endpoint> {
    let (near, far) = service.by_nearness();
    let picked = super::pick(near, avoid, by, now_us, rng);
    if far.is_empty() || picked.is_some_and(|near| !is_pressed(&near.replica.load, by, now_us)) {
        return picked;
    }
    let other = super::pick(far, avoid, by, now_us, rng);
    match (picked, other) {
        (Some(near), Some(far)) if !spills(&near.replica.load, &far.replica.load, by, now_us) => Some(near),
        (near, far) => far.or(near),
    }
}

/// What `pick` finds among those that are near, else among the others.
pub fn first<'s>(service: &'s Service, mut pick: impl FnMut(&'s [Endpoint]) -> Option<&'s Endpoint>) -> Option<&'s Endpoint> {
    let (near, far) = service.by_nearness();
    pick(near).or_else(|| pick(far))
}

/// Whether it is worth a look at the others.
fn is_pressed(near: &Load, by: By, now_us: u64) -> bool {
    near.in_flight.load(Relaxed) > MANY || failed_lately(near, by, now_us)
}

/// Within the first half-life after a failure.
fn failed_lately(load: &Load, by: By, now_us: u64) -> bool {
    by == By::Latency && estimate(load, now_us) > FAILURE_US / 2
}

/// Whether the far one is to be asked instead of the near one.
fn spills(near: &Load, far: &Load, by: By, now_us: u64) -> bool {
    let (here, there) = (near.in_flight.load(Relaxed), far.in_flight.load(Relaxed));
    let busy = here > MANY && here > TIMES.saturating_mul(there.saturating_add(1));
    busy || (failed_lately(near, by, now_us) && estimate(far, now_us) < estimate(near, now_us) / TIMES)
}

#[cfg(test)]
mod tests;
