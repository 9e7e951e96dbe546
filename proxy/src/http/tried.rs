//! What was tried for one request, and what may be tried still.
//!
//! Sans-io. Invariant: a request is sent a second time only when the first sending cannot have been processed (no connection stood, or the one
//! that did took no byte), or when its method is idempotent (RFC 9110 section 9.2.2), all of it is still here, and not a byte of an answer
//! reached the client; never twice in any other case (docs/decisions/006-what-is-sent-again.md).

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use config::filter::RetryOn;
use registry::filter::Filters;
use registry::route::Route;
use registry::snapshot::EndpointId;

use crate::pressure::line::Queued;
use crate::reason::Reason;
use crate::waiting::Place;

/// Further endpoints that a request is tried on when connecting fails.
const TRIES: usize = 3;

/// What was tried for one request.
#[derive(Debug, Default)]
pub struct Tried {
    /// Once something of it was sent, it cannot be sent again.
    once: bool,
    /// It is sent by plain HTTP/1, and no other way.
    plain: bool,
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
    /// The route whose filters let it through.
    passed: Option<Arc<Route>>,
    /// Its place among those who wait for somebody to answer them, until it was sent.
    place: RefCell<Option<Place>>,
    /// Its way through the line of a service that is full.
    queued: RefCell<Option<Queued>>,
}

impl Tried {
    /// Nothing yet. `once`: once something of the request was sent, it cannot be sent again.
    pub fn begin(once: bool) -> Tried {
        Tried { once, ..Tried::default() }
    }

    /// The same by plain HTTP/1 alone.
    pub fn begin_plain(once: bool) -> Tried {
        Tried { plain: true, ..Tried::begin(once) }
    }

    /// It is sent by plain HTTP/1, and no other way.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The filters of this route let it through.
    pub fn pass(&mut self, route: Arc<Route>) {
        self.passed = Some(route);
    }

    /// The route whose filters let it through, when that had any.
    pub fn passed(&self) -> Option<(&Arc<Route>, &Filters)> {
        let route = self.passed.as_ref()?;
        Some((route, route.filters.as_deref()?))
    }

    /// Whether a route has yet to let it through: by its filters, or because it is another one than before.
    pub(super) fn must_pass(&self, route: &Arc<Route>) -> bool {
        match (&route.filters, &self.passed) {
            (None, None) => false,
            (_, Some(passed)) => !Arc::ptr_eq(passed, route),
            (Some(_), None) => true,
        }
    }

    /// Its way through the line of a service that is full.
    pub(super) fn queued(&self) -> Ref<'_, Option<Queued>> {
        self.queued.borrow()
    }

    /// The same, to wait in.
    pub(super) fn line(&mut self) -> &mut Option<Queued> {
        self.queued.get_mut()
    }

    /// Its place among those who wait for somebody to answer them.
    pub(super) fn place(&mut self) -> &mut Option<Place> {
        self.place.get_mut()
    }

    /// It was sent: its place is for others, however long the answer takes.
    pub(crate) fn sent(&self) {
        self.place.take();
    }

    /// Somebody was chosen to answer it: it waits no more.
    pub(super) fn chosen(&self) {
        if let Some(queued) = &mut *self.queued.borrow_mut() {
            queued.leave();
        }
    }

    /// How long a connection may take to stand, in milliseconds, where the route says so.
    pub fn connect_ms(&self) -> Option<u64> {
        self.passed()?.1.timeouts.connect_ms
    }

    /// The route says how long all of it may take.
    pub fn is_timed(&self) -> bool {
        self.passed().is_some_and(|(_, filters)| filters.timeouts.request_ms.is_some())
    }

    /// Further endpoints that may be tried.
    pub fn retries(&self) -> usize {
        self.passed().and_then(|(_, filters)| filters.retries).map_or(TRIES, usize::from)
    }

    /// No connection to this one stood.
    pub fn no_connection(&mut self, Unreached { endpoint, for_now }: Unreached) {
        self.endpoints.push(endpoint);
        self.unreached += 1;
        self.reused = false;
        self.for_good |= !for_now;
    }

    /// Endpoints that failed.
    pub fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// It is time to give up, or to wait.
    pub fn spent(&self) -> bool {
        self.unreached > self.retries()
    }

    /// Nothing of it was sent, for a reason that is nobody's fault. False when it is time to give up.
    pub fn not_sent(&mut self) -> bool {
        self.unsent += 1;
        self.unsent <= TRIES
    }

    /// The connection broke before a byte of an answer, and the request [may be repeated](Tried::may_repeat).
    pub fn broke(&mut self, endpoint: EndpointId, reused: bool) {
        self.died += 1;
        self.reused = reused;
        self.endpoints.push(endpoint);
    }

    /// Whether sending it again cannot do anything twice that matters. `whole`: all of it is still here.
    pub fn may_repeat(&self, idempotent: bool, whole: bool) -> bool {
        whole && idempotent && self.died < self.retries()
    }

    /// After what else than a broken connection it is sent again.
    pub fn retry_on(&self) -> RetryOn {
        self.passed().map_or_else(RetryOn::default, |(_, filters)| filters.retry_on)
    }

    /// How long the head of an answer may take, by the route.
    pub fn try_ms(&self) -> Option<u64> {
        self.passed()?.1.timeouts.try_ms
    }

    /// What it is sent on must surely stand.
    pub fn once(&self) -> bool {
        self.once
    }

    /// A connection broke: what was idle as long as that one is not trusted either.
    pub fn died(&self) -> bool {
        self.died > 0
    }

    /// Why nobody answered: one that died without an answer is what matters.
    pub fn reason(&self) -> Reason {
        match (self.died, self.endpoints.is_empty()) {
            (0, true) => Reason::NoEndpoint,
            (0, false) => Reason::UpstreamConnect,
            _ => Reason::UpstreamReset,
        }
    }

    /// Whether somebody may be there in a moment whom it could be sent to.
    pub fn may_wait(&self) -> bool {
        self.endpoints.is_empty() || (!self.for_good && self.retries() > 0)
    }

    /// The last connection that broke was a reused one.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Somebody may be there by now: all are tried anew.
    pub fn start_over(&mut self) {
        self.endpoints.clear();
        self.unreached = 0;
        self.reused = false;
    }

    /// Endpoints to avoid. One that closed an idle connection may be well: a client that keeps its endpoint asks it again on a new one.
    pub fn avoided(&self, keeps: bool) -> &[EndpointId] {
        match self.endpoints.split_last() {
            Some((_, others)) if keeps && self.reused => others,
            _ => &self.endpoints,
        }
    }
}

/// No connection to an endpoint stood.
#[derive(Clone, Copy, Debug)]
pub struct Unreached {
    /// Which.
    pub endpoint: EndpointId,
    /// Nobody was there, where somebody was before, so that it may be otherwise in a moment: not a time that was too short, nor a certificate
    /// that is wrong.
    pub for_now: bool,
}
