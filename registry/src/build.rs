//! Objects in, services with their endpoints out: the part of a picture that changes most.
//!
//! Invariant: a change costs what it touches. Only services that an object reaches are built again, and one whose endpoints are the
//! same keeps its `Arc`. A service port keeps its place in the internal plane while others come, so that routes need not change; when
//! one goes, the last takes its place. What is refused as an address (a VIP, one of our listeners) is in no plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use config::object::{EndpointSlice, Kind, Name, Object, ObjectKey, Protocol, Service, ServiceKey, ServicePort};
use config::problem::Problem;

use crate::exposure::{self, Said, Seal};
use crate::lifecycle::Lifecycle;
use crate::snapshot::{self, OwnAddresses, PortName, ServiceIndex, VipPort};
use crate::vip::Vips;

pub(crate) mod certificates;
mod covers;
mod index;
mod members;
pub(crate) mod notes;
mod outside;
mod places;
pub(crate) mod routes;
pub(crate) mod seats;
mod workloads;

use covers::Addresses;
use index::Index;
use places::Places;
use seats::Seat;
use workloads::Workloads;

pub(crate) use outside::Outside;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Every VIP port by its address.
pub(crate) type VipMap = HashMap<SocketAddr, VipPort, foldhash::fast::RandomState>;

/// One Service that serves.
#[derive(Debug)]
pub(crate) struct Entry {
    object: Arc<Object>,
    pub(crate) seal: Option<Seal>,
    pub(crate) ports: Vec<Port>,
    /// Every address that it names, whatever its condition: what a seal covers.
    covered: BTreeSet<SocketAddr>,
    /// Pods that its slices refer to by name.
    references: Vec<Name>,
    pub(crate) problems: Vec<Problem>,
}

/// One port of a Service.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) spec: ServicePort,
    /// Where it is in the internal plane; `None` when its protocol is not served.
    pub(crate) place: Option<ServiceIndex>,
    pub(crate) seats: Vec<Seat>,
}

impl Entry {
    /// The Service as written.
    pub(crate) fn service(&self) -> &Service {
        match &*self.object {
            Object::Service(service) => service,
            // `World::set_service` takes services alone.
            _ => unreachable!("only services are kept as services"),
        }
    }

    /// The port that serves under this number.
    pub(crate) fn tcp(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.spec.port == number && port.spec.protocol == Protocol::Tcp)
    }
}

/// All services and what decides their endpoints.
#[derive(Debug)]
pub(crate) struct World {
    index: Index,
    pub(crate) life: Lifecycle,
    pub(crate) services: BTreeMap<ServiceKey, Entry>,
    /// Which services a seal of would cover an address.
    at: Addresses<ServiceKey>,
    /// Which sealed pods and slices have an address.
    sealed: Addresses<ObjectKey>,
    /// The addresses of each of them.
    sealing: Map<ObjectKey, Vec<SocketAddr>>,
    workloads: Workloads,
    pub(crate) places: Places,
    pub(crate) vips: Arc<VipMap>,
    own: OwnAddresses,
    strict: bool,
    dirty: BTreeSet<ServiceKey>,
    /// Services that are new, changed in what they write, or gone, since the VIPs were updated.
    written: BTreeSet<ServiceKey>,
    /// Services of which something changed that a route depends on.
    pub(crate) route_facts: BTreeSet<ServiceKey>,
    /// Services whose external endpoints may have changed.
    pub(crate) refilter: BTreeSet<ServiceKey>,
    /// How many services were built, ever: the cost of a change.
    pub(crate) rebuilt: u64,
}

impl World {
    pub(crate) fn new(workers: usize, strict: bool) -> World {
        World {
            index: Index::default(),
            life: Lifecycle::new(workers),
            services: BTreeMap::new(),
            at: Addresses::default(),
            sealed: Addresses::default(),
            sealing: Map::default(),
            workloads: Workloads::default(),
            places: Places::default(),
            vips: Arc::default(),
            own: OwnAddresses::default(),
            strict,
            dirty: BTreeSet::new(),
            written: BTreeSet::new(),
            route_facts: BTreeSet::new(),
            refilter: BTreeSet::new(),
            rebuilt: 0,
        }
    }

