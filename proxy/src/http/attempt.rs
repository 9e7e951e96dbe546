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
use config::filter::{Balance, RetryOn};
use registry::filter::Filters;
use registry::route::Route;
use registry::snapshot::{Endpoint, EndpointId, Plane, Service, Snapshot};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::decide::{Decision, decide, decide_own, refused_exposure};
use crate::balance::{self, By, InFlight};
use crate::clock::now_us;
use crate::listener::Speaks;
use crate::reason::Reason;
use crate::stats::{Count, Met};
use crate::waiting::{Key, Place};
use crate::worker::Worker;
use crate::{tls, upstream};

/// Further endpoints that a request is tried on when connecting fails.
const TRIES: usize = 3;

/// What was tried for one request.
#[derive(Default)]
pub(crate) struct Tried {
    /// Once something of it was sent, it cannot be sent again.
    once: bool,
    /// Endpoints that failed; allocates only then.
    endpoints: Vec<EndpointId>,
    /// Times that a connection was full or gone before anything was sent.
    unsent: usize,
    /// Times that a connection broke before a byte of an answer.
    died: usize,
    /// The last of them was a reused one.
    reused: bool,
    /// No connection stood so many times since the last wait.
    unreached: usize,
    /// What kept a connection from standing will not pass in a moment.
    for_good: bool,
    /// Where it waits for somebody who can be reached.
    place: Option<Place>,
    /// The route whose filters let it through.
    passed: Option<Arc<Route>>,
}

impl Tried {
    /// Nothing yet. `once`: once something of the request was sent, it cannot be sent again.
    pub(crate) fn begin(once: bool) -> Tried {
        Tried { once, ..Tried::default() }
    }

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

    /// How long a connection may take to stand.
    pub(crate) fn connect_timeout(&self, worker: &Worker) -> Duration {
        let asked = self.passed().and_then(|(_, filters)| filters.timeouts.connect_ms);
        Duration::from_millis(asked.unwrap_or(worker.limits.connect_timeout_ms))
    }

    /// Further endpoints that may be tried.
    fn retries(&self) -> usize {
        self.passed().and_then(|(_, filters)| filters.retries).map_or(TRIES, usize::from)
    }

    /// No connection to this one stood.
    pub(crate) fn no_connection(&mut self, Unreached { endpoint, for_now }: Unreached) {
        self.endpoints.push(endpoint);
        self.unreached += 1;
        self.reused = false;
        self.for_good |= !for_now;
    }

    /// Endpoints that failed.
    pub(crate) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// It is time to give up, or to wait.
    fn spent(&self) -> bool {
        self.unreached > self.retries()
    }

    /// Nothing of it was sent, for a reason that is nobody's fault. False when it is time to give up.
    pub(crate) fn not_sent(&mut self) -> bool {
        self.unsent += 1;
        self.unsent <= TRIES
    }

    /// The connection broke before a byte of an answer, and the request [may be repeated](Tried::may_repeat).
    pub(crate) fn broke(&mut self, endpoint: EndpointId, reused: bool) {
        self.died += 1;
        self.reused = reused;
        self.endpoints.push(endpoint);
    }

    /// Whether sending it again cannot do anything twice that matters. `whole`: all of it is still here.
    pub(crate) fn may_repeat(&self, idempotent: bool, whole: bool) -> bool {
        whole && idempotent && self.died < self.retries()
    }

    /// After what else than a broken connection it is sent again.
    pub(crate) fn retry_on(&self) -> RetryOn {
        self.passed().map_or_else(RetryOn::default, |(_, filters)| filters.retry_on)
    }

    /// How long the head of an answer may take, by the route.
    pub(crate) fn try_ms(&self) -> Option<u64> {
        self.passed()?.1.timeouts.try_ms
    }

    /// What it is sent on must surely stand.
    pub(crate) fn once(&self) -> bool {
        self.once
    }

    /// A connection broke: what was idle as long as that one is not trusted either.
    pub(crate) fn died(&self) -> bool {
        self.died > 0
    }

    /// Why nobody answered: one that died without an answer is what matters.
    pub(crate) fn reason(&self) -> Reason {
        match (self.died, self.endpoints.is_empty()) {
            (0, true) => Reason::NoEndpoint,
            (0, false) => Reason::UpstreamConnect,
            _ => Reason::UpstreamReset,
        }
    }

    /// Somebody may be there by now: all are tried anew.
    fn start_over(&mut self) {
        self.endpoints.clear();
        self.unreached = 0;
        self.reused = false;
    }

    /// Endpoints to avoid. One that closed an idle connection may be well: a client that keeps its endpoint asks it again on a new one.
    fn avoided(&self, keeps: bool) -> &[EndpointId] {
        match self.endpoints.split_last() {
            Some((_, others)) if keeps && self.reused => others,
            _ => &self.endpoints,
        }
    }
}

/// No connection to an endpoint stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreached {
    pub(crate) endpoint: EndpointId,
    /// Nobody was there, which may be otherwise in a moment: not a time that was too short, nor a certificate that is wrong.
    pub(crate) for_now: bool,
}

