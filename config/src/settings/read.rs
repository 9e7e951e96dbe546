//! The keys of `tidegate.yaml`, each with what it accepts.
//!
//! All that is wrong is reported at once. A key without a value counts as not given.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::value::{self, Unfit};
use super::{AccessLog, Docker, ExitWith, ExposureMode, Limits, LogFormat, Outlier, ProxiedListener, Settings};
use crate::manifest::document::Document;
use crate::problem::{Problem, Reason};

pub(super) const KEYS: &str = "manifests, docker, http, https, internalHttp, admin, metrics, serviceCidr, claimServiceCidr, internalCidrs, trustedProxies, stateDir, workers, \
                    exitWith, log, accessLog, exposure, ingress, tls, proxyProtocol, external, nodeName, zone, externalName, dns, \
                    slowStartMs, outlier, limits";
pub(super) const LIMITS: &str = "headBytes, headers, headTimeoutMs, idleTimeoutMs, connectTimeoutMs, drainDeadlineMs, idlePerReplica, \
                    endpointWaitMs, connectionWaitMs, waitingRequests, replicaDrainMs, vanishedMs, retryBudgetPercent, \
                    connections, connectionsPerClient, shedLagMs, \
                    udpIdleTimeoutMs, udpFlows";
pub(super) const DOCKER: &str = "enabled, socket, network, projects";
pub(super) const OUTLIER: &str = "consecutiveFailures, intervalMs, baseEjectionMs, maxEjectionMs, maxEjectedPercent, panicPercent, \
                    successRateFactor, successRateEndpoints, successRateRequests";
pub(super) const DNS: &str = "dns.servers, dns.listen, dns.zone, dns.search, dns.ttlS, dns.forward";
/// Who changes a Service does not want to wait for longer.
const MOST_TTL_S: u64 = 3600;
/// A day and an hour; longer is more likely a wrong unit than a wish.
const MOST_MS: u64 = 25 * 3_600_000;
/// The most that the system takes for what is idle, 32,767 s, is a little more.
const MOST_VANISHED_MS: u64 = 9 * 3_600_000;

pub(super) fn settings(documents: Vec<Document>) -> Result<Settings, Vec<Problem>> {
    let mut out = Wrong(Vec::new());
    let mut settings = Settings::default();
    for (index, document) in documents.into_iter().enumerate() {
        if index > 0 {
            out.add("", "a second document", &Unfit::new("one document", "remove it, and the `---` before it"));
            break;
        }
        for key in &document.repeated {
            out.add(&key.path, "the key is given twice", &Unfit::new("each key once", "remove one of the two"));
        }
        match document.value {
            Value::Object(keys) => top(keys, &mut settings, &mut out),
            other => {
                let fix = "write one `KEY: VALUE` on each line, such as `http: 127.0.0.1:8080`";
                out.add("", format!("`{other}`"), &Unfit::new("keys and values", fix));
            }
        }
    }
    if out.0.is_empty() { Ok(settings) } else { Err(out.0) }
}

/// What is wrong so far.
struct Wrong(Vec<Problem>);

impl Wrong {
    fn add(&mut self, key: impl Display, found: impl Into<String>, unfit: &Unfit) {
        let key = key.to_string();
        let problem = Problem::error(Reason::Invalid, found).expected(&*unfit.expected).fix(&*unfit.fix);
        self.0.push(if key.is_empty() { problem } else { problem.at(key) });
    }

    fn unknown(&mut self, key: impl Display, known: &str) {
        let problem = Problem::error(Reason::UnknownField, "an unknown key").at(key.to_string());
        self.0.push(problem.expected(format!("one of {known}")).fix("correct its spelling and its place (docs/settings.md), or remove it"));
    }

    /// The value, when it fits.
    fn fit<T>(&mut self, key: &str, value: &Value, fits: Result<T, Unfit>) -> Option<T> {
        fits.map_err(|unfit| self.add(key, format!("`{value}`"), &unfit)).ok()
    }
}