    pub(crate) fn set_own_addresses(&mut self, own: OwnAddresses) {
        if self.own != own {
            self.own = own;
            self.dirty.extend(self.services.keys().cloned());
        }
    }

    pub(crate) fn set_strict(&mut self, strict: bool) {
        if self.strict != strict {
            self.strict = strict;
            self.dirty.extend(self.services.keys().cloned());
        }
    }

    /// `unknown`: it is named, but what it says cannot be read.
    pub(crate) fn set_namespace(&mut self, name: &Name, after: Option<&Object>, unknown: bool) {
        let said = match after {
            Some(object) => exposure::said(Kind::Namespace, object.meta()),
            None if unknown => Said::Unclear,
            None => Said::Nothing,
        };
        let toggled = said.seals() != self.index.said(name).seals();
        self.dirty.extend(self.index.set_namespace(name, said));
        if toggled {
            let held: Vec<Arc<Object>> = self.index.holds(name).cloned().collect();
            held.iter().for_each(|object| self.reseal(&object.key(), Some(object)));
        }
    }

    pub(crate) fn set_pod(&mut self, key: &ObjectKey, after: Option<Arc<Object>>) {
        self.reseal(key, after.as_deref());
        self.dirty.extend(self.index.set_pod(&key.namespace, &key.name, after));
    }

    pub(crate) fn set_slice(&mut self, key: &ObjectKey, before: Option<&Arc<Object>>, after: Option<Arc<Object>>) {
        self.reseal(key, after.as_deref());
        self.dirty.extend(self.index.set_slice(before, after));
    }

    /// Brings what a pod or slice seals up to date.
    fn reseal(&mut self, key: &ObjectKey, object: Option<&Object>) {
        let new = object.map(|object| covers::of_object(object, self.said_around(object))).unwrap_or_default();
        let old = if new.is_empty() { self.sealing.remove(key) } else { self.sealing.insert(key.clone(), new.clone()) };
        let old = old.unwrap_or_default();
        if old == new {
            return;
        }
        old.iter().for_each(|address| self.sealed.remove(*address, key));
        new.iter().for_each(|address| self.sealed.add(*address, key));
        for address in old.into_iter().chain(new) {
            self.refilter.extend(self.at.touched_by(address).cloned());
        }
    }

    /// What the namespace and the workloads of a pod or slice say of it.
    fn said_around(&self, object: &Object) -> Said {
        let namespace = self.index.said(&object.meta().namespace);
        if namespace.seals() { namespace } else { self.workloads.said_of(object) }
    }

    pub(crate) fn set_service(&mut self, key: &ObjectKey, before: Option<&Arc<Object>>, after: Option<Arc<Object>>, version: u64) {
        let key = ServiceKey { namespace: key.namespace.clone(), name: key.name.clone() };
        self.index.set_service(&key, before, after.as_ref());
        self.written.insert(key.clone());
        if before.map(|object| route_facts(object)) != after.as_ref().map(|object| route_facts(object)) {
            self.route_facts.insert(key.clone());
        }
        match after {
            Some(object) => self.write(key, object, version),
            None => self.erase(&key, version),
        }
    }

    /// Gives each port its place; its endpoints follow.
    fn write(&mut self, key: ServiceKey, object: Arc<Object>, version: u64) {
        let old = self.services.remove(&key);
        let mut entry = old.unwrap_or_else(|| Entry {
            object: object.clone(),
            seal: None,
            ports: Vec::new(),
            covered: BTreeSet::new(),
            references: Vec::new(),
            problems: Vec::new(),
        });
        entry.object = object;
        let mut old_ports = std::mem::take(&mut entry.ports);
        for spec in entry.service().ports.clone() {
            let same = |port: &Port| port.spec.port == spec.port && port.spec.protocol == spec.protocol;
            let old = old_ports.iter().position(same).map(|at| old_ports.swap_remove(at));
            let served = spec.protocol == Protocol::Tcp;
            let name = PortName { service: key.clone(), port: spec.port };
            entry.ports.push(match old {
                Some(port) => Port { spec, ..port },
                None => Port { place: served.then(|| self.places.take(name)), seats: Vec::new(), spec },
            });
        }
        self.dirty.insert(key.clone());
        self.services.insert(key.clone(), entry);
        for port in old_ports {
            self.close(&key, port, version);
        }
    }

