//! Readiness by probes: pods that do not say whether they are ready are asked, by the real binary, over real sockets.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_tests::objects::{file, ingress, path, pod, service};
use tidegate_tests::{Behaviour, Net, Replica, Setup, Tidegate, await_until, command};

mod kinds;
mod offline;
mod pods;

/// A Pod that does not say whether it is ready; its one container has this probe, once a second.
fn probed(net: &Net, name: &str, ip: IpAddr, probe: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: app}}}}\n\
         spec: {{containers: [{{name: app, image: app:1, ports: [{{name: web, containerPort: {}}}], \
         readinessProbe: {{periodSeconds: 1, {probe}}}}}]}}\nstatus: {{phase: Running, podIP: {ip}}}\n",
        net.port()
    )
}

/// The Service `app` on port 80, served as `app.example`, with these pods.
fn app(net: &Net, pods: &[String]) -> String {
    let base = [service("app", 80, net.port()), ingress("app", "app.example", &[path("Prefix", "/", "app", 80)])];
    file(&base.into_iter().chain(pods.iter().cloned()).collect::<Vec<_>>())
}

/// A set-up whose requests do not wait for an endpoint, so that a refusal is seen at once.
fn setup(net: &Net) -> Setup {
    Setup::new(net).config("limits: {endpointWaitMs: 0}\n")
}

fn started(net: &Net, pods: &[String]) -> Tidegate {
    setup(net).manifest("app.yaml", app(net, pods)).start()
}

/// State of the pod's endpoint, and why it is not ready; empty where it does not say.
fn state(gate: &Tidegate, pod: &str) -> (String, String) {
    let rows = gate.rows("endpoints");
    let row = rows.iter().find(|row| row["pod"] == format!("default/{pod}") && row["state"] != "Draining");
    let text = |key: &str| row.map_or("", |row| row[key].as_str().unwrap_or_default()).to_owned();
    (text("state"), text("why"))
}

fn await_state(gate: &Tidegate, pod: &str, wanted: &str, why: &str) {
    let mut last = Default::default();
    await_until(&format!("{pod} to be {wanted} {why}"), || {
        last = state(gate, pod);
        (last.0.as_str(), last.1.as_str()) == (wanted, why)
    });
}

/// Waits until workers have what `get endpoints` shows.
fn await_status(gate: &Tidegate, status: u16) {
    await_until(&format!("status {status}"), || gate.get("app.example", "/").status == status);
}

#[test]
fn a_pod_goes_and_comes_back_as_its_answers_do() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let probe = "failureThreshold: 2, httpGet: {path: /healthz, port: web, httpHeaders: [{name: X-Who, value: probe}]}";
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), probe)]);
    assert_eq!(gate.get("app.example", "/").replica(), "app-0", "the first picture waited for the first answer");
    let asked = replica.received().first().cloned().expect("the probe came first");
    assert!(asked.head.starts_with("GET /healthz HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.field("x-who").as_deref(), Some("probe"));
    assert!(asked.field("user-agent").is_some_and(|agent| agent.starts_with("tidegate-probe/")), "{}", asked.head);
    for turn in 1..=2 {
        replica.now(Behaviour::Status(503));
        await_state(&gate, "app-0", "Ejected", "probe: HTTP 503");
        await_status(&gate, 503);
        replica.now(Behaviour::Named);
        await_state(&gate, "app-0", "Ready", "");
        await_status(&gate, 200);
        let lines = |words: &str| gate.log().lines().filter(|line| line.contains(words) && line.contains("pod=default/app-0")).count();
        await_until("a line for the verdict", || lines("ready: its probes pass") == turn + 1);
        assert_eq!(lines("not ready: probe: HTTP 503"), turn, "one line for each verdict, whatever the number of probes");
    }
    assert!(gate.sum("tidegate_probes_total", &["success"]) >= 3.0 && gate.sum("tidegate_probes_total", &["status"]) >= 4.0);
    assert_eq!(gate.sum("tidegate_probes_total", &["refused"]), 0.0);
}

#[test]
fn why_an_endpoint_is_not_ready_is_in_the_table_and_in_json() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Status(500));
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "httpGet: {port: web}")]);
    await_state(&gate, "app-0", "Pending", "probe: HTTP 500");
    let admin = gate.admin().to_string();
    let table = command(["get", "endpoints", "--admin", &admin]);
    let line = table.exited(0).lines().find(|line| line.contains("default/app-0")).expect("a line for the endpoint");
    assert!(line.contains("Pending") && line.ends_with("probe: HTTP 500"), "{line}");
    let rows: Value = serde_json::from_str(command(["get", "endpoints", "--admin", &admin, "-o", "json"]).exited(0)).expect("JSON");
    assert_eq!(rows[0]["why"], "probe: HTTP 500");
    assert_eq!(gate.get("app.example", "/").status, 503);
}

#[test]
fn after_a_restart_nobody_is_refused_who_could_be_served() {
    let net = Net::take();
    let replicas: Vec<Replica> = (0..20).map(|n| Replica::start(&net, &format!("app-{n}"), Behaviour::Named)).collect();
    let pods: Vec<String> = replicas.iter().map(|replica| probed(&net, replica.name(), replica.ip(), "httpGet: {port: web}")).collect();
    let mut gate = started(&net, &pods);
    for turn in 0..3 {
        let ready = gate.rows("endpoints").iter().filter(|row| row["state"] == "Ready").count();
        assert_eq!(ready, replicas.len(), "start {turn}: all were asked before anybody was let in");
        assert_eq!(gate.get("app.example", "/").status, 200);
        gate = gate.into_setup().start();
    }
}

#[test]
fn a_start_does_not_wait_for_a_pod_that_stalls() {
    let net = Net::take();
    let (good, stalls) = (Replica::start(&net, "app-0", Behaviour::Named), Replica::start(&net, "app-1", Behaviour::Held));
    let slow = "timeoutSeconds: 600, httpGet: {port: web}";
    let gate = started(&net, &[probed(&net, "app-0", good.ip(), slow), probed(&net, "app-1", stalls.ip(), slow)]);
    assert_eq!(gate.get("app.example", "/").replica(), "app-0");
    assert_eq!(state(&gate, "app-1"), ("Pending".to_owned(), "probe: has not passed yet".to_owned()));
}
