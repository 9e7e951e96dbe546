//! Which certificate a host is served with, and what its clients must show: a hash on the exact host, then its one-label wildcard, then
//! what serves every host.
//!
//! Invariant: the first that asks for a host has it, and keeps others off it; a host may have one certificate for each kind of key.
//! Nothing here knows Kubernetes objects, exposure or sockets.

use std::collections::HashMap;
use std::sync::Arc;

use config::host::{Host, HostPattern};
use config::object::Name;
use config::tls::Certificate;

use crate::client::Demand;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The certificates of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The object that asked for them, as `Ingress NAMESPACE/NAME`.
    pub owner: Name,
    /// Each with its Secret, `NAMESPACE/NAME`, in the order in which they were named. Never empty.
    pub certificates: Vec<(Name, Certificate)>,
}

impl Offer {
    /// Whether both show the same: then a connection that was opened for one host may carry requests for the other.
    fn same(&self, other: &Offer) -> bool {
        let pairs = || self.certificates.iter().zip(&other.certificates);
        self.certificates.len() == other.certificates.len() && pairs().all(|((_, ours), (_, theirs))| ours == theirs)
    }
}

/// Something for each host that has it.
#[derive(Debug, PartialEq, Eq)]
struct ByHost<T> {
    exact: Map<Host, T>,
    one_label: Map<Host, T>,
    any: Option<T>,
}

impl<T> Default for ByHost<T> {
    fn default() -> ByHost<T> {
        ByHost { exact: Map::default(), one_label: Map::default(), any: None }
    }
}

impl<T> ByHost<T> {
    fn find(&self, host: Option<&str>) -> Option<&T> {
        host.and_then(|host| self.of_host(host)).or(self.any.as_ref())
    }

    fn of_host(&self, host: &str) -> Option<&T> {
        self.exact.get(host).or_else(|| self.one_label.get(host.split_once('.')?.1))
    }

    fn put(&mut self, host: HostPattern, what: T) {
        match host {
            HostPattern::Exact(host) => _ = self.exact.insert(host, what),
            HostPattern::OneLabel(suffix) => _ = self.one_label.insert(suffix, what),
            HostPattern::Any => self.any = Some(what),
        }
    }
}

/// The certificates of one plane.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CertificateTable {
    offers: ByHost<Arc<Offer>>,
    /// Every host that is served, when any asks for something.
    demands: ByHost<Option<Demand>>,
}

impl CertificateTable {
    /// What a client is shown that asks for `host` (normalised), or names none.
    pub fn find(&self, host: Option<&str>) -> Option<&Arc<Offer>> {
        self.offers.find(host)
    }

    /// What a client must show that asks for `host` (normalised), or names none.
    pub fn demand(&self, host: Option<&str>) -> Option<&Demand> {
        self.demands.find(host)?.as_ref()
    }

    /// Whether a connection that was opened for `opened` may carry a request for `host`: when a connection opened for that would have
    /// been shown the same, and been asked for the same (RFC 9110 section 15.5.20). A request without a host is for the host that was opened.
    pub fn carries(&self, opened: Option<&str>, host: &str) -> bool {
        if host.is_empty() || opened == Some(host) {
            return true;
        }
        if self.demand(opened) != self.demand(Some(host)) {
            return false;
        }
        match (self.find(opened), self.find(Some(host))) {
            (Some(shown), Some(due)) => Arc::ptr_eq(shown, due) || shown.same(due),
            _ => false,
        }
    }

    /// Whether no host has any.
    pub fn is_empty(&self) -> bool {
        let offers = &self.offers;
        offers.exact.is_empty() && offers.one_label.is_empty() && offers.any.is_none()
    }
}

/// Why a certificate was not taken for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Another object, which came first, has the host with other certificates.
    By(Name),
    /// The same object has named another with the same kind of key: this Secret.
    Before(Name),
}

/// Collects what is asked for. The first to ask for a host wins, so add the oldest first.
#[derive(Debug, Default)]
pub struct CertificateTableBuilder {
    hosts: HashMap<HostPattern, Offer>,
    demands: ByHost<Option<Demand>>,
}

impl CertificateTableBuilder {
    /// Serves `host` with a certificate for `owner`.
    ///
    /// # Errors
    /// Who has the host already, unless it has this very Secret.
    pub fn add(&mut self, owner: &Name, host: &HostPattern, secret: &Name, certificate: &Certificate) -> Result<(), Taken> {
        let offer = self.hosts.entry(host.clone()).or_insert_with(|| Offer { owner: owner.clone(), certificates: Vec::new() });
        if offer.certificates.iter().any(|(have, _)| have == secret) {
            return Ok(());
        }
        if offer.owner != *owner {
            return Err(Taken::By(offer.owner.clone()));
        }
        if let Some((first, _)) = offer.certificates.iter().find(|(_, have)| have.algorithm() == certificate.algorithm()) {
            return Err(Taken::Before(first.clone()));
        }
        offer.certificates.push((secret.clone(), certificate.clone()));
        Ok(())
    }

    /// Asks the clients of `host` for something, or for nothing.
    pub fn demand(&mut self, host: &HostPattern, demand: Option<Demand>) {
        self.demands.put(host.clone(), demand);
    }

    /// The finished table.
    pub fn build(self) -> CertificateTable {
        let mut offers = ByHost::default();
        self.hosts.into_iter().for_each(|(host, offer)| offers.put(host, Arc::new(offer)));
        CertificateTable { offers, demands: self.demands }
    }
}

#[cfg(test)]
mod tests;
