//! What each port of a Service speaks to its replicas: `appProtocol`, and for TLS the Secrets and ConfigMaps that its annotations name.
//!
//! Invariant: fail closed. While one that is named is not there, or holds not what it is named for, a port that speaks TLS has no endpoint.
//! A change of one builds only the Services again that name it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::exposure::{UPSTREAM_CA, UPSTREAM_CERTIFICATE, UPSTREAM_NAME};
use config::object::{AppProtocol, Kind, Object, ObjectKey, Service, ServiceKey};
use config::problem::{Problem, Reason};
use rustls::pki_types::ServerName;

use super::World;
use super::referents::Referents;
use crate::speech::{self, Speech, UpstreamTls};

/// Every Secret and ConfigMap that is read, and the Services that name one.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) referents: Referents,
    named: BTreeMap<ObjectKey, BTreeSet<ServiceKey>>,
}

impl Terms {
    /// Puts a Secret or ConfigMap, or takes it away. The Services that name it are in the answer.
    pub(super) fn set_referent(&mut self, key: ObjectKey, after: Option<Arc<Object>>) -> Vec<ServiceKey> {
        let naming = self.named.get(&key).into_iter().flatten().cloned().collect();
        self.referents.set(key, after);
        naming
    }

    /// Notes what a Service names.
    pub(super) fn set_service(&mut self, key: &ServiceKey, before: Option<&Object>, after: Option<&Object>) {
        for referent in named_by(before) {
            if let Some(naming) = self.named.get_mut(&referent) {
                naming.remove(key);
                if naming.is_empty() {
                    self.named.remove(&referent);
                }
            }
        }
        for referent in named_by(after) {
            self.named.entry(referent).or_default().insert(key.clone());
        }
    }
}

fn named_by(object: Option<&Object>) -> impl Iterator<Item = ObjectKey> {
    let service = if let Some(Object::Service(service)) = object { Some(service) } else { None };
    service.into_iter().flat_map(|service| believed_by(service).into_iter().chain(shown_by(service)))
}

/// What holds the authorities that a Service's replicas are verified by.
fn believed_by(service: &Service) -> Option<ObjectKey> {
    Some(service.upstream.ca.as_ref()?.key(&service.meta.namespace))
}

/// The Secret whose certificate a Service's replicas are shown.
pub(super) fn shown_by(service: &Service) -> Option<ObjectKey> {
    let name = service.upstream.certificate.clone()?;
    Some(ObjectKey { kind: Kind::Secret, namespace: service.meta.namespace.clone(), name })
}

impl World {
    /// Puts a Secret or ConfigMap, or takes it away.
    pub(crate) fn set_referent(&mut self, key: ObjectKey, after: Option<Arc<Object>>) {
        self.dirty.extend(self.terms.set_referent(key, after));
    }

    /// The terms of TLS to a Service's replicas, when a port of it needs them and they can be had; what is wrong goes to `problems`.
    /// Those that turn out as the `old` ones are the old ones.
    pub(super) fn upstream_tls(
        &self,
        service: &Service,
        old: Option<Arc<UpstreamTls>>,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<UpstreamTls>> {
        if !service.ports.iter().any(|port| port.app() == AppProtocol::Https) {
            return None;
        }
        let referents = &self.terms.referents;
        let authorities = believed_by(service).map(|key| {
            let found = referents.authorities(&key).cloned();
            found.ok_or_else(|| problems.push(absent(&key, UPSTREAM_CA, "ca.crt")))
        });
        let certificate = shown_by(service).map(|key| {
            let found = referents.secret(&key).and_then(|secret| secret.certificate.clone());
            found.ok_or_else(|| problems.push(absent(&key, UPSTREAM_CERTIFICATE, "tls.crt` and `tls.key")))
        });
        if authorities.is_none() && !speech::system_has_authorities() {
            problems.push(nobody_believed());
        }
        let name = server_name(service, problems);
        let (Ok(authorities), Ok(certificate)) = (authorities.transpose(), certificate.transpose()) else { return None };
        let made = UpstreamTls::new(name?, authorities, certificate).ok()?;
        Some(old.filter(|old| **old == made).unwrap_or_else(|| Arc::new(made)))
    }
}

/// `NAME.NAMESPACE.svc` unless something else is said.
fn server_name(service: &Service, problems: &mut Vec<Problem>) -> Option<ServerName<'static>> {
    let default = || format!("{}.{}.svc", service.meta.name, service.meta.namespace);
    let name = service.upstream.name.as_deref().map_or_else(default, str::to_owned);
    let found = format!("`{name}`, which is no name of a host");
    let problem =
        |_| problems.push(Problem::error(Reason::Invalid, found).at(field(UPSTREAM_NAME)).expected("a host name or an IP address"));
    ServerName::try_from(name).map_err(problem).ok()
}

/// How the replicas of a port are spoken to; `None`: not at all.
pub(super) fn of_port(app: AppProtocol, tls: Option<&Arc<UpstreamTls>>) -> Option<Speech> {
    match app {
        AppProtocol::Opaque | AppProtocol::Http => Some(Speech::Http1),
        AppProtocol::H2c | AppProtocol::Grpc => Some(Speech::H2c),
        AppProtocol::Https => tls.cloned().map(Speech::Tls),
    }
}

fn field(key: &str) -> String {
    format!("metadata.annotations[\"{key}\"]")
}

fn absent(key: &ObjectKey, annotation: &str, parts: &str) -> Problem {
    let found = format!("there is no {key} with `{parts}`: the ports that speak TLS have no endpoint");
    Problem::error(Reason::NotFound, found)
        .at(field(annotation))
        .expected(format!("a {} in namespace {} with `{parts}`", key.kind.as_str(), key.namespace))
        .fix("write it, or correct the name")
}

fn nobody_believed() -> Problem {
    let found = "the system has no certificate authorities, so that no replica that speaks TLS can be verified";
    let problem = Problem::warning(Reason::NotFound, found).at("spec.ports");
    problem.fix(format!(
        "name a Secret or ConfigMap with `ca.crt` by the annotation `{UPSTREAM_CA}`, or install the system's `ca-certificates`"
    ))
}