fn top(keys: Map<String, Value>, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in keys.into_iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "manifests" => set(&mut to.manifests, texts(&key, &value, out).map(|list| list.into_iter().map(PathBuf::from).collect())),
            "docker" => docker(value, &mut to.docker, out),
            "http" => set(&mut to.http, listener(&key, &value, out)),
            "https" => set(&mut to.https, listener(&key, &value, out)),
            "internalHttp" => set(&mut to.internal_http, listener(&key, &value, out)),
            "admin" => set(&mut to.admin, listener(&key, &value, out)),
            "metrics" => set(&mut to.metrics, listener(&key, &value, out)),
            "serviceCidr" => set(&mut to.service_cidr, text(&key, &value, out).and_then(|text| out.fit(&key, &value, value::cidr(text)))),
            "claimServiceCidr" => set(&mut to.claim_service_cidr, truth(&key, &value, out)),
            "internalCidrs" => set(&mut to.internal_cidrs, cidrs(&key, &value, out)),
            "trustedProxies" => set(&mut to.trusted_proxies, cidrs(&key, &value, out)),
            "stateDir" => set(&mut to.state_dir, text(&key, &value, out).map(|path| Some(path.into()))),
            "workers" => set(&mut to.workers, number(&key, &value, value::WORKERS, out).map(|count| count as usize)),
            "exitWith" => set(&mut to.exit_with, exit_with(&key, &value, out).map(Some)),
            "log" => set(&mut to.log, word(&key, &value, &[("text", LogFormat::Text), ("json", LogFormat::Json)], out)),
            "accessLog" => set(&mut to.access_log, text(&key, &value, out).map(AccessLog::from)),
            "exposure" => exposure(value, to, out),
            "ingress" => ingress(value, to, out),
            "tls" => tls(value, to, out),
            "proxyProtocol" => set(&mut to.proxy_protocol, words(&key, &value, &ProxiedListener::ALL, out)),
            "external" => external(value, to, out),
            "nodeName" => set(&mut to.node_name, text(&key, &value, out).map(|name| Some(name.to_owned()))),
            "zone" => set(&mut to.zone, text(&key, &value, out).map(|name| Some(name.to_owned()))),
            "externalName" => external_name(value, to, out),
            "dns" => dns(value, to, out),
            "slowStartMs" => set(&mut to.slow_start_ms, number(&key, &value, 0..=MOST_MS, out)),
            "outlier" => outlier(value, &mut to.outlier, out),
            "limits" => limits(value, &mut to.limits, out),
            _ => out.unknown(key, KEYS),
        }
    }
}

fn docker(value: Value, to: &mut Docker, out: &mut Wrong) {
    for (key, value) in group("docker", value, out) {
        let place = format!("docker.{key}");
        match key.as_str() {
            "enabled" => set(&mut to.enabled, truth(&place, &value, out)),
            "socket" => set(&mut to.socket, text(&place, &value, out).map(PathBuf::from)),
            "network" => set(&mut to.network, text(&place, &value, out).map(|name| Some(name.to_owned()))),
            "projects" => set(&mut to.projects, texts(&place, &value, out)),
            _ => out.unknown(place, DOCKER),
        }
    }
}

fn exposure(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("exposure", value, out) {
        let place = format!("exposure.{key}");
        let modes = [("standard", ExposureMode::Standard), ("strict", ExposureMode::Strict)];
        match key.as_str() {
            "mode" => set(&mut to.exposure_mode, word(&place, &value, &modes, out)),
            _ => out.unknown(place, "exposure.mode"),
        }
    }
}

fn ingress(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("ingress", value, out) {
        let place = format!("ingress.{key}");
        match key.as_str() {
            "classes" => set(&mut to.ingress_classes, texts(&place, &value, out)),
            _ => out.unknown(place, "ingress.classes"),
        }
    }
}

fn tls(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("tls", value, out) {
        let place = format!("tls.{key}");
        match key.as_str() {
            "defaultSecret" => {
                let secret = text(&place, &value, out).and_then(|text| out.fit(&place, &value, value::secret(text)));
                set(&mut to.tls_default_secret, secret.map(Some));
            }
            _ => out.unknown(place, "tls.defaultSecret"),
        }
    }
}

fn external(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("external", value, out) {
        let place = format!("external.{key}");
        match key.as_str() {
            "addresses" => set(&mut to.external_addresses, each(&place, &value, value::ip, out)),
            _ => out.unknown(place, "external.addresses"),
        }
    }
}

fn external_name(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("externalName", value, out) {
        let place = format!("externalName.{key}");
        match key.as_str() {
            "allow" => set(&mut to.external_names, each(&place, &value, value::host, out)),
            "allowInside" => set(&mut to.external_names_inside, each(&place, &value, value::host, out)),
            _ => out.unknown(place, "externalName.allow, externalName.allowInside"),
        }
    }
}

