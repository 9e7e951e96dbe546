//! `readinessProbe` of the containers of a Pod that does not say itself whether it is ready.
//!
//! Invariant: what the API would refuse is refused, and so is a port by a name that the container does not have, which the kubelet would
//! wait for without end. What means something else here than to the kubelet is a warning.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::check::{self, Findings};
use super::pod::serving;
use crate::filter::Line;
use crate::host::Host;
use crate::object::{Check, HttpCheck, Probe};

const PERIOD_S: u32 = 10;
const TIMEOUT_S: u32 = 1;
const SUCCESSES: u32 = 1;
const FAILURES: u32 = 3;

/// Those of containers and of sidecars that can be asked from outside the pod.
pub(super) fn of(spec: &core::PodSpec, ips: &[IpAddr], out: &mut Findings) -> Arc<[Probe]> {
    let mut probes = Vec::new();
    for (place, container) in serving(spec) {
        if let Some(raw) = &container.readiness_probe {
            probes.extend(probe(raw, Of { container, ips, place: format!("{place}.readinessProbe") }, out));
        }
    }
    probes.into()
}

/// Whose probe it is, and where it is written.
struct Of<'a> {
    container: &'a core::Container,
    ips: &'a [IpAddr],
    place: String,
}

impl Of<'_> {
    fn at(&self, field: impl Display) -> String {
        format!("{}.{field}", self.place)
    }

    /// A port by its number, by the name that this container gives it, or by a number in quotes: in the kubelet's order.
    fn port(&self, raw: &IntOrString, field: &str, out: &mut Findings) -> Option<u16> {
        let name = match raw {
            IntOrString::Int(number) => return check::port(*number, self.at(field), out),
            IntOrString::String(name) => name,
        };
        let named = self.container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
        match (named, name.parse()) {
            (Some(port), _) => u16::try_from(port.container_port).ok(), // one that is none was told where it is written
            (None, Ok(number)) => check::port(number, self.at(field), out),
            (None, Err(_)) => {
                let expected = "a port, 1 to 65535, or the name of one in the container's own `ports`";
                out.invalid(self.at(field), format!("`{name}`"), expected)
            }
        }
    }

    /// A host that is not the pod itself.
    fn elsewhere<'h>(&self, host: &'h Option<String>) -> Option<&'h str> {
        let host = host.as_deref().filter(|host| !host.is_empty())?;
        let own = |ip: IpAddr| self.ips.iter().any(|own| own.to_canonical() == ip.to_canonical());
        (!host.parse().is_ok_and(own)).then_some(host)
    }
}

fn probe(raw: &core::Probe, of: Of<'_>, out: &mut Findings) -> Option<Probe> {
    if raw.termination_grace_period_seconds.is_some() {
        let found = "a grace period";
        out.invalid::<()>(of.at("terminationGracePeriodSeconds"), found, "nothing: a readinessProbe ends no container");
    }
    let number = |value, field, default, out: &mut Findings| number(value, of.at(field), default, out);
    let initial_delay_s = number(raw.initial_delay_seconds, "initialDelaySeconds", 0, out);
    let period_s = number(raw.period_seconds, "periodSeconds", PERIOD_S, out);
    let timeout_s = number(raw.timeout_seconds, "timeoutSeconds", TIMEOUT_S, out);
    let successes = number(raw.success_threshold, "successThreshold", SUCCESSES, out);
    let failures = number(raw.failure_threshold, "failureThreshold", FAILURES, out);
    let container = of.container.name.as_str().into();
    let check = self::check(raw, &of, out)?;
    Some(Probe {
        container,
        check,
        initial_delay_s: initial_delay_s?,
        period_s: period_s?,
        timeout_s: timeout_s?,
        successes: successes?,
        failures: failures?,
    })
}

/// Absent and 0 are the default, as for the API.
fn number(value: Option<i32>, at: String, default: u32, out: &mut Findings) -> Option<u32> {
    match value.map(u32::try_from) {
        None | Some(Ok(0)) => Some(default),
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => out.invalid(at, value.unwrap_or_default().to_string(), "0 or more"),
    }
}

