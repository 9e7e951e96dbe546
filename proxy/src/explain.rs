//! What would happen to a request, and why: the answer that serving would give, with what an operator wants to know beside it.
//!
//! Invariant: the verdict comes from the very code that serves traffic. The question is written as the bytes a client would send, read
//! by the same strict reader, and decided by [`decide`]; nothing here has an opinion of its own. It is for the operator: unlike the
//! client, who sees `no-route` and no more, it may say what the other plane holds.

mod filtered;
mod near;
mod question;
mod unready;
#[cfg(test)]
pub(crate) mod worlds;

use std::net::SocketAddr;

use config::exposure::Exposure;
use config::filter::{Balance, HashBy};
use config::host;
use config::settings::Limits;
use registry::client::Demand;
use registry::event::ListenerState;
use registry::snapshot::{Plane, Service, ServiceListener, Snapshot, Way};
use serde::{Deserialize, Serialize};

pub use question::{BadQuestion, Question};
pub use unready::unready;

use crate::http::decide::{Decision, decide, refused_exposure};
use crate::http::head::{HeadLimits, RequestHead};
use crate::reason::Reason;
use crate::tls;

/// What would happen. Field names are a contract with scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The URL, as asked.
    pub url: String,
    /// The method, as asked.
    pub method: String,
    /// `external` or `internal`.
    pub from: String,
    /// The listener that takes it, as `NAME ADDRESS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// Host as routing sees it; empty when the request has none.
    pub host: String,
    /// Path as routing sees it.
    pub path: String,
    /// `forward` or `refuse`.
    pub outcome: Outcome,
    /// Status of our own answer; absent when a replica answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Reason of our own answer (docs/reasons.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The outcome in a sentence.
    pub why: String,
    /// The rule that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<ExplainedRoute>,
    /// What annotations ask of its requests and answers, a line each, in the order in which a request meets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// `NAMESPACE/NAME:PORT` that it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How an endpoint is picked, and who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// How much the Service carries at once, where its annotations bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<String>,
    /// Addresses that may be picked; where some are near, these first.
    pub endpoints: Vec<SocketAddr>,
    /// What nearly took it, and other things worth knowing.
    pub notes: Vec<String>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A replica.
    Forward,
    /// Tidegate.
    #[default]
    Refuse,
}

/// A rule, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRoute {
    /// `Ingress NAMESPACE/NAME`
    pub owner: String,
    /// Host pattern.
    pub host: String,
    /// `Exact` or `Prefix`.
    pub path_type: String,
    /// Path.
    pub path: String,
}

/// Explains one request by one picture. `listeners` are those of the process, bound or (offline) asked for.
pub fn explain(snapshot: &Snapshot, listeners: &[ListenerState], question: &Question) -> Explanation {
    let mut said = Explanation {
        url: question.url.clone(),
        method: question.method.clone(),
        from: question.from.to_string(),
        ..Explanation::default()
    };
    let plane = snapshot.plane(question.from);
    let own = match question.from {
        Exposure::Internal => question.vip(&plane.listeners),
        Exposure::External => question.outward(&plane.listeners),
    };
    if let Some((address, listener)) = own {
        by_listener(plane.service(listener.service), listener, address, &mut said);
        return said;
    }
    name_listener(listeners, question, &mut said);
    let bytes = question.bytes();
    let limits = Limits::default();
    let mut head = RequestHead::new(HeadLimits { bytes: limits.head_bytes, fields: limits.headers });
    let (host, path) = match read(&bytes, &mut head) {
        Ok(read) => read,
        Err((reason, why)) => {
            said.refuse(reason, why);
            return said;
        }
    };
    said.host.clone_from(&host);
    said.path.clone_from(&path);
    if question.https && !by_certificate(snapshot.plane(question.from), question.opened().as_deref(), &host, &mut said) {
        return said;
    }
    by_route(snapshot, question, &host, &path, &mut said);
    if let Some(route) = decide(snapshot.plane(question.from), &host, &path).route() {
        filtered::explain(route, question, (&head, &bytes), &mut said);
    }
    said
}

