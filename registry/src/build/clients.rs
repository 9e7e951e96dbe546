//! Which clients each host takes: what Ingresses ask of them, and the Secrets and ConfigMaps that hold whom they must be vouched for by.
//!
//! Invariant: fail closed. The oldest Ingress of a host decides for it; a younger one that asks for more than that is not served there,
//! so that nobody without its certificate gets in by another's terms. While what it names is not there, nobody gets in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::exposure::{CLIENT_CA, NGINX_TLS};
use config::host::HostPattern;
use config::object::{ClientTerms, Ingress, ObjectKey};
use config::problem::{Problem, Reason};

use super::certificates::hosts;
use super::referents::Referents;
use crate::certificate::{CertificateTable, CertificateTableBuilder};
use crate::client::{ClientPolicy, Demand};

/// The first Ingress of each host, and what it asks of clients.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    hosts: BTreeMap<HostPattern, (ObjectKey, Option<ClientTerms>)>,
}

impl Claims {
    /// Enters an Ingress; the oldest comes first.
    ///
    /// # Errors
    /// It asks for something, and an older one of the same host for something else. Then it is not entered.
    pub(super) fn enter(&mut self, key: &ObjectKey, ingress: &Ingress) -> Result<(), Problem> {
        let named = ingress.tls.iter().flat_map(|entry| entry.hosts.iter().cloned());
        let all: BTreeSet<HostPattern> = hosts(ingress).into_iter().chain(named).collect();
        let first = all.iter().filter_map(|host| self.hosts.get_key_value(host));
        if let (Some((host, (owner, theirs))), Some(_)) =
            (first.clone().find(|(_, (_, theirs))| *theirs != ingress.client), &ingress.client)
        {
            let they = if theirs.is_some() { "asks its clients for another certificate" } else { "asks its clients for no certificate" };
            let problem = Problem::error(Reason::Conflict, format!("its rules are refused: {host} is served by {owner}, which {they}"));
            return Err(problem
                .at(field(ingress))
                .expected("the same for all of a host")
                .fix("ask for the same in both; the older object serves, a manifest before labels"));
        }
        for host in all {
            self.hosts.entry(host).or_insert_with(|| (key.clone(), ingress.client.clone()));
        }
        Ok(())
    }
}

/// The annotation that asks.
fn field(ingress: &Ingress) -> String {
    if ingress.meta.annotations.contains_key(CLIENT_CA) {
        return format!("metadata.annotations[\"{CLIENT_CA}\"]");
    }
    format!("metadata.annotations[\"{NGINX_TLS}secret\"]")
}

/// What is asked of clients, by the terms that ask for it.
pub(crate) type Demands = BTreeMap<ClientTerms, Demand>;

/// What is asked of each host's clients. Nothing is entered while no Ingress asks for anything. `old` ones that are the same stay.
pub(super) fn compile(claims: &Claims, referents: &Referents, old: &Demands, builder: &mut CertificateTableBuilder) -> Demands {
    let mut demands = Demands::new();
    for terms in claims.hosts.values().filter_map(|(_, terms)| terms.as_ref()) {
        demands.entry(terms.clone()).or_insert_with(|| demand(terms, referents, old));
    }
    if !demands.is_empty() {
        for (host, (_, terms)) in &claims.hosts {
            builder.demand(host, terms.as_ref().and_then(|terms| demands.get(terms)).cloned());
        }
    }
    demands
}

fn demand(terms: &ClientTerms, referents: &Referents, old: &Demands) -> Demand {
    let key = terms.key();
    let Some(authorities) = referents.authorities(&key).filter(|_| !referents.is_sealed(&key)) else {
        return Demand::Nobody(format!("there is no {key} with `ca.crt`, or it is sealed").into());
    };
    match old.get(terms) {
        Some(Demand::By(policy)) if policy.is_of(authorities) => Demand::By(policy.clone()),
        _ => match ClientPolicy::new(terms.clone(), authorities.clone()) {
            Ok(policy) => Demand::By(Arc::new(policy)),
            Err(error) => Demand::Nobody(error.to_string().into()),
        },
    }
}

/// What the operator should know: whose clients cannot come in, and who cannot ask for a certificate.
pub(super) fn problems(claims: &Claims, demands: &Demands, table: &CertificateTable) -> Vec<(ObjectKey, Problem)> {
    let mut told = Vec::new();
    let mut closed = BTreeSet::new();
    for (host, (owner, terms)) in &claims.hosts {
        let Some(terms) = terms else { continue };
        let name = match host {
            HostPattern::Exact(host) => Some(host.to_string()),
            HostPattern::OneLabel(suffix) => Some(format!("any.{suffix}")),
            HostPattern::Any => None,
        };
        if table.find(name.as_deref()).is_none() {
            let found = format!("{host} has no certificate of its own, so that no client can be asked for one: it is not served");
            let problem = Problem::error(Reason::NotFound, found).at("spec.tls");
            told.push((owner.clone(), problem.expected("an entry with the host and a Secret").fix("write one")));
        }
        if let Some(Demand::Nobody(why)) = demands.get(terms)
            && closed.insert(owner)
        {
            let problem = Problem::error(Reason::NotFound, format!("{why}: no client of its hosts is served")).at("metadata.annotations");
            let expected = format!("{} with the certificates of authorities in `ca.crt`", terms.key());
            told.push((owner.clone(), problem.expected(expected).fix("write it, or correct the name")));
        }
    }
    told
}
