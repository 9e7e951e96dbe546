//! A worker of a world: its picture, its connections, what it tells of its tries, and replicas that have left it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use config::exposure::Exposure;
use fastrand::Rng;
use proxy::deadline::Deadlines;
use proxy::departed::Departed;
use proxy::outlier::Tries;
use proxy::picture::Pictures;
use proxy::waiting::Waiting;
use registry::event::Report;
use registry::snapshot::{Endpoint, Plane, Replica, ReplicaId, Snapshot};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::law::Fault;
use super::network::{Network, Process};

/// A connection to a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) process: Process,
    pub(super) service: usize,
    /// To whom it was to lead.
    pub(super) opened_for: ReplicaId,
}

pub(super) struct Worker {
    pub(super) pictures: Rc<Pictures>,
    pub(super) waiting: Rc<Waiting>,
    pub(super) tries: Rc<Tries>,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) departed: Departed,
    reports: UnboundedReceiver<Report>,
    /// When its last report arrives: none overtakes another.
    told_ms: u64,
    /// Replicas that are not picked from any more on one of the planes, and since when: a seal may take one from the outside first.
    absent: HashMap<ReplicaId, u64>,
    idle: HashMap<ReplicaId, Vec<Connection>>,
    idle_by_address: HashMap<SocketAddr, Vec<Connection>>,
}

pub(super) fn empty() -> Arc<Snapshot> {
    Arc::new(Snapshot { version: 0, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) })
}

impl Worker {
    /// The one with this number. So many failures in a row are told.
    pub(super) fn new(id: usize, acknowledged: Rc<RefCell<Vec<u64>>>, threshold: u32) -> Worker {
        let (told, reports) = unbounded_channel();
        Worker {
            pictures: Pictures::new(empty(), move |version| acknowledged.borrow_mut()[id] = version),
            waiting: Rc::default(),
            tries: Rc::new(Tries::new(threshold, told)),
            deadlines: Rc::default(),
            departed: Departed::default(),
            reports,
            told_ms: 0,
            absent: HashMap::new(),
            idle: HashMap::new(),
            idle_by_address: HashMap::new(),
        }
    }

    /// Goes by this picture. False when a newer one came first.
    pub(super) fn adopt(&mut self, snapshot: &Arc<Snapshot>, now_ms: u64) -> bool {
        if snapshot.version <= self.pictures.hold().snapshot().version {
            return false;
        }
        let before = self.pictures.adopt(snapshot.clone());
        for side in [Exposure::External, Exposure::Internal] {
            self.departed.follow(before.plane(side), snapshot.plane(side), |replica| drop(self.idle.remove(&replica)));
            let (was, is) = (picked(before.plane(side)), picked(snapshot.plane(side)));
            is.difference(&was).for_each(|id| _ = self.absent.remove(id));
            was.difference(&is).for_each(|id| _ = self.absent.entry(*id).or_insert(now_ms));
        }
        true
    }

    /// Since when it picks from a replica no more.
    pub(super) fn absent_since(&self, replica: ReplicaId) -> Option<u64> {
        self.absent.get(&replica).copied()
    }

    /// What it has told since the last call, and when that arrives.
    pub(super) fn told(&mut self, now_ms: u64, rng: &mut Rng) -> Vec<(u64, Report)> {
        let mut all = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            self.told_ms = self.told_ms.max(now_ms + rng.u64(..20));
            all.push((self.told_ms, report));
        }
        all
    }

    /// An idle connection to a replica. `surely`: one that its process has not closed.
    pub(super) fn idle(
        &mut self,
        replica: &Replica,
        surely: bool,
        (network, rng, fault): (&Network, &mut Rng, Option<Fault>),
    ) -> Option<Connection> {
        let idle = match fault {
            Some(Fault::PoolsByAddress) => self.idle_by_address.get_mut(&replica.address)?,
            _ => self.idle.get_mut(&replica.id)?,
        };
        while let Some(connection) = idle.pop() {
            // The end of one that was closed may not have been seen yet.
            if network.is_alive(connection.process) || (!surely && rng.u8(..4) == 0) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn rest(&mut self, replica: &Replica, connection: Connection) {
        self.idle_by_address.entry(replica.address).or_default().push(connection);
        self.idle.entry(replica.id).or_default().push(connection);
    }
}

fn picked(plane: &Plane) -> HashSet<ReplicaId> {
    plane.services.iter().flat_map(|service| &service.endpoints).map(|endpoint| endpoint.replica.id).collect()
}

/// Whom the services of a picture pick from, and those that are left out.
pub(super) fn members(snapshot: &Snapshot) -> impl Iterator<Item = &Endpoint> {
    let planes = [&snapshot.external, &snapshot.internal];
    planes.into_iter().flat_map(|plane| plane.services.iter()).flat_map(|service| service.members())
}
