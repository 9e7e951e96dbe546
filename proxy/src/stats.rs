//! Counters of the data plane: each worker writes its own, the admin thread adds them up.
//!
//! Invariant: a [`Count`] has one writer, so that counting is a load and a store without a locked instruction. The only lock is taken
//! when a worker meets a service for the first time, and when somebody scrapes. Nothing here formats or looks up a label per request.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use config::exposure::Exposure;
use registry::snapshot::{PortName, Service};

use crate::budget::Budget;
use crate::reason::Reason;
use crate::tls::Outcome;

/// Upper bounds of the latency histogram, in microseconds. What is above the last counts only in the total.
pub const LATENCY_BOUNDS_US: [u64; 14] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`; to be called by the writer's thread alone.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` away; to be called by the writer's thread alone.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Makes it `n`; to be called by the writer's thread alone.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counted for one service port on one plane.
#[derive(Debug, Default)]
pub struct ServiceCounts {
    /// Answers by class of status: 1xx to 5xx.
    pub answers: [Count; 5],
    /// Answers by time from the request's head to the end of the response: one for each of [`LATENCY_BOUNDS_US`], and one above.
    pub latency: [Count; LATENCY_BOUNDS_US.len() + 1],
    /// Sum of those times, in microseconds.
    pub latency_sum_us: Count,
    /// Tries after the first.
    pub retries: Count,
    /// What was refused since as much was under way as may be, by [`Bound`].
    pub full: [Count; Bound::ALL.len()],
    /// Connections through its own listeners: its VIP inside; node ports and load balancers outside.
    pub own: Flow,
    /// Datagrams through them.
    pub udp: Datagrams,
    /// Connections that switched from HTTP to another protocol.
    pub upgraded: Flow,
}

/// Connections that are carried without being read.
#[derive(Debug, Default)]
pub struct Flow {
    /// All there were.
    pub connections: Count,
    /// Open now.
    pub open: Count,
    /// Bytes from clients.
    pub up: Count,
    /// Bytes to clients.
    pub down: Count,
}

/// What of a Service was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All of it.
    Service,
    /// Each endpoint that was not tried.
    Endpoint,
    /// The line of those who wait for that.
    Pending,
}

impl Bound {
    /// All of them, by index.
    pub const ALL: [Bound; 3] = [Bound::Service, Bound::Endpoint, Bound::Pending];

    /// The word of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Bound::Service => "max-in-flight",
            Bound::Endpoint => "max-endpoint-in-flight",
            Bound::Pending => "max-pending",
        }
    }
}

/// Which limit of an Ingress a request was too many for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A rate of its client.
    Client,
    /// What its client may have under way.
    ClientInFlight,
    /// The rate of all clients.
    Route,
}

impl Limit {
    /// All of them, by index.
    pub const ALL: [Limit; 3] = [Limit::Client, Limit::ClientInFlight, Limit::Route];

    /// The word of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Client => "rate-limit",
            Limit::ClientInFlight => "max-client-in-flight",
            Limit::Route => "rate-limit-route",
        }
    }
}

/// Why a client's connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// The worker has as many as it may.
    Worker,
    /// The client has.
    Client,
}

impl Untaken {
    /// All of them, by index.
    pub const ALL: [Untaken; 2] = [Untaken::Worker, Untaken::Client];

    /// The word of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Untaken::Worker => "connections",
            Untaken::Client => "connections-per-client",
        }
    }
}

/// Flows of datagrams.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// The flows, and their bytes.
    pub flows: Flow,
    /// Datagrams from clients.
    pub up: Count,
    /// Datagrams to clients.
    pub down: Count,
}

/// Why a datagram was not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its sender may not come: outside `internalCidrs`, or outside the source ranges.
    NotAdmitted,
    /// Nobody is there to take it.
    NoEndpoint,
    /// There are `limits.udpFlows` already, or as many as the Service may have.
    Full,
    /// A socket's buffer is full.
    Busy,
    /// The endpoint says that nobody listens there.
    Refused,
    /// The system would not send it.
    Failed,
}

impl Dropped {
    /// All of them, by index.
    pub const ALL: [Dropped; 6] =
        [Dropped::NotAdmitted, Dropped::NoEndpoint, Dropped::Full, Dropped::Busy, Dropped::Refused, Dropped::Failed];

    /// The word of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dropped::NotAdmitted => "not-admitted",
            Dropped::NoEndpoint => "no-endpoint",
            Dropped::Full => "full",
            Dropped::Busy => "busy",
            Dropped::Refused => "refused",
            Dropped::Failed => "failed",
        }
    }
}

impl Flow {
    /// One more is open.
    pub fn begun(&self) {
        self.connections.add(1);
        self.open.add(1);
    }

    /// One less is open.
    pub fn ended(&self) {
        self.open.sub(1);
    }
}

impl ServiceCounts {
    /// One answered request.
    pub fn answered(&self, status: u16, took_us: u64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.answers[class].add(1);
        let bucket = LATENCY_BOUNDS_US.iter().position(|&bound| took_us <= bound).unwrap_or(LATENCY_BOUNDS_US.len());
        self.latency[bucket].add(1);
        self.latency_sum_us.add(took_us);
    }
}

