//! Which endpoint a key goes to: the one that ranks highest for it (rendezvous hashing), and what of a request is the key.
//!
//! Invariant: every worker, a process after its restart and another Tidegate answer alike, since ranks come from what replicas are called.
//! When one of n goes, its own keys move and no others; when one comes, it takes one in n+1 and nobody else moves. Why this and no table:
//! docs/decisions/017. Unlike other picks it looks at all endpoints; it allocates nothing.

use std::net::IpAddr;

use config::filter::HashBy;
use registry::hash::{mix, of_bytes, of_ip};
use registry::snapshot::{Endpoint, EndpointId, Service};

/// The signs by which a request is known. Each is looked up when it is asked for, and not before.
pub trait Signs {
    /// Who asks, behind trusted proxies.
    fn client(&self) -> IpAddr;
    /// Path and query, as asked for.
    fn target(&self) -> &[u8];
    /// Shows every value of the fields with this name, whatever its case.
    fn each(&self, field: &str, show: &mut dyn FnMut(&[u8]));
}

/// Somebody of whom no more is known than where they come from.
#[derive(Clone, Copy, Debug)]
pub struct Opaque(pub IpAddr);

impl Signs for Opaque {
    fn client(&self) -> IpAddr {
        self.0
    }

    fn target(&self) -> &[u8] {
        &[]
    }

    fn each(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

/// The endpoint that ranks highest for `key`, of those that were not tried; one that is near before all others.
pub fn favourite<'s>(service: &'s Service, key: u64, avoid: &[EndpointId]) -> Option<&'s Endpoint> {
    let (near, far) = service.by_nearness();
    let ranks = service.ranks();
    let (of_near, of_far) = ranks.split_at(near.len().min(ranks.len()));
    highest(near, of_near, key, avoid).or_else(|| highest(far, of_far, key, avoid))
}

fn highest<'s>(endpoints: &'s [Endpoint], ranks: &[u64], key: u64, avoid: &[EndpointId]) -> Option<&'s Endpoint> {
    let for_key = |rank: &u64| mix(key ^ *rank);
    if avoid.is_empty() {
        // Nearly always: numbers side by side are all that is looked at.
        let (at, _) = ranks.iter().enumerate().max_by_key(|(_, rank)| for_key(rank))?;
        return endpoints.get(at);
    }
    let left = endpoints.iter().zip(ranks).filter(|(endpoint, _)| !avoid.contains(&endpoint.id));
    left.max_by_key(|(_, rank)| for_key(rank)).map(|(endpoint, _)| endpoint)
}

/// What `by` says of a request; `None` when that has nothing of it.
pub fn key(by: &HashBy, signs: &dyn Signs) -> Option<u64> {
    let mut key = None;
    match by {
        HashBy::ClientIp => return Some(of_ip(signs.client())),
        HashBy::Uri => return Some(signs.target()).filter(|target| !target.is_empty()).map(of_bytes),
        HashBy::Argument(name) => return argument(signs.target(), name).map(of_bytes),
        HashBy::Cookie(name) => cookies(signs, name, &mut |value| key = key.or(some(value))),
        // Several fields of one name are one list (RFC 9110 section 5.3).
        HashBy::Header(name) => signs.each(name, &mut |value| key = some(value).map(|hash| mix(key.unwrap_or(0)) ^ hash).or(key)),
    }
    key
}

fn some(value: &[u8]) -> Option<u64> {
    (!value.is_empty()).then(|| of_bytes(value))
}

/// Shows the value of each cookie with this name (RFC 6265 section 5.4).
pub fn cookies(signs: &dyn Signs, name: &str, show: &mut dyn FnMut(&[u8])) {
    signs.each("cookie", &mut |field| {
        for pair in field.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            if let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
                show(value);
            }
        }
    });
}

/// The first argument of this name, as written. Names are compared without case, as nginx compares `$arg_NAME`.
fn argument<'t>(target: &'t [u8], name: &str) -> Option<&'t [u8]> {
    let at = memchr::memchr(b'?', target)?;
    target[at + 1..].split(|&byte| byte == b'&').find_map(|pair| {
        let (first, rest) = pair.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b"=").filter(|value| !value.is_empty())?;
        first.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })
}

#[cfg(test)]
pub(super) mod tests;
