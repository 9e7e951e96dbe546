//! The form of a request of HTTP/2, as far as h2 does not see to it: whether we accept it, and how its body is framed.
//!
//! Invariant: what RFC 9113 calls malformed does not reach a replica as a whole request. A plain request costs no more here than a look at its
//! method and at the ends of its values.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use config::host::{self, MAX_HOST};
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, MAX_FORWARDS};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method};

use super::answer::Ending;
use super::ask::Ask;
use crate::http::head::{self, Framing};
use crate::http::hops::{self, BadCount};
use crate::http::relay::Failure;
use crate::reason::Reason;

/// Whether it is a request that we accept, and how its body is framed.
pub(super) fn judge(ending: &mut Ending, head: &Parts, ask: &Ask, switches: bool) -> Result<Framing, Reason> {
    let bad = Err(Reason::BadRequest);
    if head.headers.len() > ending.caller.worker.limits.headers {
        return Err(Reason::HeadTooLarge);
    }
    if padded(&head.headers) {
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
        // What follows a CONNECT is no content (RFC 9110 section 9.3.6): a length would make a replica wait for some.
        (Some(_), None) if head.method == Method::CONNECT => return bad,
        (Some(length), None) => {
            let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
            let length = length.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
            Framing::Length(length.ok_or(Reason::BadRequest)?)
        }
        (None, None) if switches || ask.is_end_stream() => Framing::None,
        (None, None) => Framing::Chunked,
    };
    Ok(framing)
}

/// Its method.
pub(super) fn method(head: &Parts) -> head::Method {
    head::Method::of(head.method.as_str().as_bytes())
}

/// Counts this hop where hops are counted. True when it was the last one.
///
/// # Errors
/// The count is not one plain number.
pub(super) fn count_hops(head: &mut Parts) -> Result<bool, BadCount> {
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return Ok(false);
    }
    let left = hops::left(method(head), head.headers.get_all(MAX_FORWARDS).iter().map(HeaderValue::as_bytes))?;
    let Some(left) = left else { return Ok(false) };
    head.headers.insert(MAX_FORWARDS, left.saturating_sub(1).into());
    Ok(left == 0)
}

/// Whether white space stands around a value (RFC 9113 section 8.2.1): HTTP/1 would read another value.
fn padded(fields: &HeaderMap) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    fields.values().any(|value| blank(value.as_bytes().first()) || blank(value.as_bytes().last()))
}

/// Waits for the end of a request that says it has no content: with content it is malformed (RFC 9113 section 8.1.1), and must not look
/// whole to a replica before that is known.
///
/// # Errors
/// There is content, the client broke off, or nothing came for so long.
pub(super) async fn ends_here(ask: &mut Ask, patience: Duration) -> Result<(), Failure> {
    if ask.is_end_stream() {
        return Ok(());
    }
    let end = async {
        while let Some(frame) = poll_fn(|context| Pin::new(&mut *ask).poll_frame(context)).await {
            let frame = frame.map_err(|_| Failure::ClientGone)?;
            if frame.data_ref().is_some_and(|bytes| !bytes.is_empty()) {
                return Err(Failure::BadBody);
            }
        }
        Ok(())
    };
    tokio::time::timeout(patience, end).await.unwrap_or(Err(Failure::SlowBody))
}
