//! Fields of answers that stand in a ConfigMap, as ingress-nginx has them: live, and that without them nobody is answered.

use tidegate_tests::{await_until, command};

use super::*;

fn map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: headers}}\ndata: {{{data}}}\n")
}

fn shop() -> String {
    site(&[(&nginx("custom-headers"), "default/headers")])
}

/// A replica that says who it is in a field.
fn replica() -> Behaviour {
    Behaviour::Raw(b"HTTP/1.1 200 OK\r\nServer: leaky/1.0\r\nX-Debug: yes\r\nContent-Length: 2\r\n\r\nok".to_vec())
}

#[test]
fn answers_have_the_fields_of_the_config_map_as_it_is_now() {
    let scene = Scene::new(replica());
    let first = map("X-Frame-Options: DENY, server: gate, X-Debug: ''");
    let gate = scene.setup().manifest("rule.yaml", shop()).manifest("headers.yaml", &first).start();
    let head = || curl(&gate, "/", &["--include"]);
    let answer = head();
    assert!(answer.contains("X-Frame-Options: DENY\r\n") && answer.contains("server: gate\r\n"), "{answer}");
    assert!(!answer.contains("leaky") && !answer.contains("X-Debug"), "{answer}");
    gate.write("headers.yaml", &map("X-Frame-Options: SAMEORIGIN"));
    let answer = head();
    assert!(answer.contains("X-Frame-Options: SAMEORIGIN\r\n") && answer.contains("Server: leaky/1.0\r\n"), "{answer}");
    // What breaks keeps its last good version.
    gate.swap("headers.yaml", "kind: [");
    gate.await_problem(&["headers.yaml", "not YAML"]);
    assert!(head().contains("X-Frame-Options: SAMEORIGIN\r\n"));
    gate.swap("headers.yaml", &map("X-Frame-Options: 5"));
    gate.await_problem(&["ConfigMap default/headers", "data.X-Frame-Options"]);
    assert!(head().contains("X-Frame-Options: SAMEORIGIN\r\n"));
    assert_eq!(scene.app.requests(), 4);
}

#[test]
fn without_them_nobody_is_answered_and_each_command_says_why() {
    let scene = Scene::new(replica());
    let setup = scene.setup().manifest("rule.yaml", shop());
    let check = |setup: &Setup, code: i32| command(["check", "--manifests", &setup.folder().display().to_string()]).exited(code).to_owned();
    let checked = check(&setup, 1);
    assert!(
        checked.contains("custom-headers\"]: there is no ConfigMap default/headers") && checked.contains("answers nobody"),
        "{checked}"
    );
    let setup = setup.manifest("headers.yaml", map("X-Frame-Options: DENY, Connection: close"));
    let checked = check(&setup, 1);
    assert!(checked.contains("its key `Connection`: `Connection` frames a message"), "{checked}");
    let gate = setup.start();
    assert_eq!(verdict(&gate, "/", &[]), "503");
    gate.write("headers.yaml", &map("X-Frame-Options: DENY"));
    assert_eq!(verdict(&gate, "/", &[]), "200");
    let admin = gate.admin().to_string();
    let said = command(["explain", "http://shop.example/", "--admin", &admin]).exited(0).to_owned();
    for line in ["custom-headers: answers have the fields of ConfigMap headers", "response-headers-set: X-Frame-Options"] {
        assert!(said.contains(&format!("filter     {line}")) && !said.contains("DENY"), "{line} in\n{said}");
    }
    gate.write("headers.yaml", &map("X-Frame-Options: DENY").replace("name: headers", "name: headers, namespace: other"));
    assert_eq!(verdict(&gate, "/", &[]), "503", "another namespace's");
    gate.write("rule.yaml", &site(&[(&nginx("custom-headers"), "other/headers")]));
    assert_eq!(verdict(&gate, "/", &[]), "503");
    gate.await_problem(&["custom-headers", "another namespace"]);
    assert_eq!(scene.app.requests(), 1);
}

#[test]
fn a_restart_finds_the_last_good_fields() {
    let scene = Scene::new(replica());
    let gate = scene.setup().manifest("rule.yaml", shop()).manifest("headers.yaml", map("X-Frame-Options: DENY")).start();
    let saved = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("X-Frame-Options"));
    await_until("the fields to be saved", || {
        let folders = std::fs::read_dir(gate.state()).into_iter().flatten().flatten();
        folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten()).any(saved)
    });
    let setup = gate.into_setup();
    std::fs::write(setup.folder().join("headers.yaml"), "kind: [").expect("the folder can be written");
    let gate = setup.start();
    assert!(curl(&gate, "/", &["--include"]).contains("X-Frame-Options: DENY\r\n"));
}
