//! One request of HTTP/2: judge, route, pick, send, answer.
//!
//! Invariant: as for HTTP/1: the picture is held from the pick until the request's head is sent, and `http/attempt.rs` says when it may be
//! sent again. Each request is balanced by itself; nothing ties the requests of a connection to one replica.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::host::{self, MAX_HOST};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use registry::route::Route;
use registry::snapshot::EndpointId;
use registry::speech::Speech;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::answer::{Answer, Content, Ending};
use super::ask::{Ask, Limited};
use super::connect::{Holds, Switch};
use super::lanes::{self, Place};
use super::link::Link;
use super::way::{self, Need, Way};
use super::{fields, form, grpc, one};
use crate::clock::now_us;
use crate::filter::{self, Asked, Down, Up};
use crate::http::asked;
use crate::http::attempt::{NoChoice, Tried};
use crate::http::caller::Caller;
use crate::http::head::{self, Framing, HeadLimits, ResponseHead};
use crate::http::hops;
use crate::http::relay::Failure;
use crate::http::write::Forward;
use crate::picture::Held;
use crate::reason::Reason;

/// A request on its way.
struct Exchange {
    ending: Ending,
    head: Parts,
    /// Host and port, as received.
    authority: Bytes,
    /// How the body goes to a replica that speaks HTTP/1.
    framing: Framing,
    /// The body, until a sending takes it.
    ask: Option<Ask>,
    /// Most bytes of it that the route takes.
    most: u64,
    /// More came.
    overrun: Rc<Cell<bool>>,
    /// What filters have made of the head.
    made: Option<Box<Made>>,
    /// What its stream is to go on with.
    switch: Option<Switch>,
}

/// A head as the replica sees it, where filters want it otherwise than the client.
struct Made {
    fields: HeaderMap,
    target: Option<PathAndQuery>,
    host: Option<Bytes>,
}

/// What a replica said, as far as it is here.
struct Got {
    status: StatusCode,
    fields: HeaderMap,
    content: Content,
}

/// Why there is no answer of a replica.
enum Refusal {
    Because(Reason, Option<Arc<str>>),
    /// A filter answers.
    Filter(filter::Answer),
    /// Nobody is there to be answered.
    ClientGone,
}

/// Why one try failed.
enum Failed {
    Refused(Refusal),
    /// The filters of this route come first.
    Filtered(Arc<Route>),
    /// No connection stood.
    NoConnection(EndpointId),
    /// The connection went, or was full, before anything of the request left.
    Unsent,
    /// It broke before a byte of an answer; true when it was a reused one.
    Broken(EndpointId, bool),
}

/// The time that a route has for all of it is over.
const OUT_OF_TIME: Refusal = Refusal::Because(Reason::TimeoutRequest, None);

/// Answers one request.
pub(crate) async fn run(caller: Rc<Caller>, request: Request<Ask>, holds: Holds) -> Response<Answer> {
    let (head, ask) = request.into_parts();
    let kept = ask.kept();
    let mut response = answer(caller, head, ask, holds).await;
    response.body_mut().keep(kept);
    response
}

