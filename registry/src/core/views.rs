//! What `get`, `check` and the admin API see of the registry.
//!
//! Invariant: everything here is read from the very tables that serve; nothing is decided again.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::annotations::Judged;
use config::exposure::Exposure;
use config::object::{Kind, ObjectKey, Protocol, ServiceKey};
use config::problem::{Problem, Reason};

use super::{Counts, Ejections, Registry, expiry};
use crate::build::notes::{self, type_name};
use crate::build::routes::Row;
use crate::build::seats::Seat;
use crate::build::{Entry, Port};
use crate::event::ListenerState;
use crate::lifecycle::State;
use crate::outlier::{Cause, Standing};
use crate::snapshot::{PortName, Replica, ServiceListener, ServiceListeners, Socket};
use crate::view::{AnnotationView, CheckView, EndpointView, ExposureView, RouteView, ServiceView, SourceView, WorkloadView};

impl Registry {
    /// Everything that an operator should know, errors first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut all = self.store.problems();
        let mut settings = Vec::new();
        let mut add = |key: &ObjectKey, problem: Problem| all.push(self.placed(key, problem));
        for (key, problems) in &self.labels {
            problems.iter().for_each(|problem| add(key, problem.clone()));
        }
        for (key, entry) in &self.world.services {
            entry.problems.iter().for_each(|problem| add(&object(key), problem.clone()));
        }
        for (key, problem) in self.vips.problems() {
            add(&object(key), problem.clone());
        }
        for (name, problem) in self.node_ports.problems() {
            add(&object(&name.service), problem.clone());
        }
        for (key, problem) in self.world.names.problems() {
            add(&object(key), problem.clone());
        }
        for (key, problem) in &self.carriers.problems {
            add(&object(key), problem.clone());
        }
        for (key, problem) in self.world.orphans() {
            add(&key, problem);
        }
        for (key, problem) in self.world.refused_probes() {
            add(&key, problem.clone());
        }
        for (key, problem) in &self.routes.problems {
            add(key, problem.clone());
        }
        for (key, problem) in &self.certificates.problems {
            match key {
                Some(key) => add(key, problem.clone()),
                None => settings.push(problem.clone()),
            }
        }
        for (key, certificate) in self.shown_certificates() {
            expiry::problem(certificate, self.date_s).into_iter().for_each(|problem| add(&key, problem));
        }
        for (name, dropped) in self.outside.dropped() {
            for (address, why) in dropped {
                let found = format!("its endpoint {address} is {why}: it is left out outside");
                let problem = Problem::error(Reason::NotExposed, found).expected("endpoints that the world may reach");
                add(&object(&name.service), problem.fix("correct the selector, the slice or the name, or remove the seal"));
            }
        }
        all.append(&mut settings);
        all.extend(self.current.problems().chain(&self.access_log).cloned());
        all.extend(self.listeners.values().filter_map(bind_failure));
        all.sort();
        all
    }

    /// A problem with its object and file.
    fn placed(&self, key: &ObjectKey, problem: Problem) -> Problem {
        let problem = problem.of(key);
        match self.store.file_of(key) {
            Some(file) => problem.in_file(&**file),
            None => problem,
        }
    }

    /// Every service port, sorted.
    pub fn services(&self) -> Vec<ServiceView> {
        let outside = self.forwarded(Exposure::External);
        let carried = self.carried();
        let ports = self.ports().map(|(key, entry, port)| ServiceView {
            node_port: self.node_ports.of(&port.name(key)),
            outside: carried.get(&port.name(key)).into_iter().flatten().map(|way| way.shown(&self.listeners)).collect(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            r#type: type_name(&entry.service().service_type).to_owned(),
            port: port.spec.port,
            protocol: port.spec.protocol.as_str().to_owned(),
            app_protocol: port.spec.app_protocol.as_deref().map(str::to_owned),
            vip: self.vips.of(key),
            exposure: side(port, key, &outside, &carried).to_string(),
            sealed: entry.seal.is_some(),
            ready: port.seats.iter().filter(|seat| self.world.state(seat) == State::Ready).count(),
            endpoints: port.seats.len(),
        });
        ports.collect()
    }

    /// Every endpoint: by service port, then those that drain after they left.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let mut rows = Vec::new();
        for (key, _, port) in self.ports() {
            let service = port.name(key).to_string();
            let row = |seat: &Seat| {
                let view = self.endpoint(seat, &service);
                let why = view.why.clone().or_else(|| self.world.unready_for(key, &seat.replica, self.world.state(seat)));
                EndpointView { why, ..view }
            };
            rows.extend(port.seats.iter().map(row));
        }
        let leaving = self.world.life.leaving().iter();
        rows.extend(leaving.map(|left| endpoint(left.id.0.get(), &left.replica, &left.service, State::Draining)));
        rows
    }

    fn endpoint(&self, seat: &Seat, service: &str) -> EndpointView {
        let view = endpoint(seat.id.0.get(), &seat.replica, service, self.world.state(seat));
        let Some(Standing { cause, until, on_trial }) = self.world.standing(seat) else { return view };
        let left = until.saturating_sub(self.world.now);
        // A second that has begun counts: nothing is said to be over that is not.
        let seconds = left.as_millis().div_ceil(1000);
        let why = if on_trial { format!("outlier: {cause}, on trial") } else { format!("outlier: {cause}, {seconds} s left") };
        EndpointView { why: Some(why), left_ms: u64::try_from(left.as_millis()).ok(), ..view }
    }

    /// Every route, served or not, sorted.
    pub fn routes(&self) -> Vec<RouteView> {
        let mut rows: Vec<RouteView> = self.routes.rows.iter().map(|row| self.route(row)).collect();
        rows.sort_by(|a, b| {
            let key =
                |row: &RouteView| (row.exposure.clone(), row.host.clone(), row.path.clone(), row.path_type.clone(), row.owner.clone());
            key(a).cmp(&key(b))
        });
        rows
    }

    fn route(&self, row: &Row) -> RouteView {
        RouteView {
            exposure: row.exposure.to_string(),
            host: row.host.to_string(),
            path_type: row.path_type.to_owned(),
            path: row.path.to_string(),
            service: row.service.as_ref().map(PortName::to_string).unwrap_or_default(),
            owner: row.owner.to_string(),
            ready: row.service.as_ref().map_or(0, |name| self.picked(name, row.exposure)),
            refused: row.why.as_deref().map(str::to_owned),
            filters: row.filters.as_ref().map(|filters| filters.describe()).unwrap_or_default(),
        }
    }

    /// How many endpoints may be picked on this plane now.
    fn picked(&self, name: &PortName, exposure: Exposure) -> usize {
        if exposure == Exposure::External {
            return self.outside.service(name).map_or(0, |service| service.endpoints.len());
        }
        let port = self.world.services.get(&name.service).and_then(|entry| entry.port(name));
        port.and_then(|port| port.place).map_or(0, |place| self.world.inside(place).endpoints.len())
    }

    /// Every listener, by name.
    pub fn listeners(&self) -> Vec<ListenerState> {
        self.listeners.values().cloned().collect()
    }

    /// Every workload, by kind, namespace and name.
    pub fn workloads(&self) -> Vec<WorkloadView> {
        self.world.workloads().map(|(_, view)| view).collect()
    }

    /// Every source, by name.
    pub fn sources(&self, now: Duration) -> Vec<SourceView> {
        self.store.source_views(now).into_iter().chain(self.world.names.views(now)).chain(self.current.view(now)).collect()
    }

    /// Every service port, and every way to reach it; sorted.
    pub fn exposure(&self) -> Vec<ExposureView> {
        let (outside, inside) = (self.forwarded(Exposure::External), self.forwarded(Exposure::Internal));
        let carried = self.carried();
        let mut rows: Vec<ExposureView> = self
            .ports()
            .map(|(key, entry, port)| {
                let name = port.name(key);
                let mut by = Vec::new();
                if port.place.is_some() {
                    by.extend(outside.get(&name).into_iter().flatten().map(|row| format!("http {}", way(row))));
                    by.extend(carried.get(&name).into_iter().flatten().map(Outward::reached));
                    let vip = self.vips.of(key).map(|ip| SocketAddr::new(ip, port.spec.port));
                    by.extend(vip.map(|vip| format!("vip {vip}")));
                    by.extend(inside.get(&name).into_iter().flatten().map(|row| format!("internal-http {}", way(row))));
                }
                ExposureView {
                    service: name.to_string(),
                    exposure: side(port, key, &outside, &carried).to_string(),
                    by,
                    sealed_by: entry.seal.as_ref().map(ToString::to_string),
                }
            })
            .collect();
        rows.sort();
        rows
    }

    /// What `tidegate check` shows.
    pub fn check(&self) -> CheckView {
        CheckView {
            problems: self.checked(),
            exposure: self.exposure(),
            annotations: self.annotations(),
            skipped: self.store.skipped(),
            objects: self.store.len(),
            probed: self.probed().len(),
        }
    }

    /// Every annotation for a filter or about how endpoints are picked, by object and key.
    fn annotations(&self) -> Vec<AnnotationView> {
        let view = |(owner, judged): (&ObjectKey, &Judged)| AnnotationView {
            owner: owner.to_string(),
            key: judged.key.to_string(),
            verdict: judged.verdict,
            how: judged.how.to_string(),
        };
        let mut rows: Vec<AnnotationView> = self.routes.judged.iter().map(|(owner, judged)| view((owner, judged))).collect();
        let services = self.world.services.iter().filter_map(|(key, entry)| Some((object(key), entry.judged.as_ref()?)));
        rows.extend(services.map(|(owner, judged)| view((&owner, judged))));
        rows.sort_by(|a, b| (&a.owner, &a.key).cmp(&(&b.owner, &b.key)));
        rows
    }

    /// The problems, and workloads that lack replicas. Of a running process those are numbers: each rollout would be a warning.
    fn checked(&self) -> Vec<Problem> {
        let mut all = self.problems();
        all.extend(self.world.workloads().filter_map(|(key, view)| Some(self.placed(key, notes::of_workload(&view)?))));
        all.sort();
        all
    }

    /// Numbers for `/metrics`.
    pub fn counts(&self) -> Counts {
        let mut endpoints: BTreeMap<&'static str, usize> = State::ALL.map(|state| (state.as_str(), 0)).into();
        let states = self.ports().flat_map(|(_, _, port)| &port.seats).map(|seat| self.world.state(seat));
        for state in states.chain(self.world.life.leaving().iter().map(|_| State::Draining)) {
            *endpoints.entry(state.as_str()).or_default() += 1;
        }
        let mut problems = BTreeMap::new();
        for problem in self.problems() {
            *problems.entry((problem.severity, problem.reason)).or_default() += 1;
        }
        let refused = [(Exposure::External, &self.routes.external), (Exposure::Internal, &self.routes.internal)];
        Counts {
            endpoints,
            ejections: self.ejections(),
            problems,
            refused_routes: refused.map(|(exposure, tables)| (exposure.as_str(), tables.refused.routes().len())).into(),
            objects: self.store.len(),
            workloads: self.workloads(),
            version: self.version(),
            rebuilt: self.world.rebuilt,
            expiries: self.expiries(),
            probes: Vec::new(),
        }
    }

    /// With zeros, so that the first ejection of a port is an increase.
    fn ejections(&self) -> Vec<Ejections> {
        let judged = self.ports().filter(|(_, _, port)| port.spec.protocol == Protocol::Tcp);
        let of = |(key, _, port): (&ServiceKey, _, &Port)| Ejections {
            service: port.name(key).to_string(),
            causes: std::array::from_fn(|cause| (Cause::WORDS[cause], port.ejections[cause])),
            now: port.seats.iter().filter(|seat| self.world.standing(seat).is_some()).count(),
        };
        judged.map(of).collect()
    }

    fn ports(&self) -> impl Iterator<Item = (&ServiceKey, &Entry, &Port)> {
        self.world.services.iter().flat_map(|(key, entry)| entry.ports.iter().map(move |port| (key, entry, port)))
    }

    /// What is bound outside for each service port.
    fn carried(&self) -> HashMap<PortName, Vec<Outward<'_>>> {
        let mut all: HashMap<PortName, Vec<Outward<'_>>> = HashMap::new();
        for (socket, listener) in sorted(&self.listeners_outside) {
            all.entry(listener.name.clone()).or_default().push(Outward { address: socket.address, listener });
        }
        all
    }

    /// Which rules forward to a service port.
    fn forwarded(&self, exposure: Exposure) -> HashMap<PortName, Vec<&Row>> {
        let mut rows: HashMap<PortName, Vec<&Row>> = HashMap::new();
        for row in self.routes.rows.iter().filter(|row| row.exposure == exposure && row.why.is_none()) {
            if let Some(name) = &row.service {
                rows.entry(name.clone()).or_default().push(row);
            }
        }
        for rows in rows.values_mut() {
            rows.sort_by(|a, b| (&a.host, &a.path, a.path_type).cmp(&(&b.host, &b.path, b.path_type)));
        }
        rows
    }
}

