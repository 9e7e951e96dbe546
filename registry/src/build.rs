//! Objects in, services with their endpoints out: the part of a picture that changes most.
//!
//! Invariant: a change costs what it touches. Only services that an object reaches are built again, and one whose endpoints are the
//! same keeps its `Arc`. A service port keeps its place in the internal plane while others come, so that routes need not change; when
//! one goes, the last takes its place. What is refused as an address (a VIP, one of our listeners) is in no plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::object::{Kind, Name, Object, ObjectKey, Protocol, ServiceKey, ServiceType};
use config::problem::Problem;
use ipnet::IpNet;

use crate::exposure::{self, Said};
use crate::lifecycle::Lifecycle;
use crate::node_port::NodePorts;
use crate::outlier::Outliers;
use crate::snapshot::{self, NameTable, OwnAddresses, ServiceIndex, ServiceListener, ServiceListeners, Socket, Way};
use crate::vip::Vips;

mod called;
pub(crate) mod carriers;
pub(crate) mod certificates;
pub(crate) mod clients;
mod covers;
mod entry;
mod filters;
mod index;
mod members;
mod names;
mod near;
pub(crate) mod notes;
mod outside;
mod passive;
pub(crate) mod places;
pub(crate) mod probes;
mod rebuild;
mod referents;
pub(crate) mod routes;
pub(crate) mod seats;
mod speech;
mod workloads;
mod written;

use covers::Addresses;
use index::Index;
use names::Names;
use places::Places;
use probes::Probes;
use speech::Terms;
use workloads::Workloads;

pub(crate) use entry::{Entry, Ground, Port};
pub(crate) use outside::{Named, Outside};
pub use passive::Notice;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

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
    probes: Probes,
    pub(crate) places: Places,
    pub(crate) terms: Terms,
    /// Every VIP port.
    pub(crate) vips: Arc<ServiceListeners>,
    /// What is bound outside for Services.
    outward: BTreeSet<Socket>,
    /// Something changed that [`World::carriers`] depends on.
    pub(crate) carriers_dirty: bool,
    pub(crate) names: Names,
    /// What Services are called by DNS.
    pub(crate) called: Arc<NameTable>,
    /// Services whose names may be others now.
    uncalled: BTreeSet<ServiceKey>,
    own: OwnAddresses,
    ground: Ground,
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
    /// When what is being settled happened.
    pub(crate) now: Duration,
    /// There was a picture: whoever comes now comes while we run.
    pub(crate) begun: bool,
    pub(crate) outliers: Outliers,
    /// What replicas' requests had come to when success rates were compared last.
    looked: passive::Looked,
    /// `slowStartMs`
    slow_start: Duration,
    /// Ejections and returns that have yet to be told.
    pub(crate) notices: Vec<Notice>,
}

impl World {
    pub(crate) fn new(workers: usize, ground: Ground) -> World {
        World {
            index: Index::default(),
            life: Lifecycle::new(workers),
            services: BTreeMap::new(),
            at: Addresses::default(),
            sealed: Addresses::default(),
            sealing: Map::default(),
            workloads: Workloads::default(),
            probes: Probes::default(),
            places: Places::default(),
            terms: Terms::default(),
            vips: Arc::default(),
            outward: BTreeSet::new(),
            carriers_dirty: false,
            names: Names::default(),
            called: Arc::default(),
            uncalled: BTreeSet::new(),
            own: OwnAddresses::default(),
            strict: ground.strict,
            ground,
            dirty: BTreeSet::new(),
            written: BTreeSet::new(),
            route_facts: BTreeSet::new(),
            refilter: BTreeSet::new(),
            rebuilt: 0,
            now: Duration::ZERO,
            begun: false,
            outliers: Outliers::default(),
            looked: passive::Looked::default(),
            slow_start: Duration::ZERO,
            notices: Vec::new(),
        }
    }