fn dns(value: Value, to: &mut Settings, out: &mut Wrong) {
    for (key, value) in group("dns", value, out) {
        let place = format!("dns.{key}");
        match key.as_str() {
            "servers" => set(&mut to.dns_servers, each(&place, &value, value::server, out)),
            "listen" if value.as_str() == Some("none") => to.dns.listen.clear(),
            "listen" => set(&mut to.dns.listen, each(&place, &value, value::bound, out)),
            "zone" => set(&mut to.dns.zone, text(&place, &value, out).and_then(|text| out.fit(&place, &value, value::zone(text)))),
            "search" => set(&mut to.dns.search, each(&place, &value, value::namespace, out)),
            "ttlS" => set(&mut to.dns.ttl_s, number(&place, &value, 0..=MOST_TTL_S, out).map(|seconds| seconds as u32)),
            "forward" => set(&mut to.dns.forward, flag(&place, &value, out)),
            _ => out.unknown(place, DNS),
        }
    }
}

fn outlier(value: Value, to: &mut Outlier, out: &mut Wrong) {
    for (key, value) in group("outlier", value, out) {
        let place = format!("outlier.{key}");
        let mut within = |range| number(&place, &value, range, out);
        // No number here is larger than a million.
        let mut small = |range| within(range).map(|number| number as u32);
        match key.as_str() {
            "consecutiveFailures" => set(&mut to.consecutive_failures, small(0..=1_000_000)),
            "intervalMs" => set(&mut to.interval_ms, within(1..=MOST_MS)),
            "baseEjectionMs" => set(&mut to.base_ejection_ms, within(1..=MOST_MS)),
            "maxEjectionMs" => set(&mut to.max_ejection_ms, within(1..=MOST_MS)),
            "maxEjectedPercent" => set(&mut to.max_ejected_percent, small(0..=100)),
            "panicPercent" => set(&mut to.panic_percent, small(0..=100)),
            "successRateFactor" => set(&mut to.success_rate_factor, small(0..=1_000_000)),
            "successRateEndpoints" => set(&mut to.success_rate_endpoints, small(2..=1_000_000)),
            "successRateRequests" => set(&mut to.success_rate_requests, small(1..=1_000_000)),
            _ => out.unknown(place, OUTLIER),
        }
    }
}

fn limits(value: Value, to: &mut Limits, out: &mut Wrong) {
    for (key, value) in group("limits", value, out) {
        let place = format!("limits.{key}");
        let mut within = |range| number(&place, &value, range, out);
        match key.as_str() {
            "headBytes" => set(&mut to.head_bytes, within(1024..=16 << 20).map(|bytes| bytes as usize)),
            "headers" => set(&mut to.headers, within(1..=10_000).map(|count| count as usize)),
            "headTimeoutMs" => set(&mut to.head_timeout_ms, within(1..=MOST_MS)),
            "idleTimeoutMs" => set(&mut to.idle_timeout_ms, within(1..=MOST_MS)),
            "connectTimeoutMs" => set(&mut to.connect_timeout_ms, within(1..=MOST_MS)),
            "drainDeadlineMs" => set(&mut to.drain_deadline_ms, within(0..=MOST_MS)),
            "endpointWaitMs" => set(&mut to.endpoint_wait_ms, within(0..=MOST_MS)),
            "connectionWaitMs" => set(&mut to.connection_wait_ms, within(0..=MOST_MS)),
            "waitingRequests" => set(&mut to.waiting_requests, within(0..=1_000_000).map(|count| count as usize)),
            "replicaDrainMs" => set(&mut to.replica_drain_ms, within(0..=MOST_MS)),
            // The system counts the silence of what is idle in seconds.
            "vanishedMs" => set(&mut to.vanished_ms, within(1000..=MOST_VANISHED_MS)),
            "retryBudgetPercent" => set(&mut to.retry_budget_percent, within(0..=100)),
            "udpIdleTimeoutMs" => set(&mut to.udp_idle_timeout_ms, within(1..=MOST_MS)),
            "udpFlows" => set(&mut to.udp_flows, within(1..=1_000_000).map(|count| count as usize)),
            "connections" => set(&mut to.connections, within(0..=10_000_000).map(|count| count as usize)),
            "connectionsPerClient" => set(&mut to.connections_per_client, within(0..=1_000_000).map(|count| count as u32)),
            "shedLagMs" => set(&mut to.shed_lag_ms, within(0..=MOST_MS)),
            "idlePerReplica" => set(&mut to.idle_per_replica, within(0..=100_000).map(|count| count as usize)),
            _ => out.unknown(place, LIMITS),
        }
    }
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// The keys below `key`, without those that have no value.
fn group(key: &str, value: Value, out: &mut Wrong) -> impl Iterator<Item = (String, Value)> + use<> {
    let keys = match value {
        Value::Object(keys) => keys,
        other => {
            out.add(key, format!("`{other}`"), &Unfit::new("keys and values below it", "write its keys on lines of their own, indented"));
            Map::new()
        }
    };
    keys.into_iter().filter(|(_, value)| !value.is_null())
}

fn text<'v>(key: &str, value: &'v Value, out: &mut Wrong) -> Option<&'v str> {
    let text = value.as_str().filter(|text| !text.is_empty());
    out.fit(key, value, text.ok_or_else(|| Unfit::new("text", "write text, in quotes where YAML would read something else")))
}

