//! Starts that are refused, and starts that serve what can be served: each says what is wrong and what to do.

use std::fs;

use super::*;

/// What a start that must be refused complains.
fn refused(flags: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().display().to_string();
    let usual = [["--manifests", &folder], ["--http", "127.0.0.1:0"], ["--https", "none"], ["--admin", "127.0.0.1:0"]];
    let others = usual.iter().filter(|pair| !flags.contains(&pair[0])).flatten();
    let finished = command(["run"].iter().chain(others).chain(flags));
    assert_eq!(finished.code, 2, "{flags:?}: {}", finished.stderr);
    finished.stderr
}

#[test]
fn a_refused_value_says_what_was_expected_and_how_to_mend_it() {
    for flags in [
        ["--workers", "-1"],
        ["--workers", "2000"],
        ["--http", "nonsense"],
        ["--admin", "localhost:9901"],
        ["--service-cidr", "x"],
        ["--service-cidr", "127.96.0.1/16"],
        ["--internal-cidr", "10.0.0.0/33"],
    ] {
        let said = refused(&flags);
        for word in [flags[0], flags[1], "expected", "fix:"] {
            assert!(said.contains(word), "{flags:?}: {word} in:\n{said}");
        }
    }
}

#[test]
fn a_service_cidr_that_is_not_this_machine_s_is_refused() {
    let said = refused(&["--service-cidr", "8.8.8.0/24"]);
    for word in ["serviceCidr", "8.8.8.0/24", "expected", "127.0.0.0/8", "fix:"] {
        assert!(said.contains(word), "{word} in:\n{said}");
    }
}

#[test]
fn a_listener_that_cannot_be_bound_is_said_once() {
    let net = Net::take();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let occupied = stranger.local_addr().expect("a bound listener has an address").to_string();
    // The VIP of `db` is taken too: the binder says so, and tries again.
    let vip = std::net::TcpListener::bind(net.vip_address(9)).expect("a free address");
    let db = tidegate_tests::objects::service_at("db", net.vip(9), net.port(), net.port());
    let mut gate = Setup::new(&net).manifest("db.yaml", db).flag("--http", &occupied).launch();
    await_until("both in the log", || gate.log().contains(&occupied) && gate.log().contains(&net.vip_address(9).to_string()));
    gate.await_problem(&["BindFailed", &occupied]);
    gate.await_problem(&["BindFailed", &net.vip_address(9).to_string()]);
    assert_eq!(gate.stop().code(), Some(0));
    await_until("the end of the log", || gate.log().contains("drained"));
    for address in [occupied, net.vip_address(9).to_string()] {
        let log = gate.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("BindFailed") && line.contains(&address)).collect();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("fix:"), "{}", lines[0]);
    }
    drop(vip);
}

#[test]
fn an_admin_address_outside_is_not_bound_and_the_rest_serves() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).flag("--admin", "0.0.0.0:0");
    let gate = setup.launch();
    await_until("the refusal in the log", || gate.log().contains("BindFailed"));
    let log = gate.log();
    let line = log.lines().find(|line| line.contains("BindFailed")).unwrap_or_default();
    for word in ["admin", "0.0.0.0:0", "internalCidrs", "fix:"] {
        assert!(line.contains(word), "{word} in: {line}");
    }
    let http = tidegate_tests::wait::await_some("the external listener in the log", || {
        let log = gate.log();
        let (_, after) = log.lines().find(|line| line.contains("listener=http "))?.split_once("address=")?;
        after.split_whitespace().next()?.parse().ok()
    });
    assert_eq!(Client::connect(http).get("app.example", "/").replica(), "app-0");
    assert!(!gate.log().contains("listener=admin"), "it is bound all the same:\n{}", gate.log());
}

/// It may hold seals that nobody knows.
#[test]
fn a_folder_that_is_missing_at_the_first_start_keeps_only_the_unlabelled_inside() {
    let net = Net::take();
    let [plain, open] = ["plain-0", "open-0"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let labelled =
        app(&net, "open", "open.example", &[&open]).replacen("name: open}", "name: open, labels: {tidegate.dev/exposure: external}}", 1);
    let setup = Setup::new(&net).manifest("plain.yaml", app(&net, "plain", "plain.example", &[&plain])).manifest("open.yaml", labelled);
    let missing = setup.home().join("seals");
    let gate = setup.flag("--manifests", &missing.display().to_string()).start();
    assert_eq!(gate.get("open.example", "/").replica(), "open-0");
    assert_eq!(gate.get("plain.example", "/").status, 404);
    let problem = gate.await_problem(&["NotExposed", &missing.display().to_string(), "strict mode"]);
    assert!(problem["fix"].is_string(), "{problem}");
    fs::create_dir(&missing).expect("a folder can be made");
    await_until("what is not sealed to be served", || gate.get("plain.example", "/").status == 200);
    await_until("no problem to be left", || gate.rows("problems").is_empty());
}
