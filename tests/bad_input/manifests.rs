//! What operators get wrong.

use super::*;

/// One mistake: the file that it is in, its text, and what the message must name: object, field, what was found, and what to do.
struct Mistake {
    file: &'static str,
    text: String,
    names: &'static [&'static str],
}

fn mistakes(net: &Net) -> Vec<Mistake> {
    let mistake = |file, text: String, names| Mistake { file, text, names };
    let plain = |name: &str| service(name, 80, 80);
    let rule = |name: &str, host: &str, path_line: String| ingress(name, host, &[path_line]);
    vec![
        mistake("broken.yaml", "kind: Service\nmetadata: {name: x\n".into(), &["Invalid", "line", "fix"]),
        mistake(
            "type.yaml",
            plain("type").replace("port: 80,", "port: eighty,"),
            &["Service default/type", "spec.ports[0].port", "eighty"],
        ),
        mistake(
            "range.yaml",
            plain("range").replace("port: 80,", "port: 70000,"),
            &["Service default/range", "spec.ports[0].port", "70000"],
        ),
        mistake(
            "version.yaml",
            rule("version", "v.example", path("Prefix", "/", "web", 80)).replace("networking.k8s.io/v1", "extensions/v1beta1"),
            &["UnsupportedVersion", "Ingress default/version", "apiVersion", "networking.k8s.io/v1"],
        ),
        mistake(
            "dangling.yaml",
            rule("dangling", "d.example", path("Prefix", "/", "nobody", 80)),
            &["NotFound", "Ingress default/dangling", "nobody", "spec.rules[0].http.paths[0].backend"],
        ),
        mistake(
            "port.yaml",
            rule("port", "p.example", path("Prefix", "/", "web", 81)),
            &["NotFound", "Ingress default/port", "81", "80", "spec.rules[0].http.paths[0].backend"],
        ),
        mistake(
            "host.yaml",
            rule("zz-host", "shop.example", path("Prefix", "/", "web", 80)),
            &["Conflict", "Ingress default/zz-host", "Ingress default/web", "shop.example"],
        ),
        mistake("again.yaml", plain("web"), &["Conflict", "Service default/web", "again.yaml", "web.yaml"]),
        mistake(
            "twice.yaml",
            plain("twice").replace("ports: [", "ports: [{name: a, port: 80}, {name: a, port: 80}, "),
            &["Service default/twice", "spec.ports"],
        ),
        mistake(
            "vip.yaml",
            file(&[service_at("vip-one", net.vip(50), 81, 80), service_at("vip-two", net.vip(50), 82, 80)]),
            &["Conflict", "Service default/vip-two", "clusterIP", "Service default/vip-one"],
        ),
        mistake("outside.yaml", service_at("outside", "10.96.0.10", 80, 80), &["Service default/outside", "clusterIP", "10.96.0.10"]),
        mistake("no-ip.yaml", service_at("no-ip", "ten", 80, 80), &["Service default/no-ip", "clusterIP", "ten"]),
        mistake("slash.yaml", rule("slash", "s.example", path("Prefix", "foo", "web", 80)), &["Ingress default/slash", "path", "foo"]),
        mistake(
            "path-type.yaml",
            rule("path-type", "t.example", path("Regex", "/", "web", 80)),
            &["Ingress default/path-type", "pathType", "Regex", "Prefix"],
        ),
        mistake(
            "bad-host.yaml",
            rule("bad-host", "a.*.example", path("Prefix", "/", "web", 80)),
            &["Ingress default/bad-host", "host", "a.*.example"],
        ),
        mistake("bad-name.yaml", plain("Bad_Name"), &["Bad_Name", "name"]),
        mistake("no-kind.yaml", "apiVersion: v1\nmetadata: {name: x}\n".into(), &["kind"]),
        mistake("key.yaml", plain("key").replace("spec: {", "spec: {selector: {app: other}, "), &["twice"]),
        mistake(
            "slice.yaml",
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: slice, labels: {kubernetes.io/service-name: web}}\n\
             addressType: IPv4\nports: [{name: '', port: 80}]\nendpoints: [{addresses: [not-an-ip]}]\n"
                .into(),
            &["EndpointSlice default/slice", "endpoints[0].addresses[0]", "not-an-ip"],
        ),
        mistake(
            "backend.yaml",
            rule("backend", "b.example", "{pathType: Prefix, path: /, backend: {}}".into()),
            &["Ingress default/backend", "backend"],
        ),
        mistake(
            "unknown.yaml",
            plain("unknown").replace("spec: {", "spec: {selectr: {app: x}, "),
            &["UnknownField", "Service default/unknown", "spec.selectr"],
        ),
        mistake(
            "label.yaml",
            plain("label").replace("name: label}", "name: label, labels: {tidegate.dev/exposure: intrenal}}"),
            &["Service default/label", "intrenal"],
        ),
    ]
}

