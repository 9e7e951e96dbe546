//! A Docker engine of our own, for tests that need a real one: its data, its socket and its networks are nobody else's, its bridge included,
//! since an engine without one takes that of another away.
//!
//! Invariant: it is gone with the process that started it, with its containers, however that ends: a shell holds it that ends when its
//! input does. No case is left out silently: where there can be no engine, a line on the real stderr names the case and counts those so far.

use std::io::{BufRead, BufReader, Write, stderr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::Net;
use crate::wait::await_within;

/// Cases that were left out, over all processes, are counted in the file that this variable names.
const SKIPS: &str = "TIDEGATE_SKIPS";
/// It starts containerd first, and loads its networks.
const START: Duration = Duration::from_secs(60);
/// What holds it. Containers outlive it (`--live-restore`), so that a test can tell the engine's end from theirs.
const HOLD: &str = r#"
start() {
  dockerd --data-root "$D/data" --exec-root "$D/exec" --pidfile "$D/pid" --host "unix://$D/s" --bridge "$B" --iptables=false \
    --ip6tables=false --ip-masq=false --userland-proxy=false --live-restore >>"$D/log" 2>&1 &
  pid=$!
}
stop() { kill -TERM $pid; wait $pid 2>/dev/null; }
ip link add "$B" type bridge && ip address add "$A" dev "$B" && ip link set "$B" up
start; echo started
while read -r order; do
  case $order in
    stop) stop; echo stopped;;
    start) start; echo started;;
  esac
done
docker() { timeout 60 docker -H "unix://$D/s" "$@"; }
all=$(docker ps -aq) && [ -n "$all" ] && docker rm -f $all >/dev/null
nets=$(docker network ls -q --filter type=custom) && [ -n "$nets" ] && docker network rm $nets >/dev/null
stop
umount -l "$D/data" 2>/dev/null
ip link delete "$B"
rm -rf "$D"
"#;
/// What a replica does: it answers with its own host name, and with its service's, and ends when it is told to.
const ANSWER: &str = r#"
mkdir -p /w
hostname >/w/index.html
echo "$SERVICE" >/w/service
trap 'exit 0' TERM
httpd -f -p 80 -h /w &
wait
"#;
/// Puts busybox, and what it does, into an image.
const LOAD: &str = r#"
cd "$1" && mkdir bin && cp "$(command -v busybox)" bin/busybox && ln bin/busybox bin/sh &&
  tar -c bin answer | docker -H "$2" import -c 'CMD ["sh", "/answer"]' - replica
"#;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    folder: PathBuf,
    /// Whose addresses the bridge has.
    _net: Net,
    hold: Mutex<Hold>,
}

#[derive(Debug)]
struct Hold {
    _shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Engine {
    /// The engine that the cases of one process share. `None`, with a word to whoever runs the tests, where there can be none.
    pub fn shared() -> Option<&'static Engine> {
        static SHARED: OnceLock<Result<Engine, String>> = OnceLock::new();
        match SHARED.get_or_init(Engine::start) {
            Ok(engine) => Some(engine),
            Err(why) => skip(why),
        }
    }

    /// One for a case that stops it.
    pub fn own() -> Option<Engine> {
        Engine::start().map_err(|why| skip::<()>(&why)).ok()
    }

    /// One with a network of its own, which nobody reaches but its containers: where they must reach each other, whatever this machine's
    /// filters say, and every port is free.
    pub fn apart() -> Option<Engine> {
        Engine::start_by(&["unshare", "--net"]).map_err(|why| skip::<()>(&why)).ok()
    }

    fn start() -> Result<Engine, String> {
        Engine::start_by(&[])
    }

    /// `by`: the command that starts what follows.
    fn start_by(by: &[&str]) -> Result<Engine, String> {
        may()?;
        let folder = TempDir::with_prefix("tg").map_err(|error| error.to_string())?.keep();
        let net = Net::take();
        let bridge = subnet(&net).replace(".0/", ".1/");
        let mut shell = Command::new("setsid");
        shell
            .args(by)
            .args(["sh", "-c", HOLD])
            .env("D", &folder)
            .env("B", net.label())
            .env("A", bridge)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut shell = shell.spawn().map_err(|error| error.to_string())?;
        let (Some(orders), Some(answers)) = (shell.stdin.take(), shell.stdout.take()) else { return Err("no pipes".to_owned()) };
        let hold = Hold { _shell: shell, orders, answers: BufReader::new(answers) };
        let engine = Engine { folder, _net: net, hold: Mutex::new(hold) };
        engine.answered("started");
        engine.await_up();
        engine.load();
        Ok(engine)
    }

