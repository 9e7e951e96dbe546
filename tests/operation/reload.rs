//! Settings that change while it runs, and those that are laid over each other.

use std::fs;

use serde_json::Value;
use tidegate_tests::objects::{ingress_of, path, service_at};

use super::*;

/// The settings file among the sources.
fn source(gate: &Tidegate) -> Value {
    let rows = gate.rows("sources");
    let row = rows.iter().find(|row| row["name"].as_str().is_some_and(|name| name.starts_with("settings:")));
    row.unwrap_or_else(|| panic!("{rows:?}")).clone()
}

#[test]
fn limits_change_while_it_runs() {
    let (gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup.config("limits: {headers: 100}\n"));
    let mut open = Client::connect(gate.http());
    let ask = |client: Option<&mut Client>| {
        let mut other = Client::connect(gate.http());
        let client = client.unwrap_or(&mut other);
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
        client.response().status
    };
    assert_eq!((ask(Some(&mut open)), ask(None)), (200, 200));
    gate.say("limits: {headers: 3}\n");
    await_until("the new limit", || ask(None) == 431);
    assert_eq!(ask(Some(&mut open)), 431, "of connections that are open too");
    gate.say("limits: {headers: 4}\n");
    await_until("the newer limit", || ask(None) == 200);
    assert_eq!(gate.rows("problems"), Vec::<Value>::new());
    assert!(gate.log().contains("settings renewed") && gate.log().contains("limits"), "{}", gate.log());
}

#[test]
fn exposure_and_classes_change_while_it_runs() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let text = format!(
        "{}---\n{}",
        app(&net, "app", "app.example", &[&replica]),
        ingress_of("nginx", "other", "other.example", &[path("Prefix", "/", "app", 80)])
    );
    let gate = Setup::new(&net).manifest("app.yaml", text).config("").start();
    let status = |host: &str| gate.get(host, "/").status;
    assert_eq!((status("app.example"), status("other.example")), (200, 404));
    gate.say("ingress: {classes: [nginx]}\n");
    await_until("the other class to be served", || status("other.example") == 200);
    gate.say("ingress: {classes: [nginx]}\nexposure: {mode: strict}\n");
    await_until("strict mode", || status("app.example") == 404);
    assert_eq!(status("other.example"), 404);
    gate.say("");
    await_until("the end of strict mode", || status("app.example") == 200);
    await_until("the class to be foreign again", || status("other.example") == 404);
}

#[test]
fn a_broken_file_changes_nothing_and_is_told() {
    let (gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup.config("exposure: {mode: strict}\n"));
    let status = || gate.get("app.example", "/").status;
    assert_eq!(status(), 404);
    assert_eq!(source(&gate)["state"], "ok");
    for broken in ["exposure: {mode: strikt}\n", "limits: [\n"] {
        gate.say(broken);
        gate.await_problem(&["tidegate.yaml", "stay in force"]);
        await_until("it to be stale", || source(&gate)["state"] == "stale");
        assert_eq!(gate.sum("tidegate_source_stale", &["settings:"]), 1.0);
        assert_eq!(status(), 404, "the last good settings are strict");
        let said = command(["check", "--config", &gate.home().join("tidegate.yaml").display().to_string(), "--manifests", "/nowhere"]);
        assert!(said.code == 2 && said.stderr.contains("tidegate.yaml"), "{}{}", said.stdout, said.stderr);
        gate.say("exposure: {mode: strict}\n");
        await_until("it to be good again", || {
            let told = gate.rows("problems").iter().any(|problem| problem.to_string().contains("tidegate.yaml"));
            source(&gate)["state"] == "ok" && !told
        });
    }
    fs::remove_file(gate.home().join("tidegate.yaml")).expect("it is there");
    gate.await_problem(&["tidegate.yaml", "cannot be read"]);
    assert_eq!(status(), 404);
    gate.say("exposure: {mode: standard}\n");
    await_until("the settings that are there now", || status() == 200);
}

#[test]
fn a_key_that_needs_a_restart_is_named_until_it_is_taken_back() {
    let (gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup.config("metrics: none\n"));
    // `http` is a flag here, which wins whatever the file says.
    gate.say("metrics: 127.0.0.1:0\nhttp: 127.0.0.1:1\nlimits: {headers: 1}\n");
    gate.await_problem(&["\"metrics\"", "restart", "tidegate.yaml"]);
    assert_eq!(gate.rows("problems").len(), 1, "{:?}", gate.rows("problems"));
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\nA: b\r\n\r\n");
    assert_eq!(client.response().status, 431, "what counts at once counts all the same");
    gate.say("metrics: none\n");
    await_until("nobody to be named", || gate.rows("problems").is_empty());
}

