//! The access log and the log.

use std::fs;

use serde_json::Value;

use super::*;

/// Three requests: served, without a route, not HTTP. Returns the log after the exit, which may lose no line.
fn logged(format: &str) -> (Vec<String>, String) {
    let (mut gate, replica, _net) = one_app(Behaviour::Named, |setup| setup.flag("--access-log", "access.log").flag("--log", format));
    let mut client = Client::connect(gate.http());
    client.send("GET /cart?secret=1 HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: id-of-one\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(gate.get("nobody.example", "/a\"b").status, 404);
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: a\x1b[31m\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let path = gate.home().join("access.log");
    assert_eq!(gate.stop().code(), Some(0));
    let text = fs::read_to_string(path).expect("the access log is written");
    assert!(!text.contains('\x1b'), "control characters are escaped: {text:?}");
    assert!(!text.contains("secret=1"), "the query is not logged");
    (text.lines().map(str::to_owned).collect(), replica.address().to_string())
}

#[test]
fn the_access_log_as_json() {
    let (lines, endpoint) = logged("json");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let rows: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let served = &rows[0];
    assert_eq!(served["status"], 200, "{served}");
    assert_eq!(served["method"], "GET");
    assert_eq!(served["host"], "app.example");
    assert_eq!(served["path"], "/cart");
    assert_eq!(served["endpoint"], endpoint.as_str());
    assert_eq!(served["request_id"], "id-of-one");
    assert_eq!(served["exposure"], "external");
    assert!(served["service"].as_str().is_some_and(|service| service.starts_with("default/app")), "{served}");
    assert!(served["duration_ms"].as_f64().is_some_and(|ms| (0.0..10_000.0).contains(&ms)), "{served}");
    assert_eq!((&rows[1]["status"], &rows[1]["reason"]), (&Value::from(404), &Value::from("no-route")));
    assert_eq!((&rows[2]["status"], &rows[2]["reason"]), (&Value::from(400), &Value::from("bad-request")));
}

#[test]
fn the_access_log_as_text() {
    let (lines, endpoint) = logged("text");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for word in ["200", "GET", "app.example", "/cart", "default/app", &endpoint, "id-of-one"] {
        assert!(lines[0].contains(word), "{word} in {}", lines[0]);
    }
    assert!(lines[1].contains("404") && lines[1].contains("no-route"), "{}", lines[1]);
    assert!(lines[2].contains("400") && lines[2].contains("bad-request"), "{}", lines[2]);
}

#[test]
fn reasons_of_upstream_failures_are_logged() {
    let (mut gate, mut replica, _net) =
        one_app(Behaviour::RawThenClose(Vec::new()), |setup| setup.flag("--access-log", "access.log").flag("--log", "json"));
    assert_eq!(gate.get("app.example", "/reset").status, 502);
    replica.die();
    assert_eq!(gate.get("app.example", "/connect").status, 502);
    gate.change(|folder| {
        let text = fs::read_to_string(folder.join("app.yaml")).expect("the file is there");
        fs::write(folder.join("app.yaml"), text.replace("status: 'True'", "status: 'False'")).expect("it can be written");
    });
    assert_eq!(gate.get("app.example", "/nobody").status, 503);
    let path = gate.home().join("access.log");
    assert_eq!(gate.stop().code(), Some(0));
    let text = fs::read_to_string(path).expect("the access log is written");
    for (path, reason, note) in [
        ("/reset", "upstream-reset", Value::Null),
        ("/connect", "upstream-connect", "Connection refused (os error 111)".into()),
        ("/nobody", "no-endpoint", Value::Null),
    ] {
        let line = text.lines().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{path} in {text}"));
        let row: Value = serde_json::from_str(line).expect("each line is JSON");
        assert_eq!((&row["reason"], &row["note"]), (&reason.into(), &note), "{line}");
    }
}

#[test]
fn a_route_that_was_refused_exposure_is_noted_in_the_access_log() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let sealed =
        app(&net, "app", "app.example", &[&replica]).replacen("name: app}", "name: app, labels: {tidegate.dev/exposure: internal}}", 1);
    let mut gate = Setup::new(&net).manifest("app.yaml", sealed).flag("--access-log", "access.log").flag("--log", "json").start();
    assert_eq!(gate.get("app.example", "/").status, 404);
    let path = gate.home().join("access.log");
    assert_eq!(gate.stop().code(), Some(0));
    let text = fs::read_to_string(path).expect("the access log is written");
    assert!(text.contains("no-route") && text.contains("not-exposed"), "{text}");
}

#[test]
fn the_access_log_goes_to_stdout_when_asked_and_the_log_to_stderr() {
    let (mut gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup.flag("--access-log", "-").flag("--log", "json"));
    assert_eq!(gate.get("app.example", "/cart").status, 200);
    await_until("the line on stdout", || gate.stdout().contains("/cart"));
    assert!(!gate.log().contains("/cart"), "no line for each request in the log");
    assert_eq!(gate.stop().code(), Some(0));
}
