//! `tidegate explain` says what serving does: asked offline, asked of the process, and compared with the live answer.

use std::collections::BTreeMap;

use super::*;

const NAMES: [&str; 4] = ["web", "api", "wild", "rest"];

struct Scene {
    gate: Tidegate,
    cidr: String,
    _replicas: BTreeMap<String, Replica>,
    _net: Net,
}

fn scene() -> Scene {
    let net = Net::take();
    let replicas: BTreeMap<String, Replica> =
        NAMES.iter().map(|name| ((*name).to_owned(), Replica::start(&net, name, Behaviour::Named))).collect();
    let services = file(&replicas.iter().map(|(name, replica)| tcp(&net, name, 80, &[replica])).collect::<Vec<_>>());
    let rules = file(&[
        ingress(
            "web",
            "shop.example",
            &[path("Prefix", "/", "web", 80), path("Exact", "/exact", "api", 80), path("Prefix", "/api", "api", 80)],
        ),
        ingress("wild", "*.shop.example", &[path("Prefix", "/only", "wild", 80)]),
        ingress("lost", "lost.example", &[path("Prefix", "/", "nobody", 80)]),
        ingress("leak", "leak.example", &[path("Prefix", "/", "sealed", 80)]),
        ingress_of("tidegate-internal", "inside", "web.inside", &[path("Prefix", "/", "rest", 80)]),
    ]);
    let sealed = tcp(&net, "sealed", 80, &[]).replacen("name: sealed}", "name: sealed, labels: {tidegate.dev/exposure: internal}}", 1);
    let gate = Setup::new(&net)
        .manifest("services.yaml", services)
        .manifest("rules.yaml", rules)
        .manifest("sealed.yaml", sealed)
        .config("internalHttp: 127.0.0.1:0\n")
        .start();
    Scene { gate, cidr: net.service_cidr(), _replicas: replicas, _net: net }
}

const HOSTS: [&str; 12] = [
    "shop.example",
    "SHOP.example.",
    "shop.example:8080",
    "a.shop.example",
    "a.b.shop.example",
    "lost.example",
    "leak.example",
    "web.inside",
    "unknown.example",
    "127.0.0.1",
    "web.default.svc.cluster.local",
    "a..b",
];
const PATHS: [&str; 9] = ["/", "/exact", "/exact/", "/api", "/api/x?y=/z", "/apiary", "/only/x", "/x/../api", "/%61pi"];

/// What one side says: who answers, or with which status.
fn said(value: &Value) -> String {
    match value["outcome"].as_str() {
        Some("forward") => value["service"].as_str().unwrap_or("no service").to_owned(),
        _ => format!("{} {}", value["status"], value["reason"].as_str().unwrap_or("no reason")),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "bad-request",
        404 => "no-route",
        503 => "no-endpoint",
        _ => "?",
    }
}

#[test]
fn offline_online_and_live_agree() {
    let scene = scene();
    let gate = &scene.gate;
    let admin = gate.admin().to_string();
    let config = gate.home().join("tidegate.yaml").display().to_string();
    let (folder, state) = (gate.folder().display().to_string(), gate.state().display().to_string());
    let listeners = [("external", gate.http()), ("internal", gate.listener("internal-http"))];
    // From inside, a service's name means its virtual IP, not the internal HTTP listener that is asked here.
    let means_a_vip = |from: &str, host: &str| from == "internal" && host.ends_with(".cluster.local");
    let questions: Vec<_> = listeners
        .iter()
        .flat_map(|listener| HOSTS.iter().flat_map(move |host| PATHS.iter().map(move |path| (listener, *host, *path))))
        .filter(|((from, _), host, _)| !means_a_vip(from, host))
        .collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = questions
            .chunks(questions.len().div_ceil(4))
            .map(|questions| {
                let (admin, config, folder, state, cidr) = (&admin, &config, &folder, &state, &scene.cidr);
                scope.spawn(move || {
                    let mut wrong = Vec::new();
                    for ((from, listener), host, path) in questions {
                        let response = Client::connect(*listener).get(host, path);
                        let live = match response.status {
                            200 => format!("default/{}:80", response.replica()),
                            status => format!("{status} {}", reason(status)),
                        };
                        let url = format!("http://{host}{path}");
                        let online = command(["explain", &url, "--from", from, "--admin", admin, "-o", "json"]);
                        let offline = command([
                            "explain",
                            &url,
                            "--from",
                            from,
                            "--config",
                            config,
                            "--manifests",
                            folder,
                            "--state-dir",
                            state,
                            "--service-cidr",
                            cidr,
                            "-o",
                            "json",
                        ]);
                        let [online, offline] = [online, offline].map(|finished| said(&json(finished.exited(0))));
                        if live != online || live != offline {
                            wrong.push(format!("{url} from {from}: live {live}, online {online}, offline {offline}"));
                        }
                    }
                    wrong
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().expect("a thread panicked")).collect()
    });
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), questions.len(), wrong.join("\n"));
}

#[test]
fn it_tells_the_operator_why() {
    let scene = scene();
    let admin = scene.gate.admin().to_string();
    let explain = |url: &str, from: &str| command(["explain", url, "--from", from, "--admin", &admin]);
    for (url, from, words) in [
        ("http://shop.example/api/x", "external", &["forward", "default/api:80", "Ingress default/web", "/api"][..]),
        ("http://leak.example/", "external", &["404", "no-route", "Ingress default/leak", "Service default/sealed"]),
        ("http://lost.example/", "external", &["503", "no-endpoint", "nobody"]),
        ("http://a.shop.example/else", "external", &["404", "no-route", "/only"]),
        ("http://web.inside/", "internal", &["forward", "default/rest:80"]),
        ("http://web.default.svc.cluster.local/", "internal", &["forward", "default/web:80"]),
        ("http://a..b/", "external", &["400", "bad-request"]),
    ] {
        let said = explain(url, from);
        for word in words {
            assert!(said.exited(0).contains(word), "{url}: {word} in\n{}", said.stdout);
        }
    }
}

#[test]
fn what_is_no_request_cannot_be_asked() {
    let scene = scene();
    let admin = scene.gate.admin().to_string();
    let url = "http://shop.example/";
    for (words, named) in [
        (&[url, "-H", "nocolon"][..], "nocolon"),
        (&[url, "-H", ": empty"], ": empty"),
        (&[url, "-H", "a: b\r\nc: d"], "line break"),
        (&[url, "--method", "G ET"], "G ET"),
        (&[url, "--method", ""], "method"),
        (&["http:///path"], "http:///path"),
        (&["http://shop.example/a b"], "a b"),
        (&["shop.example/"], "shop.example/"),
    ] {
        let finished = command(["explain"].iter().chain(words).copied().chain(["--admin", &admin]));
        assert_eq!(finished.code, 2, "{words:?}: {}", finished.stdout);
        assert!(finished.stderr.contains(named) && finished.stderr.contains("fix:"), "{words:?}: {}", finished.stderr);
    }
}
