//! The form of a request of HTTP/2, as far as h2 does not see to it.
//!
//! Invariant: what RFC 9113 calls malformed does not reach a replica as a whole request. A plain request costs no more here than a look at its
//! method and at the ends of its values.

use hyper::Method;
use hyper::header::{HeaderValue, MAX_FORWARDS};
use hyper::http::request::Parts;

use crate::http::head;
use crate::http::hops::{self, BadCount};

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