/// A good app that serves whatever else is there: labelled, since with a file that cannot be read all is strict.
fn good(net: &Net, replica: &Replica) -> String {
    app(net, "web", "shop.example", &[replica]).replacen("name: web}", "name: web, labels: {tidegate.dev/exposure: external}}", 1)
}

#[test]
fn every_mistake_is_named_at_once_and_the_rest_serves() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let mistakes = mistakes(&net);
    let setup = Setup::new(&net).manifest("aa-web.yaml", good(&net, &replica));
    let setup = setup.manifest("ab-plain.yaml", app(&net, "plain", "plain.example", &[]));
    let setup = mistakes.iter().fold(setup, |setup, mistake| setup.manifest(&format!("bad/{}", mistake.file), &mistake.text));
    std::os::unix::fs::symlink("nowhere", setup.folder().join("bad/unreadable.yaml")).expect("a link can be made");
    let folder = setup.folder().display().to_string();
    let checked = command(["check", "--manifests", &folder, "--service-cidr", &net.service_cidr(), "-o", "json"]);
    let view: serde_json::Value = serde_json::from_str(checked.exited(1)).expect("JSON");
    let problems: Vec<_> = view["problems"].as_array().expect("a list").clone();
    let mut missing = Vec::new();
    let expected = mistakes.iter().map(|mistake| (mistake.file, mistake.names)).chain([("unreadable.yaml", &["Unreadable"][..])]);
    for (file, names) in expected {
        let of_file: Vec<String> =
            problems.iter().filter(|problem| problem.to_string().contains(file)).map(|problem| format!("{problem}")).collect();
        if !of_file.iter().any(|text| names.iter().all(|name| text.contains(name))) {
            missing.push(format!("{file}: {names:?} in {of_file:#?}"));
        }
    }
    assert!(missing.is_empty(), "{} not named:\n{}", missing.len(), missing.join("\n"));
    let errors = problems.iter().filter(|problem| problem["severity"] == "error");
    for error in errors {
        assert!(error["found"].as_str().is_some_and(|found| !found.is_empty()), "{error}");
        assert!(error["file"].is_string() || error["object"].is_string(), "an error without a place: {error}");
        assert!(error["fix"].is_string() || error["expected"].is_string(), "an error without help: {error}");
    }
    let gate = setup.start();
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
    assert_eq!(gate.get("plain.example", "/").status, 404, "what is not labelled waits until every file can be read");
}

#[test]
fn a_bad_object_does_not_hide_its_neighbours_in_the_same_file() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let bad = service("bad", 80, 80).replace("port: 80,", "port: {},");
    let gate = Setup::new(&net).manifest("all.yaml", file(&[bad, app(&net, "web", "shop.example", &[&replica])])).start();
    gate.await_problem(&["all.yaml", "Service default/bad", "spec.ports[0].port"]);
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
}

#[test]
fn an_object_that_breaks_keeps_its_last_good_version_while_its_neighbours_change() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let other = Replica::start(&net, "other-0", Behaviour::Named);
    let web = app(&net, "web", "shop.example", &[&replica]);
    let gate = Setup::new(&net).manifest("all.yaml", &web).start();
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
    let broken = web.replacen("port: 80,", "port: eighty,", 1);
    gate.write("all.yaml", &file(&[broken, app(&net, "other", "other.example", &[&other])]));
    gate.await_problem(&["all.yaml", "Service default/web"]);
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0", "the Service's last good version stays");
    assert_eq!(gate.get("other.example", "/").replica(), "other-0", "the rest of the file counts");
}

