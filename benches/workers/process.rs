//! A role of this executable in a process of its own, and the CPU time that its threads use.
//!
//! Invariant: a role ends with its [`Role`], or with the bench itself, because its standard input does.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, fs};

/// A running child.
pub(crate) struct Role {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Role {
    /// Starts this executable on these CPUs with these words.
    pub(crate) fn start(cpus: &str, words: &[&str]) -> io::Result<Role> {
        let mut command = Command::new("taskset");
        command.args(["-c", cpus]).arg(env::current_exe()?).args(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("cannot run taskset (from util-linux): {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a child has no output"))?;
        Ok(Role { child, said: BufReader::new(stdout).lines() })
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        self.said.next().unwrap_or_else(|| Err(io::Error::other("a child ended before its time; it said why above")))
    }

    /// What its threads have used until now.
    pub(crate) fn cpu(&self) -> io::Result<Cpu> {
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let thread = thread?;
            // The same clock as `stat`, in nanoseconds instead of ticks of 10 ms.
            let said = fs::read_to_string(thread.path().join("schedstat"))?;
            let used: f64 = said.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN);
            threads.insert(thread.file_name(), used / 1e9);
        }
        Ok(Cpu(threads.into_values().collect()))
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait(); // whatever it says, it has ended
    }
}

/// Seconds of CPU time of each thread.
pub(crate) struct Cpu(Vec<f64>);

impl Cpu {
    /// What was used after `before`, by the same threads.
    pub(crate) fn since(&self, before: &Cpu) -> Cpu {
        Cpu(self.0.iter().zip(&before.0).map(|(now, then)| now - then).collect())
    }

    /// Of all threads.
    pub(crate) fn all(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The busiest thread's share.
    pub(crate) fn busiest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max) / self.all()
    }
}

/// Waits until the bench lets this child end.
pub(crate) fn until_let_go() -> io::Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}
