//! A cookie names the replica that a client keeps: curl and its cookie jar as the client, in HTTP/1 and HTTP/2.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// Whoever has no cookie goes to the next one in turn, so that each replica has clients.
fn sticky(manifest: &str, more: &str) -> String {
    let annotations = format!("tidegate.dev/balance: round-robin, nginx.ingress.kubernetes.io/affinity: cookie{more}");
    let annotated = format!("kind: Ingress\nmetadata: {{annotations: {{{annotations}}}, namespace");
    manifest.replace("kind: Ingress\nmetadata: {namespace", &annotated)
}

fn named<const N: usize>(net: &Net, names: [&str; N]) -> [Replica; N] {
    names.map(|name| Replica::start(net, name, Behaviour::Named))
}

/// A browser: a jar of its own.
struct Jar {
    jar: PathBuf,
    version: &'static str,
}

impl Jar {
    fn new(folder: &Path, name: &str, version: &'static str) -> Jar {
        Jar { jar: folder.join(name), version }
    }

    /// Who answers, and the value of each cookie that it was told.
    fn ask_at(&self, gate: &Tidegate, path: &str) -> (String, Vec<String>) {
        let at = gate.http();
        let said = Command::new("curl")
            .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--include", self.version, "--resolve"])
            .arg(format!("app.example:{}:{}", at.port(), at.ip()))
            .arg("--cookie")
            .arg(&self.jar)
            .arg("--cookie-jar")
            .arg(&self.jar)
            .arg(format!("http://app.example:{}{path}", at.port()))
            .output()
            .expect("curl is installed (`make test` does it)");
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.success() && text.contains(" 200"), "{text}{}", String::from_utf8_lossy(&said.stderr));
        let field = |name: &str| {
            let named =
                |line: &str| line.split_once(": ").filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned());
            text.lines().filter_map(named).collect::<Vec<String>>()
        };
        (field("x-replica").concat(), field("set-cookie"))
    }

    fn ask(&self, gate: &Tidegate) -> (String, Vec<String>) {
        self.ask_at(gate, "/")
    }

    /// Who answers somebody who has been here: they are told nothing.
    fn keeps(&self, gate: &Tidegate) -> String {
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            let (replica, told) = self.ask(gate);
            assert_eq!(told, [""; 0], "{replica} answered");
            seen.insert(replica);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap_or_default()
    }
}

#[test]
fn a_browser_keeps_its_replica_while_others_come_and_through_a_restart_and_is_told_anew_when_it_leaves() {
    let _alone = alone();
    let net = Net::take();
    let [one, two, three] = named(&net, ["one", "two", "three"]);
    let app = |replicas: &[&Replica]| sticky(&app(&net, "app", "app.example", replicas), "");
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut gate = Setup::new(&net).manifest("app.yaml", app(&[&one, &two])).flag("--workers", "4").start();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let jars: Vec<Jar> = (0..6).map(|number| Jar::new(folder.path(), &format!("{version}-{number}"), version)).collect();
        let homes: Vec<String> = jars
            .iter()
            .map(|jar| {
                let (home, told) = jar.ask(&gate);
                let [cookie] = &told[..] else { panic!("one cookie: {told:?}") };
                let value = cookie.strip_prefix("INGRESSCOOKIE=").and_then(|rest| rest.strip_suffix("; Path=/; HttpOnly"));
                assert!(value.is_some_and(|value| value.len() == 16), "{cookie}");
                assert!(!cookie.contains(&home), "it tells nobody the name");
                assert_eq!(jar.keeps(&gate), home);
                home
            })
            .collect();
        gate.write("app.yaml", &app(&[&one, &two, &three]));
        assert!(jars.iter().zip(&homes).all(|(jar, home)| jar.keeps(&gate) == *home), "a new one takes nobody away");
        gate = gate.into_setup().start();
        assert!(jars.iter().zip(&homes).all(|(jar, home)| jar.keeps(&gate) == *home), "a restart moves nobody");
        gate.write("app.yaml", &app(&[&two, &three]));
        for (jar, home) in jars.iter().zip(&homes) {
            if home == "one" {
                let (other, told) = jar.ask(&gate);
                assert!(other != "one" && told.len() == 1, "{other} {told:?}");
                assert_eq!(jar.keeps(&gate), other);
            } else {
                assert_eq!(jar.keeps(&gate), *home);
            }
        }
        gate.write("app.yaml", &app(&[&one, &two]));
    }
}

