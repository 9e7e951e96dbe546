//! A world: its clock, what is to happen, and who hears of it when.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use config::exposure::Exposure;
use config::settings::{Limits, Outlier, Settings};
use fastrand::Rng;
use registry::core::Registry;
use registry::event::{Event, Report};
use registry::health::{Failure, Job, Verdict};
use registry::snapshot::{EndpointId, Service, Snapshot};
use registry::state::Saved;

use super::drain::TICK_MS;
use super::health::Asking;
use super::law::Fault;
use super::network::{Network, Process};
use super::objects::{self, PodRun, Said};
use super::outliers::{self, Ejected};
use super::pods::Pods;
use super::request::{At, Ended, Request};
use super::worker::{Worker, empty, members};

/// Until then pods come and go, and fall ill.
pub(super) const CHURN_MS: u64 = 6_000;
/// By then whoever may still come has come, is asked, and is well.
pub(super) const SETTLED_MS: u64 = 22_000;
/// By then all is quiet.
const END_MS: u64 = 30_000;

/// What is to happen.
pub(super) enum Next {
    Churn,
    Arrive,
    Request(usize, u64),
    /// The registry is told what stands.
    Stand,
    /// The registry is told of a pod.
    Say(PodRun, Said),
    Adopt(usize, Arc<Snapshot>),
    /// A process is started, and its pod is told to be there.
    Start(PodRun),
    /// A pod goes.
    Exit(usize),
    /// The process there exits.
    Vanish(IpAddr),
    /// A process of this pod starts again where it was.
    Restart(usize),
    /// Those who ask hear who is wanted.
    Want,
    /// They look at what is due.
    Ask,
    /// A check arrives.
    Reach(Job),
    /// Its answer does, from this process.
    Hear(Job, Result<(), Failure>, Option<Process>),
    /// The registry hears what they come to.
    Judge(Verdict),
    /// The registry hears a worker.
    Report(Report),
    /// The registry lets time pass.
    Tick,
    /// A worker looks at what has left.
    Sweep(usize),
}

pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) rng: Rng,
    pub(super) fault: Option<Fault>,
    pub(super) network: Network,
    pub(super) workers: Vec<Worker>,
    pub(super) limits: Limits,
    /// Of ejections.
    pub(super) rules: Outlier,
    /// Answers of processes that had just got another's address.
    pub(super) strangers: usize,
    pub(super) registry: Registry,
    pub(super) newest: Arc<Snapshot>,
    pub(super) pods: Pods,
    pub(super) asking: Asking,
    pub(super) ejected: Ejected,
    /// Endpoints of each picture that a worker may run still.
    pictures: BTreeMap<u64, HashSet<EndpointId>>,
    seen: HashSet<EndpointId>,
    pub(super) acknowledged: Rc<RefCell<Vec<u64>>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    due: HashMap<u64, Next>,
    number: u64,
    /// In boxes, since each step takes one out.
    pub(super) requests: HashMap<usize, Box<Request>>,
    pub(super) begun: usize,
    pub(super) ended: usize,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> World {
        let mut rng = Rng::with_seed(seed);
        let rules = outliers::rules(&mut rng);
        let acknowledged = Rc::new(RefCell::new(vec![0; 2]));
        let limits = Limits { replica_drain_ms: rng.u64(300..1_500), ..Limits::default() };
        let (outlier, slow_start_ms) = (outliers::applied(rules, fault), if rng.bool() { 500 } else { 0 });
        let settings = Settings { workers: 2, limits, outlier, slow_start_ms, ..Settings::default() };
        let mut registry = Registry::new(&settings, Saved::default());
        if fault != Some(Fault::AsksNobody) {
            registry.set_probing();
        }
        let mut world = World {
            now_ms: 0,
            rng,
            fault,
            network: Network::default(),
            workers: (0..2).map(|id| Worker::new(id, acknowledged.clone(), rules.consecutive_failures)).collect(),
            limits,
            rules,
            strangers: 0,
            registry,
            newest: empty(),
            pods: Pods::new(),
            asking: Asking::new(seed),
            ejected: Ejected::default(),
            pictures: BTreeMap::new(),
            seen: HashSet::new(),
            acknowledged,
            queue: BinaryHeap::new(),
            due: HashMap::new(),
            number: 0,
            requests: HashMap::new(),
            begun: 0,
            ended: 0,
        };
        world.at(0, Next::Stand);
        world.people();
        world.at(200, Next::Churn);
        world.at(100, Next::Arrive);
        for worker in 0..world.workers.len() {
            let first = world.rng.u64(..TICK_MS);
            world.at(first, Next::Sweep(worker));
        }
        world
    }

    pub(super) fn at(&mut self, in_ms: u64, next: Next) {
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
            self.gather();
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
            Next::Stand => return self.tell(objects::standing()),
            Next::Say(run, said) => return self.say(&run, said),
            Next::Adopt(worker, snapshot) => self.adopt(worker, &snapshot),
            Next::Start(run) => self.start(run),
            Next::Exit(born) => self.exit(born),
            Next::Vanish(ip) => self.vanish(ip),
            Next::Restart(born) => self.restart(born),
            Next::Want => self.follow(),
            Next::Ask => self.ask(),
            Next::Reach(job) => self.reach(job),
            Next::Hear(job, answer, process) => self.hear(&job, answer, process),
            Next::Judge(verdict) => return self.judge(verdict),
            Next::Report(report) => return self.report(report),
            Next::Tick => return self.tick(),
            Next::Sweep(worker) => return self.sweep(worker),
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), String> {
        self.registry.apply(event, self.now());
        self.publish().map(drop)
    }

    /// Shows the workers what has changed, as the actor does. True when something has.
    pub(super) fn publish(&mut self) -> Result<bool, String> {
        let snapshot = self.registry.publish(self.now());
        self.want();
        self.plan_tick();
        self.hold_share()?;
        let Some(snapshot) = snapshot else { return Ok(false) };
        self.hold_panic(&snapshot)?;
        self.pods.recognise(&snapshot);
        let endpoints: HashSet<EndpointId> = members(&snapshot).map(|endpoint| endpoint.id).collect();
        self.seen.extend(&endpoints);
        self.pictures.insert(snapshot.version, endpoints);
        self.newest = snapshot.clone();
        for worker in 0..self.workers.len() {
            let delay = self.rng.u64(..20);
            self.at(delay, Next::Adopt(worker, snapshot.clone()));
        }
        Ok(true)
    }

    fn adopt(&mut self, worker: usize, snapshot: &Arc<Snapshot>) {
        if !self.workers[worker].adopt(snapshot, self.now_ms) {
            return;
        }
        if self.fault == Some(Fault::AcknowledgesEarly) {
            self.acknowledged.borrow_mut()[worker] = snapshot.version;
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
        let request = Box::new(Request::new(self, self.begun));
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
}