    fn erase(&mut self, key: &ServiceKey, version: u64) {
        // One by one, since a port that closes may move another one's place.
        while let Some(port) = self.services.get_mut(key).and_then(|entry| entry.ports.pop()) {
            self.close(key, port, version);
        }
        let Some(entry) = self.services.remove(key) else { return };
        self.index.set_references(key, &entry.references, &[]);
        self.cover(key, &entry.covered, &BTreeSet::new(), entry.seal.is_some(), false);
        self.dirty.remove(key);
    }

    fn close(&mut self, key: &ServiceKey, port: Port, version: u64) {
        let service = seats::shown(key, &port.spec);
        let picked = port.place.map(|place| self.places.get(place).clone());
        for seat in port.seats {
            seat.leave(&mut self.life, &service, port.spec.protocol, picked.as_deref(), version);
        }
        let Some(place) = port.place else { return };
        let Some(moved) = self.places.give_back(place) else { return };
        let entry = self.services.get_mut(&moved.service);
        if let Some(port) = entry.and_then(|entry| entry.ports.iter_mut().find(|port| port.place.is_some() && port.spec.port == moved.port))
        {
            port.place = Some(place);
            self.route_facts.insert(moved.service);
        }
    }

    /// Brings every service up to date; `version` is the newest picture that was published.
    pub(crate) fn settle(&mut self, vips: &mut Vips, version: u64) {
        let written = std::mem::take(&mut self.written);
        let service = |key: &ServiceKey| self.services.get(key).map(Entry::service);
        let moved = vips.update(written.iter().map(|key| (key, service(key))));
        if !written.is_empty() || !moved.is_empty() {
            self.set_vips(vips);
        }
        for key in std::mem::take(&mut self.dirty) {
            self.rebuild(&key, version);
        }
    }

    fn set_vips(&mut self, vips: &Vips) {
        let mut map = VipMap::default();
        for (key, entry) in &self.services {
            let Some(ip) = vips.of(key) else { continue };
            for port in &entry.ports {
                let Some(service) = port.place else { continue };
                let name = PortName { service: key.clone(), port: port.spec.port };
                map.insert(SocketAddr::new(ip, port.spec.port), VipPort { service, name });
            }
        }
        if *self.vips == map {
            return;
        }
        let name = |map: &VipMap, at: &SocketAddr| map.get(at).map(|port| port.name.clone());
        let only_in = |a: &VipMap, b: &VipMap| a.keys().filter(|at| name(a, at) != name(b, at)).copied().collect::<Vec<_>>();
        for address in only_in(&map, &self.vips).into_iter().chain(only_in(&self.vips, &map)) {
            self.dirty.extend(self.at.having(address).cloned());
        }
        self.vips = Arc::new(map);
    }

    fn rebuild(&mut self, key: &ServiceKey, version: u64) {
        let Some(mut entry) = self.services.remove(key) else { return };
        self.rebuilt += 1;
        let seal = self.seal(key, &entry);
        if seal != entry.seal {
            self.route_facts.insert(key.clone());
        }
        let sealed = (entry.seal.is_some(), seal.is_some());
        entry.seal = seal;
        let references = self.references(key);
        self.index.set_references(key, &entry.references, &references);
        entry.references = references;
        let reading = members::read(key, entry.service(), &self.index);
        let (affinity_s, proxy_protocol) = (entry.service().affinity_s, entry.service().proxy_protocol);
        let mut refused = Vec::new();
        for (port, members) in entry.ports.iter_mut().zip(reading.members) {
            self.seat(key, port, members, &mut refused, version);
            if let Some(place) = port.place {
                self.places.set_manner(place, affinity_s, proxy_protocol);
            }
        }
        let old = std::mem::replace(&mut entry.covered, reading.covered);
        self.cover(key, &old, &entry.covered, sealed.0, sealed.1);
        let mut problems = notes::of_service(&entry, refused);
        problems.extend(self.index.slices(key).flat_map(|slice| notes::strange_ports(entry.service(), slice)));
        entry.problems = problems;
        self.services.insert(key.clone(), entry);
    }

