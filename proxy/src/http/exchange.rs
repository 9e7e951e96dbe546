//! One request: route, pick, send, relay the answer.
//!
//! Invariant: the picture is held from the pick until the request is sent. A request is sent a second time only when the first sending
//! cannot have been processed (no connection stood), or when its method is idempotent (RFC 9110 section 9.2.2), all of it is still
//! here, and not a byte of an answer came; never twice in any other case.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use registry::snapshot::{Endpoint, EndpointId, Service};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::body::BodyReader;
use super::client;
use super::decide::{Decision, decide, decide_own};
use super::desk::{Desk, Message};
use super::head::RequestHead;
use super::relay::{self, Failure, Relayed};
use super::respond;
use super::serve::Connection;
use super::tunnel::Tunnel;
use super::write::{Forward, set_host, write_request};
use crate::balance::{self, By, InFlight};
use crate::clock::now_us;
use crate::listener::Speaks;
use crate::picture::Held;
use crate::reason::Reason;
use crate::stats::Met;
use crate::upstream;

/// Further endpoints that a request is tried on when connecting fails.
const TRIES: usize = 3;

/// What becomes of the client's connection.
pub(super) enum Turn {
    /// The next request may come.
    Next,
    /// It is no longer one of HTTP.
    Switch(Box<Tunnel>),
    /// It ends in good order.
    End,
    /// It ends, but the client may still be sending.
    Linger,
    /// The answer could not be finished: the client must see that.
    Cut,
}

/// A request on its way, and what the log will say of it.
pub(super) struct Exchange {
    /// When its head was whole, in microseconds since the start of the process.
    pub(super) began_us: u64,
    /// Bytes of the head in the connection's input.
    pub(super) head_length: usize,
    /// Where the rest of the body stands.
    pub(super) body: BodyReader,
    /// Bytes of the input after the head that are in the desk's `out`: the request as it is sent, head and what was here of the body.
    body_in_out: usize,
    /// `out` is the whole request: it can be sent again.
    all_here: bool,
    /// Its `Host` is the name of an outside service.
    renamed: bool,
    /// Made for the request; used when the client gave none.
    pub(super) request_id: [u8; 32],
    /// Times that it was sent, or tried to be.
    pub(super) attempts: u32,
    /// Where it was sent last.
    pub(super) upstream: Option<SocketAddr>,
    /// The service it was sent to.
    pub(super) service: Option<Rc<Met>>,
    /// What the answer has made of the two connections.
    tunnel: Option<Box<Tunnel>>,
}

/// A connection to the picked replica with the request sent on it.
struct Sent {
    upstream: TcpStream,
    flight: InFlight,
    endpoint: EndpointId,
    /// The connection had served before.
    reused: bool,
    counts: Rc<Met>,
    sent_us: u64,
}

/// What was tried for one request.
#[derive(Default)]
struct Tried {
    /// Endpoints that failed; allocates only then.
    endpoints: Vec<EndpointId>,
    /// A connection broke before a byte of an answer.
    died: bool,
    /// It was a reused one.
    reused: bool,
}

