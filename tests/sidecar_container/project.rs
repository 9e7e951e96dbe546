//! A compose project of the example, and what can be asked of its containers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tidegate_tests::{Engine, await_until};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sidecar");
const FILES: [&str; 5] = ["docker-compose.yml", ".env", "tidegate.yaml", "resolv.conf", "app"];
/// An app that does nothing of its own.
pub(crate) const QUIET: (&str, &str) = ("app", "#!/bin/sh\nwhile :; do sleep 1; done\n");

/// One that is up. Dropped, it is taken down.
#[derive(Debug)]
pub(crate) struct Project {
    engine: &'static Engine,
    folder: tempfile::TempDir,
    pub(crate) name: String,
}

impl Project {
    /// The example by another name than `kiosk`, with these files in place of its own or beside them; `NAME` in them is the project's.
    pub(crate) fn up(engine: &'static Engine, name: &str, changes: &[(&str, &str)]) -> Project {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).expect("the temporary folder can be written");
        for file in FILES {
            let text = fs::read_to_string(Path::new(EXAMPLE).join(file)).expect("the example is there");
            write(file, &text.replace("=kiosk\n", &format!("={name}\n")).replace("[kiosk]", &format!("[{name}]")));
        }
        changes.iter().for_each(|(file, text)| write(file, &text.replace("NAME", name)));
        let app = fs::metadata(Path::new(EXAMPLE).join("app")).expect("the example is there").permissions();
        assert_eq!(app.mode() & 0o111, 0o111, "the example's app can be executed");
        fs::set_permissions(folder.path().join("app"), app).expect("our own folder");
        let project = Project { engine, folder, name: name.to_owned() };
        project.compose(&["up", "-d"]);
        project
    }

    /// Runs `docker-compose` in the example's folder.
    pub(crate) fn compose(&self, words: &[&str]) {
        let mut command = Command::new("timeout");
        command.args(["180", "docker-compose"]).args(words).current_dir(self.folder.path());
        let group = fs::metadata(self.engine.socket()).expect("the engine's socket").gid().to_string();
        command.env("DOCKER_HOST", self.engine.host()).env("DOCKER_SOCKET", self.engine.socket()).env("DOCKER_GID", group);
        let done = command.env_remove("COMPOSE_PROJECT_NAME").output().expect("docker-compose can be started");
        assert!(done.status.success(), "docker-compose {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub(crate) fn docker(&self, words: &[&str]) -> String {
        self.engine.docker(words)
    }

    /// The whole ids of a service's containers.
    pub(crate) fn containers(&self, service: &str) -> Vec<String> {
        let label = |key: &str, value: &str| format!("label=com.docker.compose.{key}={value}");
        let (project, service) = (label("project", &self.name), label("service", service));
        let ids = self.docker(&["ps", "-a", "-q", "--no-trunc", "--filter", &project, "--filter", &service]);
        ids.lines().map(str::to_owned).collect()
    }

    /// The only container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        self.containers(service).pop().unwrap_or_else(|| panic!("no container of {service}"))
    }

    /// What the containers of `orders` call themselves, in order.
    pub(crate) fn orders(&self) -> Vec<String> {
        let mut names: Vec<String> = self.containers("orders").iter().map(|id| id[..12].to_owned()).collect();
        names.sort();
        names
    }

    /// One field of `docker inspect`.
    pub(crate) fn field(&self, service: &str, path: &str) -> String {
        self.docker(&["inspect", "--format", &format!("{{{{{path}}}}}"), &self.container(service)])
    }

    /// What a container of this service printed so far.
    pub(crate) fn log(&self, service: &str) -> String {
        let output = Command::new("docker").args(["-H", &self.engine.host(), "logs", &self.container(service)]).output();
        let output = output.expect("docker can be started");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// What a command says in the app's container.
    pub(crate) fn app(&self, command: &str) -> String {
        let said = self.engine.try_docker(&["exec", &self.container("app"), "sh", "-c", command]);
        said.unwrap_or_else(|error| panic!("{error}\nthe sidecar:\n{}", self.log("gate")))
    }

    /// The addresses that the app is told for a name.
    pub(crate) fn told(&self, name: &str) -> Vec<String> {
        let said = self.app(&format!("nslookup {name}"));
        // The first address is the server's own, with a port.
        said.lines().filter_map(|line| line.strip_prefix("Address: ")).filter(|at| !at.contains(":53")).map(str::to_owned).collect()
    }

    /// Rows of `tidegate get` in the sidecar.
    pub(crate) fn rows(&self, what: &str) -> Vec<serde_json::Value> {
        let said = self.docker(&["exec", &self.container("gate"), "/tidegate", "get", what, "-o", "json"]);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Waits until so many endpoints of `orders` are Ready.
    pub(crate) fn await_ready(&self, count: usize) {
        let ready = || self.rows("endpoints").iter().filter(|row| row["state"] == "Ready").count();
        await_until(&format!("{count} replicas to be ready"), || ready() == count);
    }

    /// Waits until the container of a service has ended, and says with what.
    pub(crate) fn ended(&self, service: &str) -> String {
        await_until(&format!("the end of {service}"), || self.field(service, ".State.Running") == "false");
        self.field(service, ".State.ExitCode")
    }

    /// Will ask for this URL in the app's container, each time by a new connection.
    pub(crate) fn asking(&self, url: &str) -> Asking<'_> {
        let command = format!("while read -r _; do wget -q -O - {url} || echo failed; done");
        let mut docker = Command::new("docker");
        docker.args(["-H", &self.engine.host(), "exec", "-i", &self.container("app"), "sh", "-c", &command]);
        docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = docker.spawn().expect("docker can be started");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Asking { project: self, orders: child.stdin.take().expect("stdin is piped"), child, answers, so_far: 0 }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.compose(&["down", "-v", "-t", "2"]);
    }
}

/// Requests one after another, each of which must be answered. None is under way between two calls: what a replica that is killed has begun to
/// answer nobody could finish.
#[derive(Debug)]
pub(crate) struct Asking<'p> {
    project: &'p Project,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) so_far: u64,
}

impl Asking<'_> {
    /// Asks so often, and says who answered.
    pub(crate) fn ask(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> String {
        writeln!(self.orders).expect("it waits for the next order");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("what docker prints can be read");
        assert!(!["failed\n", ""].contains(&&*line), "after {} answers; the sidecar:\n{}", self.so_far, self.project.log("gate"));
        self.so_far += 1;
        line.trim_end().to_owned()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill(); // with its input it ends in the container, too
        let _ = self.child.wait();
    }
}