async fn answer(caller: Rc<Caller>, mut head: Parts, ask: Ask, holds: Holds) -> Response<Answer> {
    let mut ending = Ending::new(caller, &head);
    let switch = Switch::of(&mut head, holds);
    let (authority, framing) = match judge(&mut ending, &head, &ask, switch.is_some()) {
        Ok(judged) => judged,
        Err(reason) => return ending.refuse(reason, None),
    };
    match form::count_hops(&mut head) {
        Ok(false) => {}
        Ok(true) => return ending.answer(&hops::answer(form::method(&head)), None),
        Err(_) => return ending.refuse(Reason::BadRequest, None),
    }
    let limit = if ending.grpc() { grpc::timeout(&head.headers) } else { None };
    let caller = &ending.caller;
    let (https, trusted) = (caller.https(), caller.trusted);
    let how = Forward {
        client: &caller.peer,
        https,
        host: &authority,
        trusted,
        request_id: ending.request_id(),
        shown: caller.shown(),
        up: None,
    };
    fields::forward(&mut head.headers, &how);
    if let Some(switch) = &switch {
        switch.ask(caller.worker.rng.borrow_mut().u128(..), &mut head.method, &mut head.headers);
    }
    let mut exchange = Exchange {
        ending,
        head,
        authority,
        framing,
        ask: (framing != Framing::None).then_some(ask),
        most: u64::MAX,
        overrun: Rc::default(),
        made: None,
        switch,
    };
    let mut limit = limit;
    let got = match limit {
        None => exchange.go(&mut limit).await,
        Some(least) => {
            let timed = tokio::time::timeout(least, exchange.go(&mut limit)).await;
            timed.unwrap_or(Err(Refusal::Because(Reason::TimeoutRequest, None)))
        }
    };
    match got {
        Ok(got) => Answer::new(got.status, got.fields, got.content, exchange.ending, limit),
        Err(Refusal::Because(reason, note)) => exchange.ending.refuse(reason, note),
        Err(Refusal::Filter(answer)) => exchange.ending.answer(&answer, None),
        Err(Refusal::ClientGone) => exchange.ending.left(),
    }
}

/// Whether it is a request that we accept: who it is for, as received, and how its body is framed.
fn judge(ending: &mut Ending, head: &Parts, ask: &Ask, switches: bool) -> Result<(Bytes, Framing), Reason> {
    let bad = Err(Reason::BadRequest);
    if head.headers.len() > ending.caller.worker.limits.headers {
        return Err(Reason::HeadTooLarge);
    }
    if form::padded(&head.headers) {
        return bad;
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if (head.method == Method::CONNECT && !switches) || !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad;
    }
    let mut hosts = head.headers.get_all(HOST).iter().map(|value| value.as_bytes());
    let host = match (head.uri.authority().map(Authority::as_str), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return bad,
        // Both must be the same (RFC 9113 section 8.3.1).
        (Some(authority), Some(host), None) if !authority.as_bytes().eq_ignore_ascii_case(host) => return bad,
        (Some(authority), _, None) => authority.as_bytes(),
        (None, Some(host), None) => host,
        (None, None, None) => return bad,
    };
    let mut room = [0; MAX_HOST];
    ending.host = host::normalise(host, &mut room).map_err(|_| Reason::BadRequest)?.into();
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let framing = match (lengths.next(), lengths.next()) {
        (_, Some(_)) => return bad,
        (Some(length), None) => {
            let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
            let length = length.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
            Framing::Length(length.ok_or(Reason::BadRequest)?)
        }
        (None, None) if switches || ask.is_end_stream() => Framing::None,
        (None, None) => Framing::Chunked,
    };
    Ok((Bytes::copy_from_slice(host), framing))
}

