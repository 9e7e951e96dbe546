//! `tidegate check`: exit codes, the exposure table, assertions.

use super::*;

/// A folder with a public `web`, and a sealed `data/db` that an Ingress asks to expose when `leaking`.
fn scene(net: &Net, leaking: bool) -> Setup {
    let db = net.pod_ip(200);
    let pod = tidegate_tests::objects::pod("data/db-0", "db", db);
    let leak = if leaking { ingress("data/leak", "leak.example", &[path("Prefix", "/", "db", 5432)]) } else { String::new() };
    Setup::new(net)
        .manifest("web.yaml", file(&[app(net, "web", "shop.example", &[]), tidegate_tests::objects::pod("web-0", "web", net.pod_ip(201))]))
        .manifest("db.yaml", file(&[namespace("data", "tidegate.dev/exposure: internal"), tcp(net, "data/db", 5432, &[]), pod]))
        .manifest("leak.yaml", leak)
}

fn check(setup: &Setup, more: &[&str]) -> Finished {
    let folder = setup.folder().display().to_string();
    command(["check", "--manifests", &folder].iter().chain(more))
}

#[test]
fn a_good_folder_is_0_and_the_table_says_who_is_reachable() {
    let net = Net::take();
    let setup = scene(&net, false);
    let checked = check(&setup, &[]);
    let out = checked.exited(0);
    let line = |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{out}"));
    assert!(line("default/web:80").contains("external") && line("default/web:80").contains("shop.example"), "{out}");
    assert!(line("data/db:5432").contains("internal") && line("data/db:5432").contains("Namespace data"), "{out}");
}

#[test]
fn a_refused_object_is_1() {
    let net = Net::take();
    let checked = check(&scene(&net, true), &[]);
    let out = checked.exited(1);
    for word in ["NotExposed", "leak.yaml", "Ingress data/leak", "Namespace data"] {
        assert!(out.contains(word), "{word} in\n{out}");
    }
}

#[test]
fn what_cannot_be_run_is_2() {
    assert_eq!(command(["check", "--manifests", "/nonexistent/folder"]).code, 2);
    assert_eq!(command(["check", "--config", "/nonexistent/tidegate.yaml"]).code, 2);
}

#[test]
fn json_has_the_same() {
    let net = Net::take();
    let value = json(check(&scene(&net, true), &["-o", "json"]).exited(1));
    let rows = value["exposure"].as_array().expect("a table");
    let web = rows.iter().find(|row| row["service"] == "default/web:80").expect("a row");
    assert_eq!(web["exposure"], "external");
    let db = rows.iter().find(|row| row["service"] == "data/db:5432").expect("a row");
    assert_eq!(db["exposure"], "internal");
    let problem = value["problems"].as_array().and_then(|problems| problems.iter().find(|problem| problem["reason"] == "NotExposed"));
    assert_eq!(problem.expect("the refusal")["severity"], "error");
}

#[test]
fn assertions_hold_or_fail_the_run() {
    let net = Net::take();
    let setup = scene(&net, false);
    for (assertion, code) in [
        ("internal: data/db", 0),
        ("internal: data/*", 0),
        ("internal: default/web", 1),
        ("internal: */*", 1),
        ("internal: data/nobody-*", 1),
        ("internal: nowhere/*", 1),
        ("external: data/db", 2),
        ("internal", 2),
        ("intenral: data/db", 2),
    ] {
        let checked = check(&setup, &["--assert", assertion]);
        assert_eq!(checked.code, code, "{assertion}:\n{}\n{}", checked.stdout, checked.stderr);
    }
    let both = check(&setup, &["--assert", "internal: data/db", "--assert", "internal: default/web"]);
    assert_eq!(both.code, 1);
    let broken = both.stderr.lines().find(|line| line.starts_with("assertion broken")).unwrap_or_default();
    assert!(broken.contains("default/web:80") && broken.contains("http shop.example / (Ingress default/web)"), "{}", both.stderr);
    assert!(!broken.contains("vip"), "a virtual IP is no way in from outside: {broken}");
}

#[test]
fn the_table_is_the_running_process_s() {
    let net = Net::take();
    let setup = scene(&net, true).flag("--internal-http", "none");
    let folder = setup.folder().display().to_string();
    let gate = setup.start();
    let state = gate.state().display().to_string();
    tidegate_tests::await_until("the addresses to be saved", || {
        std::fs::read_to_string(gate.state().join("vips")).is_ok_and(|text| text.contains("db") && text.contains("web"))
    });
    let cidr = net.service_cidr();
    let offline = command(["check", "--manifests", &folder, "--state-dir", &state, "--service-cidr", &cidr, "-o", "json"]);
    assert_eq!(json(offline.exited(1))["exposure"], gate.api("exposure"));
}

#[test]
fn it_reads_the_state_of_a_running_process_and_last_good_objects() {
    let net = Net::take();
    let gate = scene(&net, false).start();
    let objects = gate.state().join("objects");
    let holds = |file: std::fs::DirEntry| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("shop.example"));
    tidegate_tests::await_until("the objects to be saved", || std::fs::read_dir(&objects).is_ok_and(|files| files.flatten().any(holds)));
    gate.swap("web.yaml", "{{{");
    gate.await_problem(&["web.yaml"]);
    let folder = gate.folder().display().to_string();
    let state = gate.state().display().to_string();
    let checked = command(["check", "--manifests", &folder, "--state-dir", &state]);
    let out = checked.exited(1);
    let web = out.lines().find(|line| line.starts_with("default/web:80"));
    assert!(web.is_some_and(|line| line.contains("external")), "the last good web is served:\n{out}");
}
