//! What a pick may look at of a request of HTTP/2.

use std::net::IpAddr;

use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;

use super::fields;
use crate::balance::hash::Signs;
use crate::http::caller::Caller;

/// A head, as it came.
pub(super) struct Head<'a> {
    pub(super) caller: &'a Caller,
    pub(super) head: &'a Parts,
}

impl Signs for Head<'_> {
    fn client(&self) -> IpAddr {
        self.caller.behind(fields::forwarded_for(&self.head.headers))
    }

    fn target(&self) -> &[u8] {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes()
    }

    fn each(&self, field: &str, show: &mut dyn FnMut(&[u8])) {
        self.head.headers.get_all(field).iter().map(HeaderValue::as_bytes).for_each(show);
    }
}
