//! One sending of a request by a way that was found, and the head of its answer.
//!
//! Invariant: the picture is let go once the request's head is sent, and not before. A body that was not taken is here for the next sending.

use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::io::AsyncWriteExt;

use super::{Exchange, Failed, Got, Refusal};
use crate::http::head::{Framing, HeadLimits, ResponseHead};
use crate::http::relay::Failure;
use crate::http2::answer::Content;
use crate::http2::ask::{Ask, Limited};
use crate::http2::fields::Line;
use crate::http2::lanes::{self, Place};
use crate::http2::link::Link;
use crate::http2::way::Way;
use crate::http2::{fields, grpc, one};
use crate::picture::Held;
use crate::reason::Reason;

impl Exchange {
    /// By the way that was found.
    pub(super) async fn send_by(&mut self, way: Way, host: Option<Bytes>, held: Rc<Held>) -> Result<Got, Failed> {
        match way {
            Way::One(link) => self.by_one(link, host, held).await,
            // Such a replica may know extended CONNECT, but few do, and none that was met.
            Way::Two(..) if self.switch.is_some() => Err(Failed::Refused(Refusal::Because(Reason::UpstreamConnect, None))),
            Way::Two(place, scheme) => self.by_two(place, (scheme, host), held).await,
        }
    }

    /// To a replica that speaks HTTP/1.
    async fn by_one(&mut self, mut link: Link, host: Option<Bytes>, held: Rc<Held>) -> Result<Got, Failed> {
        let worker = self.ending.caller.worker.clone();
        let Some(replica) = self.ending.replica() else { return Err(Failed::Unsent) };
        if !self.write_head(&mut link, host.as_deref()).await {
            return Err(self.broken(false));
        }
        drop(held);
        let ask = self.ask.take().map(|ask| (self.limited(ask), self.framing == Framing::Chunked));
        let limits = HeadLimits { bytes: worker.limits.head_bytes, fields: worker.limits.headers };
        let mut head = ResponseHead::new(limits);
        match one::Talk::new(&worker, link, replica, ask).answer(&mut head, self.method(), replica, self.switch.as_ref()).await {
            Ok(answered) => Ok(self.got_one(&head, answered)),
            Err(failure @ (Failure::NoAnswer | Failure::Vanished)) => Err(self.broken(failure == Failure::Vanished)),
            Err(failure) => Err(Failed::Refused(self.refusal(failure))),
        }
    }

    async fn write_head(&self, link: &mut Link, host: Option<&[u8]>) -> bool {
        let mut out = Vec::with_capacity(1024);
        let host = host.unwrap_or_else(|| self.authority());
        let request = Line { method: &self.head.method, target: self.target(), host, framing: self.framing, switch: self.switch.as_ref() };
        self.fields(|fields| fields::write(&request, fields, &mut out));
        let patience = Duration::from_millis(self.ending.caller.worker.limits.connect_timeout_ms);
        let written = async {
            link.write_all(&out).await?;
            link.flush().await
        };
        matches!(tokio::time::timeout(patience, written).await, Ok(Ok(())))
    }

    /// To a replica that speaks HTTP/2.
    async fn by_two(&mut self, mut place: Place, asked: (Scheme, Option<Bytes>), held: Rc<Held>) -> Result<Got, Failed> {
        let sending = place.sender.try_send_request(self.compose(asked));
        place.hold(held);
        let mut error = match sending.await {
            Ok(response) => return Ok(self.got_two(response, place)),
            Err(error) => error,
        };
        if let Some(request) = error.take_message() {
            let Limited { ask, .. } = request.into_body();
            self.ask = (!matches!(ask, Ask::Nothing)).then_some(ask);
            return Err(Failed::Unsent);
        }
        if self.progress.overrun.get() {
            return Err(Failed::Refused(self.refusal(Failure::LargeBody)));
        }
        let error = error.into_error();
        let not_processed = lanes::not_processed(&error);
        if not_processed && self.framing == Framing::None {
            return Err(Failed::Unsent);
        }
        if let Some(attempt) = &mut self.ending.attempt {
            // Closing what is idle is a replica's right, and so is going in good order; breaking off a request, or many, is not.
            attempt.reused &= !lanes::reset(&error) && (not_processed || place.alone());
        }
        Err(self.broken(lanes::is_vanished(&error)))
    }

    fn limited(&self, ask: Ask) -> Limited {
        Limited { ask, left: self.most, progress: self.progress.clone() }
    }

    /// The request as a replica that speaks HTTP/2 gets it.
    fn compose(&mut self, (scheme, host): (Scheme, Option<Bytes>)) -> Request<Limited> {
        let ask = self.ask.take().unwrap_or(Ask::Nothing);
        let mut request = Request::new(self.limited(ask));
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.fields(|fields| fields.map());
        let mut uri = hyper::http::uri::Parts::default();
        uri.scheme = Some(scheme);
        uri.authority = match host {
            Some(host) => Authority::from_maybe_shared(host).ok(),
            None => self.head.uri.authority().cloned().or_else(|| Authority::try_from(self.authority()).ok()),
        };
        uri.path_and_query = self.target().cloned();
        // Whole as it is: a scheme, a host that was judged, and a target that begins with a slash.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| self.head.uri.clone());
        request
    }

    /// The connection broke before a byte of an answer, maybe since its machine has vanished.
    fn broken(&self, vanished: bool) -> Failed {
        self.ending.broke(!vanished);
        match &self.ending.attempt {
            Some(attempt) => Failed::Broken(attempt.endpoint, attempt.reused),
            None => Failed::Unsent,
        }
    }

    fn got_two(&self, response: Response<Incoming>, place: Place) -> Got {
        let (head, incoming) = response.into_parts();
        let mut fields = head.headers;
        fields::dated(&mut fields, &self.ending.caller.worker.date.borrow());
        self.ending.answered_by_replica(if grpc::unavailable(&fields) { 503 } else { head.status.as_u16() });
        let content = if incoming.is_end_stream() { Content::Here(Bytes::new()) } else { Content::Two { incoming, _place: place } };
        Got { status: head.status, fields, content, silence: None }
    }

    fn got_one(&mut self, head: &ResponseHead, answered: one::Answered) -> Got {
        self.ending.answered_by_replica(head.status());
        let one::Answered { head: text, begun, rest, agreed } = answered;
        let mut fields = fields::from_one(head, &text, &self.ending.caller.worker.date.borrow());
        let mut status = head.status();
        // A try of any other request lasts as long as its answer.
        if let Some(agreed) = agreed
            && let (Some(switch), Some(attempt)) = (self.switch.take(), self.ending.attempt.take())
        {
            attempt.over();
            status = switch.done(agreed, attempt, &mut fields);
        }
        Got {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            fields,
            content: match rest {
                None => Content::Here(begun),
                Some(rest) => Content::One(begun, rest),
            },
            silence: None,
        }
    }
}
