//! Whose probes are asked, and of whom a verdict is.

use super::*;

#[test]
fn another_pod_on_the_same_address_begins_anew() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let probe = "timeoutSeconds: 60, failureThreshold: 100, httpGet: {port: web}";
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), probe)]);
    await_state(&gate, "app-0", "Ready", "");
    replica.now(Behaviour::Held);
    gate.write("app.yaml", &app(&net, &[probed(&net, "app-1", replica.ip(), probe)]));
    assert_eq!(state(&gate, "app-1"), ("Pending".to_owned(), "probe: has not passed yet".to_owned()));
    replica.now(Behaviour::Named);
    let released = || {
        replica.release();
        state(&gate, "app-1").0 == "Ready"
    };
    await_until("the new pod to be asked and ready", released);
}

#[test]
fn a_pod_that_moves_begins_anew_at_its_new_address() {
    let net = Net::take();
    let (old, new) = (Replica::start(&net, "old", Behaviour::Named), Replica::start(&net, "new", Behaviour::Status(503)));
    let gate = started(&net, &[probed(&net, "app-0", old.ip(), "httpGet: {port: web}")]);
    await_state(&gate, "app-0", "Ready", "");
    gate.write("app.yaml", &app(&net, &[probed(&net, "app-0", new.ip(), "httpGet: {port: web}")]));
    await_state(&gate, "app-0", "Pending", "probe: HTTP 503");
    new.now(Behaviour::Named);
    await_state(&gate, "app-0", "Ready", "");
    let asked = old.requests();
    let more = new.requests() + 2;
    await_until("two more probes", || new.requests() >= more);
    assert_eq!(old.requests(), asked, "nobody asks where it was");
}

#[test]
fn a_pod_that_says_whether_it_is_ready_is_not_asked() {
    let net = Net::take();
    let (stated, asked) = (Replica::start(&net, "app-0", Behaviour::Status(503)), Replica::start(&net, "app-1", Behaviour::Named));
    let silent = probed(&net, "app-0", stated.ip(), "httpGet: {port: web}");
    let says = silent.replace("phase: Running,", "phase: Running, conditions: [{type: Ready, status: 'True'}],");
    assert_ne!(silent, says);
    let gate = started(&net, &[says, probed(&net, "app-1", asked.ip(), "httpGet: {port: web}")]);
    await_until("several probes of the other", || asked.requests() >= 3);
    assert_eq!(stated.connections(), 0);
    assert_eq!(state(&gate, "app-0"), ("Ready".to_owned(), String::new()));
}

#[test]
fn a_command_cannot_be_run_from_outside_and_is_told() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "exec: {command: [cat, /tmp/ready]}")]);
    let problem = gate.await_problem(&["Pod default/app-0", "spec.containers[0].readinessProbe.exec"]);
    assert_eq!((problem["severity"].as_str(), problem["reason"].as_str()), (Some("warning"), Some("NotServed")));
    assert!(problem["fix"].as_str().is_some_and(|fix| fix.contains("httpGet")), "{problem}");
    assert_eq!(state(&gate, "app-0").0, "Ready", "as before: it has an address");
}

#[test]
fn all_containers_and_sidecars_must_pass() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let side = std::net::SocketAddr::new(replica.ip(), net.port() + 1);
    let sidecar = format!(
        "spec: {{initContainers: [{{name: side, image: side:1, restartPolicy: Always, readinessProbe: {{periodSeconds: 1, tcpSocket: {{port: {}}}}}}}], ",
        side.port()
    );
    let pod = probed(&net, "app-0", replica.ip(), "httpGet: {port: web}").replace("spec: {", &sidecar);
    let gate = started(&net, &[pod]);
    await_state(&gate, "app-0", "Pending", "probe of side: connection refused");
    let _side = Replica::at(side, "side", Behaviour::Named);
    await_state(&gate, "app-0", "Ready", "");
}

#[test]
fn a_probe_never_leads_to_ourselves() {
    let net = Net::take();
    let gate = started(&net, &[]);
    let admin = gate.admin();
    let own = probed(&net, "app-0", admin.ip(), &format!("httpGet: {{path: /healthz, port: {}}}", admin.port()));
    gate.swap("app.yaml", &app(&net, &[own]));
    gate.await_problem(&["AddressRefused", "Pod default/app-0", "our own listener"]);
    let (state, why) = state(&gate, "app-0");
    assert!(state == "Pending" && why.contains(&admin.to_string()), "{state} {why}");
    assert_eq!(gate.sum("tidegate_probes_total", &[]), 0.0);
}

#[test]
fn a_workload_counts_what_the_probes_say() {
    let net = Net::take();
    let (good, bad) = (Replica::start(&net, "app-0", Behaviour::Named), Replica::start(&net, "app-1", Behaviour::Status(500)));
    let pods = [&good, &bad].map(|replica| probed(&net, replica.name(), replica.ip(), "httpGet: {port: web}"));
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n\
                      spec: {replicas: 2, selector: {matchLabels: {app: app}}, template: {metadata: {labels: {app: app}}}}\n";
    let gate = setup(&net).manifest("app.yaml", app(&net, &pods)).manifest("deployment.yaml", deployment).start();
    let counts = |gate: &Tidegate| gate.rows("workloads").first().map(|row| (row["ready"].as_u64(), row["unhealthy"].as_u64()));
    await_until("one ready, one not", || counts(&gate) == Some((Some(1), Some(1))));
    bad.now(Behaviour::Named);
    await_until("both ready", || counts(&gate) == Some((Some(2), Some(0))));
}

/// Nobody else's connection notices: a verdict changes one service.
#[test]
fn a_verdict_leaves_others_alone() {
    let net = Net::take();
    let (flaps, stays) = (Replica::start(&net, "app-0", Behaviour::Named), Replica::start(&net, "other-0", Behaviour::Named));
    let other = tidegate_tests::objects::app(&net, "other", "other.example", &[&stays]);
    let probe = "failureThreshold: 1, httpGet: {port: web}";
    let pods = [probed(&net, "app-0", flaps.ip(), probe)];
    let gate = setup(&net).manifest("app.yaml", app(&net, &pods)).manifest("other.yaml", other).start();
    let mut client = tidegate_tests::Client::connect(gate.http());
    for _ in 0..2 {
        flaps.now(Behaviour::Status(503));
        await_state(&gate, "app-0", "Ejected", "probe: HTTP 503");
        assert_eq!(client.get("other.example", "/").replica(), "other-0");
        flaps.now(Behaviour::Named);
        await_state(&gate, "app-0", "Ready", "");
        assert_eq!(client.get("other.example", "/").replica(), "other-0");
    }
    assert_eq!(stays.connections(), 1);
}
