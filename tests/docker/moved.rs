//! The stack of docs/compose.md: from published ports to Tidegate by the page's own files, in the containers that it says.
//!
//! The stack's own programs are stood in for by busybox at their ports; Tidegate is the binary under test in an image. Of the files one thing
//! is changed: where the engine's socket is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tidegate_tests::{Engine, await_until, binary, command};

/// Puts busybox at a port into an image: FOLDER HOST PORT NAME.
const STAND_IN: &str = r#"
cd "$1" && mkdir bin w && cp "$(command -v busybox)" bin/busybox && echo "$4" >w/index.html &&
  tar -c bin w | docker -H "$2" import -c "CMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"$3\", \"-h\", \"/w\"]" - "$4"
"#;
/// Puts the binary and its libraries into an image, as `make image` does with a static one: FOLDER HOST BINARY.
const IMAGE: &str = r#"
cd "$1" && mkdir -p root own/run/tidegate own/var/lib/tidegate && cp "$3" root/tidegate && strip root/tidegate 2>/dev/null
for library in $(ldd "$3" | grep -o '/[^ ]*'); do mkdir -p "root$(dirname "$library")" && cp -L "$library" "root$library"; done
tar -C root --owner=0 --group=0 -cf image.tar . && tar -C own --owner=65532 --group=65532 -rf image.tar run/tidegate var/lib/tidegate &&
  docker -H "$2" import -c 'USER 65532:65532' -c 'ENTRYPOINT ["/tidegate"]' - tidegate:dev <image.tar
"#;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("examples/compose")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_shows_the_files() {
    let page = read(&examples().parent().and_then(Path::parent).expect("the workspace").join("docs/compose.md"));
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("split gives one at least")).collect();
    let [before, services, tidegate] = blocks.as_slice() else { panic!("{} blocks of YAML", blocks.len()) };
    assert_eq!(*before, read(&examples().join("before.yml")));
    assert_eq!(format!("{services}\n{tidegate}"), read(&examples().join("after.yml")));
}

/// A copy of the files; dropped, what was started of it is taken down.
struct Stack<'e> {
    engine: &'e Engine,
    folder: tempfile::TempDir,
    name: &'static str,
}

impl<'e> Stack<'e> {
    fn new(engine: &'e Engine) -> Stack<'e> {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("manifests")).expect("the temporary folder can be written");
        let group = stdout(Command::new("stat").args(["-c", "DOCKER_GID=%g", &engine.socket()]));
        std::fs::write(at(".env"), group).expect("the temporary folder can be written");
        for name in ["before.yml", "after.yml"] {
            let text = read(&examples().join(name)).replace("- /var/run/docker.sock:", &format!("- {}:", engine.socket()));
            std::fs::write(at(name), text).expect("the temporary folder can be written");
        }
        Stack { engine, folder, name: "shop" }
    }

    fn compose(&self, project: &str, file: &str, words: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.args(["60", "docker-compose", "-p", project, "-f", file]).args(words);
        stdout(command.current_dir(self.folder.path()).env("DOCKER_HOST", self.engine.host()))
    }

    /// `tidegate` in the gate's container.
    fn gate(&self, words: &[&str]) -> Result<String, String> {
        let gate = self.id("gate");
        self.engine.try_docker(&[&["exec", &gate, "/tidegate"][..], words].concat())
    }

    fn id(&self, service: &str) -> String {
        let of = |label: &str, value: &str| format!("label=com.docker.compose.{label}={value}");
        self.engine.docker(&["ps", "-q", "--filter", &of("project", self.name), "--filter", &of("service", service)])
    }

    fn rows(&self, topic: &str) -> Vec<serde_json::Value> {
        self.gate(&["get", topic, "-o", "json"]).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// How many replicas of a service are ready, of how many.
    fn replicas(&self, service: &str) -> Option<(u64, u64)> {
        let row = self.rows("workloads").into_iter().find(|row| row["name"] == service)?;
        Some((row["ready"].as_u64()?, row["desired"].as_u64()?))
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.compose(self.name, "after.yml", &["down", "-v", "-t", "2"]);
    }
}

fn stdout(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the command can be started");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

fn shell(script: &str, words: &[&str]) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    stdout(Command::new("sh").args(["-c", script, "load"]).arg(folder.path()).args(words));
}

#[test]
fn a_stack_with_published_ports_moves_behind_tidegate() {
    let Some(engine) = Engine::apart() else { return };
    let engine = &engine;
    let host = engine.host();
    for (image, port) in [("nginx:1.27", "80"), ("orders:3", "5000"), ("redis:7", "6379")] {
        shell(STAND_IN, &[&host, port, image]);
    }
    shell(IMAGE, &[&host, &binary().display().to_string()]);
    let stack = Stack::new(engine);
    stack.compose(stack.name, "before.yml", &["up", "-d"]);

    // A rehearsal shows what will be reached, and starts nothing.
    let rehearsal = format!("{}-rehearsal", stack.name);
    stack.compose(&rehearsal, "after.yml", &["up", "--no-start"]);
    let check = |service: &str| {
        let assertion = format!("internal: {rehearsal}/{service}");
        command(["check", "--docker-socket", &engine.socket(), "--assert", &assertion])
    };
    let shown = check("store").exited(0).to_owned();
    for line in ["http shop.localhost / (Ingress", "http orders.localhost / (Ingress"] {
        assert!(shown.contains(line), "{shown}");
    }
    check("web").exited(1);
    stack.compose(&rehearsal, "after.yml", &["down"]);
    for volume in ["engine", "state"] {
        engine.docker(&["volume", "rm", &format!("{rehearsal}_{volume}")]);
    }

    stack.compose(stack.name, "after.yml", &["up", "-d"]);
    for service in ["web", "orders", "store", "docker-proxy"] {
        await_until(&format!("{service} to be ready"), || stack.replicas(service) == Some((1, 1)));
    }
    let address = engine.docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", &stack.id("gate")]);
    let ask = |host: &str| {
        let (asked, to) = (format!("Host: {host}"), format!("http://{address}:8080/"));
        engine.try_docker(&["exec", &stack.id("web"), "/bin/busybox", "wget", "-q", "-O", "-", "--header", &asked, &to])
    };
    assert_eq!(ask("shop.localhost").as_deref(), Ok("nginx:1.27"));
    assert_eq!(ask("orders.localhost").as_deref(), Ok("orders:3"));
    assert!(ask("store.localhost").is_err_and(|error| error.contains("404")));
    let ports = engine.docker(&["inspect", "-f", "{{json .HostConfig.PortBindings}}", &stack.id("store")]);
    assert_eq!(ports, "{}", "the store is published no more");

    let words = ["check", "--docker-socket", "/run/tidegate/docker.sock", "--manifests", "/manifests", "--assert"];
    let checked = stack.gate(&[&words[..], &[&format!("internal: {}/store", stack.name)]].concat()).expect("it is as the page says");
    assert!(checked.contains("2 of 3 service ports reachable from outside"), "{checked}");
    stack.compose(stack.name, "after.yml", &["up", "-d", "--scale", "orders=3"]);
    await_until("three replicas", || stack.replicas("orders") == Some((3, 3)));
}
