//! The external plane's services: only those that an external route names, without any endpoint that a seal covers.
//!
//! Invariant: an external service carries a part of what the internal one carries, never more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use config::object::ServiceKey;

use super::World;
use crate::snapshot::{Endpoint, PortName, Service};

/// Services as the outside may reach them, in the order that external routes count by.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    names: Vec<PortName>,
    by_service: BTreeMap<ServiceKey, Vec<usize>>,
    services: Vec<Arc<Service>>,
    /// Endpoints that were left out, and which seal covers them.
    dropped: BTreeMap<PortName, Vec<(SocketAddr, String)>>,
    changed: bool,
}

impl Outside {
    /// Starts anew with these service ports; one that was there keeps its `Arc` when it is the same.
    pub(crate) fn renew(&mut self, names: Vec<PortName>, world: &World) {
        let old: BTreeMap<PortName, Arc<Service>> = self.names.drain(..).zip(self.services.drain(..)).collect();
        self.by_service.clear();
        self.dropped.clear();
        for (at, name) in names.iter().enumerate() {
            self.by_service.entry(name.service.clone()).or_default().push(at);
            let service = self.filtered(name, world, old.get(name));
            self.services.push(service);
        }
        self.names = names;
        self.changed = true;
    }

    /// Filters these services again.
    pub(crate) fn refilter(&mut self, services: &BTreeSet<ServiceKey>, world: &World) {
        // The shorter list is walked: few services changed, or few are outside.
        let touched: Vec<usize> = if services.len() < self.by_service.len() {
            services.iter().filter_map(|key| self.by_service.get(key)).flatten().copied().collect()
        } else {
            self.by_service.iter().filter(|(key, _)| services.contains(*key)).flat_map(|(_, at)| at).copied().collect()
        };
        touched.into_iter().for_each(|at| self.again(at, world));
    }

    fn again(&mut self, at: usize, world: &World) {
        let (name, old) = (self.names[at].clone(), self.services[at].clone());
        let service = self.filtered(&name, world, Some(&old));
        if !Arc::ptr_eq(&service, &old) {
            self.services[at] = service;
            self.changed = true;
        }
    }

    fn filtered(&mut self, name: &PortName, world: &World, old: Option<&Arc<Service>>) -> Arc<Service> {
        let place = world.services.get(&name.service).and_then(|entry| entry.tcp(name.port)).and_then(|port| port.place);
        let Some(inside) = place.map(|place| world.inside(place)) else {
            // A route to a port that is gone is compiled again before anyone sees this.
            let nothing = || Service { name: name.clone(), slot: 0, affinity_s: None, proxy_protocol: None, endpoints: Box::default() };
            return old.cloned().unwrap_or_else(|| Arc::new(nothing()));
        };
        let (mut endpoints, mut dropped) = (Vec::with_capacity(inside.endpoints.len()), Vec::new());
        for endpoint in &inside.endpoints {
            match world.covered_by(endpoint.replica.address) {
                Some(seal) => dropped.push((endpoint.replica.address, seal)),
                None => endpoints.push(endpoint.clone()),
            }
        }
        if dropped.is_empty() {
            self.dropped.remove(name);
        } else {
            self.dropped.insert(name.clone(), dropped);
        }
        let same = |old: &&Arc<Service>| old.same_manner(inside) && ids(&old.endpoints).eq(ids(&endpoints));
        match old.filter(same) {
            Some(old) => old.clone(),
            None => Arc::new(inside.with_endpoints(endpoints.into())),
        }
    }

    /// The array, when it changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Arc<[Arc<Service>]>> {
        std::mem::take(&mut self.changed).then(|| Arc::from(self.services.as_slice()))
    }

    /// The service as the outside may reach it.
    pub(crate) fn service(&self, name: &PortName) -> Option<&Arc<Service>> {
        let at = self.by_service.get(&name.service)?.iter().find(|&&at| self.names[at] == *name)?;
        self.services.get(*at)
    }

    /// Endpoints that were left out, by service port.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&PortName, &Vec<(SocketAddr, String)>)> {
        self.dropped.iter()
    }
}

fn ids(endpoints: &[Endpoint]) -> impl Iterator<Item = crate::snapshot::EndpointId> {
    endpoints.iter().map(|endpoint| endpoint.id)
}

impl World {
    /// The seal that covers an address, if one does.
    fn covered_by(&self, address: SocketAddr) -> Option<String> {
        let sealed = |key: &&ServiceKey| self.services.get(*key).is_some_and(|entry| entry.seal.is_some());
        let service = self.at.having(address).filter(sealed).min().map(|key| format!("Service {key}"));
        service.or_else(|| self.sealed.having(address).min().map(ToString::to_string))
    }
}
