//! Who is rolled behind: a proxy that runs, is told who the members of a Service are, and can be asked whether it has let go of one.
//!
//! A contender is a file here; its first lines say how its users reconfigure it and what "let go" means for it.
//!
//! Invariant: nobody is given more or less than the others: the same doors, the same members at the same time, two threads.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate_tests::Net;

use crate::load::Doors;

mod envoy;
mod haproxy;
mod nginx;
mod tidegate;

/// Threads of each.
const WORKERS: usize = 2;

/// A pod, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) ip: Ipv4Addr,
    /// It was told to end: not ready, and serving as far as the API knows.
    pub(crate) terminating: bool,
}

/// A running proxy. Dropped, it ends.
pub(crate) trait Contender: fmt::Debug {
    /// Where it is asked.
    fn doors(&self) -> Doors;

    /// The members of a Service are these now.
    fn publish(&mut self, service: &str, members: &[Member]) -> io::Result<()>;

    /// Whether nothing of it asks this former member any more.
    fn has_let_go(&mut self, service: &str, member: &Member) -> io::Result<bool>;

    /// What its own log says of a request, if it has one.
    fn explain(&self, _id: u64) -> Option<String> {
        None
    }
}

/// Those that can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Tidegate,
    Nginx,
    Haproxy,
    Envoy,
}

/// What a contender starts with.
pub(crate) struct Start<'a> {
    pub(crate) net: &'a Net,
    /// A folder of its own.
    pub(crate) folder: &'a Path,
    pub(crate) shop: Vec<Member>,
    pub(crate) taker: Vec<Member>,
}

impl Start<'_> {
    /// Where replicas listen for HTTP; for TCP it is the one above.
    fn port(&self) -> u16 {
        self.net.port()
    }
}

impl Name {
    pub(crate) const ALL: [Name; 4] = [Name::Tidegate, Name::Nginx, Name::Haproxy, Name::Envoy];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Name::Tidegate => "tidegate",
            Name::Nginx => "nginx",
            Name::Haproxy => "haproxy",
            Name::Envoy => "envoy",
        }
    }

    /// How it introduces itself; an error says how to get it.
    pub(crate) fn version(self) -> io::Result<String> {
        let (program, flag) = match self {
            Name::Tidegate => (tidegate_tests::command::binary(), "--version"),
            Name::Nginx => ("nginx".into(), "-v"),
            Name::Haproxy => ("haproxy".into(), "-v"),
            Name::Envoy => (envoy::program(), "--version"),
        };
        let missing = |error| io::Error::other(format!("{} cannot be run: {error} (`make rollout` gets it)", program.display()));
        let said = Command::new(&program).arg(flag).output().map_err(missing)?;
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("says nothing");
        Ok(line.rsplit_once("version: ").map_or(line, |(_, version)| version).to_owned())
    }

    /// Starts it.
    pub(crate) fn start(self, start: &Start<'_>) -> io::Result<Box<dyn Contender>> {
        Ok(match self {
            Name::Tidegate => Box::new(tidegate::Running::start(start)?),
            Name::Nginx => Box::new(nginx::Running::start(start)?),
            Name::Haproxy => Box::new(haproxy::Running::start(start)?),
            Name::Envoy => Box::new(envoy::Running::start(start)?),
        })
    }
}

/// A program of somebody else's in the foreground. Dropped, it ends.
#[derive(Debug)]
struct Program {
    child: Child,
}

impl Program {
    /// Starts it, with what it says in a file of its folder.
    fn start(command: &mut Command, folder: &Path) -> io::Result<Program> {
        let log = fs::File::create(folder.join("said"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Program { child })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Asked first: one with children must end them itself.
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM); // it may be gone
        }
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            crate::world::rest(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port for each door, and for more.
fn free<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let listeners = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0"));
    let mut free = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for (address, listener) in free.iter_mut().zip(listeners) {
        *address = listener?.local_addr()?;
    }
    Ok(free)
}

/// Replaces a file in one step: whoever looks sees the old or the new one.
fn swap(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = folder.join("draft");
    fs::write(&draft, text)?;
    fs::rename(draft, folder.join(name))
}
