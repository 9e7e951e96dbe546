//! Who an endpoint is, and when it is gone.
//!
//! Invariant: an id is never used twice, even when the address is. A replica lives as long as one membership holds it; leaving one
//! service does not disturb another. What leaves is Draining until every worker has acknowledged a picture without it, then Gone and
//! forgotten. An address without a pod is the same replica only while it stays: what leaves and returns is another one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::object::{Name, Protocol};

use crate::snapshot::{EndpointId, Replica, ReplicaId};
use crate::speech::Speech;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// Nobody knows more than the address.
    Address,
    /// A pod without a uid. The number grows when its addresses change or it returns after a removal.
    Pod(Name, u64),
    /// A pod with a uid.
    Uid(Name),
}

/// What makes two memberships one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReplicaKey {
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) speaks: Speech,
}

/// Where an endpoint is in its life; `Gone` is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    /// Not ready yet.
    Pending,
    /// May be picked.
    Ready,
    /// Was ready and is not now, or is left out for what its requests came to.
    Ejected,
    /// Terminating, or removed and not yet acknowledged by all workers.
    Draining,
}

impl State {
    pub(crate) const ALL: [State; 4] = [State::Pending, State::Ready, State::Ejected, State::Draining];

    /// The word of `get endpoints` and the metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            State::Pending => "Pending",
            State::Ready => "Ready",
            State::Ejected => "Ejected",
            State::Draining => "Draining",
        }
    }
}

/// A membership that ended.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) id: EndpointId,
    pub(crate) replica: Arc<Replica>,
    /// `NAMESPACE/NAME:PORT` of the service port that it left.
    pub(crate) service: Name,
    /// The first picture without it.
    version: u64,
}

/// Mints identities and keeps what drains.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    endpoints: u64,
    replicas: u64,
    live: Map<ReplicaKey, (Arc<Replica>, usize)>,
    leaving: Vec<Leaving>,
    /// The version that each worker acknowledged.
    workers: Vec<u64>,
}

/// The number after `last`. 2^64 of them outlast any process.
fn mint(last: &mut u64) -> NonZeroU64 {
    *last += 1;
    NonZeroU64::MIN.saturating_add(*last - 1)
}

impl Lifecycle {
    /// Waits for this many workers before anything is gone; one that acknowledges beyond them counts too.
    pub(crate) fn new(workers: usize) -> Lifecycle {
        Lifecycle { workers: vec![0; workers], ..Lifecycle::default() }
    }

    /// A new membership of the replica that `key` names.
    pub(crate) fn join(&mut self, key: ReplicaKey, pod: Option<&Name>) -> (EndpointId, Arc<Replica>) {
        let last = &mut self.replicas;
        let (address, speaks) = (key.address, key.speaks.clone());
        let (replica, members) = self.live.entry(key).or_insert_with(|| {
            let replica = Replica { id: ReplicaId(mint(last)), address, pod: pod.cloned(), speaks, load: Default::default() };
            (Arc::new(replica), 0)
        });
        *members += 1;
        (EndpointId(mint(&mut self.endpoints)), replica.clone())
    }

    /// Ends a membership; pictures from `version` on do not have it.
    pub(crate) fn leave(&mut self, key: &ReplicaKey, id: EndpointId, replica: Arc<Replica>, service: Name, version: u64) {
        if let Some((_, members)) = self.live.get_mut(key) {
            *members -= 1;
            if *members == 0 {
                replica.load.leaving.store(true, Relaxed);
                self.live.remove(key);
            }
        }
        if version > self.acknowledged_by_all() {
            self.leaving.push(Leaving { id, replica, service, version });
        }
    }

    fn acknowledged_by_all(&self) -> u64 {
        self.workers.iter().copied().min().unwrap_or_default()
    }

    /// A worker runs `version` and nothing older.
    pub(crate) fn acknowledged(&mut self, worker: usize, version: u64) {
        if worker >= self.workers.len() {
            self.workers.resize(worker + 1, 0);
        }
        self.workers[worker] = self.workers[worker].max(version);
        let all = self.acknowledged_by_all();
        self.leaving.retain(|leaving| leaving.version > all);
    }

    /// Memberships that ended and may be used still.
    pub(crate) fn leaving(&self) -> &[Leaving] {
        &self.leaving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(identity: Identity) -> ReplicaKey {
        ReplicaKey { identity, address: ([10, 0, 0, 1], 80).into(), protocol: Protocol::Tcp, speaks: Speech::Http1 }
    }

    #[test]
    fn a_replica_is_shared_until_its_last_membership_ends_and_its_id_is_never_used_again() {
        let mut life = Lifecycle::new(1);
        let (first, shared) = life.join(key(Identity::Uid("u".into())), None);
        let (second, same) = life.join(key(Identity::Uid("u".into())), None);
        assert!(Arc::ptr_eq(&shared, &same));
        let leaving = || shared.load.leaving.load(Relaxed);
        assert_ne!(first, second);
        life.leave(&key(Identity::Uid("u".into())), first, shared.clone(), "a/b:80".into(), 1);
        let (_, still) = life.join(key(Identity::Uid("u".into())), None);
        assert_eq!(still.id, shared.id);
        assert!(!leaving(), "it is a member still");
        for id in [second, first] {
            life.leave(&key(Identity::Uid("u".into())), id, shared.clone(), "a/b:80".into(), 1);
        }
        let (_, other) = life.join(key(Identity::Uid("u".into())), None);
        assert_ne!(other.id, shared.id);
        assert!(leaving() && !other.load.leaving.load(Relaxed));
    }

    #[test]
    fn what_left_is_gone_when_the_slowest_worker_has_acknowledged() {
        let mut life = Lifecycle::new(2);
        let (id, replica) = life.join(key(Identity::Address), None);
        life.leave(&key(Identity::Address), id, replica, "a/b:80".into(), 7);
        life.acknowledged(0, 9);
        life.acknowledged(1, 6);
        assert_eq!(life.leaving().len(), 1);
        life.acknowledged(1, 7);
        assert!(life.leaving().is_empty());
    }
}
