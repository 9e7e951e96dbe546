//! What the endpoints of a service are called by those who hash: a number for each, in their order.
//!
//! Invariant: by what names a replica to its users, its pod or else its address, and never by an id that this process made: ids are not
//! the same after a restart, nor in another Tidegate. Made when first asked for after a change of the endpoints, so that a service of
//! which nobody asks has none.

use std::sync::OnceLock;

use super::Endpoint;
use crate::hash;
use crate::seed::Seed;

/// Both numberings.
#[derive(Clone, Debug, Default)]
pub struct Named {
    ranks: OnceLock<Box<[u64]>>,
    marks: OnceLock<Box<[u64]>>,
}

impl Named {
    /// For ranking: the same wherever the replica is called the same.
    pub(super) fn ranks(&self, endpoints: &[Endpoint]) -> &[u64] {
        filled(&self.ranks, || endpoints.iter().map(rank).collect())
    }

    /// For cookies: what tells nobody the name.
    pub(super) fn marks(&self, endpoints: &[Endpoint], seed: &Seed) -> &[u64] {
        filled(&self.marks, || {
            let mark = seed.marker();
            endpoints.iter().map(|endpoint| mark(name(endpoint).as_bytes())).collect()
        })
    }
}

/// Whoever comes first makes them, and of two who do so at once one's are thrown away: nobody waits for the making, only for a pointer to
/// be stored. That store takes a lock, against the hot path law, once after each change.
fn filled(cell: &OnceLock<Box<[u64]>>, make: impl FnOnce() -> Box<[u64]>) -> &[u64] {
    match cell.get() {
        Some(made) => made,
        None => {
            let made = make();
            cell.get_or_init(|| made)
        }
    }
}

fn rank(endpoint: &Endpoint) -> u64 {
    match &endpoint.replica.pod {
        Some(pod) => hash::of_bytes(pod.as_bytes()),
        None => hash::of_address(endpoint.replica.address),
    }
}

fn name(endpoint: &Endpoint) -> String {
    endpoint.replica.pod.as_deref().map_or_else(|| endpoint.replica.address.to_string(), str::to_owned)
}
