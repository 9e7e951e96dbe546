//! The command line: `check`, `explain` and `get` say what the running process does.

use serde_json::Value;
use tidegate_tests::command::binary;
use tidegate_tests::objects::{app, file, ingress, ingress_of, namespace, path, tcp};
use tidegate_tests::{Behaviour, Client, Finished, Net, Replica, Setup, Tidegate, command};

mod boutique;
mod check;
mod demo;
mod explain;
mod ready;
mod top;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

#[test]
fn get_shows_tables_and_json() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica]));
    let typo = "apiVersion: v1\nkind: Service\nmetadata: {name: typo}\nspec: {prots: [], ports: [{port: 80}]}\n";
    let gate = setup.manifest("deployment.yaml", deployment("web", 2)).manifest("typo.yaml", typo).start();
    let admin = gate.admin().to_string();
    let http = gate.http().to_string();
    let endpoint = replica.address().to_string();
    for (topic, words) in [
        ("services", ["NAMESPACE", "web", "external"]),
        ("endpoints", ["ADDRESS", &endpoint, "Ready"]),
        ("routes", ["HOST", "shop.example", "Ingress default/web"]),
        ("listeners", ["ADDRESS", "http", &http]),
        ("workloads", ["DESIRED", "Deployment", "2        1      0"]),
        ("sources", ["STATE", "folder:", "ok"]),
        ("problems", ["warning UnknownField", "Service default/typo", "prots"]),
    ] {
        let table = command(["get", topic, "--admin", &admin]);
        for word in words {
            assert!(table.exited(0).contains(word), "{topic}: {word} in\n{}", table.stdout);
        }
        let rows = command(["get", topic, "-o", "json", "--admin", &admin]);
        assert!(json(rows.exited(0)).as_array().is_some_and(|rows| !rows.is_empty()), "{topic}: {}", rows.stdout);
    }
    let hosts = command(["get", "services", "-o", "hosts", "--admin", &admin]);
    assert!(hosts.exited(0).contains("shop.example"), "{}", hosts.stdout);
}

/// A Deployment of the pods labelled `app: NAME`.
fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: {replicas}, \
         selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}}}}}\n"
    )
}

#[test]
fn workloads_that_lack_replicas_are_a_warning_of_check_and_a_metric() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica]));
    let setup = setup.manifest("deployment.yaml", deployment("web", 3)).manifest("nobody.yaml", deployment("nobody", 1));
    let folder = setup.folder().display().to_string();
    let gate = setup.start();
    let replicas = |state: &str| gate.sum("tidegate_workload_replicas", &["workload=\"web\"", &format!("state=\"{state}\"")]);
    assert_eq!((replicas("desired"), replicas("ready"), replicas("unhealthy")), (3.0, 1.0, 0.0));
    assert_eq!(gate.rows("problems"), Vec::<Value>::new(), "a rollout is no problem of the process");
    let checked = command(["check", "--manifests", &folder]);
    let text = checked.exited(0);
    for words in [
        "Deployment default/web: spec.replicas: 1 of its pods is ready",
        "Deployment default/nobody: spec.selector: its selector finds no pod",
    ] {
        assert!(text.lines().any(|line| line.starts_with("warning ") && line.contains(words)), "{words} in\n{text}");
    }
}

#[test]
fn get_says_when_nothing_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let asked = command(["get", "services", "--admin", &free.to_string()]);
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains(&free.to_string()), "{}", asked.stderr);
}

#[test]
fn the_version_names_the_commit_of_a_checkout() {
    let version = command(["--version"]);
    let words: Vec<&str> = version.exited(0).split_whitespace().collect();
    assert_eq!(words[0], "tidegate");
    let git = std::process::Command::new("git").args(["rev-parse", "--show-prefix"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    if git.is_ok_and(|git| git.status.success() && git.stdout == b"tests/\n") {
        let digits = words[2].trim_matches(['(', ')']).trim_end_matches("-dirty");
        assert!(digits.len() == 12 && u64::from_str_radix(digits, 16).is_ok(), "{words:?}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = command(["completion", "bash"]);
    let complete = |line: &str| {
        let words = format!("COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); cur=${{COMP_WORDS[-1]}}");
        let asks =
            format!("{}\n{words}; _tidegate tidegate \"$cur\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"", script.exited(0));
        let bash = std::process::Command::new("bash").args(["--norc", "-c", &asks]).output().expect("bash can be started");
        assert!(bash.status.success() && bash.stderr.is_empty(), "{}", String::from_utf8_lossy(&bash.stderr));
        String::from_utf8_lossy(&bash.stdout).trim().to_owned()
    };
    assert_eq!(complete("tidegate ex"), "explain");
    assert_eq!(complete("tidegate run --mani"), "--manifests");
    assert_eq!(complete("tidegate completion z"), "zsh");
    assert_eq!(command(["completion", "tcsh"]).code, 2);
}

#[test]
fn help_is_no_error_and_nonsense_is() {
    let help = command(["--help"]);
    for word in ["run", "check", "explain", "get", "ready", "demo", "completion"] {
        assert!(help.exited(0).contains(word), "{word} in {}", help.stdout);
    }
    for wrong in
        [&["walk"][..], &["get", "cookies"], &["check", "--nonsense"], &["explain"], &["explain", "not a url"], &["explain", "ftp://x/"]]
    {
        let finished = command(wrong);
        assert_eq!(finished.code, 2, "{wrong:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{wrong:?}: {}", finished.stderr);
    }
}
