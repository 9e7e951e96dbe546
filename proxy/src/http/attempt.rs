//! Whom to ask, and what to think of a replica afterwards: one try of one request, whichever HTTP brought it.
//!
//! Invariant: a request is sent a second time only when the first sending cannot have been processed (no connection stood), or when its
//! method is idempotent (RFC 9110 section 9.2.2), all of it is still here, and not a byte of an answer came; never twice in any other
//! case. No byte of a message is read or written here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::filter::Balance;
use registry::filter::Filters;
use registry::route::Route;
use registry::snapshot::{Endpoint, EndpointId, Service, Snapshot};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::decide::{Decision, decide, refused_exposure};
use crate::balance::{self, By, InFlight};
use crate::clock::now_us;
use crate::reason::Reason;
use crate::stats::Met;
use crate::upstream;
use crate::worker::Worker;

/// Further endpoints that a request is tried on when connecting fails.
const TRIES: usize = 3;

/// What was tried for one request.
#[derive(Default)]
pub(crate) struct Tried {
    /// Endpoints that failed; allocates only then.
    endpoints: Vec<EndpointId>,
    /// Times that a connection was full or gone before anything was sent.
    unsent: usize,
    /// A connection broke before a byte of an answer.
    died: bool,
    /// It was a reused one.
    reused: bool,
    /// The route whose filters let it through.
    passed: Option<Arc<Route>>,
}

impl Tried {
    /// The filters of this route let it through.
    pub(crate) fn pass(&mut self, route: Arc<Route>) {
        self.passed = Some(route);
    }

    /// The route whose filters let it through, when that had any.
    pub(crate) fn passed(&self) -> Option<(&Arc<Route>, &Filters)> {
        let route = self.passed.as_ref()?;
        Some((route, route.filters.as_deref()?))
    }

    /// Whether a route has yet to let it through: by its filters, or because it is another one than before.
    fn must_pass(&self, route: &Arc<Route>) -> bool {
        match (&route.filters, &self.passed) {
            (None, None) => false,
            (_, Some(passed)) => !Arc::ptr_eq(passed, route),
            (Some(_), None) => true,
        }
    }

    /// How long is waited for a connection; `limit_ms` where the route does not say.
    pub(crate) fn connect_timeout(&self, limit_ms: u64) -> Duration {
        let asked = self.passed().and_then(|(_, filters)| filters.timeouts.connect_ms);
        Duration::from_millis(asked.unwrap_or(limit_ms))
    }

    /// Further endpoints that may be tried.
    fn retries(&self) -> usize {
        self.passed().and_then(|(_, filters)| filters.retries).map_or(TRIES, usize::from)
    }

    /// No connection to this one stood. False when it is time to give up.
    pub(crate) fn no_connection(&mut self, endpoint: EndpointId) -> bool {
        let more = self.endpoints.len() < self.retries();
        if more {
            self.endpoints.push(endpoint);
            self.reused = false;
        }
        more
    }

    /// Nothing of it was sent, for a reason that is nobody's fault. False when it is time to give up.
    pub(crate) fn not_sent(&mut self) -> bool {
        self.unsent += 1;
        self.unsent <= TRIES
    }

    /// The connection broke before a byte of an answer, and the request [may be repeated](Tried::may_repeat).
    pub(crate) fn broke(&mut self, endpoint: EndpointId, reused: bool) {
        self.died = true;
        self.reused = reused;
        self.endpoints.push(endpoint);
    }

    /// Whether sending it again cannot do anything twice that matters. `whole`: all of it is still here.
    pub(crate) fn may_repeat(&self, idempotent: bool, whole: bool) -> bool {
        !self.died && whole && idempotent && self.retries() > 0
    }

    /// A connection broke: what was idle as long as that one is not trusted either.
    pub(crate) fn died(&self) -> bool {
        self.died
    }

    /// Why nobody answered: one that died without an answer is what matters.
    pub(crate) fn reason(&self) -> Reason {
        if self.died { Reason::UpstreamReset } else { Reason::UpstreamConnect }
    }

    /// Endpoints to avoid. One that closed an idle connection may be well: a client that keeps its endpoint asks it again on a new one.
    fn avoided(&self, keeps: bool) -> &[EndpointId] {
        match self.endpoints.split_last() {
            Some((_, others)) if keeps && self.reused => others,
            _ => &self.endpoints,
        }
    }
}

/// Why nobody was chosen.
#[derive(Debug)]
pub(crate) enum NoChoice {
    /// The answer is our own; with what the operator alone is told.
    Refused(Reason, Option<Arc<str>>),
    /// Every endpoint was tried.
    NobodyLeft,
    /// The route's filters come first.
    Filtered(Arc<Route>),
}

