//! The container image: what is in it, as whom and with which rights it runs, and how it stops.
//!
//! Where no container engine answers, the cases are skipped, and a line says so of each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;
use tidegate_tests::objects::app;
use tidegate_tests::wait::await_until;
use tidegate_tests::{Behaviour, Client, Net, Replica};

mod engine;

use engine::{Container, Image, Volume, docker, image, said};

/// CAP_NET_ADMIN, as `/proc/PID/status` shows it.
const NET_ADMIN: &str = "0000000000001000";
const NONE: &str = "0000000000000000";

/// A folder that the user of the image may read.
fn folder(manifests: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
    for (name, text) in manifests {
        fs::write(folder.path().join(name), text).expect("the temporary folder can be written");
    }
    folder
}

/// A container with nothing to serve, in a network of its own.
fn idle(image: &Image, flags: &[&str]) -> (Container, tempfile::TempDir) {
    let folder = folder(&[]);
    let mount = format!("{}:/manifests:ro", folder.path().display());
    let container =
        Container::run(image, &[&["--network", "none", "--volume", &mount], flags].concat(), &["run", "--manifests", "/manifests"]);
    (container, folder)
}

/// Each entry of the image: its name, and what `tar` says of its kind, mode and owner.
fn entries(image: &Image) -> BTreeMap<String, String> {
    let container = Container::made(image);
    let mut export = Command::new("docker").args(["export", container.id()]).stdout(Stdio::piped()).spawn().expect("docker can be started");
    let archive = export.stdout.take().expect("stdout is piped");
    let listed = Command::new("tar").args(["--list", "--verbose", "--numeric-owner"]).stdin(archive).output().expect("tar can be started");
    assert!(listed.status.success() && export.wait().is_ok_and(|status| status.success()));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.get(5)?.to_string(), format!("{} {}", words[0], words[1])))
    };
    listed.lines().filter_map(entry).collect()
}

#[test]
fn it_says_who_made_it_and_how_it_is_run() {
    let Some(image) = image() else { return };
    let config = &image.inspected()["Config"];
    let labels = &config["Labels"];
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned();
    assert_eq!((label("title"), label("licenses")), ("tidegate".to_owned(), "Apache-2.0".to_owned()));
    assert!(!label("description").is_empty());
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    let version = said(&["run", "--rm", "--network", "none", &image.name, "--version"]);
    let commit = version.split_once('(').map_or("", |(_, commit)| commit.trim_end_matches(')').trim_end_matches("-dirty"));
    assert!(label("revision").starts_with(commit) && version.contains(&label("version")), "{version} and {labels}");
    assert_eq!((&config["User"], &config["StopSignal"]), (&json!("65532:65532"), &json!("SIGTERM")));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/tidegate"]), &json!(["run"])));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}, "8443/tcp": {}}));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/tidegate", "ready"]));
}