    fn seal(&self, key: &ServiceKey, entry: &Entry) -> Option<Seal> {
        let seal = exposure::seal(entry.service(), self.index.said(&key.namespace), self.strict);
        if seal.as_ref().is_some_and(|seal| *seal != Seal::Strict) {
            return seal;
        }
        let sealing = |slice: &EndpointSlice| {
            let said = exposure::said(Kind::EndpointSlice, &slice.meta);
            said.seals().then(|| Seal::Slice(index::pod_name(&slice.meta.namespace, &slice.meta.name), said))
        };
        self.index.all_slices(key).find_map(sealing).or(seal)
    }

    fn references(&self, key: &ServiceKey) -> Vec<Name> {
        let pods = self.index.slices(key).flat_map(|slice| &slice.endpoints).filter_map(|endpoint| endpoint.pod.as_ref());
        let pods: BTreeSet<&Name> = pods.filter(|(_, uid)| uid.is_none()).map(|(name, _)| name).collect();
        pods.into_iter().cloned().collect()
    }

    /// Notes which addresses a service names, and whose external endpoints that may change.
    fn cover(&mut self, key: &ServiceKey, old: &BTreeSet<SocketAddr>, new: &BTreeSet<SocketAddr>, was_sealed: bool, is_sealed: bool) {
        let toggled = was_sealed != is_sealed;
        new.difference(old).for_each(|address| self.at.add(*address, key));
        for address in old.union(new) {
            let kept = old.contains(address) && new.contains(address);
            if toggled || (is_sealed && !kept) {
                self.refilter.extend(self.at.touched_by(*address).cloned());
            }
        }
        old.difference(new).for_each(|address| self.at.remove(*address, key));
        self.refilter.insert(key.clone());
    }

    /// Why nothing may be sent to this address, on either plane.
    fn refused(&self, address: SocketAddr) -> Option<String> {
        if let Some(vip) = self.vips.get(&address) {
            return Some(format!("the virtual IP of Service {}", vip.name));
        }
        let ip = address.ip();
        let ours = |bound: &&SocketAddr| {
            let any = bound.ip().is_unspecified() && (ip.is_loopback() || self.own.local.contains(&ip));
            bound.port() == address.port() && (bound.ip().to_canonical() == ip || any)
        };
        self.own.listeners.iter().find(ours).map(|bound| format!("our own listener {bound}"))
    }

    /// The service in the internal plane.
    pub(crate) fn inside(&self, place: ServiceIndex) -> &Arc<snapshot::Service> {
        self.places.get(place)
    }

    /// Slices that name a Service that does not exist.
    pub(crate) fn orphans(&self) -> Vec<(ObjectKey, Problem)> {
        let orphans = self.index.sliced().filter(|(service, _)| !self.services.contains_key(service));
        orphans.flat_map(|(service, slices)| slices.map(move |slice| (slice.key(), notes::orphan(service, slice.kind())))).collect()
    }
}

/// What a route depends on, besides the seal.
#[derive(PartialEq)]
struct RouteFacts<'a> {
    type_name: &'static str,
    ports: Vec<(&'a Name, u16, Protocol)>,
}

fn route_facts(object: &Object) -> Option<RouteFacts<'_>> {
    let Object::Service(service) = object else { return None };
    let ports = service.ports.iter().map(|port| (&port.name, port.port, port.protocol));
    Some(RouteFacts { type_name: notes::type_name(&service.service_type), ports: ports.collect() })
}
