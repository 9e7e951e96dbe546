//! Objects in every form that people have them: several documents, lists, JSON, subfolders, slices, named ports.

use super::*;

#[test]
fn documents_lists_json_and_subfolders_are_read() {
    let apps = Apps::new(&["list", "json", "deep"]);
    let net = &apps.net;
    let item = |name: &str| {
        let replica = &apps.replicas[name];
        serde_json::json!([
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
             "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": net.port()}]}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "status": {"podIP": replica.ip().to_string()}},
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
             "spec": {"rules": [{"host": format!("{name}.example"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]}},
        ])
    };
    let list = |name: &str| serde_json::json!({"apiVersion": "v1", "kind": "List", "items": item(name)}).to_string();
    let deep = format!("# a comment\n---\n{}---\n---\n", objects::app(net, "deep", "deep.example", &[&apps.replicas["deep"]]));
    let gate = Setup::new(net)
        .manifest("list.yaml", list("list"))
        .manifest("json.json", list("json"))
        .manifest("some/where/deep.yml", deep)
        .manifest("README.md", "not a manifest: {{{")
        .manifest("other.yaml", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {}\n")
        .start();
    expect(&gate, &[("list.example", "/", "list"), ("json.example", "/", "json"), ("deep.example", "/", "deep")]);
    let problems = gate.rows("problems");
    assert!(problems.is_empty(), "{problems:#?}");
    let sources = gate.api("sources").to_string();
    assert!(sources.contains("DaemonSet"), "other kinds are counted: {sources}");
}

/// Asks until both have answered; one that looked slow for a moment may be avoided for a while.
fn expect_both(gate: &Tidegate, names: [&str; 2]) {
    let mut seen = std::collections::BTreeSet::new();
    tidegate_tests::await_until("both replicas to answer", || {
        let response = gate.get("app.example", "/");
        assert!(names.contains(&response.replica()), "{} {}", response.status, response.text());
        seen.insert(response.replica().to_owned());
        seen.len() == 2
    });
}

#[test]
fn a_named_target_port_is_resolved_for_each_pod() {
    let net = Net::take();
    let first = Replica::start(&net, "first", Behaviour::Named);
    let second = Replica::at((net.replica_ip(), net.port() + 1).into(), "second", Behaviour::Named);
    let pod = |replica: &Replica| {
        objects::pod(replica.name(), "app", replica.ip()).replace(
            "\nstatus:",
            &format!("\nspec: {{containers: [{{name: c, ports: [{{name: web, containerPort: {}}}]}}]}}\nstatus:", replica.address().port()),
        )
    };
    let service = objects::service("app", 80, 1).replace("targetPort: 1", "targetPort: web, name: front");
    let rule = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]).replace("number: 80", "name: front");
    let gate = Setup::new(&net).manifest("app.yaml", file(&[pod(&first), pod(&second), service, rule])).start();
    expect_both(&gate, ["first", "second"]);
}

fn slice(name: &str, service: &str, port: u16, ip: std::net::IpAddr, conditions: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: {port}}}]\nendpoints: [{{addresses: ['{ip}'], conditions: {{{conditions}}}}}]\n"
    )
}

#[test]
fn slices_as_written_win_over_the_selector() {
    let apps = Apps::new(&["app", "hand"]);
    let rule = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]);
    let gate = apps.gate(&[("ingress.yaml", rule)]);
    expect(&gate, &[("app.example", "/", "app")]);
    gate.write("slice.yaml", &slice("app-1", "app", apps.net.port(), apps.replicas["hand"].ip(), "ready: true"));
    for _ in 0..5 {
        expect(&gate, &[("app.example", "/", "hand")]);
    }
    gate.write("slice.yaml", &slice("app-1", "app", apps.net.port(), apps.replicas["hand"].ip(), "ready: false"));
    expect(&gate, &[("app.example", "/", "503")]);
    let terminating = slice("app-1", "app", apps.net.port(), apps.replicas["hand"].ip(), "ready: false, serving: true, terminating: true");
    gate.write("slice.yaml", &terminating);
    expect(&gate, &[("app.example", "/", "hand")]);
    gate.change(|folder| std::fs::remove_file(folder.join("slice.yaml")).expect("the file is there"));
    expect(&gate, &[("app.example", "/", "app")]);
}

