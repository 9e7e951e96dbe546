//! The registry: every object that the sources say, and the picture that follows from them.
//!
//! Invariant: no I/O, no clock, nothing random; time is an argument. The same objects give the same planes, in whatever order they
//! came, except where history is meant to count: which of two files was first, and which address a service was given. One change
//! builds again only what it touches.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::object::{Kind, Name, Object, ObjectKey};
use config::problem::{Problem, Reason, Severity};
use config::settings::{ExposureMode, Settings};

pub use crate::build::Notice;
use crate::build::carriers::{Carried, Carriers};
use crate::build::certificates;
use crate::build::places::Only;
use crate::build::routes::{self, Age, Compiled};
use crate::build::{Ground, Named, Outside, World};
use crate::event::{Event, ListenerState, Origin, Report, SourceName};
use crate::exposure::{self, Classes};
use crate::health::Wanted;
use crate::node_port::NodePorts;
use crate::snapshot::{OwnAddresses, Plane, ServiceListener, ServiceListeners, Snapshot};
use crate::state::{Grant, Saved};
use crate::store::{Changed, Store};
use crate::view::WorkloadView;
use crate::vip::Vips;

mod expiry;
mod lifted;
mod settings;
mod views;

pub use lifted::Lifted;
use lifted::Seals;
use settings::Current;

/// What a restart must find again.
#[derive(Debug, Default)]
pub struct Unsaved {
    /// All virtual IPs and node ports, when one changed.
    pub grants: Option<Vec<Grant>>,
    /// Origins whose last good objects changed; `None` when the origin is gone.
    pub origins: Vec<(Origin, Option<Vec<Arc<Object>>>)>,
}