fn texts(key: &str, value: &Value, out: &mut Wrong) -> Option<Vec<String>> {
    let Some(list) = value.as_array() else {
        out.add(key, format!("`{value}`"), &Unfit::new("a list", "write `[a, b]`, or a line `- a` for each"));
        return None;
    };
    let read = |(index, value)| text(&format!("{key}[{index}]"), value, out).map(str::to_owned);
    list.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn truth(key: &str, value: &Value, out: &mut Wrong) -> Option<bool> {
    out.fit(key, value, value.as_bool().ok_or_else(|| Unfit::new("`true` or `false`", "write one of these words, without quotes")))
}

fn word<T: Copy>(key: &str, value: &Value, words: &[(&str, T)], out: &mut Wrong) -> Option<T> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|&(_, meaning)| meaning);
    let expected = || words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    out.fit(key, value, found.ok_or_else(|| Unfit::new(expected(), "write one of these words, spelled as here")))
}

fn words<T: Copy>(key: &str, value: &Value, words: &[(&str, T)], out: &mut Wrong) -> Option<Vec<T>> {
    texts(key, value, out)?;
    let values = value.as_array().into_iter().flatten().enumerate();
    // All wrong ones are told, not the first alone.
    let read: Vec<Option<T>> = values.map(|(index, value)| word(&format!("{key}[{index}]"), value, words, out)).collect();
    read.into_iter().collect()
}

/// Also in quotes, as it comes out of a template.
fn flag(key: &str, value: &Value, out: &mut Wrong) -> Option<bool> {
    let said = value.as_bool().or_else(|| value.as_str()?.parse().ok());
    out.fit(key, value, said.ok_or_else(|| Unfit::new("`true` or `false`", "write one of these words")))
}

fn number(key: &str, value: &Value, range: RangeInclusive<u64>, out: &mut Wrong) -> Option<u64> {
    out.fit(key, value, value::number(value.as_u64(), range))
}

fn listener(key: &str, value: &Value, out: &mut Wrong) -> Option<Option<SocketAddr>> {
    out.fit(key, value, value::address(value.as_str().unwrap_or_default()))
}

/// A number needs no quotes.
fn exit_with(key: &str, value: &Value, out: &mut Wrong) -> Option<ExitWith> {
    let text = value.as_u64().map(|pid| pid.to_string()).or_else(|| value.as_str().map(str::to_owned));
    out.fit(key, value, ExitWith::parse(&text.unwrap_or_default()))
}

fn cidrs(key: &str, value: &Value, out: &mut Wrong) -> Option<Vec<IpNet>> {
    each(key, value, value::cidr, out)
}

/// A list of which each entry fits.
fn each<T>(key: &str, value: &Value, fits: fn(&str) -> Result<T, Unfit>, out: &mut Wrong) -> Option<Vec<T>> {
    let list = texts(key, value, out)?;
    let read = |(index, (text, value)): (usize, (&String, &Value))| out.fit(&format!("{key}[{index}]"), value, fits(text));
    let values = value.as_array().into_iter().flatten();
    list.iter().zip(values).enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}