impl Exchange {
    /// Tries until there is an answer or a reason why not. `limit` is how long all of it may take, and gets shorter where the route says so.
    async fn go(&mut self, limit: &mut Option<Duration>) -> Result<Got, Refusal> {
        if let (Framing::Length(0), Some(ask)) = (self.framing, &mut self.ask) {
            let patience = Duration::from_millis(self.ending.caller.worker.limits.idle_timeout_ms);
            // Rare, and large: in a box, so that the state of every request is smaller.
            let ended = Box::pin(form::ends_here(ask, patience)).await;
            ended.map_err(|failure| self.refusal(failure))?;
        }
        let mut tried = Tried::default();
        let mut deadline = None;
        loop {
            let sent = match &deadline {
                None => self.send(&tried).await,
                Some(until) => tokio::time::timeout_at(*until, self.send(&tried)).await.unwrap_or(Err(Failed::Refused(OUT_OF_TIME))),
            };
            match sent {
                Ok(mut got) => {
                    if let Some((_, filters)) = tried.passed() {
                        let seen = fields::Seen(&self.head.headers);
                        fields::edit(&mut got.fields, &Down::of(filters, &self.asked(&seen)).fields);
                    }
                    return Ok(got);
                }
                Err(Failed::Filtered(route)) => {
                    self.pass(&route).await.map_err(Refusal::Filter)?;
                    if let Some(ms) = route.filters.as_ref().and_then(|filters| filters.timeouts.request_ms) {
                        let all = Duration::from_millis(ms);
                        *limit = Some(limit.map_or(all, |limit| limit.min(all)));
                        let spent = Duration::from_micros(now_us().saturating_sub(self.ending.trail.began_us));
                        deadline = Some(Instant::now() + all.saturating_sub(spent));
                    }
                    tried.pass(route);
                }
                Err(Failed::Refused(refusal)) => return Err(refusal),
                Err(Failed::NoConnection(endpoint)) if tried.no_connection(endpoint) => {}
                Err(Failed::NoConnection(_)) => return Err(Refusal::Because(tried.reason(), None)),
                Err(Failed::Unsent) if tried.not_sent() => {}
                Err(Failed::Unsent) => return Err(Refusal::Because(Reason::UpstreamConnect, None)),
                Err(Failed::Broken(endpoint, reused)) => {
                    let whole = self.ask.is_some() || self.framing == Framing::None;
                    if !tried.may_repeat(self.method().idempotent(), whole) {
                        return Err(Refusal::Because(Reason::UpstreamReset, None));
                    }
                    tried.broke(endpoint, reused);
                }
            }
        }
    }

