//! Pods that come and go, and what is true of them whatever the registry thinks: which run of a pod a replica is, who was said to leave and
//! when, and who was ever found ready.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use registry::snapshot::{ReplicaId, Snapshot};

use super::network::Illness;
use super::objects::{self, PodRun, Said};
use super::worker::members;
use super::world::{CHURN_MS, Next, World};

/// As many pods of each service there are at most, but for those that replace others.
const MOST: [usize; objects::SERVICES] = [4, 2, 2];

/// All pods.
pub(super) struct Pods {
    pub(super) running: Vec<PodRun>,
    free: Vec<IpAddr>,
    born: usize,
    /// Which run of a pod was told of last, while it is not told to be gone.
    told: HashMap<String, usize>,
    /// When a run was first told to leave, or to be gone.
    left_ms: HashMap<usize, u64>,
    /// Whose a replica is.
    runs: HashMap<ReplicaId, usize>,
    /// Runs that must be asked.
    probed: HashSet<usize>,
    /// Those of them that a check has found ready.
    pub(super) passed: HashSet<usize>,
}

impl Pods {
    pub(super) fn new() -> Pods {
        Pods {
            running: Vec::new(),
            free: (1..=12).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect(),
            born: 0,
            told: HashMap::new(),
            left_ms: HashMap::new(),
            runs: HashMap::new(),
            probed: HashSet::new(),
            passed: HashSet::new(),
        }
    }

    /// The run of this pod that was told of last.
    pub(super) fn told(&self, name: &str) -> Option<usize> {
        self.told.get(name).copied()
    }

    /// Whoever is new in a picture is the run that was told of last.
    pub(super) fn recognise(&mut self, snapshot: &Snapshot) {
        for endpoint in members(snapshot) {
            let name = endpoint.replica.pod.as_deref().and_then(|pod| pod.strip_prefix("sim/"));
            if let Some(run) = name.and_then(|name| self.told(name)) {
                self.runs.entry(endpoint.replica.id).or_insert(run);
            }
        }
    }

    /// Its pod must be asked, and no check has found it ready.
    pub(super) fn is_unproven(&self, replica: ReplicaId) -> bool {
        self.runs.get(&replica).is_some_and(|run| self.probed.contains(run) && !self.passed.contains(run))
    }

    /// When its pod was told to leave.
    pub(super) fn left_ms(&self, replica: ReplicaId) -> Option<u64> {
        self.left_ms.get(self.runs.get(&replica)?).copied()
    }

    /// Notes what is told. False when it is not worth to be told any more.
    fn note(&mut self, run: &PodRun, said: Said, now_ms: u64) -> bool {
        let last = self.told(&run.name);
        match said {
            // It has gone meanwhile.
            Said::There(_) if !self.running.iter().any(|other| other.born == run.born) => return false,
            Said::There(_) => {
                self.told.insert(run.name.clone(), run.born);
                if let Some(before) = last.filter(|before| *before != run.born) {
                    self.left_ms.entry(before).or_insert(now_ms);
                }
                return true;
            }
            // Its name is another's already.
            Said::Leaving(_) | Said::Gone if last.is_some_and(|last| last != run.born) => return false,
            Said::Leaving(_) => _ = self.told.insert(run.name.clone(), run.born),
            Said::Gone => _ = self.told.remove(&run.name),
        }
        self.left_ms.entry(run.born).or_insert(now_ms);
        true
    }
}

impl World {
    /// The pods that a world begins with.
    pub(super) fn people(&mut self) {
        for (service, most) in MOST.into_iter().enumerate() {
            for _ in 0..most / 2 + self.rng.usize(..=most / 2) {
                if let Some(run) = self.new_pod(service) {
                    self.at(0, Next::Start(run));
                }
            }
        }
    }

    fn new_pod(&mut self, service: usize) -> Option<PodRun> {
        let ip = self.pods.free.pop()?;
        let name = format!("s{service}-{}", self.pods.born + 1);
        Some(self.born(name, service, ip))
    }

    fn born(&mut self, name: String, service: usize, ip: IpAddr) -> PodRun {
        self.pods.born += 1;
        let born = self.pods.born;
        let rng = &mut self.rng;
        let probe = rng.bool().then(|| objects::probe(rng.u32(..2), 1 + rng.u32(..2), 1 + rng.u32(..2)));
        if probe.is_some() {
            self.pods.probed.insert(born);
        }
        PodRun { born, name, service, ip, probe }
    }

