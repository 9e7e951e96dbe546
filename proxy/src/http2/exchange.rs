//! One request of HTTP/2: judge, route, pick, send, answer.
//!
//! Invariant: as for HTTP/1: the picture is held from the pick until the request's head is sent, and `http/attempt.rs` says when it may be
//! sent again. Each request is balanced by itself; nothing ties the requests of a connection to one replica.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config::host::{self, MAX_HOST};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use registry::filter::Filters;
use registry::route::Route;
use registry::snapshot::EndpointId;
use registry::speech::Speech;
use tokio::io::AsyncWriteExt;

use super::answer::{Answer, Content, Ending, Patience};
use super::ask::Ask;
use super::connect::{Holds, Switch};
use super::lanes::{self, Place};
use super::link::Link;
use super::way::{self, Need, Way};
use super::{fields, grpc, one};
use crate::clock::now_us;
use crate::filter::{self, Asked, Down, Fields, Up};
use crate::http::attempt::{NoChoice, Tried};
use crate::http::caller::Caller;
use crate::http::head::{self, Framing, HeadLimits, ResponseHead};
use crate::http::relay::Failure;
use crate::http::write::Forward;
use crate::picture::Held;
use crate::reason::Reason;

/// A request on its way.
struct Exchange {
    ending: Ending,
    head: Parts,
    /// Host and port, as received.
    authority: Vec<u8>,
    /// How the body goes to a replica that speaks HTTP/1.
    framing: Framing,
    /// The body, until a sending takes it.
    ask: Option<Ask>,
    /// What its stream is to go on with.
    switch: Option<Switch>,
    /// What filters ask for, where the route has any.
    filtered: Option<Box<Filtered>>,
}

/// A request that filters let through, and what they make of its answer.
struct Filtered {
    /// Fields and host before they were edited.
    fields: HeaderMap,
    authority: Vec<u8>,
    down: fields::Changes,
    /// More content came than the route takes.
    more: Arc<AtomicBool>,
    patience: Patience,
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
    /// The route's filters come first.
    Filtered(Arc<Route>),
    /// Nobody is there to be answered.
    ClientGone,
}

/// Why one try failed.
enum Failed {
    Refused(Refusal),
    /// No connection stood.
    NoConnection(EndpointId),
    /// The connection went, or was full, before anything of the request left.
    Unsent,
    /// It broke before a byte of an answer; true when it was a reused one.
    Broken(EndpointId, bool),
}

/// Answers one request.
pub(crate) async fn run(caller: Rc<Caller>, request: Request<Ask>, holds: Holds) -> Response<Answer> {
    let (mut head, ask) = request.into_parts();
    let mut ending = Ending::new(caller, &head);
    let switch = Switch::of(&mut head, holds);
    let (authority, framing) = match judge(&mut ending, &head, &ask, switch.is_some()) {
        Ok(judged) => judged,
        Err(reason) => return ending.refuse(reason, None),
    };
    let limit = if ending.grpc() { grpc::timeout(&head.headers) } else { None };
    let caller = &ending.caller;
    let (https, trusted) = (caller.https(), caller.trusted);
    let how = Forward { client: &caller.peer, https, host: &authority, trusted, request_id: ending.request_id(), up: None };
    fields::forward(&mut head.headers, &how);
    if let Some(switch) = &switch {
        switch.ask(caller.worker.rng.borrow_mut().u128(..), &mut head.method, &mut head.headers);
    }
    let ask = (framing != Framing::None).then_some(ask);
    let mut exchange = Exchange { ending, head, authority, framing, ask, switch, filtered: None };
    let mut tried = Tried::default();
    loop {
        match exchange.go_in_time(&mut tried, limit).await {
            Ok(mut got) => {
                let patience = exchange.patience(limit);
                exchange.filtered.iter().for_each(|filtered| filtered.down.apply(&mut got.fields));
                return Answer::new(got.status, got.fields, got.content, exchange.ending, patience);
            }
            Err(Refusal::Filtered(route)) => {
                if let Err(answer) = exchange.pass(&mut tried, route).await {
                    return exchange.ending.answer(&answer, None);
                }
            }
            Err(Refusal::Because(reason, note)) => return exchange.ending.refuse(reason, note),
            Err(Refusal::ClientGone) => return exchange.ending.left(),
        }
    }
}

