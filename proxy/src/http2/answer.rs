//! An answer on its way down, and what is said of its request once it has ended, however it ended.
//!
//! Invariant: each request is counted and logged once: whole, cut by its replica, refused by ourselves, or left by its client. What keeps
//! a replica busy ends with the last byte, not with the head.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use config::exposure::Exposure;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};
use registry::snapshot::ReplicaId;
use tokio::time::{Instant, Sleep};

use super::ask::{Kept, linger};
use super::lanes::Place;
use super::{fields, grpc, one};
use crate::access_log::AccessLine;
use crate::clock::now_us;
use crate::deadline::Deadline;
use crate::filter;
use crate::http::attempt::{Attempt, Trail};
use crate::http::caller::Caller;
use crate::http::relay::Failure;
use crate::http::respond::CLIENT_GONE;
use crate::http::write::{REASON_FIELD, phrase};
use crate::reason::Reason;
use crate::stats::plane;

/// An answer could not be finished: its client sees the stream reset.
#[derive(Debug, thiserror::Error)]
#[error("the replica broke off its answer")]
pub(crate) struct Cut;

/// The content of an answer, piece by piece.
pub(crate) struct Answer {
    content: Content,
    ending: Ending,
    /// When a route, or a client of gRPC, stops waiting for all of it.
    limit: Option<Pin<Box<Sleep>>>,
    /// The same for the next piece, where the route says how long that may take.
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
    /// The request's body, however much of it was read; only held.
    asked: Option<Kept>,
}

/// Where content comes from.
pub(super) enum Content {
    /// It is here; empty for none.
    Here(Bytes),
    /// A replica that speaks HTTP/1, after what came with the head.
    One(Bytes, Box<one::Rest>),
    /// One that speaks HTTP/2.
    Two { incoming: Incoming, _place: Place },
}

/// What is to be said of a request.
pub(super) struct Ending {
    pub(super) caller: Rc<Caller>,
    pub(super) trail: Trail,
    /// Its last sending.
    pub(super) attempt: Option<Attempt>,
    method: Method,
    uri: Uri,
    /// Normalised; empty when there is none.
    pub(super) host: Box<str>,
    request_id: Option<HeaderValue>,
    grpc: bool,
    status: u16,
    bytes: u64,
    over: bool,
}

impl Answer {
    /// The answer of a replica, of which all may take `limit` from the request on, and each piece `silence`.
    pub(super) fn new(
        status: StatusCode,
        head: HeaderMap,
        (content, limit, silence): (Content, Option<Duration>, Option<Duration>),
        mut ending: Ending,
    ) -> Response<Answer> {
        ending.status = status.as_u16();
        let limit = limit.map(|limit| {
            let spent = Duration::from_micros(now_us().saturating_sub(ending.trail.began_us));
            Box::pin(tokio::time::sleep(limit.saturating_sub(spent)))
        });
        let silence = silence.map(|silence| (silence, Box::pin(tokio::time::sleep(silence))));
        let mut answer = Answer { content, ending, limit, silence, asked: None };
        if answer.is_end_stream() {
            answer.ending.whole();
        }
        respond(status, head, answer)
    }

    /// Keeps the request's body as long as it lives itself.
    pub(super) fn keep(&mut self, asked: Option<Kept>) {
        self.asked = asked;
    }

