//! How TLS to a Service's replicas is done: its annotations `tidegate.dev/upstream-*`.
//!
//! Invariant: a wrong value refuses the object, so that its last good version stays: TLS is never done by other terms than were meant.
//! There is no word that turns verification off.

use rustls::pki_types::ServerName;

use super::check::{self, Findings};
use crate::exposure::{UPSTREAM_CA, UPSTREAM_CERTIFICATE, UPSTREAM_NAME};
use crate::object::{AppProtocol, CaRef, Meta, Name, ServicePort, UpstreamTerms};
use crate::problem::{Problem, Reason};

pub(super) fn terms(meta: &Meta, ports: &[ServicePort], out: &mut Findings) -> UpstreamTerms {
    let said = |key: &'static str| meta.annotations.get(key).map(|text| (place(key), &**text));
    let terms = UpstreamTerms {
        ca: said(UPSTREAM_CA).and_then(|(at, text)| CaRef::parse(text).or_else(|| out.invalid(at, quoted(text), CaRef::EXPECTED))),
        name: said(UPSTREAM_NAME).and_then(|(at, text)| server_name(at, text, out)),
        certificate: said(UPSTREAM_CERTIFICATE).and_then(|(at, text)| secret_name(at, text, out)),
    };
    let first = [UPSTREAM_CA, UPSTREAM_NAME, UPSTREAM_CERTIFICATE].into_iter().find(|key| meta.annotations.contains_key(*key));
    if let Some(key) = first.filter(|_| !ports.iter().any(|port| port.app() == AppProtocol::Https)) {
        let problem = Problem::warning(Reason::NotServed, "no port of the Service speaks TLS, so that it means nothing").at(place(key));
        out.push(problem.expected("a port with `appProtocol: https`").fix("say so at the port, or remove the annotation"));
    }
    terms
}

fn place(key: &str) -> String {
    format!("metadata.annotations[\"{key}\"]")
}

fn quoted(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}

fn secret_name(at: String, text: &str, out: &mut Findings) -> Option<Name> {
    if check::is_subdomain(text) {
        return Some(text.into());
    }
    out.invalid(at, quoted(text), "the name of a Secret in the Service's namespace")
}

fn server_name(at: String, text: &str, out: &mut Findings) -> Option<Name> {
    match ServerName::try_from(text) {
        Ok(_) => Some(text.to_ascii_lowercase().into()),
        Err(_) => out.invalid(at, quoted(text), "a host name or an IP address, without a port"),
    }
}