/// Whether a connection in TLS comes about, and may carry the request.
fn by_certificate(plane: &Plane, opened: Option<&str>, host: &str, said: &mut Explanation) -> bool {
    let name = opened.unwrap_or("a client that names no host");
    let Some(offer) = plane.certificates.find(opened) else {
        said.why =
            format!("the handshake ends with the alert unrecognized_name: there is no certificate for {name}, and no tls.defaultSecret");
        return false;
    };
    let secrets: Vec<&str> = offer.certificates.iter().map(|(secret, _)| &**secret).collect();
    said.notes.push(format!("certificate for {name}: Secret {} ({})", secrets.join(" and "), offer.owner));
    match plane.certificates.demand(opened) {
        None => {}
        Some(Demand::By(policy)) => said.notes.push(format!(
            "{} show a certificate that {} vouches for",
            if policy.terms.optional { "the client may" } else { "the client must" },
            policy.terms.key()
        )),
        Some(Demand::Nobody(why)) => {
            said.why = format!("the handshake ends with the alert access_denied: {why}");
            return false;
        }
    }
    let carries = plane.certificates.carries(opened, host);
    if !carries {
        said.refuse(
            Reason::Misdirected,
            format!("{host} shows, or asks its clients for, another certificate than the connection was opened with"),
        );
    }
    carries
}

/// Reads the question as serving would read its bytes: host and path, or the refusal.
fn read(bytes: &[u8], head: &mut RequestHead) -> Result<(String, String), (Reason, String)> {
    match head.read(bytes) {
        Ok(Some(_)) => {}
        Ok(None) => return Err((Reason::BadRequest, "the request's head does not end".to_owned())),
        Err(error) if error.status() == 431 => return Err((Reason::HeadTooLarge, error.to_string())),
        Err(error) => return Err((Reason::BadRequest, error.to_string())),
    }
    let authority = head.authority().map_or(&[][..], |span| span.of(bytes));
    let mut buffer = [0; host::MAX_HOST];
    let host = match host::normalise(authority, &mut buffer) {
        Ok(host) => host.to_owned(),
        Err(_) if authority.is_empty() => String::new(),
        Err(error) => return Err((Reason::BadRequest, error.to_string())),
    };
    let path = std::str::from_utf8(head.path().of(bytes)).unwrap_or("/").to_owned();
    Ok((host, path))
}

fn by_route(snapshot: &Snapshot, question: &Question, host: &str, path: &str, said: &mut Explanation) {
    let from = question.from;
    let plane = snapshot.plane(from);
    match decide(plane, host, path) {
        Decision::Forward { route, service } => {
            said.take(route);
            let opened = question.opened();
            let asked_by = plane.certificates.demand(opened.as_deref()).filter(|_| question.https).and_then(Demand::terms);
            match tls::admits(route.client.as_deref(), question.https, asked_by) {
                Ok(()) => said.forward(service, route.filters.as_deref().and_then(|filters| filters.balance.as_ref()), "least-busy"),
                Err(reason) => said.refuse(reason, "its clients must have shown a certificate in a TLS handshake for its host".to_owned()),
            }
        }
        Decision::NoEndpoint { route, service, why } => {
            said.take(route);
            said.service = service.map(|service| service.name.to_string());
            said.refuse(Reason::NoEndpoint, why.to_owned());
        }
        Decision::NoRoute(miss) => {
            said.refuse(Reason::NoRoute, format!("no rule of the {from} plane takes this host and path"));
            said.notes.extend(near::missed(plane, miss, host, path));
        }
    }
    said.notes.extend(refusal(plane, host, path, said.outcome));
    if said.reason.as_deref() == Some(Reason::NoRoute.as_str()) {
        said.notes.extend(near::on_the_other_plane(snapshot, from, host, path));
    }
}

/// A rule that was refused exposure and would have taken the request, or did not get to.
fn refusal(plane: &Plane, host: &str, path: &str, outcome: Outcome) -> Option<String> {
    let why = refused_exposure(plane, host, path)?;
    Some(match outcome {
        Outcome::Refuse => format!("not-exposed: {why}"),
        Outcome::Forward => format!("another rule for this host and path is not-exposed: {why}"),
    })
}