/// The counts of one service port on one plane, with what they are called.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The service port.
    pub name: PortName,
    /// The plane.
    pub exposure: Exposure,
    /// The counts.
    pub counts: Arc<ServiceCounts>,
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct WorkerCounts {
    entries: Mutex<Vec<Entry>>,
    /// Answers of our own, by exposure (external, internal) and [`Reason::index`].
    pub refusals: [[Count; Reason::ALL.len()]; 2],
    /// Connections that were reset at once, since their peer may not come, by exposure.
    pub turned_away: [Count; 2],
    /// Connections that were reset at once, since there are as many as may be, by exposure and [`Untaken`].
    pub untaken: [[Count; Untaken::ALL.len()]; 2],
    /// Requests that were too many, by exposure and [`Limit`].
    pub limited: [[Count; Limit::ALL.len()]; 2],
    /// Requests and connections that were let in since there was no room to count them.
    pub unmetered: Count,
    /// Requests that were refused since the worker was late, by exposure.
    pub shed: [Count; 2],
    /// Which part of requests from outside is refused for that now, in millionths.
    pub shed_part: Count,
    /// How late the worker was at most in the last seconds, in microseconds.
    pub lag_us: Count,
    /// Datagrams that were not passed on, by exposure and [`Dropped`].
    pub dropped: [[Count; Dropped::ALL.len()]; 2],
    /// Misses whose route exists in the list of refusals, by exposure.
    pub not_exposed: [Count; 2],
    /// Handshakes with clients by how they ended ([`Outcome::index`]), by exposure.
    pub handshakes: [[Count; Outcome::ALL.len()]; 2],
    /// Client connections accepted over HTTP, by exposure.
    pub connections: [Count; 2],
    /// Client connections open now, by exposure.
    pub connections_open: [Count; 2],
    /// Requests and connections that wait for somebody to answer them.
    pub waiting: Count,
    /// All that ever did.
    pub waited: Count,
}

impl WorkerCounts {
    /// One answer of our own.
    pub fn refused(&self, exposure: Exposure, reason: Reason) {
        self.refusals[plane(exposure)][reason.index()].add(1);
    }

    /// One handshake with a client.
    pub fn shaken(&self, exposure: Exposure, outcome: Outcome) {
        self.handshakes[plane(exposure)][outcome.index()].add(1);
    }

    /// Everything this worker has met so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Index of an exposure in arrays of two.
pub const fn plane(exposure: Exposure) -> usize {
    match exposure {
        Exposure::External => 0,
        Exposure::Internal => 1,
    }
}

/// A worker's own view of its counts: finds a service's by slot without a lock.
#[derive(Debug)]
pub struct LocalCounts {
    shared: Arc<WorkerCounts>,
    by_slot: [RefCell<Vec<Option<Rc<Met>>>>; 2],
}

/// A service port that this worker has met: its name, and its counts by [`Deref`].
#[derive(Debug)]
pub struct Met {
    /// What it is called.
    pub name: PortName,
    /// Whose turn it is, where endpoints are picked one after the other.
    pub turn: Cell<usize>,
    /// How many requests may be sent again.
    pub budget: Budget,
    counts: Arc<ServiceCounts>,
}

impl Deref for Met {
    type Target = ServiceCounts;

    fn deref(&self) -> &ServiceCounts {
        &self.counts
    }
}

impl LocalCounts {
    /// Over what the admin thread reads.
    pub fn new(shared: Arc<WorkerCounts>) -> LocalCounts {
        LocalCounts { shared, by_slot: Default::default() }
    }

    /// The worker-wide counts.
    pub fn worker(&self) -> &WorkerCounts {
        &self.shared
    }

    /// The counts of `service` on this plane.
    pub fn of(&self, exposure: Exposure, service: &Service) -> Rc<Met> {
        let mut slots = self.by_slot[plane(exposure)].borrow_mut();
        let slot = service.slot as usize;
        if slot >= slots.len() {
            slots.resize(slot + 1, None);
        }
        slots[slot].get_or_insert_with(|| self.meet(exposure, service)).clone()
    }

    fn meet(&self, exposure: Exposure, service: &Service) -> Rc<Met> {
        let counts = Arc::new(ServiceCounts::default());
        let entry = Entry { name: service.name.clone(), exposure, counts: counts.clone() };
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Rc::new(Met { name: service.name.clone(), turn: Cell::default(), budget: Budget::default(), counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lands_in_the_first_bound_that_holds_it() {
        let counts = ServiceCounts::default();
        for took in [0, 500, 501, 10_000_000, 10_000_001] {
            counts.answered(204, took);
        }
        assert_eq!(counts.latency[0].get(), 2);
        assert_eq!(counts.latency[1].get(), 1);
        assert_eq!(counts.latency[13].get(), 1);
        assert_eq!(counts.latency[14].get(), 1);
        assert_eq!(counts.answers[1].get(), 5);
    }
}