fn object(key: &ServiceKey) -> ObjectKey {
    ObjectKey { kind: Kind::Service, namespace: key.namespace.clone(), name: key.name.clone() }
}

/// A listener outside, as a Service asks for it.
struct Outward<'a> {
    address: SocketAddr,
    listener: &'a ServiceListener,
}

impl Outward<'_> {
    /// For `get services`: with what became of it.
    fn shown(&self, listeners: &BTreeMap<(Arc<str>, SocketAddr, String), ListenerState>) -> String {
        let protocol = self.listener.name.protocol.as_str().to_owned();
        let bound = listeners.get(&(self.listener.shown().into(), self.address, protocol)).is_some_and(|state| state.error.is_none());
        format!("{} {}{}", self.listener.way.as_str(), self.address, if bound { "" } else { " (not bound)" })
    }

    /// For `check`: who may come.
    fn reached(&self) -> String {
        let sources: Vec<String> = self.listener.sources.iter().map(ToString::to_string).collect();
        let from = if sources.is_empty() { String::new() } else { format!(" from {}", sources.join(", ")) };
        format!("{} {}{from}", self.listener.way.as_str(), self.address)
    }
}

/// In the order of ways and addresses.
fn sorted(listeners: &ServiceListeners) -> Vec<(&Socket, &ServiceListener)> {
    let mut all: Vec<_> = listeners.iter().collect();
    all.sort_by_key(|(socket, listener)| (listener.way, **socket));
    all
}