#[test]
fn nothing_is_in_it_but_the_binary_and_what_it_needs() {
    let Some(image) = image() else { return };
    let entries = entries(image);
    let is = |name: &str| entries.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(is("tidegate"), "-rwxr-xr-x 0/0");
    for file in ["etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt"] {
        assert_eq!(is(file), "-rw-r--r-- 0/0", "{file}");
    }
    assert_eq!(is("var/lib/tidegate/"), "drwxr-x--- 65532/65532");
    assert_eq!(is("run/tidegate/"), "drwxrwx--- 65532/65532", "`docker-proxy` has the group alone");
    let files = ["tidegate", "etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt"];
    let folders = ["etc/", "etc/ssl/", "etc/ssl/certs/", "run/", "run/tidegate/", "var/", "var/lib/", "var/lib/tidegate/"];
    // What the engine makes in every container.
    let engine = ["dev/", "proc/", "sys/", ".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"];
    let known = |name: &str| files.contains(&name) || folders.contains(&name) || engine.iter().any(|made| name.starts_with(made));
    let strange: Vec<&String> = entries.keys().filter(|name| !known(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let size = image.inspected()["Size"].as_u64().expect("a size");
    // A binary of the quick profile is not optimised for its size.
    assert!(size < if image.quick { 100 << 20 } else { 30 << 20 }, "{size} bytes");
}

#[test]
fn it_is_the_same_when_it_is_made_again() {
    let Some(image) = image().filter(|image| image.quick) else { return };
    let layers = |image: &Image| image.inspected()["RootFS"]["Layers"].clone();
    assert_eq!(layers(&Image::make("again")), layers(image));
}

#[test]
fn it_becomes_healthy_with_a_read_only_root_and_no_rights() {
    let Some(image) = image() else { return };
    let (container, _folder) =
        idle(image, &["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--health-interval", "250ms"]);
    await_until("healthy", || container.field(".State.Health.Status") == "healthy");
    assert_eq!(container.status("Uid"), "65532\t65532\t65532\t65532");
    assert_eq!([container.status("CapPrm"), container.status("CapEff"), container.status("NoNewPrivs")], [NONE, NONE, "1"]);
    let services = docker(["exec", container.id(), "/tidegate", "get", "services"]);
    assert!(services.status.success(), "{}", String::from_utf8_lossy(&services.stderr));
}

#[test]
fn who_is_given_net_admin_may_raise_it_and_nobody_has_it_unasked() {
    let Some(image) = image() else { return };
    for (flags, permitted) in [
        (&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"][..], NET_ADMIN),
        (&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges"], NONE),
        (&["--cap-drop", "ALL"], NONE),
        (&[], NONE),
    ] {
        let (container, _folder) = idle(image, flags);
        container.logged("listener=http ", "address=");
        assert_eq!((container.status("CapPrm"), container.status("CapEff")), (permitted.to_owned(), NONE.to_owned()), "{flags:?}");
    }
}

#[test]
fn a_volume_keeps_its_state() {
    let Some(image) = image() else { return };
    let volume = Volume::make();
    let mount = format!("{}:/var/lib/tidegate", volume.name);
    let flags = ["--read-only", "--volume", &mount, "--env", "TIDEGATE_STATE_DIR=/var/lib/tidegate"];
    for _ in 0..2 {
        let (container, _folder) = idle(image, &flags);
        container.logged("listener=http ", "address=");
        said(&["stop", container.id()]);
        assert_eq!(container.field(".State.ExitCode"), "0", "{}", container.log());
    }
}

#[test]
fn it_ends_with_an_app_that_joins_its_processes_as_another_user() {
    let Some(image) = image() else { return };
    // The app is a second one of the image. Health checks are left out, since they would have the app's name, too.
    let (gate, _folder) = idle(image, &["--no-healthcheck", "--read-only", "--cap-drop", "ALL", "--env", "TIDEGATE_EXIT_WITH=tidegate"]);
    gate.logged("listener=http ", "address=");
    let pid = format!("container:{}", gate.id());
    let (app, _its_folder) = idle(image, &["--no-healthcheck", "--pid", &pid, "--user", "0:0"]);
    gate.logged("the app runs", "processes=");
    said(&["stop", app.id()]);
    assert_eq!(said(&["wait", gate.id()]), "0", "{}", gate.log());
    assert!(gate.log().contains("the app has gone"), "{}", gate.log());
}

#[test]
fn docker_stop_lets_what_is_in_flight_finish() {
    let Some(image) = image() else { return };
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Held);
    let folder = folder(&[("app.yaml", app(&net, "app", "app.example", &[&replica]))]);
    let mount = format!("{}:/manifests:ro", folder.path().display());
    let cidr = net.service_cidr();
    // The network of this machine, where the replica is.
    let flags = ["--network", "host", "--volume", &mount, "--read-only", "--cap-drop", "ALL"];
    let words = ["run", "--manifests", "/manifests", "--http", "127.0.0.1:0", "--https", "none", "--admin", "127.0.0.1:0"];
    let container = Container::run(image, &flags, &[&words[..], &["--service-cidr", &cidr]].concat());
    let http = container.logged("listener=http ", "address=").parse().expect("an address");
    let mut client = Client::connect(http);
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await_until("the request to reach the replica", || replica.requests() == 1);
    let mut stop = Command::new("docker").args(["stop", container.id()]).stdout(Stdio::null()).spawn().expect("docker can be started");
    await_until("new connections to be refused", || Client::try_connect(http).is_err());
    replica.release();
    let response = client.response();
    assert_eq!((response.status, response.replica()), (200, "app-0"), "the answer that was waited for arrives");
    assert!(stop.wait().expect("a child can be waited for").success());
    assert_eq!((container.field(".State.ExitCode"), container.field(".State.OOMKilled")), ("0".to_owned(), "false".to_owned()));
    assert!(container.log().contains("drained"), "{}", container.log());
}
