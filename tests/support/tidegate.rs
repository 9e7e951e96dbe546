//! The real process: started on free ports, asked by its admin listener, stopped by signals.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::binary;
use crate::net::Lease;
use crate::wait::{await_some, await_until};
use crate::{Client, Net, Response};

/// How to start one.
#[derive(Debug)]
pub struct Setup {
    home: TempDir,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    _lease: Lease,
}

impl Setup {
    /// An external HTTP and an admin listener on free ports, one worker, no access log, a state directory.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn new(net: &Net) -> Setup {
        let home = tempfile::tempdir().expect("the temporary folder can be written");
        fs::create_dir(home.path().join("manifests")).expect("the temporary folder can be written");
        let setup = Setup { home, flags: Vec::new(), environment: Vec::new(), under: Vec::new(), _lease: net.lease() };
        setup
            .flag("--http", "127.0.0.1:0")
            .flag("--https", "none")
            .flag("--admin", "127.0.0.1:0")
            .flag("--service-cidr", &net.service_cidr())
            .flag("--workers", "1")
            .flag("--access-log", "none")
    }

    /// Sets a flag; a later one replaces an earlier one.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Setup {
        if let Some(at) = self.flags.iter().position(|have| have == name) {
            self.flags[at + 1] = value.to_owned();
        } else {
            self.flags.extend([name.to_owned(), value.to_owned()]);
        }
        self
    }

    /// Leaves a flag out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Setup {
        if let Some(at) = self.flags.iter().position(|have| have == name) {
            self.flags.drain(at..at + 2);
        }
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it by another command, which must end by executing it.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Setup {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Writes `tidegate.yaml` and uses it.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    #[must_use]
    pub fn config(self, text: &str) -> Setup {
        let path = self.home.path().join("tidegate.yaml");
        fs::write(&path, text).expect("the temporary folder can be written");
        self.flag("--config", &path.display().to_string())
    }

    /// Writes a manifest.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    #[must_use]
    pub fn manifest(self, name: &str, text: impl AsRef<[u8]>) -> Setup {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().expect("a name within the folder")).expect("the temporary folder can be written");
        fs::write(path, text).expect("the temporary folder can be written");
        self
    }

    /// The manifests folder.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("manifests")
    }

    /// The folder that holds all of it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; its log is in the message.
    pub fn start(self) -> Tidegate {
        let started = self.launch();
        let admin = started.admin();
        await_until("ready", || {
            started.expect_alive();
            Client::try_connect(admin).is_ok() && started.ask("/readyz").status == 200
        });
        started
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(self) -> Tidegate {
        let words: Vec<_> = self.under.iter().map(Into::into).chain([binary()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("run").args(&self.flags).arg("--manifests").arg(self.folder()).arg("--state-dir").arg(self.state());
        command
            .envs(self.environment.iter().cloned())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let log = gather(child.stderr.take());
        let stdout = gather(child.stdout.take());
        Tidegate { setup: Some(self), child, log, stdout }
    }
}

/// The admin address in a line of the log, text or JSON.
fn admin_in(line: &str) -> Option<SocketAddr> {
    if let Ok(line) = serde_json::from_str::<Value>(line) {
        return line["address"].as_str().filter(|_| line["listener"] == "admin")?.parse().ok();
    }
    let (_, address) = line.split_once("address=").filter(|_| line.contains("listener=admin "))?;
    address.split_whitespace().next()?.parse().ok()
}

type Lines = Arc<Mutex<Vec<String>>>;

fn gather(stream: Option<impl std::io::Read + Send + 'static>) -> Lines {
    let lines = Lines::default();
    let into = lines.clone();
    let stream = stream.expect("the stream is piped");
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().expect("a reader of the log panicked").push(line);
        }
    });
    lines
}

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Tidegate {
    setup: Option<Setup>,
    child: Child,
    log: Lines,
    stdout: Lines,
}