fn side(port: &Port, key: &ServiceKey, routed: &HashMap<PortName, Vec<&Row>>, carried: &HashMap<PortName, Vec<Outward<'_>>>) -> Exposure {
    let name = port.name(key);
    let outside = routed.contains_key(&name) || carried.contains_key(&name);
    if port.place.is_some() && outside { Exposure::External } else { Exposure::Internal }
}

/// `HOST PATH (Ingress NAMESPACE/NAME)`
fn way(row: &Row) -> String {
    let path = if row.path_type == "Default" { "default" } else { &row.path };
    format!("{} {path} ({})", row.host, row.owner)
}

fn endpoint(id: u64, replica: &Replica, service: &str, state: State) -> EndpointView {
    let load = &replica.load;
    EndpointView {
        id,
        replica: replica.id.0.get(),
        service: service.to_owned(),
        address: replica.address,
        pod: replica.pod.as_deref().map(str::to_owned),
        speaks: replica.speaks.as_str().to_owned(),
        state: state.as_str().to_owned(),
        in_flight: load.in_flight.load(std::sync::atomic::Ordering::Relaxed),
        latency_us: load.latency_us.load(std::sync::atomic::Ordering::Relaxed),
        why: None,
        left_ms: None,
    }
}

fn bind_failure(listener: &ListenerState) -> Option<Problem> {
    let error = listener.error.as_ref()?;
    Some(Problem::error(Reason::BindFailed, error.clone()).of(format!("listener {} on {}", listener.name, listener.address)))
}
