//! Whom to ask, and what to think of a replica afterwards: one try of one request, whichever HTTP brought it.
//!
//! Invariant: `tried.rs` says what may be tried; an endpoint that failed is avoided while there is another. No byte of a message is read or
//! written here.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::filter::Balance;
use registry::filter::Filters;
use registry::route::Route;
use registry::snapshot::{Endpoint, EndpointId, Plane, Replica, Service, Snapshot};
use registry::speech::Speech;
use tokio::net::TcpStream;

use super::caller::Caller;
use super::decide::{Decision, decide, decide_own, refused_exposure};
use super::tried::{Tried, Unreached};
use crate::balance::bounded::{self, Unpicked};
use crate::balance::choice::Want;
use crate::balance::hash::Signs;
use crate::balance::{self, By, InFlight, cookie};
use crate::clock::now_us;
use crate::listener::Speaks;
use crate::outlier::Witness;
use crate::pressure::line::{self, Look};
use crate::pressure::rates::Charged;
use crate::reason::Reason;
use crate::stats::{Bound, Count, Met};
use crate::waiting::Key;
use crate::worker::Worker;
use crate::{tls, upstream};

/// Who was chosen for a request, whose flight has begun.
pub(crate) struct Chosen<'s> {
    pub(crate) service: &'s Arc<Service>,
    pub(crate) endpoint: &'s Endpoint,
    /// What a cookie names the endpoint by, where the client is to be told whose it is now.
    pub(crate) mark: Option<u64>,
    flight: InFlight,
}

/// Why nobody was chosen.
#[derive(Debug)]
pub(crate) enum NoChoice {
    /// The answer is our own; with what the operator alone is told.
    Refused(Reason, Option<Arc<str>>),
    /// The service has no endpoint, or none that could be reached.
    Nobody(Key),
    /// The service, or each of its endpoints, carries as much as it may.
    Full(Full),
    /// The route's filters come first.
    Filtered(Arc<Route>),
    /// Its replicas speak something else than plain HTTP/1, and whoever asks speaks nothing else.
    Otherwise,
}

/// Most characters of an error that are kept for the log: one of TLS may list all names of a certificate.
const MOST_SAID: usize = 200;

/// A service that carries as much as it may.
#[derive(Debug)]
pub(crate) struct Full {
    service: Arc<Service>,
    bound: Bound,
}

impl Caller {
    /// The service and the endpoint for a request for `path` on `host`, which has these `signs`; and the mark of the endpoint where the
    /// client is to be told it.
    pub(crate) fn choose<'s>(
        &self,
        snapshot: &'s Snapshot,
        (host, path): (&str, &str),
        tried: &Tried,
        now_us: u64,
        signs: &dyn Signs,
    ) -> Result<Chosen<'s>, NoChoice> {
        let plane = self.plane(snapshot);
        if !self.may_ask(plane, host) {
            return Err(NoChoice::Refused(Reason::Misdirected, None));
        }
        let (filters, service) = self.destination(plane, host, path, tried)?;
        let nobody = || NoChoice::Nobody(Key::of(self.listener.exposure, service));
        if tried.spent() || service.endpoints.is_empty() {
            return Err(nobody());
        }
        // Those of one service port are all spoken to in one way: nobody need be picked, nor a place in line be given up, to know it.
        if tried.is_plain() && service.endpoints[0].replica.speaks != Speech::Http1 {
            return Err(NoChoice::Otherwise);
        }
        let (balance, cookie) = filters.map_or((None, None), |filters| (filters.balance.as_ref(), filters.affinity.as_ref()));
        let keeps = cookie.is_some() || service.affinity_s.is_some() || balance.or(service.balance.as_ref()).is_some_and(Balance::keeps);
        let want = Want { balance, by: By::Latency, signs };
        let any = |avoid: &[EndpointId]| self.worker.pick(want, (self.listener.exposure, &**service), avoid, now_us);
        let told = Cell::new(None);
        let pick = |avoid: &[EndpointId]| match cookie {
            None => any(avoid),
            Some(cookie) => {
                let (endpoint, mark) = cookie::pick(cookie, service, signs, avoid, || any(avoid))?;
                told.set(mark.map(|mark| (endpoint.id, mark)));
                Some(endpoint)
            }
        };
        let begin = |avoid: &[EndpointId]| bounded::begin(&self.worker, (&**service, tried.queued().as_ref()), avoid, pick);
        // A replica that closed an idle connection may be well: if there is no other, it is asked again on a new one.
        let begun = match begin(tried.avoided(keeps)) {
            Err(Unpicked::Nobody) if tried.reused() => begin(&[]),
            begun => begun,
        };
        match begun {
            Ok((endpoint, flight)) => {
                tried.chosen();
                let mark = told.get().filter(|(id, _)| *id == endpoint.id).map(|(_, mark)| mark);
                Ok(Chosen { service, endpoint, mark, flight })
            }
            Err(Unpicked::Nobody) => Err(nobody()),
            Err(Unpicked::Full(bound)) => Err(NoChoice::Full(Full { service: service.clone(), bound })),
        }
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
    /// What kept it from being sent the last time, and the reason that it makes.
    trouble: Option<(Reason, Box<str>)>,
    /// What it was charged.
    pub(crate) charged: Charged,
    /// Who is asked, where the route says how long all of it may take.
    pub(crate) asked: Option<Arc<Replica>>,
}

