//! What an operator is told: `check`, `explain`, `get`, and that what cannot be understood keeps everybody out.

use tidegate_tests::command;

use super::*;

fn check(setup: &Setup) -> Finished {
    let folder = setup.folder().display().to_string();
    command(["check", "--manifests", &folder])
}

#[test]
fn check_says_of_each_annotation_what_becomes_of_it() {
    let scene = Scene::new(Behaviour::Named);
    let setup = scene.setup().manifest(
        "rule.yaml",
        site(&[
            ("hsts", "true"),
            (&nginx("app-root"), "/x"),
            (&nginx("proxy-read-timeout"), "60"),
            (&nginx("server-alias"), "b.example"),
            (&nginx("proxy-body-size"), "much"),
        ]),
    );
    let checked = check(&setup);
    let out = checked.exited(1);
    for (key, verdict) in [
        ("tidegate.dev/hsts", "honoured"),
        ("kubernetes.io/app-root", "honoured"),
        ("kubernetes.io/proxy-read-timeout", "differs"),
        ("kubernetes.io/server-alias", "not supported"),
        ("kubernetes.io/proxy-body-size", "wrong"),
    ] {
        let line = out.lines().find(|line| line.starts_with("Ingress default/shop") && line.contains(key));
        assert!(line.is_some_and(|line| line.contains(verdict)), "{key} {verdict} in\n{out}");
    }
    assert!(out.contains("metadata.annotations[\"nginx.ingress.kubernetes.io/proxy-body-size\"]: no number of bytes"), "{out}");
    let gate = setup.start();
    assert_eq!(verdict(&gate, "/y", &[]), "200", "what is wrong is left out alone");
}

#[test]
fn what_keeps_somebody_out_and_is_not_understood_keeps_everybody_out() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate(&[("allow-source-range", "127.0.0.1")]);
    assert_eq!(verdict(&gate, "/", &[]), "200");
    for (key, value) in [
        ("allow-source-range", "127.0.0.1 127.0.0.2"),
        ("auth-type", "basic"),
        (&*nginx("auth-url"), "http://auth.example/"),
        (&*nginx("server-snippet"), "deny all;"),
    ] {
        gate.write("rule.yaml", &site(&[(key, value), ("app-root", "/x")]));
        assert_eq!(verdict(&gate, "/", &[]), "503", "{key}: {value}");
        gate.await_problem(&[key, "answers nobody"]);
    }
    gate.write("rule.yaml", &site(&[("allow-sourcerange", "127.0.0.1")]));
    assert_eq!(verdict(&gate, "/", &[]), "404", "an unknown key of ours seals");
    assert_eq!(scene.app.requests(), 1);
}

#[test]
fn explain_and_get_show_filters_and_what_they_answer() {
    let scene = Scene::new(Behaviour::Named);
    let rule = ingress("shop", HOST, &[path("Prefix", "/api", "app", 80)]);
    let who = [
        ("auth-type", "basic"),
        ("auth-secret", "who"),
        ("rewrite-prefix", "/v1"),
        ("force-ssl-redirect", "true"),
        ("deny-source-range", "192.0.2.1"),
    ];
    let lines = "bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
    let gate = scene.setup().manifest("rule.yaml", annotated(&rule, &who)).manifest("who.yaml", secret("who", lines)).start();
    let admin = gate.admin().to_string();
    let explain = |url: &str, more: &[&str]| {
        let words = ["explain", url, "--admin", &admin];
        command(words.iter().chain(more)).exited(0).to_owned()
    };
    let plain = explain("http://shop.example/api/x?y", &[]);
    assert!(
        plain.contains("verdict    refuse 308 redirected: a filter of Ingress default/shop answers to https://shop.example/api/x?y"),
        "{plain}"
    );
    for line in ["filter     deny-source-range: not 192.0.2.1/32, else 403", "filter     auth-type: basic by Secret who, else 401"] {
        assert!(plain.contains(line), "{line} in\n{plain}");
    }
    let rows = gate.rows("routes");
    assert!(rows[0]["filters"].as_array().is_some_and(|filters| filters.len() == 4), "{rows:?}");
    let got = command(["get", "routes", "--admin", &admin]).exited(0).to_owned();
    assert!(got.contains("deny-source-range,force-ssl-redirect,auth-type,rewrite"), "{got}");
    gate.write("rule.yaml", &annotated(&rule, &who[..3]));
    let said = explain("http://shop.example/api/x", &[]);
    assert!(said.contains("refuse 401 unauthorized"), "{said}");
    let said = explain("http://shop.example/api/x?y", &["-H", "Authorization: Basic YTpi"]);
    assert!(
        said.contains("verdict    forward") && said.contains("the replica sees /v1/x?y") && said.contains("would be looked up"),
        "{said}"
    );
}