    /// All was said of its request.
    pub(super) fn over(&self) -> bool {
        self.ending.over
    }

    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let piece = match &mut self.content {
            Content::Here(bytes) | Content::One(bytes, _) if !bytes.is_empty() => Some(std::mem::take(bytes)),
            Content::Here(_) => None,
            Content::One(_, rest) => return rest.poll_frame(context),
            Content::Two { incoming, .. } => {
                let frame = ready!(Pin::new(incoming).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(|_| Failure::CutUpstream)));
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    /// Whom it keeps busy, until all of it was handed on.
    pub(crate) fn replica(&self) -> Option<ReplicaId> {
        self.ending.replica()
    }

    /// What ends it while its client takes nothing: its replica has left for too long, as `leaves` knows, or its time is over.
    pub(crate) fn poll_end(&mut self, leaves: &Deadline, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Cut>> {
        if self.over() {
            return Poll::Pending; // all of it was handed on
        }
        if leaves.poll_cut(context).is_ready() {
            self.ending.broke(false);
            return Poll::Ready(self.end_early(Reason::UpstreamReset));
        }
        let over = self.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(context).is_ready());
        if over { Poll::Ready(self.end_early(Reason::TimeoutRequest)) } else { Poll::Pending }
    }

    /// From now on it is the replica that is silent, and not its client.
    pub(crate) fn taken(&mut self) {
        if let Some((silence, until)) = &mut self.silence {
            until.as_mut().reset(Instant::now() + *silence);
        }
    }

    /// The time is up, in the middle of an answer.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Cut>> {
        let over = self.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(context).is_ready());
        let silent = self.silence.as_mut().is_some_and(|(_, until)| until.as_mut().poll(context).is_ready());
        if silent {
            self.ending.broke(false);
        }
        if over || silent { Poll::Ready(self.end_early(Reason::TimeoutRequest)) } else { Poll::Pending }
    }

    /// Ends an answer in its middle. A client of gRPC is told in its own words.
    fn end_early(&mut self, reason: Reason) -> Result<Frame<Bytes>, Cut> {
        self.content = Content::Here(Bytes::new());
        self.ending.cut(reason);
        if self.ending.grpc { Ok(Frame::trailers(grpc::trailers(reason))) } else { Err(Cut) }
    }
}

/// "404 Not Found" is the body, too.
fn body(status: u16) -> String {
    format!("{status} {}\n", phrase(status))
}