    pub(super) fn churn(&mut self) {
        if self.now_ms >= CHURN_MS {
            return;
        }
        let pause = 50 + self.rng.u64(..400);
        self.at(pause, Next::Churn);
        let service = self.rng.usize(..objects::SERVICES);
        let of_service: Vec<PodRun> = self.pods.running.iter().filter(|run| run.service == service).cloned().collect();
        let some = if of_service.is_empty() { None } else { Some(of_service[self.rng.usize(..of_service.len())].clone()) };
        match (self.rng.u8(..9), some) {
            // A rollout of one pod: the next one comes first, or the old one goes first.
            (0..=2, Some(old)) => {
                let (before, after) = if self.rng.bool() { (0, self.rng.u64(20..200)) } else { (self.rng.u64(1..1_500), 0) };
                if let Some(run) = self.new_pod(service) {
                    self.at(before, Next::Start(run));
                    self.at(after, Next::Exit(old.born));
                }
            }
            // A service is away for longer than anybody waits.
            (3, Some(run)) if of_service.len() == 1 && self.rng.u8(..8) == 0 => {
                if let Some(next) = self.new_pod(service) {
                    let back = self.rng.u64(6_000..9_000);
                    self.at(0, Next::Exit(run.born));
                    self.at(back, Next::Start(next));
                }
            }
            // A crash: it is started again where it was.
            (3, Some(run)) => {
                self.network.exit(run.ip);
                let back = self.rng.u64(1..1_000);
                self.at(back, Next::Restart(run.born));
            }
            // It is not ready for a while, when there is another.
            (4, Some(run)) if of_service.len() > 1 && run.probe.is_none() => {
                let back = self.rng.u64(1..800);
                self.at(0, Next::Say(run.clone(), Said::There(false)));
                self.at(back, Next::Say(run, Said::There(true)));
            }
            (5 | 6, Some(run)) => {
                let how = [Illness::Fails, Illness::Refuses, Illness::Breaks][self.rng.usize(..3)];
                let until_ms = (self.now_ms + self.rng.u64(300..3_000)).min(CHURN_MS + 500);
                self.network.fall_ill(run.ip, how, until_ms);
            }
            (7, Some(run)) => self.replace(&run),
            _ => {
                if let Some(run) = self.new_pod(service).filter(|_| of_service.len() < MOST[service]) {
                    self.at(0, Next::Start(run));
                }
            }
        }
    }

    /// It goes and returns by the same name, where it was or elsewhere.
    fn replace(&mut self, run: &PodRun) {
        self.exit(run.born);
        let free = &mut self.pods.free;
        let elsewhere = free.len() > 1 && self.rng.bool();
        let Some(ip) = (if elsewhere { Some(free.remove(0)) } else { free.pop() }) else { return };
        // On the same address it is another one only for who was told that the old one is gone.
        let back = if ip == run.ip { self.rng.u64(60..500) } else { self.rng.u64(..60) };
        let next = self.born(run.name.clone(), run.service, ip);
        self.at(back, Next::Start(next));
    }

    pub(super) fn start(&mut self, run: PodRun) {
        let warm_ms = self.now_ms + if run.probe.is_some() { self.rng.u64(..600) } else { 0 };
        self.network.start(run.ip, run.service, warm_ms);
        let told = self.rng.u64(..30);
        self.at(told, Next::Say(run.clone(), Said::There(true)));
        self.pods.running.push(run);
    }

    /// It is told to leave, or is gone at once: then the address is free, and whoever comes next has it.
    pub(super) fn exit(&mut self, born: usize) {
        let Some(at) = self.pods.running.iter().position(|run| run.born == born) else { return };
        let run = self.pods.running.remove(at);
        let told = self.rng.u64(..40);
        let grace = if self.rng.u8(..3) == 0 { self.rng.u64(100..4_000) } else { 0 };
        if grace > 0 || self.rng.bool() {
            self.at(told, Next::Say(run.clone(), Said::Leaving(grace > 0)));
        }
        // Its object may be removed long before it is gone.
        let gone = if grace == 0 || self.rng.u8(..3) == 0 { told + 10 } else { grace + told };
        self.at(gone, Next::Say(run.clone(), Said::Gone));
        match grace {
            0 => self.vanish(run.ip),
            _ => self.at(grace, Next::Vanish(run.ip)),
        }
    }

    pub(super) fn vanish(&mut self, ip: IpAddr) {
        self.network.exit(ip);
        self.pods.free.push(ip);
    }

    pub(super) fn restart(&mut self, born: usize) {
        let run = self.pods.running.iter().find(|run| run.born == born);
        if let Some(run) = run.filter(|run| !self.network.is_up(run.ip)) {
            self.network.start(run.ip, run.service, self.now_ms);
        }
    }

    /// The registry is told of a pod.
    pub(super) fn say(&mut self, run: &PodRun, said: Said) -> Result<(), String> {
        if self.pods.note(run, said, self.now_ms) {
            self.tell(objects::pod(run, said))?;
        }
        Ok(())
    }
}
