//! What each port of a Service speaks to its replicas: `appProtocol`, and for TLS the Secrets that its annotations name.
//!
//! Invariant: fail closed. While a Secret that is named is not there, or holds not what it is named for, a port that speaks TLS has no
//! endpoint. A change of a Secret builds only the Services again that name it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::exposure::{UPSTREAM_CA, UPSTREAM_CERTIFICATE, UPSTREAM_NAME};
use config::object::{AppProtocol, Kind, Name, Object, ObjectKey, Secret, Service, ServiceKey};
use config::problem::{Problem, Reason};
use rustls::pki_types::ServerName;

use super::World;
use super::certificates::Secrets;
use crate::speech::{self, Speech, UpstreamTls};

/// Every Secret that is read, and the Services that name one.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) secrets: Secrets,
    named: BTreeMap<ObjectKey, BTreeSet<ServiceKey>>,
}

impl Terms {
    /// Puts a Secret, or takes it away. The Services that name it are in the answer.
    pub(super) fn set_secret(&mut self, key: ObjectKey, after: Option<Arc<Object>>) -> Vec<ServiceKey> {
        let naming = self.named.get(&key).into_iter().flatten().cloned().collect();
        match after {
            Some(secret) => _ = self.secrets.insert(key, secret),
            None => _ = self.secrets.remove(&key),
        }
        naming
    }

    /// Notes which Secrets a Service names.
    pub(super) fn set_service(&mut self, key: &ServiceKey, before: Option<&Object>, after: Option<&Object>) {
        for secret in secrets_of(before) {
            if let Some(naming) = self.named.get_mut(&secret) {
                naming.remove(key);
                if naming.is_empty() {
                    self.named.remove(&secret);
                }
            }
        }
        for secret in secrets_of(after) {
            self.named.entry(secret).or_default().insert(key.clone());
        }
    }

    fn secret(&self, key: &ObjectKey) -> Option<&Secret> {
        match &**self.secrets.get(key)? {
            Object::Secret(secret) => Some(secret),
            _ => None,
        }
    }
}

fn secrets_of(object: Option<&Object>) -> impl Iterator<Item = ObjectKey> {
    let service = if let Some(Object::Service(service)) = object { Some(service) } else { None };
    service.into_iter().flat_map(|service| {
        let names = [&service.upstream.ca, &service.upstream.certificate];
        names.into_iter().flatten().map(|name| secret_of(service, name))
    })
}

/// Names a Secret of the Service's namespace.
fn secret_of(service: &Service, name: &Name) -> ObjectKey {
    ObjectKey { kind: Kind::Secret, namespace: service.meta.namespace.clone(), name: name.clone() }
}

impl World {
    /// Puts a Secret, or takes it away.
    pub(crate) fn set_secret(&mut self, key: ObjectKey, after: Option<Arc<Object>>) {
        self.dirty.extend(self.terms.set_secret(key, after));
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
        let upstream = &service.upstream;
        let authorities = upstream.ca.as_ref().map(|name| {
            let found = self.terms.secret(&secret_of(service, name)).and_then(|secret| secret.ca.clone());
            found.ok_or_else(|| problems.push(absent(service, name, UPSTREAM_CA, "ca.crt")))
        });
        let certificate = upstream.certificate.as_ref().map(|name| {
            let found = self.terms.secret(&secret_of(service, name)).and_then(|secret| secret.certificate.clone());
            found.ok_or_else(|| problems.push(absent(service, name, UPSTREAM_CERTIFICATE, "tls.crt` and `tls.key")))
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

fn absent(service: &Service, name: &Name, key: &str, parts: &str) -> Problem {
    let namespace = &service.meta.namespace;
    let found = format!("there is no Secret {namespace}/{name} with `{parts}`: the ports that speak TLS have no endpoint");
    Problem::error(Reason::NotFound, found)
        .at(field(key))
        .expected(format!("a Secret in namespace {namespace} with `{parts}`"))
        .fix("write it, or correct the name")
}

fn nobody_believed() -> Problem {
    let found = "the system has no certificate authorities, so that no replica that speaks TLS can be verified";
    let problem = Problem::warning(Reason::NotFound, found).at("spec.ports");
    problem.fix(format!("name a Secret with `ca.crt` by the annotation `{UPSTREAM_CA}`, or install the system's `ca-certificates`"))
}
