//! HAProxy: slots made by `server-template`, whose address and state its users set by the runtime API, without a reload.
//!
//! - A member that is terminating is set to `maint` at once; a new one gets the slot that has been free for longest.
//! - What could not be sent goes to another server at the first retry (`option redispatch 1`); a GET that died without an answer is
//!   repeated (`retry-on empty-response`), others never (`disable-l7-retry`).
//! - It has let go when the runtime API has answered: it stops all threads for such a change.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Contender, Member, Program, Start, WORKERS, free};
use crate::ledger::{SHOP, TAKER};
use crate::load::Doors;

/// Slots of each Service.
const SLOTS: usize = 10;

#[derive(Debug)]
pub(super) struct Running {
    _program: Program,
    socket: PathBuf,
    doors: Doors,
    port: u16,
    shop: Slots,
    taker: Slots,
}

/// Who is in which slot, numbered from 1.
#[derive(Debug)]
struct Slots {
    taken: Vec<(usize, Member)>,
    free: Vec<usize>,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots { taken: Vec::new(), free: (1..=SLOTS).collect() }
    }
}

/// Slots that were left, and those that somebody came to.
struct Change {
    left: Vec<usize>,
    came: Vec<(usize, Member)>,
}

impl Slots {
    fn change(&mut self, members: &[Member]) -> io::Result<Change> {
        let ready: Vec<&Member> = members.iter().filter(|member| !member.terminating).collect();
        let (stay, leave): (Vec<_>, Vec<_>) = self.taken.drain(..).partition(|(_, member)| ready.contains(&member));
        self.taken = stay;
        let left: Vec<usize> = leave.into_iter().map(|(slot, _)| slot).collect();
        let mut came = Vec::new();
        for member in ready {
            if self.taken.iter().all(|(_, have)| have != member) {
                let slot = if self.free.is_empty() { Err(io::Error::other("every slot is taken")) } else { Ok(self.free.remove(0)) }?;
                came.push((slot, member.clone()));
            }
        }
        self.taken.extend(came.iter().cloned());
        self.free.extend(&left);
        Ok(Change { left, came })
    }
}

impl Running {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Running> {
        let [http1, http2, tcp] = free()?;
        let doors = Doors { http1, http2, tcp };
        let socket = start.folder.join("admin.sock");
        let file = start.folder.join("haproxy.cfg");
        fs::write(&file, configuration(&socket.display().to_string(), &doors, start.port()))?;
        let program = Program::start(Command::new("haproxy").arg("-db").arg("-f").arg(&file), start.folder)?;
        let (shop, taker) = (Slots::default(), Slots::default());
        let mut running = Running { _program: program, socket, doors, port: start.port(), shop, taker };
        tidegate_tests::await_until("the runtime API of HAProxy", || UnixStream::connect(&running.socket).is_ok());
        running.publish(SHOP, &start.shop)?;
        running.publish(TAKER, &start.taker)?;
        Ok(running)
    }

    /// Gives commands to the runtime API. It says nothing of most that went well, and of an address how it was before.
    fn command(&self, commands: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        writeln!(stream, "{commands}")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        let good = |line: &str| line.trim().is_empty() || line.contains("changed from") || line.contains("no need to change");
        match said.lines().find(|line| !good(line)) {
            Some(line) => Err(io::Error::other(format!("haproxy: {line:?} to {commands}"))),
            None => Ok(()),
        }
    }
}

impl Contender for Running {
    fn doors(&self) -> Doors {
        self.doors
    }

    fn publish(&mut self, service: &str, members: &[Member]) -> io::Result<()> {
        let of_shop = service == SHOP;
        let slots = if of_shop { &mut self.shop } else { &mut self.taker };
        let Change { left, came } = slots.change(members)?;
        let mut commands = Vec::new();
        for (part, port) in parts(of_shop, self.port) {
            commands.extend(left.iter().map(|slot| format!("set server {service}{part}/s{slot} state maint")));
            for (slot, member) in &came {
                let server = format!("{service}{part}/s{slot}");
                commands.push(format!("set server {server} addr {} port {port}", member.ip));
                commands.push(format!("set server {server} state ready"));
            }
        }
        if commands.is_empty() { Ok(()) } else { self.command(&commands.join(";")) }
    }

    fn has_let_go(&mut self, _service: &str, _member: &Member) -> io::Result<bool> {
        Ok(true)
    }
}

/// What a Service consists of, by the ends of the names, and their ports.
fn parts(of_shop: bool, port: u16) -> Vec<(&'static str, u16)> {
    let tcp = of_shop.then_some(("-tcp", port + 1));
    [("", port), ("-grpc", port)].into_iter().chain(tcp).collect()
}

fn configuration(socket: &str, doors: &Doors, port: u16) -> String {
    let Doors { http1, http2, tcp } = doors;
    let mut text = format!(
        "global
  nbthread {WORKERS}
  stats socket {socket} mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
  retries 3
  option redispatch 1
frontend http
  bind {http1}
  bind {http2} proto h2
  use_backend %[req.hdr(host),field(1,.)]-grpc if {{ path_beg /tidegate.Rollout/ }}
  use_backend %[req.hdr(host),field(1,.)]
frontend tcp
  mode tcp
  bind {tcp}
  default_backend {SHOP}-tcp
"
    );
    for service in [SHOP, TAKER] {
        for (part, port) in parts(service == SHOP, port) {
            let (mode, speaks) = match part {
                "-tcp" => ("tcp", ""),
                "-grpc" => ("http\n  retry-on conn-failure empty-response\n  http-request disable-l7-retry", "proto h2"),
                _ => ("http\n  retry-on conn-failure empty-response\n  http-request disable-l7-retry if !METH_GET", ""),
            };
            // A String takes everything.
            let _ =
                write!(text, "backend {service}{part}\n  mode {mode}\n  server-template s 1-{SLOTS} 127.0.0.1:{port} {speaks} disabled\n");
        }
    }
    text
}
