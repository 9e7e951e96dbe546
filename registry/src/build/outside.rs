//! The external plane's services: only those that an external route or listener names, without any endpoint that a seal covers.
//!
//! Invariant: an external service carries a part of its port's endpoints, and none that a seal covers. Whom ejections leave in, and who is
//! asked while it terminates, is decided for that part by itself, so that it may differ from the part that is asked inside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use config::object::{ServiceKey, ServiceType};

use super::World;
use super::near::Near;
use super::places::Only;
use crate::snapshot::{PortName, Service, ServiceIndex};

/// A service port as something outside names it.
pub(crate) type Named = (PortName, Only);

/// Services as the outside may reach them, in the order that external routes count by, and then those that only listeners name.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    names: Vec<Named>,
    by_service: BTreeMap<ServiceKey, Vec<usize>>,
    services: Vec<Arc<Service>>,
    /// Endpoints that were left out, and why.
    dropped: BTreeMap<PortName, Vec<(SocketAddr, String)>>,
    changed: bool,
}

impl Outside {
    /// Starts anew with these service ports; one that was there keeps its `Arc` when it is the same.
    pub(crate) fn renew(&mut self, names: Vec<Named>, world: &World) {
        let old: BTreeMap<Named, Arc<Service>> = self.names.drain(..).zip(self.services.drain(..)).collect();
        self.by_service.clear();
        self.dropped.clear();
        for (at, name) in names.iter().enumerate() {
            self.by_service.entry(name.0.service.clone()).or_default().push(at);
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

    fn filtered(&mut self, (name, only): &Named, world: &World, old: Option<&Arc<Service>>) -> Arc<Service> {
        let port = world.services.get(&name.service).and_then(|entry| entry.port(name));
        let Some((port, place)) = port.and_then(|port| Some((port, port.place?))) else {
            // A route to a port that is gone is compiled again before anyone sees this.
            return old.cloned().unwrap_or_else(|| Arc::new(Service::unreachable(name.clone(), 0)));
        };
        let inside = world.inside(place);
        let local = world.ground.node.as_deref().filter(|_| *only == Only::Local);
        let (mut candidates, mut dropped) = (port.candidates(local), Vec::new());
        candidates.retain(|seat| match world.barred(name, seat.replica.address) {
            Some(why) => {
                dropped.push((seat.replica.address, why));
                false
            }
            None => true,
        });
        // Who is ejected is left out of these, so that too few are too few of those that may be reached.
        let near = if local.is_some() { Near::default() } else { world.near(port) };
        let picks = world.picks(port, candidates, near);
        if dropped.is_empty() {
            self.dropped.remove(name);
        } else {
            self.dropped.insert(name.clone(), dropped);
        }
        match old.filter(|old| old.same_terms(inside) && picks.are_of(old)) {
            Some(old) => old.clone(),
            None => Arc::new(picks.into(inside)),
        }
    }

    /// The array, when it changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Arc<[Arc<Service>]>> {
        std::mem::take(&mut self.changed).then(|| Arc::from(self.services.as_slice()))
    }

    /// The service as the outside may reach it.
    pub(crate) fn service(&self, name: &PortName) -> Option<&Arc<Service>> {
        let at = self.by_service.get(&name.service)?.iter().find(|&&at| self.names[at].0 == *name)?;
        self.services.get(*at)
    }

    /// Where a service port is, as something outside names it.
    pub(crate) fn index(&self, named: &Named) -> Option<ServiceIndex> {
        let at = self.by_service.get(&named.0.service)?.iter().find(|&&at| self.names[at] == *named)?;
        Some(ServiceIndex(*at as u32))
    }

    /// Endpoints that were left out, by service port.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&PortName, &Vec<(SocketAddr, String)>)> {
        self.dropped.iter()
    }
}

impl World {
    /// Why an endpoint of this service may not be reached from outside.
    fn barred(&self, name: &PortName, address: SocketAddr) -> Option<String> {
        if let Some(seal) = self.covered_by(address) {
            return Some(format!("an address of {seal}, which is sealed"));
        }
        let ServiceType::ExternalName(host) = &self.services.get(&name.service)?.service().service_type else { return None };
        let why = self.is_inside(host, address.ip())?;
        Some(format!("{why}, and externalName.allowInside does not list {host}"))
    }

    /// The seal that covers an address, if one does.
    fn covered_by(&self, address: SocketAddr) -> Option<String> {
        let sealed = |key: &&ServiceKey| self.services.get(*key).is_some_and(|entry| entry.seal.is_some());
        let service = self.at.having(address).filter(sealed).min().map(|key| format!("Service {key}"));
        service.or_else(|| self.sealed.having(address).min().map(ToString::to_string))
    }
}