#[test]
fn two_services_with_one_vip_cost_the_younger_its_vip_alone() {
    let net = Net::take();
    let [one, two] = ["one-0", "two-0"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let claim = |name: &str, replica: &Replica| {
        app(&net, name, &format!("{name}.example"), &[replica]).replacen("spec: {", &format!("spec: {{clusterIP: {}, ", net.vip(60)), 1)
    };
    let gate = Setup::new(&net).manifest("one.yaml", claim("one", &one)).manifest("two.yaml", claim("two", &two)).start();
    gate.await_problem(&["Conflict", "Service default/two", &net.vip(60).to_string()]);
    assert_eq!(gate.get("one.example", "/").replica(), "one-0");
    assert_eq!(gate.get("two.example", "/").replica(), "two-0", "its Ingress serves");
    let rows = gate.rows("services");
    let vip = |name: &str| rows.iter().find(|row| row["name"] == name).map(|row| row["vip"].clone());
    assert_eq!(vip("one"), Some(net.vip(60).to_string().into()));
    assert_ne!(vip("two"), vip("one"));
}

#[test]
fn a_stranger_on_a_vip_port_is_named_and_the_port_is_taken_when_it_leaves() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpGreet(b"db".to_vec()));
    let address = net.vip_address(70);
    let stranger = std::net::TcpListener::bind(address).expect("a free address");
    let text = tcp(&net, "db", net.port(), &[&replica]).replacen("spec: {", &format!("spec: {{clusterIP: {}, ", net.vip(70)), 1);
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("db.yaml", text).manifest("web.yaml", app(&net, "web", "shop.example", &[&web])).start();
    gate.await_problem(&["BindFailed", &address.to_string()]);
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0", "the rest serves");
    drop(stranger);
    await_until("the address to be taken", || {
        Client::try_connect(address).is_ok_and(|mut client| client.exactly(2).is_ok_and(|said| said == b"db"))
    });
    await_until("the problem to be gone", || !gate.rows("problems").iter().any(|problem| problem["reason"] == "BindFailed"));
}

/// A Service that is a name elsewhere would make the gate connect to whatever the name means.
#[test]
fn an_external_name_is_no_way_through_an_ingress() {
    let net = Net::take();
    let elsewhere = Replica::start(&net, "elsewhere", Behaviour::Named);
    let name = "apiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}\n";
    let rule = ingress("other", "other.example", &[path("Prefix", "/", "other", 80)]);
    let gate = Setup::new(&net).manifest("other.yaml", file(&[name.to_owned(), rule])).start();
    let status = gate.get("other.example", "/").status;
    assert!([404, 503].contains(&status), "{status}");
    gate.await_problem(&["other.yaml", "Ingress default/other", "externalName.allow"]);
    assert_eq!(elsewhere.connections(), 0);
}

/// The command before ours that takes the right to bind low ports away; `None` when low ports cannot be refused here.
fn without_low_ports() -> Option<&'static [&'static str]> {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    let setpriv: &[&str] = &["setpriv", "--bounding-set=-net_bind_service"];
    match (start.trim().parse(), rustix::process::geteuid().is_root()) {
        (Ok(81u16..), false) => Some(&[]),
        (Ok(81..), true) => std::process::Command::new("setpriv").arg("--version").output().is_ok().then_some(setpriv),
        _ => None,
    }
}

#[test]
fn a_privileged_port_names_the_fix_and_the_rest_serves() {
    let Some(under) = without_low_ports() else {
        eprintln!("SKIPPED: everybody may bind low ports here");
        return;
    };
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica])).under(under).start();
    gate.await_problem(&["BindFailed", ":80", "setcap", "ip_unprivileged_port_start"]);
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
}
