//! Objects in, services with their endpoints out: the part of a picture that changes most.
//!
//! Invariant: a change costs what it touches. Only services that an object reaches are built again, and one whose endpoints are the
//! same keeps its `Arc`. A service port keeps its place in the internal plane while others come, so that routes need not change; when
//! one goes, the last takes its place. What is refused as an address (a VIP, one of our listeners) is in no plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::annotations::{self, Judged, ServiceReading};
use config::host::HostPattern;
use config::object::{Distribution, EndpointSlice, Kind, Name, Object, ObjectKey, Protocol, Service, ServiceKey, ServicePort, ServiceType};
use config::problem::Problem;
use ipnet::IpNet;

use crate::exposure::{self, Said, Seal};
use crate::lifecycle::Lifecycle;
use crate::node_port::NodePorts;
use crate::outlier::Outliers;
use crate::seed::Seed;
use crate::snapshot::{self, OwnAddresses, PortName, ServiceIndex, ServiceListener, ServiceListeners, Socket, Way};
use crate::speech::{Speech, UpstreamTls};
use crate::vip::Vips;

pub(crate) mod carriers;
pub(crate) mod certificates;
pub(crate) mod clients;
mod covers;
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
use seats::Seat;
use speech::Terms;
use workloads::Workloads;

pub(crate) use outside::{Named, Outside};
pub use passive::Notice;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// `exposure.mode: strict`
    pub(crate) strict: bool,
    /// `nodeName`
    pub(crate) node: Option<String>,
    /// `zone`
    pub(crate) zone: Option<String>,
    /// What marks of endpoints are keyed by where a Service has no uid.
    pub(crate) seed: Seed,
    /// `external.addresses`
    pub(crate) external: Vec<IpAddr>,
    /// `serviceCidr`
    pub(crate) service_cidr: IpNet,
    /// `externalName.allow`
    pub(crate) names: Vec<HostPattern>,
    /// `externalName.allowInside`
    pub(crate) names_inside: Vec<HostPattern>,
}

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
    /// By which its replicas are spoken to where a port speaks TLS.
    tls: Option<Arc<UpstreamTls>>,
    /// What became of its annotation about how endpoints are picked.
    pub(crate) judged: Option<Judged>,
    pub(crate) problems: Vec<Problem>,
}

/// One port of a Service.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) spec: ServicePort,
    /// Where it is in the internal plane; `None` when its protocol is not served.
    pub(crate) place: Option<ServiceIndex>,
    /// Where its endpoints on this node are; `None` when `internalTrafficPolicy` uses all.
    local_place: Option<ServiceIndex>,
    pub(crate) seats: Vec<Seat>,
    /// In this time a new endpoint grows to its full share.
    slow_start: Duration,
    /// What is preferred of its endpoints.
    distribution: Option<Distribution>,
    /// Its endpoints' ejections so far, by cause.
    pub(crate) ejections: [u64; 3],
}

impl Port {
    /// What it is called; `key` is its service's.
    pub(crate) fn name(&self, key: &ServiceKey) -> PortName {
        PortName { service: key.clone(), port: self.spec.port, protocol: self.spec.protocol }
    }
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

    /// The port of this number and protocol.
    pub(crate) fn port(&self, name: &PortName) -> Option<&Port> {
        self.ports.iter().find(|port| port.spec.port == name.port && port.spec.protocol == name.protocol)
    }

    /// Whether it is for the outside by itself.
    fn carries(&self) -> bool {
        matches!(self.service().service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
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
        for key in std::mem::take(&mut self.dirty) {
            self.rebuild(&key, version);
        }
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

    fn rebuild(&mut self, key: &ServiceKey, version: u64) {
        let Some(mut entry) = self.services.remove(key) else { return };
        self.rebuilt += 1;
        let seal = self.seal(key, &entry);
        if seal != entry.seal {
            self.route_facts.insert(key.clone());
            self.carriers_dirty |= entry.carries();
        }
        let sealed = (entry.seal.is_some(), seal.is_some());
        entry.seal = seal;
        let references = self.references(key);
        self.index.set_references(key, &entry.references, &references);
        entry.references = references;
        let mut reading = members::read(key, entry.service(), &self.index);
        let leads_to = if let ServiceType::ExternalName(name) = &entry.service().service_type { Some(name.clone()) } else { None };
        if let Some(name) = &leads_to {
            reading.lead_to(entry.service(), self.names.of(name));
        }
        let (mut refused, mut untold) = (Vec::new(), Vec::new());
        let old_tls = entry.tls.take();
        entry.tls = self.upstream_tls(entry.service(), old_tls, &mut untold);
        let (affinity_s, proxy_protocol, bounds) = (entry.service().affinity_s, entry.service().proxy_protocol, entry.service().bounds);
        let ServiceReading { balance, judged, problem } =
            annotations::read_service(&entry.service().meta.annotations, affinity_s.is_some());
        entry.judged = judged;
        untold.extend(problem);
        let seed = entry.service().meta.uid.as_ref().map_or_else(|| self.ground.seed.clone(), Seed::of_uid);
        let distribution = entry.service().distribution;
        let slow_start = entry.service().slow_start_ms.map(Duration::from_millis);
        for (port, members) in entry.ports.iter_mut().zip(reading.members) {
            let app = port.spec.app();
            let (speech, members) = match speech::of_port(app, entry.tls.as_ref()) {
                Some(speech) => (speech, members),
                None => (Speech::default(), Vec::new()),
            };
            port.slow_start = slow_start.unwrap_or(self.slow_start);
            port.distribution = distribution;
            self.seat(key, port, members, &speech, &mut refused, version);
            let host = leads_to.as_ref().map(|name| told(name, &port.spec));
            for place in port.place.into_iter().chain(port.local_place) {
                self.places.set_terms(place, affinity_s, proxy_protocol, app, host.as_ref());
                self.places.set_pick(place, balance.as_ref(), &seed);
            }
            self.places.set_bounds(port.place.into_iter().chain(port.local_place), bounds);
        }
        let old = std::mem::replace(&mut entry.covered, reading.covered);
        self.cover(key, &old, &entry.covered, sealed.0, sealed.1);
        let mut problems = notes::of_service(&entry, refused);
        problems.extend(untold);
        problems.extend(near::note(&entry, &self.ground));
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
        let vip = |protocol| self.vips.get(&Socket::new(protocol, address));
        if let Some(vip) = vip(Protocol::Tcp).or_else(|| vip(Protocol::Udp)) {
            return Some(format!("the virtual IP of Service {}", vip.name));
        }
        let ip = address.ip();
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

/// The `Host` that an outside name is asked with.
fn told(name: &Name, port: &ServicePort) -> Arc<str> {
    match members::number(port) {
        80 | 443 => name.clone(),
        other => format!("{name}:{other}").into(),
    }
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