#[test]
fn the_swap_of_a_mounted_config_map_is_seen() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica]));
    let mount = setup.home().join("mount");
    let place = |version: &str, text: &str| {
        fs::create_dir_all(mount.join(version)).expect("the temporary folder can be written");
        fs::write(mount.join(version).join("tidegate.yaml"), text).expect("the temporary folder can be written");
        std::os::unix::fs::symlink(version, mount.join("..next")).expect("a link can be made");
        fs::rename(mount.join("..next"), mount.join("..data")).expect("a link can be renamed");
    };
    place("..1", "exposure: {mode: standard}\n");
    std::os::unix::fs::symlink("..data/tidegate.yaml", mount.join("tidegate.yaml")).expect("a link can be made");
    let gate = setup.flag("--config", &mount.join("tidegate.yaml").display().to_string()).start();
    assert_eq!(gate.get("app.example", "/").status, 200);
    place("..2", "exposure: {mode: strict}\n");
    await_until("strict mode", || gate.get("app.example", "/").status == 404);
}

#[test]
fn the_access_log_moves_and_loses_no_line() {
    let (mut gate, _replica, _net) =
        one_app(Behaviour::Named, |setup| setup.without("--access-log").config("accessLog: one.log\n").flag("--workers", "2"));
    let home = gate.home().to_owned();
    let lines = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default().lines().count();
    for _ in 0..10 {
        assert_eq!(gate.get("app.example", "/").status, 200);
    }
    gate.say("accessLog: /nowhere/to/be/written.log\n");
    gate.await_problem(&["accessLog", "cannot open", "fix"]);
    gate.say("accessLog: two.log\n");
    let mut asked = 10;
    await_until("a line in the other file", || {
        asked += 1;
        assert_eq!(gate.get("app.example", "/").status, 200);
        lines("two.log") > 0
    });
    assert_eq!(gate.rows("problems"), Vec::<Value>::new());
    gate.say("accessLog: none\n");
    let mut before = lines("two.log");
    await_until("no more lines", || {
        let more = lines("two.log") + lines("one.log");
        let still = more == std::mem::replace(&mut before, more);
        assert_eq!(gate.get("app.example", "/").status, 200);
        still && more >= asked
    });
    assert_eq!(gate.stop().code(), Some(0));
    assert!(lines("one.log") >= 10, "{}", lines("one.log"));
}

#[test]
fn what_internal_cidrs_no_longer_holds_is_closed() {
    let net = Net::take();
    let service = service_at("db", net.vip(9), net.port(), net.port());
    let wide = "internalCidrs: [127.0.0.0/8]\n";
    let gate = Setup::new(&net).manifest("db.yaml", service).config(wide).flag("--internal-http", "127.0.0.1:0").start();
    let (vip, internal) = (net.vip_address(9), gate.listener("internal-http"));
    let bound = |error: bool| {
        let rows = gate.rows("listeners");
        rows.iter().any(|row| row["address"] == vip.to_string() && row["error"].is_null() != error)
    };
    await_until("the VIP to be bound", || bound(false));
    let answers = || {
        // The reset may be seen while connecting already.
        let sent = Client::try_connect(internal).and_then(|mut client| {
            std::io::Write::write_all(&mut client.stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
            client.try_response(false)
        });
        sent.is_ok()
    };
    assert!(answers());
    gate.say("internalCidrs: [127.0.8.0/24]\n");
    // The workers learn it from the picture and from the settings, each in its own time.
    await_until("the VIP to be closed", || bound(true) && Client::try_connect(vip).is_err());
    await_until("a peer outside to be refused", || !answers());
    assert_eq!(Client::connect_from([127, 0, 8, 1].into(), internal).get("a", "/").status, 404, "and one inside is not");
    gate.say(wide);
    await_until("the VIP to be bound again", || bound(false));
    await_until("everybody to be answered again", answers);
}

#[test]
fn flags_win_over_environment_over_the_file() {
    let (gate, _replica, _net) = one_app(Behaviour::Named, |setup| {
        setup
            .config("internalHttp: none\nmetrics: none\nhttps: none\n")
            .without("--https")
            .environment("TIDEGATE_INTERNAL_HTTP", "127.0.0.1:0")
            .environment("TIDEGATE_METRICS", "none")
            .environment("TIDEGATE_WORKERS", "3")
            .flag("--metrics", "127.0.0.1:0")
    });
    let rows = gate.rows("listeners");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"internal-http"), "the environment wins over the file: {names:?}");
    assert!(names.contains(&"metrics"), "the flag wins over the environment: {names:?}");
    assert!(!names.contains(&"https"), "the file wins over the default: {names:?}");
    assert_eq!(gate.metric("tidegate_worker_acknowledged_version").len(), 1, "`--workers 1` wins over the environment");
}
