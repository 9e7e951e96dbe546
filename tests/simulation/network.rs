//! Processes at addresses: who answers there now, how, and what they have read.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// One run of one process. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process(usize);

/// What is wrong with a process that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illness {
    /// It answers 503.
    Fails,
    /// It takes no new connection.
    Refuses,
    /// It closes instead of an answer.
    Breaks,
}

#[derive(Debug)]
struct Running {
    process: Process,
    service: usize,
}

/// What is known of a process that lives.
#[derive(Debug)]
struct Health {
    /// Until then it says of itself that it is not ready.
    warm_ms: u64,
    ill: Option<(Illness, u64)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Network {
    at: HashMap<IpAddr, Running>,
    started: usize,
    /// Requests that were read by some process.
    read: HashSet<usize>,
    alive: HashMap<Process, Health>,
}

impl Network {
    /// A process of a service listens there from now on, and is ready for work at `warm_ms`.
    pub(super) fn start(&mut self, ip: IpAddr, service: usize, warm_ms: u64) {
        self.started += 1;
        let process = Process(self.started);
        self.alive.insert(process, Health { warm_ms, ill: None });
        let before = self.at.insert(ip, Running { process, service });
        assert!(before.is_none(), "{ip} is taken");
    }

    /// Who is there exits: its connections are closed by the system.
    pub(super) fn exit(&mut self, ip: IpAddr) {
        if let Some(running) = self.at.remove(&ip) {
            self.alive.remove(&running.process);
        }
    }

    /// Who is there falls ill for a while.
    pub(super) fn fall_ill(&mut self, ip: IpAddr, how: Illness, until_ms: u64) {
        let process = self.at.get(&ip).map(|running| running.process);
        if let Some(health) = process.and_then(|process| self.alive.get_mut(&process)) {
            health.ill = Some((how, until_ms));
        }
    }

    pub(super) fn is_up(&self, ip: IpAddr) -> bool {
        self.at.contains_key(&ip)
    }

    /// Who takes a connection there, and of which service it is.
    pub(super) fn connect(&self, ip: IpAddr, now_ms: u64) -> Option<(Process, usize)> {
        let running = self.at.get(&ip)?;
        (self.illness(running.process, now_ms) != Some(Illness::Refuses)).then_some((running.process, running.service))
    }

    pub(super) fn is_alive(&self, process: Process) -> bool {
        self.alive.contains_key(&process)
    }

    /// Whether it says of itself that it is ready.
    pub(super) fn is_warm(&self, process: Process, now_ms: u64) -> bool {
        self.alive.get(&process).is_some_and(|health| health.warm_ms <= now_ms)
    }

    pub(super) fn illness(&self, process: Process, now_ms: u64) -> Option<Illness> {
        let (how, until_ms) = self.alive.get(&process)?.ill?;
        (now_ms < until_ms).then_some(how)
    }

    /// Some process reads a request. True when that was read before.
    pub(super) fn read(&mut self, request: usize) -> bool {
        !self.read.insert(request)
    }
}
