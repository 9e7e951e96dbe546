//! A URL and what goes with it, as the bytes that a plain client would send.
//!
//! Invariant: nothing is mended on the way: a hostile URL becomes a hostile request, so that the reader judges it as it would judge the
//! wire. Only what is no request at all (no host, two words for a method, a header without a colon, a line break) is refused here.

use std::net::{IpAddr, SocketAddr};

use config::exposure::Exposure;
use config::host::Host;
use config::object::{Protocol, ServiceKey};
use registry::snapshot::{ServiceListener, ServiceListeners, Socket};

/// A request that somebody wonders about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As asked.
    pub url: String,
    /// It comes in TLS.
    pub https: bool,
    /// Where the client is.
    pub from: Exposure,
    /// As asked.
    pub method: String,
    /// Header fields as `name: value`.
    pub headers: Vec<String>,
    authority: String,
    target: String,
}

/// What is no request, so that nobody can say what would happen to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// Another scheme, none, or no host.
    #[error("`{0}`: expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH; fix: give the URL as a client would be given it")]
    NotHttp(String),
    /// A space, a line break or NUL, which end a URL.
    #[error("{0:?}: a space, line break or NUL, expected none in a URL; fix: percent-encode it, or put the URL in quotes")]
    NotOneUrl(String),
    /// Not the name of a method.
    #[error("method {0:?}: expected one word such as GET; fix: give it with --method")]
    NotAMethod(String),
    /// No field of a head.
    #[error("header {0:?}: expected `NAME: VALUE` without a line break or NUL; fix: give each with a -H of its own, in quotes")]
    NotAHeader(String),
}

impl Question {
    /// Splits the URL.
    ///
    /// # Errors
    /// [`BadQuestion`] when this is no request at all. A hostile host is no error here: serving refuses it, and so the answer says.
    pub fn new(url: &str, from: Exposure, method: &str, headers: &[String]) -> Result<Question, BadQuestion> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| BadQuestion::NotHttp(url.to_owned()))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(BadQuestion::NotHttp(url.to_owned())),
        };
        if url.contains([' ', '\t', '\r', '\n', '\0']) {
            return Err(BadQuestion::NotOneUrl(url.to_owned()));
        }
        if !is_token(method) {
            return Err(BadQuestion::NotAMethod(method.to_owned()));
        }
        if let Some(header) = headers.iter().find(|header| !is_field(header)) {
            return Err(BadQuestion::NotAHeader(header.clone()));
        }
        let rest = rest.split('#').next().unwrap_or_default(); // a client keeps the fragment for itself
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(BadQuestion::NotHttp(url.to_owned()));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Question {
            url: url.to_owned(),
            https,
            from,
            method: method.to_owned(),
            headers: headers.to_vec(),
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }

    /// What a client would send. A `Host` among the headers replaces the URL's, as curl does it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let names_host = |header: &String| header.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("host"));
        if !self.headers.iter().any(names_host) {
            bytes.push_str(&format!("Host: {}\r\n", self.authority));
        }
        for header in &self.headers {
            bytes.push_str(header);
            bytes.push_str("\r\n");
        }
        bytes.push_str("\r\n");
        bytes.into_bytes()
    }

    /// The URL's port, when it gives one.
    pub(super) fn port(&self) -> Option<u16> {
        let after_literal = self.authority.rsplit(']').next().unwrap_or_default();
        after_literal.rsplit_once(':')?.1.parse().ok()
    }

    /// The host that a handshake would name, normalised: an address is never named (RFC 6066 section 3).
    pub(super) fn opened(&self) -> Option<String> {
        let host = Host::parse(&self.authority).ok()?;
        let address = host.as_str().trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        (!address).then(|| host.to_string())
    }

    /// The node port or load balancer that the URL means to a client outside: by its port, which the URL gives, and its address when the URL
    /// has one.
    pub(super) fn outward<'v>(&self, listeners: &'v ServiceListeners) -> Option<(SocketAddr, &'v ServiceListener)> {
        let (host, port) = (Host::parse(&self.authority).ok()?, self.port()?);
        let ip = host.as_str().trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let meant = |socket: &Socket| {
            let at = socket.address;
            let here = ip.is_none_or(|ip| at.ip() == ip || at.ip().is_unspecified());
            socket.protocol == Protocol::Tcp && at.port() == port && here
        };
        // Who names the address is preferred, as by the kernel.
        let found =
            listeners.iter().filter(|(socket, _)| meant(socket)).min_by_key(|(socket, _)| (socket.address.ip().is_unspecified(), **socket));
        found.map(|(socket, listener)| (socket.address, listener))
    }

    /// The VIP port that the URL means to a client inside: by its address, or by a name of its Service as a hosts file gives it.
    pub(super) fn vip<'v>(&self, vips: &'v ServiceListeners) -> Option<(SocketAddr, &'v ServiceListener)> {
        let host = Host::parse(&self.authority).ok()?;
        let (host, port) = (host.as_str(), self.port().unwrap_or(if self.https { 443 } else { 80 }));
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = SocketAddr::new(ip, port);
            return Some((address, vips.get(&Socket::new(Protocol::Tcp, address))?));
        }
        let tcp = |socket: &Socket| socket.protocol == Protocol::Tcp && socket.address.port() == port;
        let mut named = vips.iter().filter(|(socket, vip)| tcp(socket) && names(host, &vip.name.service));
        let (socket, vip) = named.next()?;
        named.next().is_none().then_some((socket.address, vip)) // a short name that two namespaces have means neither
    }
}

/// One word of RFC 9110, of which methods and names of fields are made.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_field(header: &str) -> bool {
    header.split_once(':').is_some_and(|(name, value)| is_token(name) && !value.contains(['\r', '\n', '\0']))
}

/// `NAME`, `NAME.NAMESPACE`, and the same with `.svc` or `.svc.cluster.local`.
fn names(host: &str, service: &ServiceKey) -> bool {
    let Some(rest) = host.strip_prefix(&*service.name) else { return false };
    let in_namespace = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(&*service.namespace));
    rest.is_empty() || matches!(in_namespace, Some("" | ".svc" | ".svc.cluster.local"))
}
