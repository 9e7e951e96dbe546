//! A world: its clock, what is to happen, pods that come and go, and what must hold after each step.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::exposure::Exposure;
use config::settings::{Limits, Settings};
use fastrand::Rng;
use proxy::picture::Pictures;
use proxy::waiting::Waiting;
use registry::core::Registry;
use registry::event::{Event, Report};
use registry::snapshot::{EndpointId, Plane, Replica, ReplicaId, Service, Snapshot};
use registry::state::Saved;

use super::law::Fault;
use super::network::{Network, Process};
use super::objects;
use super::request::{At, Ended, Request};

/// Until then pods come and go.
const CHURN_MS: u64 = 6_000;
/// By then all is quiet.
const END_MS: u64 = 30_000;

/// A connection to a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) process: Process,
    pub(super) service: usize,
    /// To whom it was to lead.
    pub(super) opened_for: ReplicaId,
}

pub(super) struct Worker {
    pub(super) pictures: Rc<Pictures>,
    pub(super) waiting: Rc<Waiting>,
    idle: HashMap<ReplicaId, Vec<Connection>>,
    idle_by_address: HashMap<SocketAddr, Vec<Connection>>,
}

#[derive(Clone, Debug)]
struct Pod {
    name: String,
    service: usize,
    ip: IpAddr,
    ready: bool,
}

/// What is to happen.
enum Next {
    Churn,
    Arrive,
    Request(usize, u64),
    /// The registry is told.
    Tell(Event),
    Adopt(usize, Arc<Snapshot>),
    /// A process is started, and its pod is told to be ready.
    Start(Pod),
    /// A process exits; its pod is told to be gone later.
    Exit(String),
    /// A process of this pod starts again where it was.
    Restart(String),
}

pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) rng: Rng,
    pub(super) fault: Option<Fault>,
    pub(super) network: Network,
    pub(super) workers: Vec<Worker>,
    pub(super) limits: Limits,
    /// Answers of processes that had just got another's address.
    pub(super) strangers: usize,
    registry: Registry,
    newest: Arc<Snapshot>,
    /// Endpoints of each picture that a worker may run still.
    pictures: BTreeMap<u64, HashSet<EndpointId>>,
    seen: HashSet<EndpointId>,
    acknowledged: Rc<RefCell<Vec<u64>>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    due: HashMap<u64, Next>,
    number: u64,
    pods: Vec<Pod>,
    free: Vec<IpAddr>,
    named: usize,
    requests: HashMap<usize, Request>,
    begun: usize,
    ended: usize,
}

