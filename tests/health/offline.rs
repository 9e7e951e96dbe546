//! Where nobody asks: such pods count as ready, and that is said; how old what is known is, of a running process.

use super::*;

#[test]
fn offline_they_count_as_ready_and_it_is_said() {
    let net = Net::take();
    let pods = [probed(&net, "app-0", net.pod_ip(200), "httpGet: {port: web}"), pod("app-1", "app", net.pod_ip(201))];
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, &pods));
    let folder = setup.folder().display().to_string();
    let checked = command(["check", "--manifests", &folder]);
    let line = "1 pod has readiness probes, which a running process asks; here they count as ready";
    assert!(checked.exited(0).lines().any(|found| found == line), "{}", checked.stdout);
    let value: Value = serde_json::from_str(command(["check", "--manifests", &folder, "-o", "json"]).exited(0)).expect("JSON");
    assert_eq!(value["probed"], 1);
    let said = command(["explain", "http://app.example/", "--manifests", &folder]);
    let said = said.exited(0);
    assert!(said.contains(&net.pod_ip(200).to_string()) && said.contains("a running process asks the readiness probes"), "{said}");
}

#[test]
fn without_probes_nothing_is_said() {
    let net = Net::take();
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, &[pod("app-1", "app", net.pod_ip(201))]));
    let folder = setup.folder().display().to_string();
    assert!(!command(["check", "--manifests", &folder]).exited(0).contains("probes"));
    assert!(!command(["explain", "http://app.example/", "--manifests", &folder]).exited(0).contains("probes"));
}

#[test]
fn the_age_of_each_source_is_shown_and_measured() {
    let net = Net::take();
    let gate = started(&net, &[]);
    let source = format!("folder:{}", gate.folder().display());
    let rows = gate.rows("sources");
    let row = rows.iter().find(|row| row["name"] == source).expect("the folder is a source");
    assert!(row["state"] == "ok" && row["age_s"].as_f64().is_some_and(|age| age >= 0.0), "{row}");
    assert_eq!(gate.sum("tidegate_source_stale", &[&source]), 0.0);
    let before = gate.sum("tidegate_source_age_seconds", &[&source]);
    await_until("it to be older", || gate.sum("tidegate_source_age_seconds", &[&source]) > before);
    std::fs::rename(gate.folder(), gate.home().join("away")).expect("the temporary folder can be written");
    await_until("it to be stale", || gate.sum("tidegate_source_stale", &[&source]) == 1.0);
    std::fs::rename(gate.home().join("away"), gate.folder()).expect("the temporary folder can be written");
    await_until("it to be read again", || gate.sum("tidegate_source_stale", &[&source]) == 0.0);
}