/// Whether it is a request that we accept: who it is for, as received, and how its body is framed.
fn judge(ending: &mut Ending, head: &Parts, ask: &Ask, switches: bool) -> Result<(Vec<u8>, Framing), Reason> {
    let bad = Err(Reason::BadRequest);
    if head.headers.len() > ending.caller.worker.limits.headers {
        return Err(Reason::HeadTooLarge);
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
    Ok((host.to_vec(), framing))
}

impl Exchange {
    /// The same within the time of a gRPC client (`limit`) and of the route.
    async fn go_in_time(&mut self, tried: &mut Tried, limit: Option<Duration>) -> Result<Got, Refusal> {
        let Some(whole) = self.patience(limit).whole else { return self.go(tried).await };
        let spent = Duration::from_micros(now_us().saturating_sub(self.ending.trail.began_us));
        let timed = tokio::time::timeout(whole.saturating_sub(spent), self.go(tried)).await;
        timed.unwrap_or(Err(Refusal::Because(Reason::TimeoutRequest, None)))
    }

    /// How long is waited: the shortest of what was asked.
    fn patience(&self, limit: Option<Duration>) -> Patience {
        let asked = self.filtered.as_ref().map(|filtered| filtered.patience).unwrap_or_default();
        Patience { whole: limit.into_iter().chain(asked.whole).min(), next: asked.next }
    }

    /// Asks the filters of a route, and makes the request what they want.
    async fn pass(&mut self, tried: &mut Tried, route: Arc<Route>) -> Result<(), filter::Answer> {
        if let Some(before) = self.filtered.take() {
            // Another route let it through before: its edits are undone.
            (self.head.headers, self.authority) = (before.fields, before.authority);
            self.head.uri = self.ending.uri().clone();
        }
        let caller = self.ending.caller.clone();
        let looked = fields::Looked(&self.head.headers);
        let asked = Asked {
            method: self.method(),
            host: &self.ending.host,
            target: self.ending.target(),
            client: caller.behind(fields::forwarded_for(&self.head.headers)),
            // Of whoever is not trusted, the field is our own.
            https: caller.https() || looked.one("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case(b"https")),
            length: match self.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => None,
            },
            fields: &looked,
        };
        filter::admit(&caller.worker.proven, &route, &asked).await?;
        if let Some(filters) = &route.filters {
            let (up, down) = (Up::of(&route, filters, &asked), Down::of(filters, &asked));
            self.change(filters, &up, fields::Changes::of(&down.fields));
        }
        tried.pass(route);
        Ok(())
    }

    fn change(&mut self, filters: &Filters, up: &Up<'_>, down: fields::Changes) {
        let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
        let patience = Patience { whole: ms(filters.timeouts.request_ms), next: ms(filters.timeouts.read_ms) };
        let (fields, authority, more) = (self.head.headers.clone(), self.authority.clone(), Arc::default());
        if let Some(most) = filters.body_bytes {
            self.ask = self.ask.take().map(|ask| ask.limited(most, &more));
        }
        fields::Changes::of(&up.fields).apply(&mut self.head.headers);
        if let Some(host) = up.host {
            self.authority = host.as_bytes().to_vec();
        }
        let target = up.target.as_deref().and_then(|target| target.parse().ok());
        if let Some(target) = target {
            let mut uri = self.head.uri.clone().into_parts();
            uri.path_and_query = Some(target);
            self.head.uri = Uri::from_parts(uri).unwrap_or_else(|_| self.head.uri.clone());
        }
        self.filtered = Some(Box::new(Filtered { fields, authority, down, more, patience }));
    }

    /// More content came than the route takes.
    fn too_large(&self) -> bool {
        self.filtered.as_ref().is_some_and(|filtered| filtered.more.load(Ordering::Relaxed))
    }

    /// What a replica says next, if it does so in time. While it waits for the request itself, time does not count.
    async fn heard<T>(&self, next: impl Future<Output = T>) -> Result<T, Failed> {
        let patience = self.filtered.as_ref().and_then(|filtered| filtered.patience.next);
        let Some(patience) = patience.filter(|_| matches!(self.framing, Framing::None | Framing::Length(0))) else {
            return Ok(next.await);
        };
        tokio::time::timeout(patience, next).await.map_err(|_| {
            self.ending.broke(false);
            Failed::Refused(Refusal::Because(Reason::TimeoutRequest, None))
        })
    }

    /// Tries until there is an answer or a reason why not.
    async fn go(&mut self, tried: &mut Tried) -> Result<Got, Refusal> {
        loop {
            match self.send(tried).await {
                Ok(got) => return Ok(got),
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

    /// Decides, picks, connects, sends and reads the answer's head.
    async fn send(&mut self, tried: &Tried) -> Result<Got, Failed> {
        let caller = self.ending.caller.clone();
        let held = caller.worker.pictures.hold();
        let asked = (&*self.ending.host, self.ending.path());
        let client = || caller.behind(fields::forwarded_for(&self.head.headers));
        let (service, endpoint) =
            caller.choose(held.snapshot(), asked, tried, self.ending.trail.now_us(), client).map_err(|none| match none {
                NoChoice::Refused(reason, note) => Failed::Refused(Refusal::Because(reason, note)),
                NoChoice::NobodyLeft => Failed::Refused(Refusal::Because(tried.reason(), None)),
                NoChoice::Filtered(route) => Failed::Refused(Refusal::Filtered(route)),
            })?;
        let trail = &mut self.ending.trail;
        let (mut attempt, way) = if endpoint.replica.speaks == Speech::Http1 {
            let (attempt, stream) = caller.reach(service, endpoint, tried, trail).await.map_err(Failed::NoConnection)?;
            (attempt, Way::One(Link::Plain(stream)))
        } else {
            let mut attempt = caller.begin(service, endpoint, trail);
            let timeout = tried.connect_timeout(caller.worker.limits.connect_timeout_ms);
            let need = Need { afresh: tried.died(), upgrade: self.switch.is_some(), timeout };
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
        match way {
            Way::One(link) => self.by_one(link, held).await,
            // Such a replica may know extended CONNECT, but few do, and none that was met.
            Way::Two(..) if self.switch.is_some() => Err(Failed::Refused(Refusal::Because(Reason::UpstreamConnect, None))),
            Way::Two(place, scheme) => self.by_two(place, scheme, held).await,
        }
    }

    /// To a replica that speaks HTTP/1.
    async fn by_one(&mut self, mut link: Link, held: Rc<Held>) -> Result<Got, Failed> {
        let worker = self.ending.caller.worker.clone();
        let Some(replica) = self.ending.replica() else { return Err(Failed::Unsent) };
        if !self.write_head(&mut link).await {
            return Err(self.broken());
        }
        drop(held);
        let ask = self.ask.take().map(|ask| (ask, self.framing == Framing::Chunked));
        let limits = HeadLimits { bytes: worker.limits.head_bytes, fields: worker.limits.headers };
        let mut head = ResponseHead::new(limits);
        let talk = one::Talk::new(&worker, link, ask);
        match self.heard(talk.answer(&mut head, self.method(), replica, self.switch.as_ref())).await? {
            Ok(answered) => Ok(self.got_one(&head, answered)),
            Err(Failure::NoAnswer) => Err(self.broken()),
            Err(failure) => Err(Failed::Refused(self.refusal(failure))),
        }
    }

    async fn write_head(&self, link: &mut Link) -> bool {
        let mut out = Vec::with_capacity(1024);
        fields::write(&self.head.method, &self.head.uri, &self.authority, &self.head.headers, self.framing, &mut out);
        let patience = Duration::from_millis(self.ending.caller.worker.limits.connect_timeout_ms);
        let written = async {
            link.write_all(&out).await?;
            link.flush().await
        };
        matches!(tokio::time::timeout(patience, written).await, Ok(Ok(())))
    }

    /// To a replica that speaks HTTP/2.
    async fn by_two(&mut self, mut place: Place, scheme: Scheme, held: Rc<Held>) -> Result<Got, Failed> {
        let sending = place.sender.try_send_request(self.compose(scheme));
        drop(held);
        match self.heard(sending).await? {
            Ok(response) => Ok(self.got_two(response, place)),
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    let (head, ask) = request.into_parts();
                    self.head.headers = head.headers;
                    self.ask = (!matches!(ask, Ask::Nothing)).then_some(ask);
                    Err(Failed::Unsent)
                }
                None if lanes::not_processed(&error.into_error()) && self.framing == Framing::None => Err(Failed::Unsent),
                None => Err(self.broken()),
            },
        }
    }

    /// The request as a replica that speaks HTTP/2 gets it. It is kept while it can be sent again.
    fn compose(&mut self, scheme: Scheme) -> Request<Ask> {
        let fields = if self.ask.is_some() { std::mem::take(&mut self.head.headers) } else { self.head.headers.clone() };
        let mut request = Request::new(self.ask.take().unwrap_or(Ask::Nothing));
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = fields;
        let mut uri = self.head.uri.clone().into_parts();
        uri.scheme = Some(scheme);
        uri.authority = Authority::from_maybe_shared(Bytes::copy_from_slice(&self.authority)).ok();
        // Whole as it is: a scheme, a host that was judged, and a target that begins with a slash.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| self.head.uri.clone());
        request
    }

    /// The connection broke before a byte of an answer.
    fn broken(&self) -> Failed {
        if self.too_large() {
            return Failed::Refused(Refusal::Because(Reason::BodyTooLarge, None));
        }
        self.ending.broke(true);
        match &self.ending.attempt {
            Some(attempt) => Failed::Broken(attempt.endpoint, attempt.reused),
            None => Failed::Unsent,
        }
    }

    fn method(&self) -> head::Method {
        head::Method::of(self.head.method.as_str().as_bytes())
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
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::SlowUpstream => Reason::TimeoutRequest,
            Failure::ClientGone if self.too_large() => Reason::BodyTooLarge,
            Failure::ClientGone => return Refusal::ClientGone,
        };
        Refusal::Because(reason, None)
    }
}