    pub(crate) fn set_own_addresses(&mut self, own: OwnAddresses) {
        if self.own != own {
            self.own = own;
            self.probes.look_at_all();
            self.carriers_dirty = true;
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
        self.probes.look_at(key, after.as_deref());
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
        self.names.set_service(&key, before.map(AsRef::as_ref), after.as_deref());
        self.terms.set_service(&key, before.map(|object| &**object), after.as_deref());
        self.written.insert(key.clone());
        self.carriers_dirty |= [before, after.as_ref()].into_iter().flatten().any(|object| is_carrier(object));
        if before.map(|object| route_facts(object)) != after.as_ref().map(|object| route_facts(object)) {
            self.route_facts.insert(key.clone());
        }
        match after {
            Some(object) => self.write(key, object, version),
            None => self.erase(&key, version),
        }
    }

    /// Brings every service up to date; `version` is the newest picture that was published.
    pub(crate) fn settle(&mut self, vips: &mut Vips, node_ports: &mut NodePorts, version: u64) {
        let written = std::mem::take(&mut self.written);
        let service = |key: &ServiceKey| self.services.get(key).map(Entry::service);
        let moved = vips.update(written.iter().map(|key| (key, service(key))));
        self.carriers_dirty |= node_ports.update(written.iter().map(|key| (key, service(key))));
        if !written.is_empty() || !moved.is_empty() {
            self.set_vips(vips);
        }
        self.uncalled.extend(written.into_iter().chain(moved));
        for key in std::mem::take(&mut self.dirty) {
            self.rebuild(&key, version);
        }
        self.settle_names(vips);
    }

    fn set_vips(&mut self, vips: &Vips) {
        let everybody: Arc<[IpNet]> = Arc::default();
        let mut map = ServiceListeners::default();
        for (key, entry) in &self.services {
            let Some(ip) = vips.of(key) else { continue };
            for port in &entry.ports {
                let Some(service) = port.local_place.or(port.place) else { continue };
                let socket = Socket::new(port.spec.protocol, SocketAddr::new(ip, port.spec.port));
                map.insert(socket, ServiceListener { way: Way::Vip, service, name: port.name(key), sources: everybody.clone() });
            }
        }
        if *self.vips == map {
            return;
        }
        let name = |map: &ServiceListeners, at: &Socket| map.get(at).map(|port| port.name.clone());
        let only_in =
            |a: &ServiceListeners, b: &ServiceListeners| a.keys().filter(|at| name(a, at) != name(b, at)).copied().collect::<Vec<_>>();
        for socket in only_in(&map, &self.vips).into_iter().chain(only_in(&self.vips, &map)) {
            self.dirty.extend(self.at.having(socket.address).cloned());
            self.carriers_dirty |= self.ground.external.contains(&socket.address.ip());
        }
        self.vips = Arc::new(map);
        self.probes.look_at_all();
    }

    /// What is bound outside now: nobody's endpoint may be there. A node port that is new or gone is rare, so that all addresses are looked at.
    pub(crate) fn set_outward(&mut self, sockets: BTreeSet<Socket>) {
        let ports: BTreeSet<u16> = sockets.symmetric_difference(&self.outward).map(|socket| socket.address.port()).collect();
        if !ports.is_empty() {
            self.dirty.extend(self.at.on_ports(&ports).cloned());
            self.probes.look_at_all();
        }
        self.outward = sockets;
    }

    /// Why nothing may be sent to this address, on either plane.
    fn refused(&self, address: SocketAddr) -> Option<String> {
        let vip = |protocol| self.vips.get(&Socket::new(protocol, address));
        if let Some(vip) = vip(Protocol::Tcp).or_else(|| vip(Protocol::Udp)) {
            return Some(format!("the virtual IP of Service {}", vip.name));
        }
        let ip = address.ip();
        if self.ground.claims && self.ground.service_cidr.contains(&ip) {
            return Some(format!("an address of {}, which Tidegate claims for virtual IPs", self.ground.service_cidr));
        }
        let ours = |bound: &&SocketAddr| {
            let any = bound.ip().is_unspecified() && (ip.is_loopback() || self.own.local.contains(&ip));
            bound.port() == address.port() && (bound.ip().to_canonical() == ip || any)
        };
        let outward = self.outward.iter().map(|socket| &socket.address);
        self.own.listeners.iter().chain(outward).find(ours).map(|bound| format!("our own listener {bound}"))
    }

    /// Secrets whose certificate replicas are shown, there or not.
    pub(crate) fn shown_secrets(&self) -> impl Iterator<Item = ObjectKey> {
        let services = self.services.values().map(Entry::service);
        services.filter_map(speech::shown_by)
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

fn is_carrier(object: &Object) -> bool {
    let Object::Service(service) = object else { return false };
    matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
}

/// What a route depends on, besides the seal.
#[derive(PartialEq)]
struct RouteFacts<'a> {
    service_type: &'a ServiceType,
    ports: Vec<(&'a Name, u16, Protocol)>,
}

fn route_facts(object: &Object) -> Option<RouteFacts<'_>> {
    let Object::Service(service) = object else { return None };
    let ports = service.ports.iter().map(|port| (&port.name, port.port, port.protocol));
    Some(RouteFacts { service_type: &service.service_type, ports: ports.collect() })
}