impl Tried {
    /// Why nobody answered: one that died without an answer is what matters.
    fn reason(&self) -> Reason {
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

/// Why a request could not be sent.
enum Unsent {
    Refused(Reason, Option<Arc<str>>),
    /// Every endpoint was tried.
    NobodyLeft,
    /// No connection stood.
    NoConnection(EndpointId),
    /// The connection broke while it was written to; true when it was a reused one.
    Broken((EndpointId, bool)),
}

/// Serves the request whose head is the first `head_length` bytes of the input.
pub(super) async fn run(connection: &mut Connection, desk: &mut Desk, head_length: usize) -> Turn {
    let mut exchange = Exchange {
        began_us: now_us(),
        head_length,
        body: BodyReader::new(desk.request.head.framing()),
        body_in_out: 0,
        all_here: false,
        renamed: false,
        request_id: hex(connection.worker.rng.borrow_mut().u128(..)),
        attempts: 0,
        upstream: None,
        service: None,
        tunnel: None,
    };
    match exchange.compose(connection, &mut desk.request) {
        Ok(()) => exchange.go(connection, desk).await,
        Err(()) => {
            respond::refuse(connection, desk, &exchange, Reason::BadRequest, None, false).await;
            Turn::Linger
        }
    }
}

impl Exchange {
    /// Writes the request as it will be sent. Errs when the part of the body that is here is not one.
    fn compose(&mut self, connection: &Connection, request: &mut Message<RequestHead>) -> Result<(), ()> {
        let Message { input, head, out } = request;
        let (bytes, rest) = input.filled().split_at(self.head_length);
        let forward = Forward {
            client: &connection.peer,
            https: connection.stream.tls().is_some(),
            host: head.authority().map_or(&[][..], |span| span.of(bytes)),
            trusted: connection.trusted,
            request_id: &self.request_id,
        };
        out.clear();
        write_request(head, bytes, &forward, out);
        let count = self.body.advance(rest).map_err(|_| ())?;
        out.extend_from_slice(&rest[..count]);
        self.body_in_out = count;
        self.all_here = self.body.done();
        Ok(())
    }

    /// Tries until there is an answer or a reason why not.
    async fn go(&mut self, connection: &mut Connection, desk: &mut Desk) -> Turn {
        let mut tried = Tried::default();
        loop {
            let (endpoint, reused) = match self.send(connection, &mut desk.request, &tried).await {
                Ok(sent) => {
                    let place = (sent.endpoint, sent.reused);
                    match self.answer(connection, desk, sent).await {
                        Ok(relayed) => return self.finish(connection, desk, relayed),
                        Err(Failure::NoAnswer) if self.may_repeat(desk, &tried) => place,
                        Err(failure) => return self.give_up(connection, desk, failure).await,
                    }
                }
                Err(Unsent::Broken(place)) if self.may_repeat(desk, &tried) => place,
                Err(Unsent::Broken(_)) => return self.refuse(connection, desk, Reason::UpstreamReset, None).await,
                Err(Unsent::NoConnection(endpoint)) if tried.endpoints.len() < TRIES => {
                    tried.endpoints.push(endpoint);
                    tried.reused = false;
                    continue;
                }
                Err(Unsent::NoConnection(_) | Unsent::NobodyLeft) => return self.refuse(connection, desk, tried.reason(), None).await,
                Err(Unsent::Refused(reason, note)) => return self.refuse(connection, desk, reason, note).await,
            };
            tried.died = true;
            tried.reused = reused;
            tried.endpoints.push(endpoint);
        }
    }

    /// Whether sending it again cannot do anything twice that matters, and all of it is still here.
    fn may_repeat(&self, desk: &Desk, tried: &Tried) -> bool {
        !tried.died && self.all_here && desk.request.head.method().idempotent()
    }

    /// Decides, picks, connects and writes. Endpoints that were tried are avoided.
    async fn send(&mut self, connection: &Connection, request: &mut Message<RequestHead>, tried: &Tried) -> Result<Sent, Unsent> {
        let worker = &connection.worker;
        let held = worker.pictures.hold();
        let (service, endpoint) = self.pick(connection, request, &held, tried)?;
        self.rename(service, request);
        let counts = worker.counts.of(connection.listener.exposure, service);
        self.attempts += 1;
        if self.attempts > 1 {
            counts.retries.add(1);
        }
        self.upstream = Some(endpoint.replica.address);
        self.service = Some(counts.clone());
        let flight = InFlight::begin(&endpoint.replica);
        // What was idle as long as a connection that has just died is not trusted either.
        let pooled = if tried.died { None } else { worker.pool.borrow_mut().checkout(endpoint.replica.id) };
        let reused = pooled.is_some();
        let mut upstream = match pooled {
            Some(stream) => stream,
            None => {
                let timeout = Duration::from_millis(worker.limits.connect_timeout_ms);
                // Rare, and large: in a box, so that the state of every request is smaller.
                Box::pin(upstream::connect(endpoint.replica.address, timeout)).await.map_err(|error| {
                    tracing::debug!(service = %service.name, address = %endpoint.replica.address, %error, "connect failed");
                    balance::failed(&endpoint.replica.load, now_us());
                    Unsent::NoConnection(endpoint.id)
                })?
            }
        };
        // On an idle connection the request leaves at once.
        let sent_us = if reused && self.attempts == 1 { self.began_us } else { now_us() };
        if !write_within(&mut upstream, &request.out, Duration::from_millis(worker.limits.connect_timeout_ms)).await {
            if !reused {
                balance::failed(&endpoint.replica.load, now_us());
            }
            return Err(Unsent::Broken((endpoint.id, reused)));
        }
        Ok(Sent { upstream, flight, endpoint: endpoint.id, reused, counts, sent_us })
    }

    /// An outside name is asked by its own name; should the route lead elsewhere meanwhile, by the client's again.
    fn rename(&mut self, service: &Service, request: &mut Message<RequestHead>) {
        if service.host.is_none() && !self.renamed {
            return;
        }
        let Message { input, head, out } = request;
        let asked = head.authority().map_or(&[][..], |span| span.of(input.filled()));
        set_host(out, service.host.as_ref().map_or(asked, |host| host.as_bytes()));
        self.renamed = service.host.is_some();
    }

    fn pick<'h>(
        &self,
        connection: &Connection,
        request: &Message<RequestHead>,
        held: &'h Rc<Held>,
        tried: &Tried,
    ) -> Result<(&'h Arc<Service>, &'h Endpoint), Unsent> {
        let plane = held.snapshot().plane(connection.listener.exposure);
        let now = if self.attempts == 0 { self.began_us } else { now_us() };
        let host = request.head.host();
        let path = request.head.path().of(request.input.filled());
        // The reader let only visible ASCII pass.
        let path = std::str::from_utf8(path).unwrap_or("/");
        if connection.stream.tls().is_some_and(|tls| !plane.certificates.carries(tls.opened.as_deref(), host)) {
            return Err(Unsent::Refused(Reason::Misdirected, None));
        }
        let service = if connection.listener.speaks == Speaks::Tcp {
            decide_own(plane, &connection.listener.socket()).ok_or(Unsent::Refused(Reason::NoEndpoint, None))?
        } else {
            match decide(plane, host, path) {
                Decision::Forward { service, .. } => service,
                Decision::NoEndpoint { .. } => return Err(Unsent::Refused(Reason::NoEndpoint, None)),
                Decision::NoRoute(_) => {
                    return Err(Unsent::Refused(Reason::NoRoute, respond::why_refused(connection, plane, host, path)));
                }
            }
        };
        let client = if service.affinity_s.is_some() { client::of(connection, request) } else { connection.client };
        let pick = |avoid: &[EndpointId]| connection.worker.pick(service, client, avoid, By::Latency, now);
        // A replica that closed an idle connection may be well: if there is no other, it is asked again on a new one.
        let endpoint = pick(tried.avoided(service.affinity_s.is_some()));
        let endpoint = endpoint.or_else(|| if tried.reused { pick(&[]) } else { None });
        endpoint.map(|endpoint| (service, endpoint)).ok_or(Unsent::NobodyLeft)
    }

    /// Reads the answer and gives it to the client, while the rest of the request's body, if any, goes up.
    async fn answer(&mut self, connection: &mut Connection, desk: &mut Desk, sent: Sent) -> Result<Relayed, Failure> {
        let Sent { mut upstream, flight, reused, counts, sent_us, .. } = sent;
        let relayed = relay::relay(connection, desk, self, &mut upstream).await;
        let load = &flight.replica().load;
        let now = now_us();
        match &relayed {
            Ok(done) if done.status >= 500 => balance::answered_badly(load, done.head_us.saturating_sub(sent_us), now),
            Ok(done) => balance::answered(load, done.head_us.saturating_sub(sent_us), now),
            // Closing a connection that was idle is a replica's right.
            Err(Failure::NoAnswer) if reused => {}
            Err(Failure::NoAnswer | Failure::BadAnswer | Failure::CutUpstream) => balance::failed(load, now),
            Err(_) => {}
        }
        if let Ok(done) = &relayed {
            counts.answered(done.status, now.saturating_sub(self.began_us));
            if done.switched {
                let early = desk.request.input.filled().get(self.head_length + self.body_in_out..).unwrap_or_default();
                self.tunnel = Some(Box::new(Tunnel::new(upstream, flight, counts, early, desk.answer.input.filled())));
            } else if done.reusable && !connection.worker.draining.get() {
                let mut pool = connection.worker.pool.borrow_mut();
                pool.checkin(flight.replica().id, upstream, now / 1000);
            }
        }
        relayed
    }

    fn finish(&mut self, connection: &mut Connection, desk: &mut Desk, relayed: Relayed) -> Turn {
        respond::log_answer(connection, desk, self, &relayed);
        match relayed.rest {
            Some(rest) => {
                let used = std::mem::replace(&mut desk.request.input, rest);
                connection.worker.buffers.give(used);
            }
            None => desk.request.input.consume(self.head_length + self.body_in_out),
        }
        connection.begun.set(false);
        if let Some(tunnel) = self.tunnel.take() {
            return Turn::Switch(tunnel);
        }
        match relayed.keep {
            true => Turn::Next,
            // It said that nothing more comes, and nothing more is due.
            false if relayed.uploaded && !desk.request.head.keep_alive() => Turn::End,
            false => Turn::Linger,
        }
    }

    /// Nothing can be sent again: says so to the client if that is still possible.
    async fn give_up(&mut self, connection: &mut Connection, desk: &mut Desk, failure: Failure) -> Turn {
        let reason = match failure {
            Failure::NoAnswer | Failure::BadAnswer => Reason::UpstreamReset,
            Failure::BadBody => Reason::BadRequest,
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::CutUpstream => {
                respond::log_cut(connection, desk, self, Reason::UpstreamReset);
                return Turn::Cut;
            }
            Failure::ClientGone => {
                respond::log_gone(connection, desk, self);
                return Turn::Cut;
            }
        };
        respond::refuse(connection, desk, self, reason, None, false).await;
        Turn::Linger
    }

    /// Answers by ourselves. The connection stays when all of the request was here.
    async fn refuse(&mut self, connection: &mut Connection, desk: &mut Desk, reason: Reason, note: Option<Arc<str>>) -> Turn {
        // The connection can go on after the answer when nothing of the request is still to come.
        let keep = desk.request.head.keep_alive() && self.all_here && !connection.worker.draining.get();
        if !respond::refuse(connection, desk, self, reason, note, keep).await {
            return Turn::Linger;
        }
        desk.request.input.consume(self.head_length + self.body_in_out);
        Turn::Next
    }

    /// Whether a body is still to come from the client.
    pub(super) fn uploads(&self) -> bool {
        !self.all_here
    }
}

/// Writes all of `bytes`, nearly always at once. A connection that takes nothing for `patience` is broken: the picture is held meanwhile.
async fn write_within(upstream: &mut TcpStream, bytes: &[u8], patience: Duration) -> bool {
    let written = match upstream.try_write(bytes) {
        Ok(count) if count == bytes.len() => return true,
        Ok(count) => count,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        Err(_) => return false,
    };
    let rest = Box::pin(tokio::time::timeout(patience, upstream.write_all(&bytes[written..])));
    matches!(rest.await, Ok(Ok(())))
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
