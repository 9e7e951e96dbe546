//! A URL and what goes with it, as the bytes that a plain client would send.
//!
//! Invariant: nothing is mended on the way: a hostile URL becomes a hostile request, so that the reader judges it as it would judge the
//! wire. Only what cannot be one request at all (line breaks) is refused here.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use config::exposure::Exposure;
use config::host::Host;
use config::object::ServiceKey;
use registry::snapshot::VipPort;

/// A request that somebody wonders about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As asked.
    pub url: String,
    /// Where the client is.
    pub from: Exposure,
    /// As asked.
    pub method: String,
    /// Header fields as `name: value`.
    pub headers: Vec<String>,
    authority: String,
    target: String,
}

/// A URL that cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableUrl {
    /// It needs TLS.
    #[error("`{0}`: https is not served yet; ask with http://")]
    NotServed(String),
    /// Another scheme, or none.
    #[error("`{0}`: expected http://HOST[:PORT]/PATH")]
    NotHttp(String),
}

impl Question {
    /// Splits the URL.
    ///
    /// # Errors
    /// [`UnreadableUrl`] when it is not an `http` one. A hostile host is no error here: serving refuses it, and so the answer says.
    pub fn new(url: &str, from: Exposure, method: &str, headers: &[String]) -> Result<Question, UnreadableUrl> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| UnreadableUrl::NotHttp(url.to_owned()))?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(UnreadableUrl::NotServed(url.to_owned())),
            _ => return Err(UnreadableUrl::NotHttp(url.to_owned())),
        }
        let rest = rest.split('#').next().unwrap_or_default(); // a client keeps the fragment for itself
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Question {
            url: url.to_owned(),
            from,
            method: method.to_owned(),
            headers: headers.to_vec(),
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }

    /// What a client would send. A `Host` among the headers replaces the URL's, as curl does it.
    ///
    /// # Errors
    /// Why this can be no request.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let texts = [&self.url, &self.method].into_iter().chain(&self.headers);
        if texts.into_iter().any(|text| text.contains(['\r', '\n', '\0'])) {
            return Err("a line break or NUL in a URL, method or header".to_owned());
        }
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
        Ok(bytes.into_bytes())
    }

    /// The URL's port, when it gives one.
    pub(super) fn port(&self) -> Option<u16> {
        let after_literal = self.authority.rsplit(']').next().unwrap_or_default();
        after_literal.rsplit_once(':')?.1.parse().ok()
    }

    /// The VIP port that the URL means to a client inside: by its address, or by a name of its Service as a hosts file gives it.
    pub(super) fn vip<'v, S: BuildHasher>(&self, vips: &'v HashMap<SocketAddr, VipPort, S>) -> Option<(SocketAddr, &'v VipPort)> {
        let host = Host::parse(&self.authority).ok()?;
        let (host, port) = (host.as_str(), self.port().unwrap_or(80));
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = SocketAddr::new(ip, port);
            return Some((address, vips.get(&address)?));
        }
        let mut named = vips.iter().filter(|(address, vip)| address.port() == port && names(host, &vip.name.service));
        let (address, vip) = named.next()?;
        named.next().is_none().then_some((*address, vip)) // a short name that two namespaces have means neither
    }
}

/// `NAME`, `NAME.NAMESPACE`, and the same with `.svc` or `.svc.cluster.local`.
fn names(host: &str, service: &ServiceKey) -> bool {
    let Some(rest) = host.strip_prefix(&*service.name) else { return false };
    let in_namespace = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(&*service.namespace));
    rest.is_empty() || matches!(in_namespace, Some("" | ".svc" | ".svc.cluster.local"))
}
