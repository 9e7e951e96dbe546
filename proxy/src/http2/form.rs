//! The form of a request of HTTP/2, as far as h2 does not see to it.
//!
//! Invariant: what RFC 9113 calls malformed does not reach a replica as a whole request. A plain request costs no more here than a look at its
//! method and at the ends of its values.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body;
use hyper::header::{HeaderValue, MAX_FORWARDS};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use super::ask::Ask;
use crate::http::head;
use crate::http::hops::{self, BadCount};
use crate::http::relay::Failure;

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
pub(super) fn padded(fields: &HeaderMap) -> bool {
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