fn by_listener(service: &Service, listener: &ServiceListener, address: SocketAddr, said: &mut Explanation) {
    said.listener = Some(format!("{} {address}", listener.shown()));
    said.host = address.ip().to_string();
    if !listener.sources.is_empty() {
        let sources: Vec<String> = listener.sources.iter().map(ToString::to_string).collect();
        said.notes.push(format!("only clients inside {} may connect; all others are reset", sources.join(", ")));
    }
    if service.endpoints.is_empty() {
        said.service = Some(service.name.to_string());
        said.why = "no endpoint of the service is ready: the connection is accepted and reset".to_owned();
        said.reason = Some(Reason::NoEndpoint.as_str().to_owned());
    } else {
        let read = listener.way == Way::Vip && service.app.is_plain_http();
        said.forward(service, None, if read { "least-busy" } else { "least-request" });
        said.notes.push(match read {
            true => "its appProtocol says HTTP: each request is balanced, retried and logged by itself".to_owned(),
            false => "a Service's own port is opaque TCP: host and path play no part".to_owned(),
        });
        if let (false, Some(Balance::Hash(by))) = (read, &service.balance)
            && *by != HashBy::ClientIp
            && service.affinity_s.is_none()
        {
            said.balance = Some("least-request (what the Service hashes by, bytes do not have)".to_owned());
        }
    }
}

/// Which listener the URL means. A port that none has is explained all the same: something in front may map it.
fn name_listener(listeners: &[ListenerState], question: &Question, said: &mut Explanation) {
    let name = match (question.from, question.https) {
        (Exposure::External, false) => "http",
        (Exposure::External, true) => "https",
        (Exposure::Internal, false) => "internal-http",
        (Exposure::Internal, true) => return said.notes.push("TLS is served outside alone".to_owned()),
    };
    let Some(listener) = listeners.iter().find(|listener| &*listener.name == name) else {
        said.notes.push(format!("no `{name}` listener is configured: nobody {} can ask this yet", question.from.side()));
        return;
    };
    said.listener = Some(format!("{name} {}", listener.address));
    if let Some(error) = &listener.error {
        said.notes.push(format!("listener {name} is not bound: {error}"));
    }
    let port = question.port();
    if port.is_some_and(|port| port != listener.address.port() && listener.address.port() != 0) {
        said.notes
            .push(format!("listener {name} is on {}, not on the URL's port: this holds if that port is mapped to it", listener.address));
    }
}

/// Where a client of this exposure is.
trait Side {
    fn side(self) -> &'static str;
}

impl Side for Exposure {
    fn side(self) -> &'static str {
        match self {
            Exposure::External => "outside",
            Exposure::Internal => "inside",
        }
    }
}

impl Explanation {
    fn take(&mut self, route: &registry::route::Route) {
        self.route = Some(ExplainedRoute {
            owner: route.owner.to_string(),
            host: route.host.to_string(),
            path_type: format!("{:?}", route.path_type),
            path: route.path.to_string(),
        });
    }

    /// `asked` is how the route wants it, `else_by` what happens where nobody says anything.
    fn forward(&mut self, service: &Service, asked: Option<&Balance>, else_by: &str) {
        self.outcome = Outcome::Forward;
        self.service = Some(service.name.to_string());
        self.endpoints = service.endpoints.iter().map(|endpoint| endpoint.replica.address).collect();
        self.why = format!("a replica of {} answers", service.name);
        self.balance = Some(match (service.affinity_s, asked, &service.balance) {
            (Some(_), ..) => "client-ip (sessionAffinity of the Service)".to_owned(),
            (None, Some(balance), _) => format!("{balance} (annotation of the Ingress)"),
            (None, None, Some(balance)) => format!("{balance} (annotation of the Service)"),
            (None, None, None) => else_by.to_owned(),
        });
        self.bounds = service.bounded.as_ref().map(|bounded| format!("{} (annotations of the Service)", bounded.most));
        let (near, far) = service.by_nearness();
        if !far.is_empty() {
            let (near, all) = (near.len(), service.endpoints.len());
            self.notes
                .push(format!("the first {near} of {all} endpoints are near: others are picked when these are too busy (docs/balance.md)"));
        }
        if let Some(host) = &service.host {
            self.notes.push(format!("the replica is asked for Host {host} (ExternalName)"));
        }
        if let Some(seconds) = service.affinity_s {
            self.notes.push(format!("a client keeps its endpoint until {seconds} s after its last use (sessionAffinity: ClientIP)"));
        }
    }

    fn refuse(&mut self, reason: Reason, why: String) {
        self.outcome = Outcome::Refuse;
        self.status = Some(reason.status());
        self.reason = Some(reason.as_str().to_owned());
        self.why = why;
    }
}

#[cfg(test)]
mod tests;