#[test]
fn the_cookie_is_as_the_annotations_want_it() {
    let _alone = alone();
    let net = Net::take();
    let [one] = named(&net, ["one"]);
    let more = ", nginx.ingress.kubernetes.io/session-cookie-name: sid, nginx.ingress.kubernetes.io/session-cookie-max-age: \"60\"\
                , nginx.ingress.kubernetes.io/session-cookie-expires: \"60\", nginx.ingress.kubernetes.io/session-cookie-samesite: Strict\
                , nginx.ingress.kubernetes.io/session-cookie-domain: example, nginx.ingress.kubernetes.io/session-cookie-secure: \"true\"";
    let manifest = sticky(&app(&net, "app", "app.example", &[&one]), more).replace("path: '/'", "path: '/shop/'");
    let gate = Setup::new(&net).manifest("app.yaml", manifest).start();
    let answer = gate.get("app.example", "/shop/cart");
    let told = answer.all("set-cookie");
    let [cookie] = &told[..] else { panic!("one cookie: {told:?}") };
    let (start, rest) = cookie.split_once("; Expires=").expect("it expires");
    assert!(start.starts_with("sid=") && start.ends_with("; Path=/shop; Domain=example; Max-Age=60"), "{cookie}");
    assert!(rest.ends_with(" GMT; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    let value = &start[..4 + 16];
    let again = |cookies: &str| {
        let mut client = Client::connect(gate.http());
        client.send(format!("GET /shop HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n"));
        client.response().all("set-cookie").len()
    };
    assert_eq!((again(value), again(&format!("a=b; {value}")), again("sid=0123456789abcdef"), again("a=b")), (0, 0, 1, 1));
}

#[test]
fn a_replica_that_cannot_be_reached_costs_its_clients_one_retry_each_and_their_cookie_only_where_that_is_wanted() {
    let _alone = alone();
    let net = Net::take();
    let [one, mut two] = named(&net, ["one", "two"]);
    let plain = app(&net, "app", "app.example", &[&one, &two]);
    // Else it is ejected before all have found it dead.
    let gate = Setup::new(&net).config("outlier: {maxEjectedPercent: 0}\n").manifest("app.yaml", sticky(&plain, "")).start();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let jars: Vec<Jar> = (0..12).map(|number| Jar::new(folder.path(), &number.to_string(), "--http1.1")).collect();
    let of_two: Vec<&Jar> = jars.iter().filter(|jar| jar.ask(&gate).0 == "two").collect();
    assert_eq!(of_two.len(), 6, "every second one");
    two.die();
    for jar in &of_two {
        assert_eq!(jar.ask(&gate), ("one".to_owned(), Vec::new()), "it may find its own again");
    }
    gate.write("app.yaml", &sticky(&plain, ", nginx.ingress.kubernetes.io/session-cookie-change-on-failure: \"true\""));
    for jar in &of_two {
        let (other, told) = jar.ask(&gate);
        assert_eq!((other.as_str(), told.len()), ("one", 1));
        assert_eq!(jar.keeps(&gate), "one");
    }
}

#[test]
fn a_route_without_it_sets_none() {
    let _alone = alone();
    let net = Net::take();
    let [one] = named(&net, ["one"]);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&one])).start();
    assert!(gate.get("app.example", "/").all("set-cookie").is_empty());
}