fn respond(status: StatusCode, head: HeaderMap, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = this.poll_content(context) else {
            return this.poll_limit(context).map(Some);
        };
        this.taken();
        let failed = match &frame {
            Some(Ok(frame)) => {
                this.ending.bytes += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                if frame.is_trailers() || this.is_end_stream() {
                    this.ending.whole();
                }
                None
            }
            Some(Err(failure)) => Some(*failure),
            None => {
                this.ending.whole();
                None
            }
        };
        match failed {
            Some(Failure::CutUpstream | Failure::BadAnswer | Failure::NoAnswer | Failure::Vanished) => {
                this.ending.broke(false);
                return Poll::Ready(Some(this.end_early(Reason::UpstreamReset)));
            }
            Some(_) => this.ending.gone(),
            None => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Here(bytes) => bytes.is_empty(),
            Content::One(bytes, rest) => bytes.is_empty() && rest.done(),
            Content::Two { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Here(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::One(..) | Content::Two { .. } => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take().filter(|_| self.over()) {
            linger(asked);
        }
    }
}

impl Ending {
    pub(super) fn new(caller: Rc<Caller>, head: &Parts) -> Ending {
        Ending {
            trail: Trail::begin(&caller.worker),
            caller,
            attempt: None,
            method: head.method.clone(),
            uri: head.uri.clone(),
            host: Box::default(),
            request_id: fields::request_id(&head.headers).cloned(),
            grpc: grpc::is(&head.headers),
            status: CLIENT_GONE,
            bytes: 0,
            over: false,
        }
    }

    /// The request's id: its own, or the one that was made for it.
    pub(super) fn request_id(&self) -> &[u8] {
        self.request_id.as_ref().map_or(&self.trail.request_id, HeaderValue::as_bytes)
    }

    /// Whether it is a request of gRPC.
    pub(super) fn grpc(&self) -> bool {
        self.grpc
    }

    /// Answers by ourselves.
    pub(super) fn refuse(self, reason: Reason, note: Option<Arc<str>>) -> Response<Answer> {
        if note.is_some() {
            self.caller.worker.counts.worker().not_exposed[plane(self.caller.listener.exposure)].add(1);
        }
        // Text is made only while the log is on.
        let note = note.filter(|_| self.caller.worker.access.borrow().is_some()).map(|why| format!("not-exposed: {why}"));
        self.answer(&filter::Answer::new(reason), note.as_deref())
    }

    /// As [`Ending::refuse`], with an answer that has fields of its own.
    pub(super) fn answer(mut self, answer: &filter::Answer, note: Option<&str>) -> Response<Answer> {
        let (exposure, reason) = (self.caller.listener.exposure, answer.reason);
        self.caller.worker.counts.worker().refused(exposure, reason);
        let mut head = HeaderMap::new();
        fields::dated(&mut head, &self.caller.worker.date.borrow());
        if exposure == Exposure::Internal {
            head.insert(HeaderName::from_static(REASON_FIELD_LOWER), HeaderValue::from_static(reason.as_str()));
        }
        let (status, content) = if self.grpc {
            grpc::refusal(reason, &mut head);
            (200, Bytes::new())
        } else {
            head.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            let text = if self.method == Method::HEAD || answer.status == 204 { String::new() } else { body(answer.status) };
            (answer.status, Bytes::from(text))
        };
        for (name, value) in &answer.fields {
            fields::add(&mut head, name, value);
        }
        if !content.is_empty() {
            head.insert(CONTENT_LENGTH, content.len().into());
        }
        self.status = answer.status;
        self.bytes = content.len() as u64;
        self.answered();
        self.log(Some(reason), note);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        respond(status, head, Answer { content: Content::Here(content), ending: self, limit: None, silence: None, asked: None })
    }

    /// Nobody is there to be answered.
    pub(super) fn left(mut self) -> Response<Answer> {
        self.gone();
        respond(
            StatusCode::BAD_REQUEST,
            HeaderMap::new(),
            Answer { content: Content::Here(Bytes::new()), ending: self, limit: None, silence: None, asked: None },
        )
    }

    /// All of the answer was handed on.
    fn whole(&mut self) {
        if !self.over {
            self.answered();
            self.log(None, None);
        }
    }

    /// It ends in the middle.
    fn cut(&mut self, reason: Reason) {
        if !self.over {
            self.caller.worker.counts.worker().refused(self.caller.listener.exposure, reason);
            self.bytes = 0;
            self.status = reason.status();
            self.log(Some(reason), Some("cut: the answer had begun"));
        }
    }

    /// The client left.
    fn gone(&mut self) {
        if !self.over {
            self.bytes = 0;
            self.status = CLIENT_GONE;
            self.log(None, Some("the client went away before the answer was whole"));
        }
    }

    /// Whom it was sent to last.
    pub(super) fn replica(&self) -> Option<ReplicaId> {
        self.attempt.as_ref().map(|attempt| attempt.flight.replica().id)
    }

    /// The head of an answer came now.
    pub(super) fn answered_by_replica(&self, status: u16) {
        if let Some(attempt) = &self.attempt {
            attempt.answered(status, now_us());
        }
    }

    /// What its replica did is a failure.
    pub(super) fn broke(&self, without_a_byte: bool) {
        if let Some(attempt) = &self.attempt {
            attempt.broke(without_a_byte, now_us());
        }
    }

    fn answered(&self) {
        if let Some(met) = &self.trail.service {
            met.answered(self.status, now_us().saturating_sub(self.trail.began_us));
        }
    }

    /// Nothing more is said after this.
    fn log(&mut self, reason: Option<Reason>, note: Option<&str>) {
        self.over = true;
        if let Some(attempt) = self.attempt.take() {
            attempt.over(); // its replica is free
        }
        let log = self.caller.worker.access.borrow();
        let Some(log) = &*log else { return };
        log.write(&AccessLine {
            exposure: self.caller.listener.exposure,
            client: &self.caller.peer,
            method: self.method.as_str().as_bytes(),
            host: self.host.as_bytes(),
            path: self.uri.path().as_bytes(),
            status: self.status,
            bytes: self.bytes,
            duration_us: now_us().saturating_sub(self.trail.began_us),
            service: self.trail.service.as_ref().map(|met| &met.name),
            endpoint: self.trail.upstream,
            attempts: self.trail.attempts,
            request_id: self.request_id(),
            reason,
            note: note.or_else(|| self.trail.trouble(reason)),
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.gone();
    }
}

/// [`REASON_FIELD`] as HTTP/2 writes it.
const REASON_FIELD_LOWER: &str = "x-tidegate-reason";
const _: () = assert!(REASON_FIELD.eq_ignore_ascii_case(REASON_FIELD_LOWER));
