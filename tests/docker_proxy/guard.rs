//! The process under test, and who talks to it: bollard, as the Docker source does, and raw bytes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidegate_tests::command::binary;
use tidegate_tests::wait::{DEADLINE, await_some, await_until};

/// A running `tidegate docker-proxy`. Dropped, it is killed.
pub(crate) struct Guard {
    pub(crate) home: TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Guard {
    /// Between `engine.sock` and `run/docker.sock` of a folder; waits until it answers.
    pub(crate) fn start(home: TempDir) -> Guard {
        let guard = Guard::launch(home);
        await_until("the guard to listen", || UnixStream::connect(guard.path()).is_ok());
        guard
    }

    /// The same without the wait.
    pub(crate) fn launch(home: TempDir) -> Guard {
        let mut command = Command::new(binary());
        command.arg("docker-proxy").env("TIDEGATE_LOG_FILTER", "debug").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env("TIDEGATE_DOCKER_SOCKET", home.path().join("engine.sock"));
        command.env("TIDEGATE_DOCKER_PROXY_LISTEN", home.path().join("run/docker.sock"));
        let mut child = command.spawn().expect("the binary can be started");
        let (log, stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().expect("the stream is piped"));
        let into = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *into.lock().expect("nobody panicked") += &format!("{line}\n");
            }
        });
        Guard { home, child, log }
    }

    /// Its socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("run/docker.sock")
    }

    /// Where it looks for the engine.
    pub(crate) fn engine(&self) -> PathBuf {
        self.home.path().join("engine.sock")
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panicked").clone()
    }

    /// Waits until the log holds `words`.
    pub(crate) fn await_logged(&self, words: &str) {
        await_until(&format!("{words} in the log"), || self.log().contains(words));
    }

    /// The client of the Docker source.
    pub(crate) fn bollard(&self) -> Docker {
        Docker::connect_with_unix(&self.path().display().to_string(), DEADLINE.as_secs(), API_DEFAULT_VERSION).expect("its socket is there")
    }

    /// A connection.
    pub(crate) fn connect(&self) -> UnixStream {
        connect(&self.path())
    }

    /// All that comes back for these bytes on a connection of their own, until it ends.
    pub(crate) fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // It may be closed before all is sent.
        let _ = stream.write_all(bytes.as_ref());
        rest(&mut stream)
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, target: &str) -> (u16, String) {
        let answer = self.exchange(format!("GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"));
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status(&answer), body.unwrap_or_default())
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process has memory");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number of kB") * 1024
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn stop(&mut self, signal: Signal) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process runs");
        self.await_exit()
    }

    /// Waits until it ends by itself.
    pub(crate) fn await_exit(&mut self) -> ExitStatus {
        await_some("the process to end", || self.child.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- its log\n{}---", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection with a deadline.
fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket can be set so");
    stream.set_write_timeout(Some(DEADLINE)).expect("a socket can be set so");
    stream
}

/// What comes until the end, by a close or a reset.
pub(crate) fn rest(stream: &mut UnixStream) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&some[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection does not end: {error}; so far {}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What comes until it holds `words`.
pub(crate) fn until(stream: &mut UnixStream, words: &str) -> String {
    let (mut all, mut one) = (Vec::new(), [0; 1]);
    while !all.ends_with(words.as_bytes()) {
        let count = stream.read(&mut one).unwrap_or_else(|error| panic!("{words}: {error} after {}", String::from_utf8_lossy(&all)));
        assert_eq!(count, 1, "{words}: the end after {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&one);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// The status of the first answer in a text; 0 when there is none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").or_else(|| answer.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}
