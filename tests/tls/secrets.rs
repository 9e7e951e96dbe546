//! Secrets as they change, break and go, and that their keys are nowhere but in them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::*;

/// A connection that openssl keeps open.
struct Kept {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Kept {
    fn open(scene: &Scene, at: SocketAddr, host: &str) -> Kept {
        let mut command = Command::new("timeout");
        command.args(["60", "openssl", "s_client", "-quiet", "-servername", host, "-CAfile"]).arg(scene.trust());
        command.args(["-connect", &at.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl is installed (`make test` does it)");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Kept { child, answers }
    }

    /// The status of an answer without a body of its own lines.
    fn ask(&mut self, host: &str) -> String {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("the connection is open");
        let mut status = String::new();
        self.answers.read_line(&mut status).expect("an answer");
        let mut line = String::from("-");
        while !line.trim().is_empty() {
            line.clear();
            assert_ne!(self.answers.read_line(&mut line).expect("an answer"), 0, "the connection ended: {status}");
        }
        status.get(9..12).unwrap_or_default().to_owned()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The serial number of the certificate that a new client is shown.
fn shown(scene: &Scene, gate: &Tidegate) -> String {
    let said = scene.openssl(gate.listener("https"), "shop.example", &["-servername", "shop.example", "-showcerts"]);
    let (_, certificate) = said.split_once("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate:\n{said}"));
    certificate.split("-----END").next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_new_secret_counts_from_the_next_handshake_and_drops_no_connection() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().start();
    let mut kept = Kept::open(&scene, gate.listener("https"), "shop.example");
    assert_eq!(kept.ask("shop.example"), "200");
    let before = shown(&scene, &gate);
    let renewed = scene.authority.rsa(&["shop.example"]);
    gate.write("secret.yaml", &renewed.secret("shop"));
    let after = shown(&scene, &gate);
    assert_ne!(before, after);
    assert!(renewed.chain.contains(&after));
    assert_eq!(kept.ask("shop.example"), "200", "the connection from before goes on");
    gate.change(|folder| std::fs::remove_file(folder.join("secret.yaml")).expect("the file is there"));
    let said = scene.openssl(gate.listener("https"), "shop.example", &["-servername", "shop.example"]);
    assert!(said.contains("alert number 112"), "{said}");
    assert_eq!(kept.ask("shop.example"), "200", "without a Secret, too");
    let problem = gate.await_problem(&["Ingress default/shop", "spec.tls[0].secretName", "Secret default/shop"]);
    assert!(problem["fix"].is_string(), "{problem}");
}

#[test]
fn a_secret_that_breaks_keeps_its_last_good_version() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().start();
    let before = shown(&scene, &gate);
    let other = scene.authority.ecdsa(&["shop.example"]);
    for (chain, key, field) in [
        (&*other.chain, "nonsense", "tls.key"),
        ("nonsense", &*other.key, "tls.crt"),
        (&scene.authority.pem, &other.key, "not the certificate's"),
    ] {
        gate.swap("secret.yaml", &tidegate_tests::certificates::secret("shop", chain, key));
        let problem = gate.await_problem(&["Secret default/shop", field, "error"]);
        assert!(problem["expected"].is_string() && problem["fix"].is_string(), "{problem}");
        assert_eq!(shown(&scene, &gate), before, "{field}");
    }
    gate.write("secret.yaml", &other.secret("shop"));
    assert!(other.chain.contains(&shown(&scene, &gate)), "a good one counts again");
}

#[test]
fn the_older_ingress_has_a_host_and_a_certificate_that_does_not_name_it_is_told() {
    let scene = Scene::new(Behaviour::Named);
    let young = with_tls(&ingress("young", "shop.example", &[path("Prefix", "/young", "two", 80)]), "[{secretName: other}]")
        .replace("metadata: {", "metadata: {creationTimestamp: '2026-01-02T00:00:00Z', ");
    let old = site("shop", "shop.example", "one").replace("metadata: {", "metadata: {creationTimestamp: '2026-01-01T00:00:00Z', ");
    let other = scene.authority.ecdsa(&["elsewhere.example"]);
    let odd = site("odd", "odd.example", "one");
    let secrets = file(&[other.secret("other"), other.secret("odd")]);
    let setup = scene.shop().manifest("a-young.yaml", young).manifest("shop.yaml", old).manifest("odd.yaml", odd);
    let gate = setup.manifest("others.yaml", secrets).start();
    assert_eq!(scene.curl(&gate, "shop.example", &[]).exited(0), "one");
    gate.await_problem(&["Ingress default/young", "spec.tls[0].secretName", "Conflict", "Ingress default/shop"]);
    gate.await_problem(&["Ingress default/odd", "does not name odd.example"]);
}

#[test]
fn a_private_key_is_nowhere_but_in_its_secret() {
    let scene = Scene::new(Behaviour::Named);
    let issued = scene.authority.rsa(&["shop.example"]);
    let site = site("shop", "shop.example", "one");
    // In one file with other objects, so that something of the file is saved.
    let setup = scene.setup().manifest("shop.yaml", file(&[site.clone(), issued.secret("shop")]));
    let gate = setup.environment("TIDEGATE_LOG_FILTER", "trace").start();
    scene.curl(&gate, "shop.example", &[]).exited(0);
    let cut = issued.secret("shop").replace("-----END PRIVATE KEY-----", "");
    gate.swap("shop.yaml", &file(&[site.clone(), cut]));
    gate.await_problem(&["Secret default/shop"]);
    gate.swap("shop.yaml", &file(&[site, issued.secret("shop").replace("tls.crt: |", "tls.crt: {a: |")]));
    gate.await_problem(&["shop.yaml", "not YAML"]);
    let topics = ["services", "endpoints", "routes", "listeners", "sources", "problems", "exposure"];
    let mut said: String = topics.iter().map(|topic| gate.ask(&format!("/api/v1/{topic}")).text()).collect();
    said.push_str(&gate.ask("/metrics").text());
    said.push_str(&gate.log());
    said.push_str(&gate.stdout());
    let gate = gate.into_setup();
    said.push_str(&texts(&gate.state()));
    assert!(said.contains("shop.example"), "something was said");
    for line in issued.key_lines() {
        assert!(!said.contains(line), "a line of the key is in what was said, logged or saved");
    }
}

/// All files below a folder, one after the other.
fn texts(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    let text = |path: PathBuf| match path.is_dir() {
        true => texts(&path),
        false => String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read")).into_owned(),
    };
    entries.map(text).collect()
}

#[test]
fn a_restart_reads_the_secret_again_and_saves_nothing_anew() {
    let scene = Scene::new(Behaviour::Named);
    let issued = scene.authority.ecdsa(&["shop.example"]);
    let setup = scene.setup().manifest("shop.yaml", file(&[site("shop", "shop.example", "one"), issued.secret("shop")]));
    let setup = setup.start().into_setup();
    let before = modified(&setup.state().join("objects"));
    let gate = setup.start();
    assert_eq!(scene.curl(&gate, "shop.example", &[]).exited(0), "one");
    assert_eq!(modified(&gate.into_setup().state().join("objects")), before);
}

fn modified(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    let mut files: Vec<_> = entries
        .map(|path| {
            let at = path.metadata().and_then(|data| data.modified()).expect("a time");
            (path, at)
        })
        .collect();
    files.sort();
    files
}