/// Endpoints of a service port that were left out for what their requests came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejections {
    /// `NAMESPACE/NAME:PORT`
    pub service: String,
    /// So far, by cause.
    pub causes: [(&'static str, u64); 3],
    /// Now, on trial or not.
    pub now: usize,
}

/// Numbers for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Endpoints by state: `Pending`, `Ready`, `Ejected`, `Draining`.
    pub endpoints: BTreeMap<&'static str, usize>,
    /// Ejections of each service port whose requests are judged.
    pub ejections: Vec<Ejections>,
    /// Problems by severity and reason.
    pub problems: BTreeMap<(Severity, Reason), usize>,
    /// Routes that were refused, by exposure.
    pub refused_routes: BTreeMap<&'static str, usize>,
    /// Objects that serve.
    pub objects: usize,
    /// Every workload.
    pub workloads: Vec<WorkloadView>,
    /// The newest picture.
    pub version: u64,
    /// Services built since the start: what changes cost.
    pub rebuilt: u64,
    /// Checks of pods by how they ended, since the start.
    pub probes: Vec<(&'static str, u64)>,
    /// When each certificate that something shows expires, in seconds since 1970, by its Secret (`NAMESPACE/NAME`).
    pub expiries: BTreeMap<Name, i64>,
}

/// The one writer's state.
#[derive(Debug)]
pub struct Registry {
    store: Store,
    world: World,
    vips: Vips,
    node_ports: NodePorts,
    carriers: Carriers,
    /// What the carriers come to on the external plane.
    listeners_outside: Arc<ServiceListeners>,
    ingresses: BTreeMap<Age, Arc<Object>>,
    classes: Classes,
    routes: Compiled,
    /// Whose addresses are wanted: names that some route leads to, and may.
    names: BTreeSet<Name>,
    default_secret: Option<ObjectKey>,
    certificates: certificates::Compiled,
    outside: Outside,
    /// Labels under our prefix that cannot be understood, by object.
    labels: BTreeMap<ObjectKey, Vec<Problem>>,
    /// By name, address and protocol: DNS has two of one name at one address.
    listeners: BTreeMap<(Arc<str>, SocketAddr, String), ListenerState>,
    access_log: Option<Problem>,
    current: Current,
    seals: Seals,
    lifted: Vec<Lifted>,
    strict: bool,
    /// Seconds since 1970, for what expires; 0 while nobody said.
    date_s: i64,
    routes_dirty: bool,
    certificates_dirty: bool,
    published: Option<Arc<Snapshot>>,
}

impl Registry {
    /// A registry that knows nothing but what was saved.
    pub fn new(settings: &Settings, saved: Saved) -> Registry {
        let strict = settings.exposure_mode == ExposureMode::Strict;
        let ground = Ground {
            strict,
            node: settings.node_name.clone(),
            zone: settings.zone.clone(),
            seed: saved.seed.clone(),
            external: settings.external_addresses.clone(),
            service_cidr: settings.service_cidr,
            claims: settings.claim_service_cidr,
            names: settings.external_names.clone(),
            names_inside: settings.external_names_inside.clone(),
        };
        let mut world = World::new(settings.workers, ground);
        world.renew_rules(settings.outlier, Duration::from_millis(settings.slow_start_ms));
        Registry {
            store: Store::new(saved.origins, saved.damaged_origins, saved.problems),
            world,
            vips: Vips::new(settings.service_cidr, &saved.grants),
            node_ports: NodePorts::new(&saved.grants),
            carriers: Carriers::default(),
            listeners_outside: Arc::default(),
            ingresses: BTreeMap::new(),
            classes: Classes { objects: BTreeMap::new(), also: settings.ingress_classes.clone() },
            routes: Compiled::default(),
            names: BTreeSet::new(),
            default_secret: settings.tls_default_secret.clone(),
            certificates: certificates::Compiled::default(),
            outside: Outside::default(),
            labels: BTreeMap::new(),
            listeners: BTreeMap::new(),
            access_log: None,
            current: Current::new(settings.clone()),
            seals: Seals::default(),
            lifted: Vec::new(),
            strict,
            date_s: 0,
            routes_dirty: false,
            certificates_dirty: settings.tls_default_secret.is_some(),
            published: None,
        }
    }

    /// Our own listeners and local interface addresses (known once bound; offline: from the settings).
    pub fn set_own_addresses(&mut self, own: OwnAddresses) {
        self.world.set_own_addresses(own);
    }

    /// Tells the date, in seconds since 1970; without it nothing expires. True when another day has begun.
    pub fn set_date(&mut self, unix_s: i64) -> bool {
        const DAY_S: i64 = 86_400;
        unix_s / DAY_S != std::mem::replace(&mut self.date_s, unix_s) / DAY_S
    }

    /// Waits for the first whole batch of `source` before [`Registry::ready`].
    pub fn expect(&mut self, source: SourceName) {
        self.store.expect(source, Duration::ZERO);
    }

    /// Whether every expected source has spoken, or is stale with its last good state known.
    pub fn ready(&self) -> bool {
        self.store.ready()
    }

    /// Takes in what a source says.
    pub fn apply(&mut self, event: Event, now: Duration) {
        self.world.now = now;
        match event {
            Event::Batch(batch) => self.store.apply(batch, now),
            Event::Stale(source, problem) => self.store.stale(&source, problem, now),
            Event::Alive(source) => self.store.alive(&source, now),
            Event::Resolved(name, answer) if self.names.contains(&name) => self.world.set_name(name, answer, now),
            Event::Resolved(..) => {} // it was asked before nobody wanted it any more
            Event::Judged(verdict) => self.world.judge(verdict),
            Event::Settings(news) => self.take_settings(news, now),
        }
        for changed in self.store.changes() {
            self.take(changed);
        }
        self.world.set_strict(self.strict || self.store.strict());
    }

    /// Marks what nothing was heard of for too long as stale: whoever follows it hangs, perhaps on a disk. True when there is some.
    pub fn miss_silent(&mut self, now: Duration) -> bool {
        let missed = self.store.miss_silent(now) | self.world.names.miss_silent(now);
        for changed in self.store.changes() {
            self.take(changed);
        }
        self.world.set_strict(self.strict || self.store.strict());
        missed
    }

    /// Takes in what the data plane says.
    pub fn report(&mut self, report: Report, now: Duration) {
        self.world.now = now;
        match report {
            Report::Acknowledged { worker, version } => self.world.life.acknowledged(worker, version),
            Report::Listener(state) => _ = self.listeners.insert((state.name.clone(), state.address, state.protocol.clone()), state),
            Report::Closed(name, address) => self.forget_listener(name, address),
            Report::AccessLog(problem) => self.access_log = problem,
            Report::Outlier(replica) => self.world.suspect(&replica),
            Report::Tried { replica, trial, well } => self.world.tried(&replica, &trial, well),
        }
    }

    fn forget_listener(&mut self, name: Arc<str>, address: SocketAddr) {
        let first = (name, address, String::new());
        let there = self.listeners.range(first.clone()..).map(|(key, _)| key);
        let gone: Vec<_> = there.take_while(|key| (&key.0, key.1) == (&first.0, first.1)).cloned().collect();
        gone.iter().for_each(|key| _ = self.listeners.remove(key));
    }

    /// Lets time pass: who was ejected for long enough comes back, and success rates are compared.
    pub fn tick(&mut self, now: Duration) {
        self.world.now = now;
        self.world.weigh();
    }

    /// Says what time it is to whoever looks at the views.
    pub fn look_at(&mut self, now: Duration) {
        self.world.now = now;
    }

    /// When [`Registry::tick`] has something to do next.
    pub fn due(&self) -> Option<Duration> {
        self.world.weigh_due()
    }

    /// Ejections and returns since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.world.notices)
    }

    fn take(&mut self, changed: Changed) {
        let Changed { key, before, after, file, unknown } = changed;
        let sealed_unread = unknown && matches!(key.kind, Kind::Namespace | Kind::IngressClass);
        let seals = sealed_unread || after.as_deref().is_some_and(|object| exposure::said(key.kind, object.meta()).seals());
        self.seals.note(&key, seals, file);
        let problems = after.as_deref().map(exposure::label_problems).unwrap_or_default();
        if problems.is_empty() {
            self.labels.remove(&key);
        } else {
            self.labels.insert(key.clone(), problems);
        }
        if key.kind == Kind::Namespace {
            return self.world.set_namespace(&key.name, after.as_deref(), unknown);
        }
        if key.kind == Kind::IngressClass {
            return self.take_class(key, after, unknown);
        }
        if before == after {
            return;
        }
        match key.kind {
            Kind::Namespace | Kind::IngressClass => {}
            Kind::Pod => self.world.set_pod(&key, after),
            Kind::Service => {
                let version = self.version();
                self.world.set_service(&key, before.as_ref(), after, version);
            }
            Kind::EndpointSlice | Kind::Endpoints => self.world.set_slice(&key, before.as_ref(), after),
            Kind::Ingress => self.take_ingress(before, after),
            Kind::Secret | Kind::ConfigMap => self.take_referent(key, after),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet => self.world.set_workload(key, before, after),
        }
    }

    fn take_class(&mut self, key: ObjectKey, after: Option<Arc<Object>>, unknown: bool) {
        self.routes_dirty = true;
        if after.is_some() || unknown {
            self.classes.objects.insert(key.name, after);
        } else {
            self.classes.objects.remove(&key.name);
        }
    }

    fn take_ingress(&mut self, before: Option<Arc<Object>>, after: Option<Arc<Object>>) {
        self.routes_dirty = true;
        if let Some(before) = before {
            self.ingresses.remove(&routes::age(&before));
        }
        if let Some(after) = after {
            self.ingresses.insert(routes::age(&after), after);
        }
    }

    fn take_referent(&mut self, key: ObjectKey, after: Option<Arc<Object>>) {
        self.certificates_dirty |= self.certificates.named.contains(&key);
        self.routes_dirty |= self.routes.referents.contains(&key);
        self.world.set_referent(key, after);
    }

    fn version(&self) -> u64 {
        self.published.as_ref().map_or(0, |snapshot| snapshot.version)
    }

    /// The next picture; `None` when nothing that a worker can see changed.
    pub fn publish(&mut self, now: Duration) -> Option<Arc<Snapshot>> {
        self.world.now = now;
        let routes_changed = self.settle();
        let inside = self.world.places.changed();
        let outside = self.outside.changed();
        let old = self.published.as_deref();
        let listeners = [(Exposure::External, &self.listeners_outside), (Exposure::Internal, &self.world.vips)];
        let listeners_changed = listeners.iter().any(|(side, new)| old.is_none_or(|old| !Arc::ptr_eq(&old.plane(*side).listeners, new)));
        let names_changed = old.is_none_or(|old| !Arc::ptr_eq(&old.internal.names, &self.world.called));
        if old.is_some() && !routes_changed && inside.is_none() && outside.is_none() && !listeners_changed && !names_changed {
            self.seals.forget();
            return None;
        }
        let plane = |exposure, services: Option<Arc<_>>| {
            let tables = if exposure == Exposure::External { &self.routes.external } else { &self.routes.internal };
            let old = old.map(|old| old.plane(exposure).services.clone());
            let services = services.or(old).unwrap_or_default();
            let certificates = if exposure == Exposure::External { self.certificates.external.clone() } else { Arc::default() };
            let listeners = if exposure == Exposure::External { self.listeners_outside.clone() } else { self.world.vips.clone() };
            let names = if exposure == Exposure::External { Arc::default() } else { self.world.called.clone() };
            Plane { exposure, routes: tables.routes.clone(), refused: tables.refused.clone(), certificates, services, listeners, names }
        };
        let snapshot = Arc::new(Snapshot {
            version: self.version() + 1,
            external: plane(Exposure::External, outside),
            internal: plane(Exposure::Internal, inside),
        });
        match old {
            Some(old) => self.lifted.extend(self.seals.lifted(&old.external, &snapshot.external)),
            None => self.seals.forget(),
        }
        self.world.begun = true;
        self.published = Some(snapshot.clone());
        Some(snapshot)
    }

    /// From now on somebody asks those of [`Registry::wanted`], who are not ready before they answered. Where nobody does, they are ready
    /// once they have an address. Call it before there is any object.
    pub fn set_probing(&mut self) {
        self.world.set_probing();
    }

    /// The pods that should be asked whether they are ready, by what was applied.
    pub fn wanted(&mut self) -> &Arc<Wanted> {
        if self.world.is_behind() {
            let version = self.version();
            self.world.settle(&mut self.vips, &mut self.node_ports, version);
            if self.world.settle_probes() {
                self.world.settle(&mut self.vips, &mut self.node_ports, version);
            }
        }
        self.world.wanted()
    }

    /// Whether some of them were not asked everything once, and may be at once.
    pub fn waits_for_probes(&self) -> bool {
        self.world.waits_for_probes()
    }

    /// Addresses of the pods whose readiness is for probes to say.
    pub fn probed(&self) -> BTreeSet<IpAddr> {
        self.world.probed()
    }

    /// The names whose addresses DNS should be asked for, by the newest picture.
    pub fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Seals whose end opened a way from outside, since the last call.
    pub fn lifted(&mut self) -> Vec<Lifted> {
        std::mem::take(&mut self.lifted)
    }

    /// Brings all that is derived up to date. True when a table of routes or certificates is another one now.
    fn settle(&mut self) -> bool {
        let version = self.version();
        self.world.settle(&mut self.vips, &mut self.node_ports, version);
        let carried = std::mem::take(&mut self.world.carriers_dirty);
        if carried {
            self.carriers = self.world.carriers(&self.node_ports);
            self.world.set_outward(self.carriers.sockets.keys().copied().collect());
            self.world.settle(&mut self.vips, &mut self.node_ports, version); // who has an endpoint where we listen now
        }
        if self.world.settle_probes() {
            self.world.settle(&mut self.vips, &mut self.node_ports, version);
        }
        let facts = std::mem::take(&mut self.world.route_facts);
        let compile = std::mem::take(&mut self.routes_dirty) || facts.iter().any(|key| self.routes.named.contains(key));
        let refilter = std::mem::take(&mut self.world.refilter);
        if compile {
            let ingresses = self.ingresses.values().filter_map(|object| match &**object {
                Object::Ingress(ingress) => Some(ingress),
                _ => None,
            });
            self.routes = routes::compile(ingresses, &self.classes, &self.world, &self.world.terms.referents);
            self.names = self.world.wanted_names(self.routes.named.iter());
            if self.world.keep_names(&self.names) {
                self.world.settle(&mut self.vips, &mut self.node_ports, version);
            }
        }
        if compile || carried {
            self.renew_outside();
        } else {
            self.outside.refilter(&refilter, &self.world);
        }
        compile | self.settle_certificates(compile)
    }

    /// What routes name comes first, by their own indexes; then what is named by listeners alone.
    fn renew_outside(&mut self) {
        let routed = self.routes.outside.iter().map(|name| (name.clone(), Only::Not));
        let mut names: Vec<Named> = routed.collect();
        let mut known: HashSet<Named> = names.iter().cloned().collect();
        for carried in self.carriers.sockets.values() {
            let named = (carried.name.clone(), carried.only);
            if known.insert(named.clone()) {
                names.push(named);
            }
        }
        self.outside.renew(names, &self.world);
        let listener = |(socket, carried): (&_, &Carried)| {
            let service = self.outside.index(&(carried.name.clone(), carried.only))?;
            let Carried { way, name, sources, .. } = carried.clone();
            Some((*socket, ServiceListener { way, service, name, sources }))
        };
        let listeners: ServiceListeners = self.carriers.sockets.iter().filter_map(listener).collect();
        if *self.listeners_outside != listeners {
            self.listeners_outside = Arc::new(listeners);
        }
    }

    fn settle_certificates(&mut self, wanted_anew: bool) -> bool {
        if !std::mem::take(&mut self.certificates_dirty) && !wanted_anew {
            return false;
        }
        let (routes, default) = (&self.routes, self.default_secret.as_ref());
        let new = certificates::compile(&routes.wants, &routes.claims, &self.world.terms.referents, default, &self.certificates);
        let old = std::mem::replace(&mut self.certificates, new);
        !Arc::ptr_eq(&old.external, &self.certificates.external)
    }

    /// What must be persisted since the last call.
    pub fn unsaved(&mut self) -> Unsaved {
        let changed = self.vips.take_unsaved() | self.node_ports.take_unsaved();
        let grants = changed.then(|| self.vips.given().into_iter().chain(self.node_ports.given()).collect());
        Unsaved { grants, origins: self.store.unsaved() }
    }
}

#[cfg(test)]
mod tests;
