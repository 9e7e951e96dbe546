//! Pods as processes: started before they are needed, given an address, ended by SIGTERM. And the addresses, which are used again at once.
//!
//! Invariant: whatever happens to this process, no replica outlives it, since their standard input ends with it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

/// A process that may become a pod, or is one.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn start(journal: &Path) -> io::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("replica").arg(journal).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().ok_or_else(|| io::Error::other("a child has no output"))?;
        Ok(Process { child, said: BufReader::new(said) })
    }

    /// Gives it a name and an address; returns when it listens there.
    pub(crate) fn serve(&mut self, service: &str, pod: &str, ip: Ipv4Addr, port: u16) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("a child has no input"))?;
        writeln!(input, "{service} {pod} {ip} {port}")?;
        input.flush()?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line == "listening\n" { Ok(()) } else { Err(io::Error::other(format!("pod {pod} does not listen on {ip}: it said {line:?}"))) }
    }

    /// SIGTERM; returns when it was sent, and when the process was gone.
    pub(crate) fn end(mut self) -> io::Result<(Instant, Instant)> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a child has no process id"))?;
        let told = Instant::now();
        kill_process(pid, Signal::TERM)?;
        self.child.wait()?;
        Ok((told, Instant::now()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

/// Processes that wait for an address.
#[derive(Debug)]
pub(crate) struct Nursery {
    journal: PathBuf,
    waiting: VecDeque<Process>,
}

impl Nursery {
    /// As many as `count` wait from now on.
    pub(crate) fn new(journal: &Path, count: usize) -> io::Result<Nursery> {
        let mut nursery = Nursery { journal: journal.to_owned(), waiting: VecDeque::new() };
        nursery.fill(count)?;
        Ok(nursery)
    }

    pub(crate) fn take(&mut self) -> io::Result<Process> {
        match self.waiting.pop_front() {
            Some(process) => Ok(process),
            None => Process::start(&self.journal),
        }
    }

    /// Starts what is missing, when there is time for it.
    pub(crate) fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.waiting.len() < count {
            self.waiting.push_back(Process::start(&self.journal)?);
        }
        Ok(())
    }
}

/// Addresses that nobody has; the one that was given back last is taken first.
#[derive(Debug)]
pub(crate) struct Addresses(Vec<Ipv4Addr>);

impl Addresses {
    pub(crate) fn new(all: impl IntoIterator<Item = Ipv4Addr>) -> Addresses {
        Addresses(all.into_iter().collect())
    }

    pub(crate) fn take(&mut self) -> io::Result<Ipv4Addr> {
        self.0.pop().ok_or_else(|| io::Error::other("every address is taken"))
    }

    pub(crate) fn give(&mut self, ip: Ipv4Addr) {
        self.0.push(ip);
    }
}