impl Trail {
    /// Of a request whose head is whole now.
    pub(crate) fn begin(worker: &Worker) -> Trail {
        let request_id = hex(worker.rng.borrow_mut().u128(..));
        Trail {
            began_us: now_us(),
            request_id,
            attempts: 0,
            upstream: None,
            service: None,
            trouble: None,
            charged: Charged::new(),
            asked: None,
        }
    }

    /// The time for a decision: that of the request while it is the first.
    pub(crate) fn now_us(&self) -> u64 {
        if self.attempts == 0 { self.began_us } else { now_us() }
    }

    /// The time that the route has for all of it is over, and whoever is asked has not begun to answer.
    pub(crate) fn overdue(&mut self, worker: &Worker) {
        if let Some(replica) = self.asked.take() {
            balance::failed(&replica.load, now_us());
            worker.tries.note_failure(&replica, None);
        }
    }

    /// What the log says beside the reason of an answer of ours: what kept the request from being sent, where that is the reason.
    pub(crate) fn trouble(&self, reason: Option<Reason>) -> Option<&str> {
        self.trouble.as_ref().filter(|(makes, _)| reason == Some(*makes)).map(|(_, what)| &**what)
    }

    /// No connection stood.
    pub(crate) fn no_connection(&mut self, why: &str) {
        let why: String = why.chars().take(MOST_SAID).collect();
        self.trouble = Some((Reason::UpstreamConnect, why.into()));
    }