fn empty() -> Arc<Snapshot> {
    Arc::new(Snapshot { version: 0, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) })
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> World {
        let rng = Rng::with_seed(seed);
        let acknowledged = Rc::new(RefCell::new(vec![0; 2]));
        let worker = |id: usize| {
            let told = acknowledged.clone();
            Worker {
                pictures: Pictures::new(empty(), move |version| told.borrow_mut()[id] = version),
                waiting: Rc::default(),
                idle: HashMap::new(),
                idle_by_address: HashMap::new(),
            }
        };
        let settings = Settings { workers: 2, ..Settings::default() };
        let mut world = World {
            now_ms: 0,
            rng,
            fault,
            network: Network::default(),
            workers: (0..2).map(worker).collect(),
            limits: settings.limits,
            strangers: 0,
            registry: Registry::new(&settings, Saved::default()),
            newest: empty(),
            pictures: BTreeMap::new(),
            seen: HashSet::new(),
            acknowledged,
            queue: BinaryHeap::new(),
            due: HashMap::new(),
            number: 0,
            pods: Vec::new(),
            free: (1..=8).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect(),
            named: 0,
            requests: HashMap::new(),
            begun: 0,
            ended: 0,
        };
        world.at(0, Next::Tell(objects::standing()));
        for service in 0..objects::SERVICES {
            for _ in 0..1 + world.rng.usize(..2) {
                if let Some(pod) = world.new_pod(service) {
                    world.at(0, Next::Start(pod));
                }
            }
        }
        world.at(200, Next::Churn);
        world.at(100, Next::Arrive);
        world
    }

    fn at(&mut self, in_ms: u64, next: Next) {
        self.number += 1;
        self.queue.push(Reverse((self.now_ms + in_ms, self.number)));
        self.due.insert(self.number, next);
    }

    /// Plays it to its end.
    pub(super) fn play(mut self) -> Result<(), String> {
        while let Some(Reverse((when, number))) = self.queue.pop() {
            self.now_ms = when;
            if let Some(next) = self.due.remove(&number) {
                self.take(next)?;
            }
            self.hold_laws()?;
            if when > END_MS {
                return Err(format!("after {END_MS} ms {} requests still wait", self.requests.len()));
            }
        }
        self.at_rest()
    }

    fn take(&mut self, next: Next) -> Result<(), String> {
        match next {
            Next::Churn => self.churn(),
            Next::Arrive => self.arrive(),
            Next::Request(id, step) => return self.go_on(id, step),
            Next::Tell(event) => self.tell(event),
            Next::Adopt(worker, snapshot) => self.adopt(worker, snapshot),
            Next::Start(pod) => self.start(pod),
            Next::Exit(name) => self.exit(&name),
            Next::Restart(name) => {
                if let Some(pod) = self.pods.iter().find(|pod| pod.name == name).cloned()
                    && self.network.connect(pod.ip).is_none()
                {
                    self.network.start(pod.ip, pod.service);
                }
            }
        }
        Ok(())
    }

    fn new_pod(&mut self, service: usize) -> Option<Pod> {
        let ip = self.free.pop()?;
        self.named += 1;
        Some(Pod { name: format!("s{service}-{}", self.named), service, ip, ready: true })
    }

    fn churn(&mut self) {
        if self.now_ms >= CHURN_MS {
            return;
        }
        let pause = 50 + self.rng.u64(..400);
        self.at(pause, Next::Churn);
        let service = self.rng.usize(..objects::SERVICES);
        let of_service: Vec<Pod> = self.pods.iter().filter(|pod| pod.service == service).cloned().collect();
        let some = if of_service.is_empty() { None } else { Some(of_service[self.rng.usize(..of_service.len())].clone()) };
        match (self.rng.u8(..6), some) {
            // A rollout of one pod: the next one comes first, or the old one goes first.
            (0..=2, Some(old)) => {
                let (before, after) = if self.rng.bool() { (0, self.rng.u64(20..200)) } else { (self.rng.u64(1..1_500), 0) };
                if let Some(pod) = self.new_pod(service) {
                    self.at(before, Next::Start(pod));
                    self.at(after, Next::Exit(old.name));
                }
            }
            // A service is away for longer than anybody waits.
            (3, Some(pod)) if of_service.len() == 1 && self.rng.u8(..8) == 0 => {
                if let Some(next) = self.new_pod(service) {
                    let back = self.rng.u64(6_000..9_000);
                    self.at(0, Next::Exit(pod.name));
                    self.at(back, Next::Start(next));
                }
            }
            // A crash: it is started again where it was.
            (3, Some(pod)) => {
                self.network.exit(pod.ip);
                let back = self.rng.u64(1..1_000);
                self.at(back, Next::Restart(pod.name));
            }
            // It is not ready for a while, when there is another.
            (4, Some(pod)) if of_service.len() > 1 => {
                let back = self.rng.u64(1..800);
                self.at(0, Next::Tell(objects::pod(&pod.name, service, pod.ip, Some((false, false)))));
                self.at(back, Next::Tell(objects::pod(&pod.name, service, pod.ip, Some((true, false)))));
            }
            _ => {
                if let Some(pod) = self.new_pod(service).filter(|_| of_service.len() < 2) {
                    self.at(0, Next::Start(pod));
                }
            }
        }
    }

    fn start(&mut self, pod: Pod) {
        self.network.start(pod.ip, pod.service);
        let told = self.rng.u64(..30);
        self.at(told, Next::Tell(objects::pod(&pod.name, pod.service, pod.ip, Some((pod.ready, false)))));
        self.pods.push(pod);
    }

    /// The address is free at once, and whoever comes next has it.
    fn exit(&mut self, name: &str) {
        let Some(at) = self.pods.iter().position(|pod| pod.name == name) else { return };
        let pod = self.pods.remove(at);
        self.network.exit(pod.ip);
        let told = self.rng.u64(..40);
        if self.rng.bool() {
            self.at(told, Next::Tell(objects::pod(&pod.name, pod.service, pod.ip, Some((false, true)))));
        }
        self.at(told + 10, Next::Tell(objects::pod(&pod.name, pod.service, pod.ip, None)));
        self.free.push(pod.ip);
    }

    fn tell(&mut self, event: Event) {
        // A pod that has gone meanwhile is not told to be there.
        if let Some(name) = pod_told(&event)
            && !self.pods.iter().any(|pod| pod.name == name)
        {
            return;
        }
        let now = Duration::from_millis(self.now_ms);
        self.registry.apply(event, now);
        if let Some(snapshot) = self.registry.publish(now) {
            let endpoints = ids(&snapshot);
            self.seen.extend(&endpoints);
            self.pictures.insert(snapshot.version, endpoints);
            self.newest = snapshot.clone();
            for worker in 0..self.workers.len() {
                let delay = self.rng.u64(..20);
                self.at(delay, Next::Adopt(worker, snapshot.clone()));
            }
        }
    }

    fn adopt(&mut self, worker: usize, snapshot: Arc<Snapshot>) {
        let one = &mut self.workers[worker];
        if snapshot.version <= one.pictures.hold().snapshot().version {
            return; // a newer one came first
        }
        let there: HashSet<ReplicaId> = replicas(&snapshot).map(|replica| replica.id).collect();
        one.idle.retain(|replica, _| there.contains(replica));
        let version = snapshot.version;
        one.pictures.adopt(snapshot);
        if self.fault == Some(Fault::AcknowledgesEarly) {
            self.acknowledged.borrow_mut()[worker] = version;
        }
        let mut waiting: Vec<(usize, u64)> = self
            .requests
            .values()
            .filter(|request| request.worker == worker && matches!(request.at, At::Waiting))
            .map(|request| (request.id, request.step))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|(id, step)| self.at(0, Next::Request(id, step)));
    }

    fn arrive(&mut self) {
        if self.now_ms >= CHURN_MS + 1_000 {
            return;
        }
        let pause = self.rng.u64(1..60);
        self.at(pause, Next::Arrive);
        self.begun += 1;
        let request = Request::new(self, self.begun);
        self.at(0, Next::Request(request.id, request.step));
        self.requests.insert(request.id, request);
    }

    fn go_on(&mut self, id: usize, step: u64) -> Result<(), String> {
        let Some(mut request) = self.requests.remove(&id) else { return Ok(()) };
        if request.step != step {
            self.requests.insert(id, request);
            return Ok(());
        }
        match request.step(self)? {
            Ok(pause) => {
                self.at(pause, Next::Request(id, request.step));
                self.requests.insert(id, request);
            }
            Err(ended) => {
                self.ended += 1;
                if let Ended::Refused(why) = ended
                    && !request.may_fail(why, self)
                {
                    let (took, method) = (self.now_ms - request.began_ms, if request.idempotent { "GET" } else { "POST" });
                    return Err(format!("request {id} ({method} s{}) failed after {took} ms: {why}", request.service));
                }
            }
        }
        Ok(())
    }

    /// An idle connection to a replica. `surely`: one that its process has not closed.
    pub(super) fn idle(&mut self, worker: usize, replica: &Replica, surely: bool) -> Option<Connection> {
        let one = &mut self.workers[worker];
        let idle = match self.fault {
            Some(Fault::PoolsByAddress) => one.idle_by_address.get_mut(&replica.address)?,
            _ => one.idle.get_mut(&replica.id)?,
        };
        while let Some(connection) = idle.pop() {
            // The end of one that was closed may not have been seen yet.
            if self.network.is_alive(connection.process) || (!surely && self.rng.u8(..4) == 0) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn rest(&mut self, worker: usize, replica: ReplicaId, address: SocketAddr, connection: Connection) {
        let one = &mut self.workers[worker];
        one.idle_by_address.entry(address).or_default().push(connection);
        one.idle.entry(replica).or_default().push(connection);
    }

    pub(super) fn service_of(&self, exposure: Exposure, service: usize) -> Arc<Service> {
        let name = format!("s{service}");
        let plane = self.newest.plane(exposure);
        let found = plane.services.iter().find(|one| *one.name.service.name == *name);
        found.unwrap_or_else(|| panic!("{name} is on no {exposure} plane")).clone()
    }

    /// Every worker has said that it runs a picture without it.
    pub(super) fn is_gone(&self, endpoint: EndpointId) -> bool {
        let all = self.acknowledged.borrow().iter().copied().min().unwrap_or_default();
        let mut there = self.pictures.range(all..).map(|(_, endpoints)| endpoints);
        self.seen.contains(&endpoint) && all > 0 && !there.any(|endpoints| endpoints.contains(&endpoint))
    }

    fn hold_laws(&mut self) -> Result<(), String> {
        let told: Vec<u64> = self.acknowledged.borrow().clone();
        for (worker, version) in told.into_iter().enumerate() {
            self.registry.report(Report::Acknowledged { worker, version }, Duration::from_millis(self.now_ms));
        }
        if self.begun != self.ended + self.requests.len() {
            return Err(format!("{} requests began, {} ended, {} are under way", self.begun, self.ended, self.requests.len()));
        }
        let sealed = format!("s{}", objects::SEALED);
        if self.newest.external.services.iter().any(|service| *service.name.service.name == *sealed) {
            return Err("the outside has a sealed service".to_owned());
        }
        let waiting = || self.requests.values().filter(|request| matches!(request.at, At::Waiting));
        if waiting().count() > self.limits.waiting_requests * self.workers.len() {
            return Err("more requests wait than there are places".to_owned());
        }
        let too_long = |request: &&Request| request.waits_since_ms.is_some_and(|since| self.now_ms > since + self.limits.endpoint_wait_ms);
        if let Some(request) = waiting().find(too_long) {
            return Err(format!("request {} waits since {:?}", request.id, request.waits_since_ms));
        }
        Ok(())
    }

    /// All is told and done: the picture is what is there, and nobody is counted as busy.
    fn at_rest(&self) -> Result<(), String> {
        if !self.requests.is_empty() {
            return Err(format!("{} requests wait for ever", self.requests.len()));
        }
        for service in 0..objects::SERVICES {
            let shown = self.service_of(Exposure::Internal, service);
            let mut shown: Vec<SocketAddr> = shown.endpoints.iter().map(|endpoint| endpoint.replica.address).collect();
            let mut there: Vec<SocketAddr> =
                self.pods.iter().filter(|pod| pod.service == service).map(|pod| objects::address(pod.ip)).collect();
            shown.sort_unstable();
            there.sort_unstable();
            if shown != there {
                return Err(format!("s{service} has not converged: {shown:?} are shown, {there:?} are there"));
            }
        }
        let busy = replicas(&self.newest).find(|replica| replica.load.in_flight.load(Relaxed) != 0);
        if let Some(replica) = busy {
            return Err(format!("{} counts as busy at rest", replica.address));
        }
        let newest = self.newest.version;
        let told = self.acknowledged.borrow();
        if told.iter().any(|version| *version != newest) {
            return Err(format!("workers say {told:?} where {newest} is the newest"));
        }
        Ok(())
    }
}

fn replicas(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Replica>> {
    let planes = [&snapshot.external, &snapshot.internal];
    planes.into_iter().flat_map(|plane| plane.services.iter()).flat_map(|service| &service.endpoints).map(|endpoint| &endpoint.replica)
}

fn ids(snapshot: &Snapshot) -> HashSet<EndpointId> {
    let planes = [&snapshot.external, &snapshot.internal];
    planes.into_iter().flat_map(|plane| plane.services.iter()).flat_map(|service| &service.endpoints).map(|endpoint| endpoint.id).collect()
}

/// The pod that an event tells to be there and not to be leaving.
fn pod_told(event: &Event) -> Option<String> {
    use config::object::Object;
    use registry::event::Content;
    let Event::Batch(batch) = event else { return None };
    let [change] = &batch.changes[..] else { return None };
    let Content::Manifest(manifest) = &change.content else { return None };
    match &manifest.objects[..] {
        [Object::Pod(pod)] if !pod.meta.deleting => Some(pod.meta.name.to_string()),
        _ => None,
    }
}