    fn await_up(&self) {
        await_within(START, "the engine answers", || self.try_docker(&["version"]).ok());
    }

    /// The image `replica`: busybox and nothing else.
    fn load(&self) {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        std::fs::write(folder.path().join("answer"), ANSWER).expect("the temporary folder can be written");
        let mut shell = Command::new("sh");
        let loaded = shell.args(["-c", LOAD, "load"]).arg(folder.path()).arg(self.host()).output().expect("a shell can be started");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    fn answered(&self, expected: &str) {
        let mut line = String::new();
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.answers.read_line(&mut line).expect("the shell that holds the engine answers");
        assert_eq!(line.trim(), expected, "the shell that holds the engine");
    }

    fn order(&self, order: &str, answer: &str) {
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(hold.orders, "{order}").expect("the shell that holds the engine listens");
        drop(hold);
        self.answered(answer);
    }

    /// Ends it. Its containers run on.
    pub fn stop(&self) {
        self.order("stop", "stopped");
    }

    /// Starts it again.
    pub fn restart(&self) {
        self.order("start", "started");
        self.await_up();
    }

    /// Where its API is.
    pub fn socket(&self) -> String {
        self.folder.join("s").display().to_string()
    }

    /// The same for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Runs `docker` with these words, and gives what it prints.
    ///
    /// # Errors
    /// What it complained of.
    pub fn try_docker(&self, words: &[&str]) -> Result<String, String> {
        let host = self.host();
        let done = Command::new("timeout").args(["60", "docker", "-H", &host]).args(words).output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(format!("docker {}: {}", words.join(" "), text(&done.stderr))) }
    }

    /// The same, for what must not fail.
    ///
    /// # Panics
    /// When it does.
    pub fn docker(&self, words: &[&str]) -> String {
        self.try_docker(words).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a network whose addresses are the test's own. Dropped, it is gone.
    pub fn network<'e>(&'e self, net: &Net, name: &str) -> Network<'e> {
        let name = format!("{}-{name}", net.label());
        self.docker(&["network", "create", "--subnet", &subnet(net), &name]);
        Network { engine: self, name }
    }

    /// Starts a container of the image `replica` with these words before the image; dropped, it is gone.
    pub fn run<'e>(&'e self, service: &str, words: &[&str]) -> Container<'e> {
        let service = format!("SERVICE={service}");
        let id = self.docker(&[&["run", "-d", "-e", &service][..], words, &["replica"]].concat());
        Container { engine: self, id }
    }
}

/// 10.A.B.0/24 for the test whose virtual addresses are 127.A.B.0/24.
fn subnet(net: &Net) -> String {
    net.service_cidr().replacen("127.", "10.", 1)
}

/// A network of the engine.
#[derive(Debug)]
pub struct Network<'e> {
    engine: &'e Engine,
    /// What it is called.
    pub name: String,
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["network", "rm", &self.name]); // the engine's end takes it otherwise
    }
}

/// A container of the engine.
#[derive(Debug)]
pub struct Container<'e> {
    engine: &'e Engine,
    /// Its whole id.
    pub id: String,
}

impl Container<'_> {
    /// What it calls itself.
    pub fn host_name(&self) -> &str {
        &self.id[..12]
    }

    /// Runs a command in it.
    pub fn exec(&self, command: &str) {
        self.engine.docker(&["exec", &self.id, "sh", "-c", command]);
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "-f", &self.id]); // the engine's end takes it otherwise
    }
}

/// Whether this process may start an engine.
fn may() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may start an engine".to_owned());
    }
    let missing = |name: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    };
    match ["dockerd", "docker", "busybox", "ip"].into_iter().find(|name| missing(name)) {
        Some(name) => Err(format!("there is no {name}")),
        None => Ok(()),
    }
}

fn skip<T>(why: &str) -> Option<T> {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let so_far = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let case = std::thread::current().name().unwrap_or("a case").to_owned();
    // The real stderr: what a test prints by macro is not shown while it passes.
    let said =
        writeln!(stderr(), "\n*** SKIPPED: {case}: it needs a Docker engine: {why}. {so_far} cases of this suite were not run. ***\n");
    said.expect("stderr can be written");
    if let Some(path) = std::env::var_os(SKIPS) {
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{case}: {why}")).expect("the file that counts skipped cases can be written");
    }
    None
}