impl Tidegate {
    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log reader panicked").join("\n")
    }

    /// What it printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("the reader panicked").join("\n")
    }

    /// The folder that it watches.
    pub fn folder(&self) -> PathBuf {
        self.setup().folder()
    }

    /// The folder that holds its manifests, its state and what it writes.
    pub fn home(&self) -> &Path {
        self.setup().home()
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.setup().state()
    }

    fn setup(&self) -> &Setup {
        self.setup.as_ref().expect("the set-up is there until the process is stopped")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn expect_alive(&self) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        assert!(state.is_some_and(|state| state != 'Z'), "it ended:\n{}", self.log());
    }

    /// The admin listener's address, from the log.
    pub fn admin(&self) -> SocketAddr {
        await_some("the admin address in the log", || {
            self.expect_alive();
            self.log().lines().find_map(admin_in)
        })
    }

    /// Asks the admin listener.
    pub fn ask(&self, path: &str) -> Response {
        let admin = self.admin();
        let mut client = Client::connect(admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"));
        client.response()
    }

    /// One topic of the admin API.
    ///
    /// # Panics
    /// When it is not answered by JSON.
    pub fn api(&self, topic: &str) -> Value {
        let answer = self.ask(&format!("/api/v1/{topic}"));
        assert_eq!(answer.status, 200, "{topic}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{topic}: {error}: {}", answer.text()))
    }

    /// The rows of a topic.
    pub fn rows(&self, topic: &str) -> Vec<Value> {
        self.api(topic).as_array().cloned().unwrap_or_else(|| panic!("{topic} is not a list"))
    }

    /// Where a listener is bound, once it is.
    pub fn listener(&self, name: &str) -> SocketAddr {
        await_some(&format!("listener {name}"), || {
            let rows = self.rows("listeners");
            let row = rows.iter().find(|row| row["name"] == name && row["error"].is_null())?;
            row["address"].as_str()?.parse().ok()
        })
    }

    /// The external HTTP listener.
    pub fn http(&self) -> SocketAddr {
        self.listener("http")
    }

    /// One GET from outside on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Response {
        Client::connect(self.http()).get(host, path)
    }

    /// All values of a metric with their labels.
    pub fn metric(&self, name: &str) -> Vec<(String, f64)> {
        let text = self.ask("/metrics").text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let split = lines.filter_map(|line| line.rsplit_once(' '));
        let named = split.filter_map(|(key, value)| {
            let labels = key.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then(|| (labels.to_owned(), value.parse().unwrap_or(f64::NAN)))
        });
        named.collect()
    }

    /// The sum of a metric over the rows whose labels hold all of `labels`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let rows = self.metric(name);
        rows.iter().filter(|(have, _)| labels.iter().all(|label| have.contains(label))).map(|(_, value)| value).sum()
    }

    /// The version of the newest snapshot.
    pub fn version(&self) -> u64 {
        self.sum("tidegate_snapshot_version", &[]) as u64
    }

    /// Waits until every worker runs a version newer than `before`, and the newest.
    pub fn await_newer(&self, before: u64) {
        await_until(&format!("a snapshot after {before} on every worker"), || {
            let version = self.version();
            let acknowledged = self.metric("tidegate_worker_acknowledged_version");
            version > before && !acknowledged.is_empty() && acknowledged.iter().all(|(_, worker)| *worker as u64 >= version)
        });
    }

    /// Does something that changes the picture, and waits until every worker has the new one.
    pub fn change(&self, edit: impl FnOnce(&Path)) {
        let before = self.version();
        edit(&self.folder());
        self.await_newer(before);
    }

    /// Replaces a manifest in one step, and waits until every worker has the new picture.
    pub fn write(&self, name: &str, text: &str) {
        self.change(|_| self.swap(name, text));
    }

    /// Replaces a manifest in one step.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn swap(&self, name: &str, text: &str) {
        self.put(&self.folder().join(name), text);
    }

    /// Replaces `tidegate.yaml` in one step.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn say(&self, settings: &str) {
        self.put(&self.home().join("tidegate.yaml"), settings);
    }

    fn put(&self, path: &Path, text: &str) {
        let draft = self.home().join("draft");
        fs::write(&draft, text).expect("the temporary folder can be written");
        fs::rename(&draft, path).expect("the temporary folder can be written");
    }

    /// Waits for a problem whose text (file, object, field, found, fix: all of its JSON) holds all of `words`.
    pub fn await_problem(&self, words: &[&str]) -> Value {
        let mut seen = Vec::new();
        let end = std::time::Instant::now() + crate::wait::DEADLINE;
        loop {
            let problems = self.rows("problems");
            let holds = |problem: &&Value| words.iter().all(|word| problem.to_string().contains(word));
            if let Some(found) = problems.iter().find(holds) {
                return found.clone();
            }
            seen.clone_from(&problems);
            assert!(std::time::Instant::now() < end, "no problem with {words:?} among {seen:#?}");
            crate::wait::glance();
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process has memory");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number of kB") * 1024
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process runs");
    }

    /// Waits until it ends by itself.
    pub fn await_exit(&mut self) -> ExitStatus {
        await_some("the process to end", || self.child.try_wait().expect("a child can be waited for"))
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.await_exit()
    }

    /// Stops it by SIGTERM and gives back its folder and state, to start it again.
    ///
    /// # Panics
    /// When it does not exit with 0.
    pub fn into_setup(mut self) -> Setup {
        let status = self.stop();
        assert!(status.success() && status.signal().is_none(), "{status}:\n{}", self.log());
        self.setup.take().expect("the set-up is there until the process is stopped")
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the last of its log\n{}\n---", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
