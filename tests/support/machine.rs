//! A machine beside this one, for what only another machine can do: vanish without a word.
//!
//! It is a network namespace behind a pair of virtual interfaces, with two addresses that no other test has ([`Net`]). Nothing but this
//! process holds it: the system takes it away, and the interfaces with it, however the test ends. Making one is root's right; whoever lacks
//! it is told which cases were not run.

use std::fs::File;
use std::io::{BufRead, BufReader, Write, stderr};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::net::Lease;
use crate::{Behaviour, Net, Replica};

/// A running one. Dropped, it is taken away; what runs on it must be dropped before.
#[derive(Debug)]
pub struct Machine {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
    /// Our end of the cable.
    cable: String,
    _lease: Lease,
}

impl Machine {
    /// Starts one, and a cable to it. `None`, with a word to whoever runs the tests, where this process may not.
    ///
    /// # Panics
    /// When it may, and it does not come up.
    pub fn start(net: &Net) -> Option<Machine> {
        if let Err(why) = may() {
            let case = std::thread::current().name().unwrap_or("a case").to_owned();
            // The real stderr: what a test prints by macro is not shown while it passes.
            let said = writeln!(stderr(), "\n*** SKIPPED: {case}: it needs a machine that vanishes, and there can be none: {why} ***\n");
            said.expect("stderr can be written");
            return None;
        }
        let mut shell = Command::new("unshare");
        shell.args(["--net", "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("it could be started a moment ago");
        let (orders, answers) = (shell.stdin.take(), shell.stdout.take().expect("stdout is piped"));
        let [ours, theirs] = net.beside();
        let mut machine = Machine {
            shell,
            orders,
            answers: BufReader::new(answers),
            address: SocketAddr::from((theirs, net.port())),
            cable: net.label(),
            _lease: net.lease(),
        };
        machine.order("true"); // from here on it is a namespace of its own
        machine.connect(ours, theirs);
        Some(machine)
    }

    /// Lays the cable. Both ends know each other's hardware address for good, so that silence is all that is left of whoever vanishes:
    /// beside a router nobody says that a host cannot be reached.
    fn connect(&mut self, ours: Ipv4Addr, theirs: Ipv4Addr) {
        const OURS: &str = "02:00:00:00:00:01";
        const THEIRS: &str = "02:00:00:00:00:02";
        let (cable, machine) = (self.cable.clone(), self.shell.id().to_string());
        // What a test left that was killed may still be there for a moment.
        let _ = ip(&["link", "delete", &cable]);
        let ours = format!("{ours}/30");
        for words in [
            &["link", "add", &cable, "address", OURS, "type", "veth", "peer", "name", "cable", "address", THEIRS, "netns", &machine][..],
            &["address", "add", &ours, "dev", &cable],
            &["neighbour", "replace", &theirs.to_string(), "lladdr", THEIRS, "nud", "permanent", "dev", &cable],
            &["link", "set", &cable, "up"],
        ] {
            let done = ip(words);
            assert!(done.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
        }
        self.order(&format!("ip address add {theirs}/30 dev cable && ip link set cable up && ip link set lo up"));
    }

    /// Has something done there.
    fn order(&mut self, command: &str) {
        let orders = self.orders.as_mut().expect("the machine runs");
        writeln!(orders, "{{ {command}; }} 2>&1 && echo done || echo failed").expect("the machine listens");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("the machine answers");
        assert_eq!(said.trim(), "done", "{command}");
    }

    /// Starts something there, which may have its address with the net's port.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_there<T: Send>(&self, start: impl FnOnce(SocketAddr) -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.shell.id())).expect("the machine runs");
        let moved = || {
            // A thread moves alone, and its sockets are where it made them.
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may move");
            start(self.address)
        };
        std::thread::scope(|scope| scope.spawn(moved).join()).expect("it starts there")
    }

    /// Starts a replica there.
    pub fn replica(&self, name: &str, behaviour: Behaviour) -> Replica {
        self.start_there(|address| Replica::at(address, name, behaviour))
    }

    /// From now on it neither hears nor says anything, for good: what comes is dropped, and so is what its sockets still send.
    pub fn vanish(&mut self) {
        // The rule that knows its own addresses is asked after the one that drops all.
        self.order("ip rule add pref 10 lookup local && ip rule add pref 1 blackhole && ip rule delete pref 0");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.orders.take()); // the shell ends
        let _ = ip(&["link", "delete", &self.cable]);
        let _ = self.shell.wait();
    }
}

fn ip(words: &[&str]) -> Output {
    Command::new("ip").args(words).stdin(Stdio::null()).output().expect("ip can be started")
}

/// Whether this process may make a network of its own.
fn may() -> Result<(), String> {
    for command in [&["ip", "-Version"][..], &["unshare", "--net", "ip", "link", "add", "type", "veth"]] {
        let tried = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output();
        let tried = tried.map_err(|error| format!("{}: {error}", command[0]))?;
        if !tried.status.success() {
            return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
        }
    }
    Ok(())
}