#[test]
fn the_older_endpoints_are_read() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let endpoints = format!(
        "apiVersion: v1\nkind: Endpoints\nmetadata: {{name: app}}\nsubsets: [{{addresses: [{{ip: {}}}], ports: [{{port: {}}}]}}]\n",
        replica.ip(),
        net.port()
    );
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n".to_owned();
    let rule = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]);
    let gate = Setup::new(&net).manifest("app.yaml", file(&[service, endpoints, rule])).start();
    expect(&gate, &[("app.example", "/", "one")]);
}

#[test]
fn a_headless_service_serves_behind_an_ingress_and_has_no_vip() {
    let apps = Apps::new(&["app"]);
    let text = objects::app(&apps.net, "app", "app.example", &[&apps.replicas["app"]])
        .replace("spec: {selector", "spec: {clusterIP: None, selector");
    let gate = Setup::new(&apps.net).manifest("app.yaml", text).start();
    expect(&gate, &[("app.example", "/", "app")]);
    let services = gate.rows("services");
    assert!(services[0]["vip"].is_null(), "{services:?}");
    assert!(!gate.api("listeners").to_string().contains("vip "), "no listener for a headless service");
}

#[test]
fn only_ready_pods_are_asked_and_edits_are_seen_live() {
    let apps = Apps::new(&["app"]);
    let replica = &apps.replicas["app"];
    let late = Replica::start(&apps.net, "late", Behaviour::Named);
    let rule = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]);
    let gate = apps.gate(&[("ingress.yaml", rule), ("late.yaml", objects::unready_pod("late", "app", late.ip()))]);
    for _ in 0..10 {
        expect(&gate, &[("app.example", "/", "app")]);
    }
    gate.write("late.yaml", &objects::pod("late", "app", late.ip()));
    expect_both(&gate, ["app", "late"]);
    let finished = objects::pod("late", "app", late.ip()).replace("phase: Running", "phase: Succeeded");
    gate.write("late.yaml", &finished);
    for _ in 0..10 {
        expect(&gate, &[("app.example", "/", "app")]);
    }
    let left = late.requests();
    assert!(left > 0 && replica.requests() > 0);
}

#[test]
fn a_file_written_in_place_is_read_once_it_is_whole() {
    use std::io::Write;
    let apps = Apps::new(&["app"]);
    let rule = |host: &str| ingress("app", host, &[path("Prefix", "/", "app", 80)]);
    let gate = apps.gate(&[("ingress.yaml", rule("one.example"))]);
    gate.change(|folder| {
        let mut file = std::fs::File::create(folder.join("ingress.yaml")).expect("the file can be written");
        let text = rule("two.example");
        let (first, second) = text.split_at(text.len() / 2);
        file.write_all(first.as_bytes()).expect("the file can be written");
        file.sync_all().expect("the file can be written");
        expect(&gate, &[("one.example", "/", "app")]);
        file.write_all(second.as_bytes()).expect("the file can be written");
    });
    expect(&gate, &[("one.example", "/", "404"), ("two.example", "/", "app")]);
    assert!(gate.rows("problems").is_empty());
}

#[test]
fn a_mounted_config_map_is_swapped_in_one_step() {
    use std::os::unix::fs::symlink;
    let apps = Apps::new(&["app"]);
    let setup = Setup::new(&apps.net).manifest("services.yaml", apps.services());
    let folder = setup.folder();
    let version = |name: &str, host: &str| {
        let inner = folder.join(name);
        std::fs::create_dir(&inner).expect("the folder can be written");
        std::fs::write(inner.join("ingress.yaml"), ingress("app", host, &[path("Prefix", "/", "app", 80)])).expect("it can be written");
    };
    version("..v1", "one.example");
    symlink("..v1", folder.join("..data")).expect("a link can be made");
    symlink("..data/ingress.yaml", folder.join("ingress.yaml")).expect("a link can be made");
    let gate = setup.start();
    expect(&gate, &[("one.example", "/", "app")]);
    gate.change(|_| {
        version("..v2", "two.example");
        symlink("..v2", folder.join("..tmp")).expect("a link can be made");
        std::fs::rename(folder.join("..tmp"), folder.join("..data")).expect("a link can be renamed");
    });
    expect(&gate, &[("one.example", "/", "404"), ("two.example", "/", "app")]);
    assert!(gate.rows("problems").is_empty(), "{:?}", gate.rows("problems"));
}