    /// One more try.
    fn note(&mut self, counts: &Rc<Met>, address: SocketAddr) {
        self.attempts += 1;
        if self.attempts > 1 {
            counts.retries.add(1);
        }
        self.upstream = Some(address);
        self.service = Some(counts.clone());
        self.trouble = None;
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
    /// One more try, at who was chosen.
    pub(crate) fn begin(&self, Chosen { service, endpoint, mut flight, .. }: Chosen<'_>, trail: &mut Trail) -> Attempt {
        let counts = self.worker.counts.of(self.listener.exposure, service);
        trail.note(&counts, endpoint.replica.address);
        flight.seat = trail.charged.get().and_then(Clone::clone);
        let witness = Witness::new(&self.worker.tries, service, endpoint.id);
        Attempt { flight, endpoint: endpoint.id, reused: false, counts, sent_us: trail.began_us, witness }
    }

    /// Waits until somebody of a service may be reached. False when it is time to say that there is nobody.
    pub(crate) async fn wait(&self, service: Key, tried: &mut Tried) -> bool {
        if !tried.may_wait() {
            return false;
        }
        let now_ms = now_us() / 1000;
        let place = tried.place();
        if place.is_none() {
            *place = self.worker.waiting.place(service, self.worker.limits.endpoint_wait_ms, &self.worker.limits, now_ms);
        }
        let Some(place) = place else { return false };
        let again = place.turn(now_ms).await;
        if again {
            tried.start_over();
        }
        again
    }

    /// Waits until there may be room at a service that is full. False when it is time to say that there is none.
    pub(crate) async fn wait_for_room(&self, Full { service, bound }: Full, tried: &mut Tried, trail: &mut Trail) -> bool {
        let wait = Duration::from_millis(self.worker.limits.endpoint_wait_ms);
        let look = line::wait(&self.worker, (self.listener.exposure, &service), bound, wait, tried.line()).await;
        if look == Look::Afresh {
            tried.start_over(); // whoever is first in line holds up all others: it takes what there is
        }
        if look == Look::Never {
            // Not its answer: those tell how many repetitions there may be, and how fast it is.
            trail.trouble = Some((Reason::Overload, format!("{} carries as much as its `tidegate.dev/max-*` let", service.name).into()));
        }
        look != Look::Never
    }

    /// A connection of HTTP/1 to who was chosen: an idle one, or a new one. Errs when none stood.
    pub(crate) async fn reach(&self, chosen: Chosen<'_>, tried: &Tried, trail: &mut Trail) -> Result<(Attempt, TcpStream), Unreached> {
        let Chosen { service, endpoint, .. } = chosen;
        let (worker, replica) = (&self.worker, &endpoint.replica);
        let mut attempt = self.begin(chosen, trail);
        trail.asked = tried.is_timed().then(|| replica.clone());
        // What was idle as long as one that has just died is not trusted either.
        let pooled = if tried.died() { None } else { worker.pool.borrow_mut().checkout(replica.id, tried.once()) };
        attempt.reused = pooled.is_some();
        let stream = match pooled {
            Some(stream) => stream,
            None => {
                let patience = worker.patience(tried);
                // Rare, and large: in a box, so that the state of every request is smaller.
                Box::pin(upstream::connect(replica.address, patience)).await.map_err(|error| attempt.unreachable(service, &error, trail))?
            }
        };
        attempt.leaves(trail);
        Ok((attempt, stream))
    }
}

impl Caller {
    /// A request was sent to a replica of this service, be it by an idle connection: that may be one that another plane or Service opened.
    pub(crate) fn sent(&self, service: &Service, tried: &Tried) {
        service.reached.set();
        self.worker.waiting.reached(Key::of(self.listener.exposure, service));
        tried.sent();
    }
}

/// Whether connecting fails so where nobody is there for a moment: as a process begins or ends, or its node's network does. What ends while
/// it is made ends within the handshake of TLS. Not where it takes too long, nor where a certificate is wrong.
fn is_nobody(error: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, UnexpectedEof};
    matches!(error, ConnectionRefused | ConnectionReset | BrokenPipe | HostUnreachable | NetworkUnreachable | UnexpectedEof)
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
    witness: Witness,
}

impl Attempt {
    /// Nothing stood to send it on.
    pub(crate) fn unreachable(&self, service: &Service, error: &io::Error, trail: &mut Trail) -> Unreached {
        let replica = self.flight.replica();
        match error.kind() {
            io::ErrorKind::TimedOut => trail.no_connection("timed out"),
            _ => trail.no_connection(&error.to_string()),
        }
        tracing::debug!(service = %service.name, address = %replica.address, %error, "connect failed");
        balance::failed(&replica.load, now_us());
        self.witness.unreachable(replica, error);
        Unreached { endpoint: self.endpoint, for_now: service.reached.get() && is_nobody(error.kind()) }
    }

    /// It is sent now. On an idle connection it left at once.
    pub(crate) fn leaves(&mut self, trail: &Trail) {
        if !self.reused || trail.attempts > 1 {
            self.sent_us = now_us();
        }
    }

    /// A head with this status came at `head_us`.
    pub(crate) fn answered(&self, status: u16, head_us: u64) {
        let (load, took) = (&self.flight.replica().load, head_us.saturating_sub(self.sent_us));
        self.witness.answered(self.flight.replica(), status);
        if status >= 500 { balance::answered_badly(load, took, head_us) } else { balance::answered(load, took, head_us) }
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
            self.witness.failed(self.flight.replica());
        }
    }

    /// Nothing more comes of it.
    pub(crate) fn over(&self) {
        self.witness.over(self.flight.replica());
    }
}

#[cfg(test)]
mod tests {
    use io::ErrorKind;

    use super::*;

    #[test]
    fn nobody_is_there_for_a_moment_where_connecting_is_refused_or_broken_off_or_leads_nowhere() {
        use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, UnexpectedEof};
        let passing = [ConnectionRefused, ConnectionReset, BrokenPipe, HostUnreachable, NetworkUnreachable, UnexpectedEof];
        assert!(passing.into_iter().all(is_nobody));
        let lasting = [ErrorKind::TimedOut, ErrorKind::InvalidData, ErrorKind::PermissionDenied, ErrorKind::AddrNotAvailable];
        assert!(!lasting.into_iter().any(is_nobody));
    }
}
