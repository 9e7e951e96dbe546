//! Who a request comes from when trusted proxies stand in between.
//!
//! Invariant: only what a trusted proxy wrote is believed. `X-Forwarded-For` is read from its end, where each proxy adds whom it met, and
//! no further than the first address that is no trusted proxy's: what a client wrote itself lies beyond that.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::caller::Caller;
use super::desk::Message;
use super::head::{FieldKind, RequestHead};
use crate::balance::hash::Signs;
use crate::listener::contains;

/// What a pick may look at of a request of HTTP/1.
pub(super) struct Head<'a> {
    pub(super) caller: &'a Caller,
    pub(super) request: &'a Message<RequestHead>,
}

impl Signs for Head<'_> {
    fn client(&self) -> IpAddr {
        of(self.caller, self.request)
    }

    fn target(&self) -> &[u8] {
        self.request.head.target().of(self.request.input.filled())
    }

    fn each(&self, name: &str, show: &mut dyn FnMut(&[u8])) {
        let bytes = self.request.input.filled();
        let named = self.request.head.fields().iter().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
        named.map(|field| field.value.of(bytes)).for_each(show);
    }
}

/// The client that a request of HTTP/1 comes from.
pub(super) fn of(caller: &Caller, request: &Message<RequestHead>) -> IpAddr {
    caller.behind(lists(&request.head, request.input.filled()))
}

/// The values of `X-Forwarded-For`, the last first.
fn lists<'b>(head: &'b RequestHead, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    head.fields().iter().rev().filter(|field| field.kind == FieldKind::XForwardedFor).map(|field| field.value.of(bytes))
}

impl Caller {
    /// Who asks, behind trusted proxies that wrote `lists`, the last first.
    pub(crate) fn behind<'b>(&self, lists: impl Iterator<Item = &'b [u8]>) -> IpAddr {
        if self.trusted { told(lists, self.client, &self.worker.terms.trusted) } else { self.client }
    }
}

/// The client as trusted proxies tell it to `peer`, who is one of them. What is no address ends the list.
fn told<'b>(lists: impl Iterator<Item = &'b [u8]>, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut met = peer;
    for text in lists.flat_map(|list| list.rsplit(|&byte| byte == b',')) {
        let Some(ip) = address(text.trim_ascii()) else { break };
        met = ip;
        if !contains(trusted, met) {
            break;
        }
    }
    met
}

/// An address; some proxies write the port beside it.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::HeadLimits;

    fn client(fields: &[&str]) -> String {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::new(HeadLimits { bytes: 65_536, fields: 100 });
        head.read(bytes.as_bytes()).unwrap().expect("a whole head");
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        told(lists(&head, bytes.as_bytes()), [10, 0, 0, 1].into(), &trusted).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_s_is_the_client() {
        assert_eq!(client(&[]), "10.0.0.1", "nobody was told");
        assert_eq!(client(&["X-Forwarded-For: 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(&["X-Forwarded-For: 198.51.100.1, 192.0.2.7"]), "192.0.2.7", "what the client wrote itself is not believed");
        assert_eq!(client(&["X-Forwarded-For: 192.0.2.7, 10.1.1.1,fd00::1"]), "192.0.2.7");
        assert_eq!(client(&["X-Forwarded-For: 192.0.2.7", "x-forwarded-for: 10.1.1.1"]), "192.0.2.7", "several fields are one list");
        assert_eq!(client(&["X-Forwarded-For: 10.1.1.2, 10.1.1.1"]), "10.1.1.2", "a client inside the trusted networks");
        assert_eq!(client(&["X-Forwarded-For: 192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(client(&["X-Forwarded-For: [2001:db8::7]:4711, 10.1.1.1"]), "2001:db8::7");
        assert_eq!(client(&["Forwarded: for=192.0.2.7", "X-Real-IP: 192.0.2.7"]), "10.0.0.1", "other fields are not read");
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        for wrong in ["unknown", "", "192.0.2.7,", "192.0.2.7, , ", "192.0.2.7, _hidden", "192.0.2.256", "\u{e4}"] {
            assert_eq!(client(&[&format!("X-Forwarded-For: {wrong}")]), "10.0.0.1", "{wrong:?}");
        }
        assert_eq!(client(&["X-Forwarded-For: 192.0.2.7, unknown, 10.1.1.1"]), "10.1.1.1");
    }
}
