//! Seals and classes that are misspelt or misplaced: closed, and told.

use super::*;

fn leak(net: &Net) -> String {
    ingress("data/leak", "leak.example", &[path("Prefix", "/", "db", net.port())])
}

/// The seal of `data`, by other words. Each names it, so nothing else is closed.
#[test]
fn a_misspelt_seal_seals_what_it_names() {
    let right = namespace("data", SEAL);
    for (wrong, told) in [
        (right.replace("kind: Namespace", "kind: namespace"), "`Namespace`"),
        (right.replace("kind: Namespace", "kind: Namespaces"), "`Namespace`"),
        (right.replace("apiVersion: v1", "apiVersion: core/v1"), "`v1`"),
        (right.replace("labels:", "Labels:"), "metadata.Labels"),
        (right.replace("labels:", "label:"), "metadata.label"),
        (format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: data}}, labels: {{{SEAL}}}}}"), "labels"),
        (
            format!(
                "{{apiVersion: v1, kind: list, items: [{{apiVersion: v1, kind: Namespace, metadata: {{name: data, labels: {{{SEAL}}}}}}}]}}"
            ),
            "`List`",
        ),
        (
            format!(
                "{{apiVersion: v1, kind: List, metadata: {{labels: {{{SEAL}}}}}, items: [{{apiVersion: v1, kind: Namespace, metadata: {{name: data}}}}]}}"
            ),
            "List",
        ),
    ] {
        let scene = Scene::new("team: data", |net, _| leak(net));
        assert_eq!(scene.gate.get("leak.example", "/").status, 502, "the database speaks no HTTP, but it was asked");
        scene.gate.swap("seal.yaml", &wrong);
        scene.gate.await_problem(&["error", "seal.yaml", told]);
        scene.expect_hidden("leak.example");
        scene.expect_inside();
    }
}

/// It says for whom it is, but not readably: nobody outside is served by it.
#[test]
fn an_ingress_whose_class_cannot_be_told_is_not_served() {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let rule = || ingress("typo", "typo.example", &[path("Prefix", "/", "web", 80)]);
    let annotated = |text: String, field: &str, class: &str| {
        text.replacen("name: typo}", &format!("name: typo, {field}: {{kubernetes.io/ingress.class: {class}}}}}"), 1)
    };
    let of = |field: &str, class: &str| rule().replacen("spec: {", &format!("spec: {{{field}: {class}, "), 1);
    let gate = Setup::new(&net).manifest("web.yaml", app(&net, "web", "web.example", &[&web])).start();
    for (wrong, told) in [
        (of("ingressClassName", "''"), "nobody has"),
        (of("ingressClassname", "tidegate-internal"), "spec.ingressClassname"),
        (annotated(rule(), "annotation", "tidegate-internal"), "metadata.annotation"),
        (annotated(of("ingressClassName", "tidegate"), "annotations", "tidegate-internal"), "`tidegate-internal`"),
    ] {
        gate.write("typo.yaml", &rule());
        assert_eq!(gate.get("typo.example", "/").replica(), "web-0", "without a class it is served");
        gate.swap("typo.yaml", &wrong);
        gate.await_problem(&["Ingress default/typo", told]);
        assert_eq!(gate.get("typo.example", "/").status, 404, "{wrong}");
        assert_eq!(gate.get("web.example", "/").replica(), "web-0");
    }
}

/// No port of the pod has that name, so nobody knows on which one the database is.
#[test]
fn a_sealed_service_whose_port_is_not_known_covers_its_pods() {
    let scene = Scene::new("team: data", |net, db| {
        file(&[carried("front", db.ip(), net.port()), ingress("front", "front.example", &[path("Prefix", "/", "front", 80)])])
    });
    assert_eq!(scene.gate.get("front.example", "/").status, 502, "the database speaks no HTTP, but it was asked");
    let sealed = tcp(&scene.net, "data/db", scene.net.port(), &[&scene.db])
        .replacen("name: db}", &format!("name: db, labels: {{{SEAL}}}}}"), 1)
        .replacen(&format!("targetPort: {}", scene.net.port()), "targetPort: sql", 1);
    scene.gate.write("db.yaml", &sealed);
    scene.expect_hidden("front.example");
    scene.gate.await_problem(&["NotExposed", "Service default/front", "Service data/db"]);
}

/// No Service of the sealed Namespace has the port; the pod is its own nevertheless.
#[test]
fn a_sealed_namespace_covers_pods_that_no_service_of_it_names() {
    let scene = Scene::new(SEAL, |net, db| {
        file(&[carried("front", db.ip(), net.port()), ingress("front", "front.example", &[path("Prefix", "/", "front", 80)])])
    });
    let pods = tcp(&scene.net, "data/db", scene.net.port(), &[&scene.db]).split_once("---\n").expect("a pod").1.to_owned();
    scene.gate.write("db.yaml", &pods);
    scene.expect_hidden("front.example");
    scene.gate.await_problem(&["NotExposed", "Service default/front", "Pod data/db-0"]);
}

#[test]
fn a_seal_that_is_lifted_is_logged_once_with_its_file() {
    let scene = Scene::new(SEAL, |net, _| leak(net));
    scene.expect_hidden("leak.example");
    assert!(!scene.gate.log().contains("seal lifted"));
    scene.gate.write("seal.yaml", "");
    assert_eq!(scene.gate.get("leak.example", "/").status, 502, "the database speaks no HTTP, but it was asked");
    await_until("the log to say so", || scene.gate.log().contains("seal lifted"));
    let log = scene.gate.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("seal lifted")).collect();
    let [line] = lines[..] else { panic!("{lines:#?}") };
    for word in ["WARN", "Namespace data", "seal.yaml", "data/db"] {
        assert!(line.contains(word), "{word}: {line}");
    }
}