impl Caller {
    /// The service and the endpoint for a request for `path` on `host`. `client` is who asks, behind trusted proxies; it is called where
    /// that matters.
    pub(crate) fn choose<'s>(
        &self,
        snapshot: &'s Snapshot,
        (host, path): (&str, &str),
        tried: &Tried,
        now_us: u64,
        client: impl FnOnce() -> IpAddr,
    ) -> Result<(&'s Arc<Service>, &'s Endpoint), NoChoice> {
        let plane = self.plane(snapshot);
        if !self.may_ask(plane, host) {
            return Err(NoChoice::Refused(Reason::Misdirected, None));
        }
        let decision = decide(plane, host, path);
        if let Some(route) = decision.route().filter(|route| tried.must_pass(route)) {
            return Err(NoChoice::Filtered(route.clone()));
        }
        match decision {
            Decision::Forward { route, service } => {
                let balance = route.filters.as_ref().and_then(|filters| filters.balance);
                let keeps = service.affinity_s.is_some() || balance == Some(Balance::ClientIp);
                let client = if keeps { client() } else { self.client };
                let pick = |avoid: &[EndpointId]| match balance {
                    None => self.worker.pick(service, client, avoid, By::Latency, now_us),
                    Some(balance) => self.worker.pick_as(balance, (self.listener.exposure, &**service), client, avoid, now_us),
                };
                // A replica that closed an idle connection may be well: if there is no other, it is asked again on a new one.
                let endpoint = pick(tried.avoided(keeps)).or_else(|| if tried.reused { pick(&[]) } else { None });
                endpoint.map(|endpoint| (service, endpoint)).ok_or(NoChoice::NobodyLeft)
            }
            Decision::NoEndpoint { .. } => Err(NoChoice::Refused(Reason::NoEndpoint, None)),
            Decision::NoRoute(_) => {
                let outside = self.listener.exposure == Exposure::External;
                let why = if outside { refused_exposure(plane, host, path).cloned() } else { None };
                Err(NoChoice::Refused(Reason::NoRoute, why))
            }
        }
    }
}

/// What the log says of a request besides its own words.
pub(crate) struct Trail {
    /// When its head was whole, in microseconds since the start of the process.
    pub(crate) began_us: u64,
    /// Made for the request; used when the client gave none.
    pub(crate) request_id: [u8; 32],
    /// Times that it was sent, or tried to be.
    pub(crate) attempts: u32,
    /// Where it was sent last.
    pub(crate) upstream: Option<SocketAddr>,
    /// The service it was sent to.
    pub(crate) service: Option<Rc<Met>>,
}

impl Trail {
    /// Of a request whose head is whole now.
    pub(crate) fn begin(worker: &Worker) -> Trail {
        let request_id = hex(worker.rng.borrow_mut().u128(..));
        Trail { began_us: now_us(), request_id, attempts: 0, upstream: None, service: None }
    }

    /// The time for a decision: that of the request while it is the first.
    pub(crate) fn now_us(&self) -> u64 {
        if self.attempts == 0 { self.began_us } else { now_us() }
    }

    /// One more try.
    fn note(&mut self, counts: &Rc<Met>, address: SocketAddr) {
        self.attempts += 1;
        if self.attempts > 1 {
            counts.retries.add(1);
        }
        self.upstream = Some(address);
        self.service = Some(counts.clone());
    }
}

/// 32 hexadecimal digits.
fn hex(id: u128) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = id.to_be_bytes();
    std::array::from_fn(|at| {
        let byte = bytes[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
}

impl Caller {
    /// One more try, at `endpoint`, which was chosen for `service`.
    pub(crate) fn begin(&self, service: &Service, endpoint: &Endpoint, trail: &mut Trail) -> Attempt {
        let counts = self.worker.counts.of(self.listener.exposure, service);
        trail.note(&counts, endpoint.replica.address);
        let flight = InFlight::begin(&endpoint.replica);
        Attempt { flight, endpoint: endpoint.id, reused: false, counts, sent_us: trail.began_us }
    }

    /// A connection of HTTP/1 to the replica of `endpoint`, which was chosen for `service`: an idle one, or a new one. Errs when none
    /// stood.
    pub(crate) async fn reach(
        &self,
        service: &Service,
        endpoint: &Endpoint,
        tried: &Tried,
        trail: &mut Trail,
    ) -> Result<(Attempt, TcpStream), EndpointId> {
        let (worker, replica) = (&self.worker, &endpoint.replica);
        let mut attempt = self.begin(service, endpoint, trail);
        // What was idle as long as one that has just died is not trusted either.
        let pooled = if tried.died { None } else { worker.pool.borrow_mut().checkout(replica.id) };
        attempt.reused = pooled.is_some();
        let stream = match pooled {
            Some(stream) => stream,
            None => {
                let timeout = tried.connect_timeout(worker.limits.connect_timeout_ms);
                // Rare, and large: in a box, so that the state of every request is smaller.
                Box::pin(upstream::connect(replica.address, timeout)).await.map_err(|error| {
                    attempt.unreachable(service, &error);
                    endpoint.id
                })?
            }
        };
        attempt.leaves(trail);
        Ok((attempt, stream))
    }
}

/// A request that was sent to a replica.
pub(crate) struct Attempt {
    pub(crate) flight: InFlight,
    pub(crate) endpoint: EndpointId,
    /// The connection had served before.
    pub(crate) reused: bool,
    pub(crate) counts: Rc<Met>,
    /// When, in microseconds since the start of the process.
    pub(crate) sent_us: u64,
}

impl Attempt {
    /// Nothing stood to send it on.
    pub(crate) fn unreachable(&self, service: &Service, error: &io::Error) {
        let replica = self.flight.replica();
        tracing::debug!(service = %service.name, address = %replica.address, %error, "connect failed");
        balance::failed(&replica.load, now_us());
    }

    /// It is sent now. On an idle connection it left at once.
    pub(crate) fn leaves(&mut self, trail: &Trail) {
        if !self.reused || trail.attempts > 1 {
            self.sent_us = now_us();
        }
    }

    /// It was answered with this status; the head came at `head_us`.
    pub(crate) fn answered(&self, status: u16, head_us: u64, now_us: u64) {
        let (load, took) = (&self.flight.replica().load, head_us.saturating_sub(self.sent_us));
        if status >= 500 { balance::answered_badly(load, took, now_us) } else { balance::answered(load, took, now_us) }
    }

    /// It was not answered, or not to the end. Closing a connection that was idle is a replica's right.
    pub(crate) fn broke(&self, without_a_byte: bool, now_us: u64) {
        if !(without_a_byte && self.reused) {
            balance::failed(&self.flight.replica().load, now_us);
        }
    }
}