    /// The request, as filters see it.
    fn asked<'a>(&'a self, seen: &'a fields::Seen<'a>) -> Asked<'a> {
        let caller = &self.ending.caller;
        Asked {
            method: self.method(),
            host: &self.ending.host,
            target: self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str),
            client: caller.behind(fields::forwarded_for(seen.0)),
            https: caller.asks_by_https(seen),
            length: asked::length(self.framing),
            fields: seen,
        }
    }

    /// Asks the filters of a route, and makes the head by them.
    async fn pass(&mut self, route: &Arc<Route>) -> Result<(), filter::Answer> {
        let seen = fields::Seen(&self.head.headers);
        let asked = self.asked(&seen);
        filter::admit(&self.ending.caller.worker.proven, route, &asked).await?;
        let Some(filters) = &route.filters else {
            (self.made, self.most) = (None, u64::MAX);
            return Ok(());
        };
        let Up { target, host, fields: edits } = Up::of(route, filters, &asked);
        let mut fields = self.head.headers.clone();
        fields::edit(&mut fields, &edits);
        let target = target.and_then(|target| PathAndQuery::from_maybe_shared(Bytes::from(target)).ok());
        let host = host.map(|host| Bytes::copy_from_slice(host.as_bytes()));
        self.made = Some(Box::new(Made { fields, target, host }));
        self.most = filters.body_bytes.unwrap_or(u64::MAX);
        Ok(())
    }

    /// The fields as they are sent.
    fn fields(&self) -> &HeaderMap {
        self.made.as_ref().map_or(&self.head.headers, |made| &made.fields)
    }

    /// Path and query as they are sent.
    fn target(&self) -> Option<&PathAndQuery> {
        let made = self.made.as_ref().and_then(|made| made.target.as_ref());
        made.or(self.head.uri.path_and_query())
    }

    /// Decides, picks, connects, sends and reads the answer's head.
    async fn send(&mut self, tried: &Tried) -> Result<Got, Failed> {
        let caller = self.ending.caller.clone();
        let held = caller.worker.pictures.hold();
        let asked = (&*self.ending.host, self.head.uri.path());
        let client = || caller.behind(fields::forwarded_for(&self.head.headers));
        let (service, endpoint) =
            caller.choose(held.snapshot(), asked, tried, self.ending.trail.now_us(), client).map_err(|none| match none {
                NoChoice::Refused(reason, note) => Failed::Refused(Refusal::Because(reason, note)),
                NoChoice::NobodyLeft => Failed::Refused(Refusal::Because(tried.reason(), None)),
                NoChoice::Filtered(route) => Failed::Filtered(route),
            })?;
        let trail = &mut self.ending.trail;
        let (mut attempt, way) = if endpoint.replica.speaks == Speech::Http1 {
            let (attempt, stream) = caller.reach(service, endpoint, tried, trail).await.map_err(Failed::NoConnection)?;
            (attempt, Way::One(Link::Plain(stream)))
        } else {
            let mut attempt = caller.begin(service, endpoint, trail);
            let need = Need { timeout: tried.connect_timeout(&caller.worker), afresh: tried.died(), upgrade: self.switch.is_some() };
            match way::open(&caller.worker, &endpoint.replica, need).await {
                Ok((way, reused)) => {
                    attempt.reused = reused;
                    (attempt, way)
                }
                Err(error) => {
                    attempt.unreachable(service, &error);
                    return Err(Failed::NoConnection(endpoint.id));
                }
            }
        };
        attempt.leaves(trail);
        self.ending.attempt = Some(attempt);
        // An outside name is asked by its own name.
        let host = service.host.as_ref().map(|host| Bytes::copy_from_slice(host.as_bytes()));
        let host = host.or_else(|| self.made.as_ref()?.host.clone()).unwrap_or_else(|| self.authority.clone());
        // While the request itself is under way, the replica's silence does not count.
        let patience = tried.passed().and_then(|(_, filters)| filters.timeouts.read_ms).filter(|_| self.framing == Framing::None);
        let sent = async {
            match way {
                Way::One(link) => self.by_one(link, &host, held).await,
                // Such a replica may know extended CONNECT, but few do, and none that was met.
                Way::Two(..) if self.switch.is_some() => Err(Failed::Refused(Refusal::Because(Reason::UpstreamConnect, None))),
                Way::Two(place, scheme) => self.by_two(place, (scheme, host), held).await,
            }
        };
        match patience {
            None => sent.await,
            Some(ms) => tokio::time::timeout(Duration::from_millis(ms), sent).await.unwrap_or(Err(Failed::Refused(OUT_OF_TIME))),
        }
    }

    /// To a replica that speaks HTTP/1.
    async fn by_one(&mut self, mut link: Link, host: &[u8], held: Rc<Held>) -> Result<Got, Failed> {
        let worker = self.ending.caller.worker.clone();
        let Some(replica) = self.ending.replica() else { return Err(Failed::Unsent) };
        if !self.write_head(&mut link, host).await {
            return Err(self.broken());
        }
        drop(held);
        let ask = self.ask.take().map(|ask| (self.limited(ask), self.framing == Framing::Chunked));
        let limits = HeadLimits { bytes: worker.limits.head_bytes, fields: worker.limits.headers };
        let mut head = ResponseHead::new(limits);
        match one::Talk::new(&worker, link, ask).answer(&mut head, self.method(), replica, self.switch.as_ref()).await {
            Ok(answered) => Ok(self.got_one(&head, answered)),
            Err(Failure::NoAnswer) => Err(self.broken()),
            Err(failure) => Err(Failed::Refused(self.refusal(failure))),
        }
    }

    async fn write_head(&self, link: &mut Link, host: &[u8]) -> bool {
        let mut out = Vec::with_capacity(1024);
        fields::write(&self.head.method, self.target(), host, self.fields(), self.framing, &mut out);
        let patience = Duration::from_millis(self.ending.caller.worker.limits.connect_timeout_ms);
        let written = async {
            link.write_all(&out).await?;
            link.flush().await
        };
        matches!(tokio::time::timeout(patience, written).await, Ok(Ok(())))
    }

    /// To a replica that speaks HTTP/2.
    async fn by_two(&mut self, mut place: Place, asked: (Scheme, Bytes), held: Rc<Held>) -> Result<Got, Failed> {
        let sending = place.sender.try_send_request(self.compose(asked));
        drop(held);
        match sending.await {
            Ok(response) => Ok(self.got_two(response, place)),
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    let (head, Limited { ask, .. }) = request.into_parts();
                    match &mut self.made {
                        Some(made) => made.fields = head.headers,
                        None => self.head.headers = head.headers,
                    }
                    self.ask = (!matches!(ask, Ask::Nothing)).then_some(ask);
                    Err(Failed::Unsent)
                }
                None if self.overrun.get() => Err(Failed::Refused(self.refusal(Failure::LargeBody))),
                None if lanes::not_processed(&error.into_error()) && self.framing == Framing::None => Err(Failed::Unsent),
                None => Err(self.broken()),
            },
        }
    }

    fn limited(&self, ask: Ask) -> Limited {
        Limited { ask, left: self.most, overrun: self.overrun.clone() }
    }

    /// The request as a replica that speaks HTTP/2 gets it. It is kept while it can be sent again.
    fn compose(&mut self, (scheme, host): (Scheme, Bytes)) -> Request<Limited> {
        let target = self.target().cloned();
        let once = self.ask.is_some();
        let fields = self.made.as_mut().map_or(&mut self.head.headers, |made| &mut made.fields);
        let fields = if once { std::mem::take(fields) } else { fields.clone() };
        let ask = self.ask.take().unwrap_or(Ask::Nothing);
        let mut request = Request::new(self.limited(ask));
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = fields;
        let mut uri = hyper::http::uri::Parts::default();
        uri.scheme = Some(scheme);
        uri.authority = Authority::from_maybe_shared(host).ok();
        uri.path_and_query = target;
        // Whole as it is: a scheme, a host that was judged, and a target that begins with a slash.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| self.head.uri.clone());
        request
    }

    /// The connection broke before a byte of an answer.
    fn broken(&self) -> Failed {
        self.ending.broke(true);
        match &self.ending.attempt {
            Some(attempt) => Failed::Broken(attempt.endpoint, attempt.reused),
            None => Failed::Unsent,
        }
    }

    fn method(&self) -> head::Method {
        form::method(&self.head)
    }

    fn got_two(&self, response: Response<Incoming>, place: Place) -> Got {
        let (head, incoming) = response.into_parts();
        let mut fields = head.headers;
        fields::dated(&mut fields, &self.ending.caller.worker.date.borrow());
        self.ending.answered_by_replica(if grpc::unavailable(&fields) { 503 } else { head.status.as_u16() });
        let content = if incoming.is_end_stream() { Content::Here(Bytes::new()) } else { Content::Two { incoming, _place: place } };
        Got { status: head.status, fields, content }
    }

    fn got_one(&mut self, head: &ResponseHead, answered: one::Answered) -> Got {
        self.ending.answered_by_replica(head.status());
        let one::Answered { head: text, begun, rest, agreed } = answered;
        let mut fields = fields::from_one(head, &text, &self.ending.caller.worker.date.borrow());
        let mut status = head.status();
        if let (Some(agreed), Some(switch), Some(attempt)) = (agreed, self.switch.take(), self.ending.attempt.take()) {
            status = switch.done(agreed, attempt, &mut fields);
        }
        Got {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            fields,
            content: match rest {
                None => Content::Here(begun),
                Some(rest) => Content::One(begun, rest),
            },
        }
    }

    fn refusal(&self, failure: Failure) -> Refusal {
        let reason = match failure {
            Failure::NoAnswer | Failure::BadAnswer | Failure::CutUpstream => {
                self.ending.broke(false);
                Reason::UpstreamReset
            }
            Failure::BadBody => Reason::BadRequest,
            Failure::LargeBody => Reason::BodyTooLarge,
            Failure::SlowUpstream => Reason::TimeoutRequest,
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::ClientGone => return Refusal::ClientGone,
        };
        Refusal::Because(reason, None)
    }
}
