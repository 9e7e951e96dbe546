//! Processes at addresses: who answers there now, and what they have read.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// One run of one process. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process(usize);

#[derive(Debug)]
struct Running {
    process: Process,
    service: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Network {
    at: HashMap<IpAddr, Running>,
    started: usize,
    /// Who read each request, in order.
    read: HashMap<usize, Vec<Process>>,
    alive: HashSet<Process>,
}

impl Network {
    /// A process of a service listens there from now on.
    pub(super) fn start(&mut self, ip: IpAddr, service: usize) -> Process {
        self.started += 1;
        let process = Process(self.started);
        self.alive.insert(process);
        let before = self.at.insert(ip, Running { process, service });
        assert!(before.is_none(), "{ip} is taken");
        process
    }

    /// Who is there exits: its connections are closed by the system.
    pub(super) fn exit(&mut self, ip: IpAddr) {
        if let Some(running) = self.at.remove(&ip) {
            self.alive.remove(&running.process);
        }
    }

    /// Who takes a connection there, and of which service it is.
    pub(super) fn connect(&self, ip: IpAddr) -> Option<(Process, usize)> {
        self.at.get(&ip).map(|running| (running.process, running.service))
    }

    pub(super) fn is_alive(&self, process: Process) -> bool {
        self.alive.contains(&process)
    }

    /// It reads a request. True when that was read before.
    pub(super) fn read(&mut self, process: Process, request: usize) -> bool {
        let readers = self.read.entry(request).or_default();
        readers.push(process);
        readers.len() > 1
    }
}