/// Why nobody was chosen.
#[derive(Debug)]
pub(crate) enum NoChoice {
    /// The answer is our own; with what the operator alone is told.
    Refused(Reason, Option<Arc<str>>),
    /// The service has no endpoint, or none that could be reached.
    Nobody(Key),
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
        let (filters, service) = self.destination(plane, host, path, tried)?;
        let nobody = || NoChoice::Nobody(Key::of(self.listener.exposure, service));
        if tried.spent() || service.endpoints.is_empty() {
            return Err(nobody());
        }
        let balance = filters.and_then(|filters| filters.balance);
        let keeps = service.affinity_s.is_some() || balance == Some(Balance::ClientIp);
        let client = if keeps { client() } else { self.client };
        let pick = |avoid: &[EndpointId]| match balance {
            None => self.worker.pick(service, client, avoid, By::Latency, now_us),
            Some(balance) => self.worker.pick_as(balance, (self.listener.exposure, &**service), client, avoid, now_us),
        };
        // A replica that closed an idle connection may be well: if there is no other, it is asked again on a new one.
        let endpoint = pick(tried.avoided(keeps)).or_else(|| if tried.reused { pick(&[]) } else { None });
        endpoint.map(|endpoint| (service, endpoint)).ok_or_else(nobody)
    }

    /// Where a request goes: by a route and its filters, or to the one service that the listener is for.
    fn destination<'s>(
        &self,
        plane: &'s Plane,
        host: &str,
        path: &str,
        tried: &Tried,
    ) -> Result<(Option<&'s Filters>, &'s Arc<Service>), NoChoice> {
        if self.listener.speaks == Speaks::Tcp {
            let service = decide_own(plane, &self.listener.socket()).ok_or(NoChoice::Refused(Reason::NoEndpoint, None))?;
            return Ok((None, service));
        }
        let decision = decide(plane, host, path);
        if let Some(route) = decision.route() {
            let admitted = tls::admits(route.client.as_deref(), self.https(), self.asked_by());
            // Whoever comes without TLS may be sent to where it is spoken.
            if let Err(reason) = admitted
                && (self.https() || route.filters.is_none())
            {
                return Err(NoChoice::Refused(reason, None));
            }
            if tried.must_pass(route) {
                return Err(NoChoice::Filtered(route.clone()));
            }
            admitted.map_err(|reason| NoChoice::Refused(reason, None))?;
        }
        match decision {
            Decision::Forward { route, service } => Ok((route.filters.as_deref(), service)),
            Decision::NoEndpoint { service: Some(service), route, .. } => Ok((route.filters.as_deref(), service)),
            Decision::NoEndpoint { service: None, .. } => Err(NoChoice::Refused(Reason::NoEndpoint, None)),
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

    /// Waits until somebody of a service may be reached. False when it is time to say that there is nobody.
    pub(crate) async fn wait(&self, service: Key, tried: &mut Tried) -> bool {
        if !tried.endpoints.is_empty() && (tried.for_good || tried.retries() == 0) {
            return false;
        }
        let now_ms = now_us() / 1000;
        if tried.place.is_none() {
            tried.place = self.worker.waiting.place(service, self.worker.limits.endpoint_wait_ms, &self.worker.limits, now_ms);
        }
        let Some(place) = &mut tried.place else { return false };
        let again = place.turn(now_ms).await;
        if again {
            tried.start_over();
        }
        again
    }

    /// A connection of HTTP/1 to the replica of `endpoint`, which was chosen for `service`: an idle one, or a new one. Errs when none
    /// stood.
    pub(crate) async fn reach(
        &self,
        service: &Service,
        endpoint: &Endpoint,
        tried: &Tried,
        trail: &mut Trail,
    ) -> Result<(Attempt, TcpStream), Unreached> {
        let (worker, replica) = (&self.worker, &endpoint.replica);
        let mut attempt = self.begin(service, endpoint, trail);
        // What was idle as long as one that has just died is not trusted either.
        let pooled = if tried.died() { None } else { worker.pool.borrow_mut().checkout(replica.id, tried.once) };
        attempt.reused = pooled.is_some();
        let stream = match pooled {
            Some(stream) => stream,
            None => {
                let timeout = tried.connect_timeout(worker);
                // Rare, and large: in a box, so that the state of every request is smaller.
                let connected = Box::pin(upstream::connect(replica.address, timeout)).await;
                let connected = connected.map_err(|error| attempt.unreachable(service, &error))?;
                self.reached(service);
                connected
            }
        };
        attempt.leaves(trail);
        Ok((attempt, stream))
    }
}

impl Caller {
    /// A replica of this service was connected to.
    pub(crate) fn reached(&self, service: &Service) {
        self.worker.waiting.reached(Key::of(self.listener.exposure, service));
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
    pub(crate) fn unreachable(&self, service: &Service, error: &io::Error) -> Unreached {
        let replica = self.flight.replica();
        tracing::debug!(service = %service.name, address = %replica.address, %error, "connect failed");
        balance::failed(&replica.load, now_us());
        let nobody = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset, io::ErrorKind::HostUnreachable];
        Unreached { endpoint: self.endpoint, for_now: nobody.contains(&error.kind()) }
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

    /// Whether the share of its service's requests that may be sent again has room for this one.
    pub(crate) fn may_cost_more(&self, percent: u64) -> bool {
        let answered = self.counts.answers.iter().map(Count::get).sum();
        self.counts.budget.take(percent, answered, now_us() / 1000)
    }

    /// It was not answered, or not to the end. Closing a connection that was idle is a replica's right.
    pub(crate) fn broke(&self, without_a_byte: bool, now_us: u64) {
        if !(without_a_byte && self.reused) {
            balance::failed(&self.flight.replica().load, now_us);
        }
    }
}
