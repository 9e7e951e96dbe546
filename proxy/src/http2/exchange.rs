//! One request of HTTP/2: judge, route, pick, send, answer.
//!
//! Invariant: as for HTTP/1: the picture is held from the pick until the request's head is sent, and `http/attempt.rs` says when it may be
//! sent again. Each request is balanced by itself; nothing ties the requests of a connection to one replica.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::host::{self, MAX_HOST};
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use registry::snapshot::EndpointId;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answer::{Answer, Content, Ending};
use super::ask::Ask;
use super::{fields, grpc, one};
use crate::clock::now_us;
use crate::http::attempt::{NoChoice, Tried};
use crate::http::caller::Caller;
use crate::http::head::{self, Framing, HeadLimits, ResponseHead};
use crate::http::relay::Failure;
use crate::http::write::Forward;
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
    /// Nobody is there to be answered.
    ClientGone,
}

/// Why one try failed.
enum Failed {
    Refused(Refusal),
    /// No connection stood.
    NoConnection(EndpointId),
    /// It broke before a byte of an answer; true when it was a reused one.
    Broken(EndpointId, bool),
}

/// Answers one request.
pub(super) async fn run(caller: Rc<Caller>, request: Request<Ask>) -> Response<Answer> {
    let (mut head, ask) = request.into_parts();
    let mut ending = Ending::new(caller, &head);
    let (authority, framing) = match judge(&mut ending, &head, &ask) {
        Ok(judged) => judged,
        Err(reason) => return ending.refuse(reason, None),
    };
    let limit = if ending.grpc() { grpc::timeout(&head.headers) } else { None };
    let caller = &ending.caller;
    let (https, trusted) = (caller.https(), caller.trusted);
    let how = Forward { client: &caller.peer, https, host: &authority, trusted, request_id: ending.request_id() };
    fields::forward(&mut head.headers, &how);
    let mut exchange = Exchange { ending, head, authority, framing, ask: (framing != Framing::None).then_some(ask) };
    let got = match limit {
        None => exchange.go().await,
        Some(limit) => {
            let timed = tokio::time::timeout(limit, exchange.go()).await;
            timed.unwrap_or(Err(Refusal::Because(Reason::TimeoutRequest, None)))
        }
    };
    match got {
        Ok(got) => Answer::new(got.status, got.fields, got.content, exchange.ending, limit),
        Err(Refusal::Because(reason, note)) => exchange.ending.refuse(reason, note),
        Err(Refusal::ClientGone) => exchange.ending.left(),
    }
}

/// Whether it is a request that we accept: who it is for, as received, and how its body is framed.
fn judge(ending: &mut Ending, head: &Parts, ask: &Ask) -> Result<(Vec<u8>, Framing), Reason> {
    let bad = Err(Reason::BadRequest);
    if head.headers.len() > ending.caller.worker.limits.headers {
        return Err(Reason::HeadTooLarge);
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if head.method == Method::CONNECT || !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
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
        (None, None) if ask.is_end_stream() => Framing::None,
        (None, None) => Framing::Chunked,
    };
    Ok((host.to_vec(), framing))
}

impl Exchange {
    /// Tries until there is an answer or a reason why not.
    async fn go(&mut self) -> Result<Got, Refusal> {
        let mut tried = Tried::default();
        loop {
            match self.send(&tried).await {
                Ok(got) => return Ok(got),
                Err(Failed::Refused(refusal)) => return Err(refusal),
                Err(Failed::NoConnection(endpoint)) if tried.no_connection(endpoint) => {}
                Err(Failed::NoConnection(_)) => return Err(Refusal::Because(tried.reason(), None)),
                Err(Failed::Broken(endpoint, reused)) => {
                    let whole = self.ask.is_some() || self.framing == Framing::None;
                    if !tried.may_repeat(head::Method::of(self.head.method.as_str().as_bytes()).idempotent(), whole) {
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
        let asked = (&*self.ending.host, self.head.uri.path());
        let client = || caller.behind(fields::forwarded_for(&self.head.headers));
        let (service, endpoint) =
            caller.choose(held.snapshot(), asked, tried, self.ending.trail.now_us(), client).map_err(|none| match none {
                NoChoice::Refused(reason, note) => Failed::Refused(Refusal::Because(reason, note)),
                NoChoice::NobodyLeft => Failed::Refused(Refusal::Because(tried.reason(), None)),
            })?;
        let reached = caller.reach(service, endpoint, tried, &mut self.ending.trail).await;
        let (attempt, mut link) = reached.map_err(Failed::NoConnection)?;
        let (id, reused, replica) = (attempt.endpoint, attempt.reused, endpoint.replica.id);
        self.ending.attempt = Some(attempt);
        if !self.write_head(&mut link).await {
            self.ending.broke(true);
            return Err(Failed::Broken(id, reused));
        }
        drop(held);
        let ask = self.ask.take().map(|ask| (ask, self.framing == Framing::Chunked));
        let limits = HeadLimits { bytes: caller.worker.limits.head_bytes, fields: caller.worker.limits.headers };
        let mut head = ResponseHead::new(limits);
        let to = head::Method::of(self.head.method.as_str().as_bytes());
        match one::Talk::new(&caller.worker, link, ask).answer(&mut head, to, replica).await {
            Ok(answered) => Ok(self.got(&head, answered)),
            Err(Failure::NoAnswer) => {
                self.ending.broke(true);
                Err(Failed::Broken(id, reused))
            }
            Err(failure) => Err(Failed::Refused(self.refusal(failure))),
        }
    }

    async fn write_head(&self, link: &mut TcpStream) -> bool {
        let mut out = Vec::with_capacity(1024);
        fields::write(&self.head.method, &self.head.uri, &self.authority, &self.head.headers, self.framing, &mut out);
        let patience = Duration::from_millis(self.ending.caller.worker.limits.connect_timeout_ms);
        matches!(tokio::time::timeout(patience, link.write_all(&out)).await, Ok(Ok(())))
    }

    fn got(&self, head: &ResponseHead, answered: one::Answered) -> Got {
        let worker = &self.ending.caller.worker;
        let now = now_us();
        if let Some(attempt) = &self.ending.attempt {
            attempt.answered(head.status(), now, now);
        }
        let one::Answered { head: text, begun, rest } = answered;
        Got {
            status: StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY),
            fields: fields::from_one(head, &text, &worker.date.borrow()),
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
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::ClientGone => return Refusal::ClientGone,
        };
        Refusal::Because(reason, None)
    }
}