fn check(raw: &core::Probe, of: &Of<'_>, out: &mut Findings) -> Option<Check> {
    match (&raw.http_get, &raw.tcp_socket, &raw.grpc, &raw.exec) {
        (Some(get), None, None, None) => http(get, of, out).map(Check::Http),
        (None, Some(socket), None, None) => tcp(socket, of, out),
        (None, None, Some(call), None) => {
            let port = check::port(call.port, of.at("grpc.port"), out)?;
            Some(Check::Grpc { port, service: call.service.as_deref().unwrap_or_default().into() })
        }
        (None, None, None, Some(_)) => {
            let found = "a command in the container, which nobody can run from outside it: this probe is left out";
            let fix = "use httpGet, tcpSocket or grpc, or let the pod state its Ready condition";
            out.not_served(of.at("exec"), found, fix);
            None
        }
        (None, None, None, None) => out.missing(&of.place, "one of `httpGet`, `tcpSocket`, `grpc` and `exec`"),
        _ => out.invalid(&of.place, "several ways to ask", "one of `httpGet`, `tcpSocket`, `grpc` and `exec`"),
    }
}

fn tcp(raw: &core::TCPSocketAction, of: &Of<'_>, out: &mut Findings) -> Option<Check> {
    if let Some(host) = of.elsewhere(&raw.host) {
        let found = format!("`{host}`: probes connect to the pod's own IP, and to no other address");
        out.not_served(of.at("tcpSocket.host"), found, "remove it");
    }
    Some(Check::Tcp { port: of.port(&raw.port, "tcpSocket.port", out)? })
}

fn http(raw: &core::HTTPGetAction, of: &Of<'_>, out: &mut Findings) -> Option<HttpCheck> {
    let port = of.port(&raw.port, "httpGet.port", out);
    let tls = match raw.scheme.as_deref() {
        None | Some("" | "HTTP") => Some(false),
        Some("HTTPS") => Some(true),
        Some(other) => out.invalid(of.at("httpGet.scheme"), format!("`{other}`"), "`HTTP` or `HTTPS`"),
    };
    let path = path(raw.path.as_deref().unwrap_or_default(), of, out);
    let fields = fields(raw.http_headers.as_deref().unwrap_or_default(), of, out);
    let host = match of.elsewhere(&raw.host) {
        Some(host) if host.parse::<IpAddr>().is_err() && Host::parse(host).is_err() => {
            return out.invalid(of.at("httpGet.host"), format!("`{host}`"), "a host name or an IP address");
        }
        Some(host) => {
            let found = format!("`{host}`: probes connect to the pod's own IP, and to no other address; it is asked for as `Host`");
            out.not_served(of.at("httpGet.host"), found, "write it as `Host` in httpHeaders");
            Some(host.into())
        }
        None => None,
    };
    Some(HttpCheck { tls: tls?, port: port?, host, path: path?, fields: fields? })
}

/// A path as it is sent: with its query, without a fragment, percent-encoded where it must be (RFC 3986 section 3.3).
fn path(text: &str, of: &Of<'_>, out: &mut Findings) -> Option<Box<str>> {
    if text.chars().any(char::is_control) {
        let found = format!("`{}`", text.escape_debug());
        return out.invalid(of.at("httpGet.path"), found, "a path without control characters");
    }
    let text = text.split('#').next().unwrap_or_default();
    let mut sent = String::from(if text.starts_with('/') { "" } else { "/" });
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            sent.push(byte.into());
        } else {
            sent.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(sent.into())
}

/// Values may be passwords: none is quoted.
fn fields(raw: &[core::HTTPHeader], of: &Of<'_>, out: &mut Findings) -> Option<Box<[Line]>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut lines = Vec::new();
    for (index, field) in raw.iter().enumerate() {
        let at = |what| of.at(format_args!("httpGet.httpHeaders[{index}].{what}"));
        if field.name.is_empty() || !field.name.bytes().all(is_token) {
            return out.invalid(at("name"), format!("`{}`", field.name.escape_debug()), "the name of a field");
        }
        if field.value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return out.invalid(at("value"), "a control character", "text in one line");
        }
        lines.push(Line { name: field.name.as_str().into(), value: field.value.as_str().into() });
    }
    Some(lines.into())
}
