//! The rules for names, ports and addresses that several kinds share, and the list of what they find.
//!
//! A rule reports and goes on, so that all that is wrong with an object is said at once.

use std::fmt::Display;
use std::net::IpAddr;

use crate::object::{Name, Protocol};
use crate::problem::{Problem, Reason, Severity};

/// What was found in one object.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    /// Paths of fields that the API does not have.
    pub(super) unknown_fields: Vec<String>,
    /// Errors that seal the object instead of refusing it: it can be read, but not what it says about its exposure.
    unclear: Vec<Problem>,
}

impl Findings {
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A value that is wrong; returns `None` for the caller to pass on.
    pub(super) fn invalid<T>(&mut self, at: impl Display, found: impl Into<String>, expected: &str) -> Option<T> {
        self.push(Problem::error(Reason::Invalid, found).at(at.to_string()).expected(expected));
        None
    }

    /// The same of an annotation of ours. The last good version stays: what was asked for is never dropped because it was mistyped.
    pub(super) fn invalid_annotation<T>(&mut self, key: &str, text: &str, expected: &str) -> Option<T> {
        let problem = Problem::error(Reason::Invalid, format!("`{}`", text.escape_debug())).at(format!("metadata.annotations[\"{key}\"]"));
        self.push(
            problem
                .expected(expected)
                .fix("correct it; until then the object is refused, and its last good version serves if there is one"),
        );
        None
    }

    /// A field that must be there.
    pub(super) fn missing<T>(&mut self, at: impl Display, expected: &str) -> Option<T> {
        self.invalid(at, "nothing", expected)
    }

    /// Something valid that this version does not do.
    pub(super) fn not_served(&mut self, at: impl Display, found: impl Into<String>, instead: &str) {
        self.push(Problem::warning(Reason::NotServed, found).at(at.to_string()).fix(instead));
    }

    /// A field that the API does not have and that was meant to decide about exposure.
    pub(super) fn unclear(&mut self, field: &str, found: &str, expected: &str) {
        self.problems.retain(|problem| problem.reason != Reason::UnknownField || problem.place.field.as_deref() != Some(field));
        let problem = Problem::error(Reason::UnknownField, found).at(field).expected(expected);
        self.unclear.push(problem.fix("correct its spelling or its indentation; until then the object is sealed"));
    }

    /// Tells each problem in other words.
    pub(super) fn retell(&mut self, tell: impl Fn(Problem) -> Problem) {
        for problems in [&mut self.problems, &mut self.unclear] {
            *problems = std::mem::take(problems).into_iter().map(&tell).collect();
        }
    }

    pub(super) fn is_unclear(&self) -> bool {
        !self.unclear.is_empty()
    }

    /// Whether the object is refused.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_problems(self) -> impl Iterator<Item = Problem> {
        self.problems.into_iter().chain(self.unclear)
    }
}

/// RFC 1123 label: what a Service or a Namespace may be called.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// RFC 1123 subdomain: labels with dots between.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// RFC 6335 service name: what a container port may be called.
pub(super) fn is_port_name(text: &str) -> bool {
    is_label(text) && text.len() <= 15 && !text.contains("--") && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// 1 to 65535.
pub(super) fn port(value: i32, at: impl Display, out: &mut Findings) -> Option<u16> {
    match u16::try_from(value) {
        Ok(port) if port > 0 => Some(port),
        _ => out.invalid(at, value.to_string(), "a port, 1 to 65535"),
    }
}

/// `TCP` when absent.
pub(super) fn protocol(text: Option<&str>, at: impl Display, out: &mut Findings) -> Option<Protocol> {
    match text {
        None | Some("" | "TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(other) => out.invalid(at, format!("`{other}`"), "`TCP`, `UDP` or `SCTP`"),
    }
}

/// The name of a Service that something points to.
pub(super) fn service_name(text: Option<String>, at: impl Display, out: &mut Findings) -> Option<Name> {
    match text.filter(|text| !text.is_empty()) {
        None => out.missing(at, "the name of a Service"),
        Some(text) if !is_label(&text) => {
            out.invalid(at, format!("`{text}`"), "a Service name: up to 63 lower-case letters, digits and `-`")
        }
        Some(text) => Some(text.into()),
    }
}

/// A host name of one label, where one is given.
pub(super) fn label(text: Option<&str>, at: impl Display, out: &mut Findings) -> Option<Name> {
    match text.filter(|text| !text.is_empty())? {
        text if is_label(text) => Some(text.into()),
        text => out.invalid(at, format!("`{text}`"), "up to 63 lower-case letters, digits and `-`"),
    }
}

/// An address in its usual spelling.
pub(super) fn ip(text: &str, at: impl Display, out: &mut Findings) -> Option<IpAddr> {
    text.parse().map_or_else(|_| out.invalid(at, format!("`{text}`"), "an IPv4 or IPv6 address"), Some)
}

/// An address that traffic may be sent to. Connecting to an unspecified or IPv4-mapped address reaches another one than it
/// says, which no rule about addresses would notice; link-local is where metadata services live, and Kubernetes refuses it too.
pub(super) fn endpoint_ip(text: &str, at: impl Display, out: &mut Findings) -> Option<IpAddr> {
    let ip = ip(text, &at, out)?;
    let refused = match ip {
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast() => "an address that no host has",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 spelling",
        ip if ip.is_unspecified() => "an address that no host has",
        ip if ip.is_multicast() => "a multicast address",
        _ => return Some(ip),
    };
    let problem = Problem::error(Reason::AddressRefused, format!("`{text}`, {refused}")).at(at.to_string());
    out.push(problem.expected("the address of one pod"));
    None
}
