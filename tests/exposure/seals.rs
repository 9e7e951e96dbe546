//! Seals: what they cover, and that a broken one is closed.

use super::*;

fn leak(net: &Net) -> String {
    ingress("data/leak", "leak.example", &[path("Prefix", "/", "db", net.port())])
}

#[test]
fn a_sealed_namespace_is_not_served_outside_and_its_vip_stays() {
    let scene = Scene::new(SEAL, |net, _| leak(net));
    scene.expect_hidden("leak.example");
    scene.expect_inside();
}

/// A test of the tests: without the seal the very same Ingress does reach it.
#[test]
fn without_the_seal_it_is_served() {
    let scene = Scene::new("team: data", |net, _| leak(net));
    assert_eq!(scene.gate.get("leak.example", "/").status, 502, "the database speaks no HTTP");
    assert!(scene.db.connections() > 0);
}

#[test]
fn unknown_words_and_keys_are_errors_and_seal() {
    for label in [
        "tidegate.dev/exposure: intenral",
        "tidegate.dev/exposure: External",
        "tidegate.dev/exposure: ''",
        "tidegate.dev/exposrue: internal",
        "tidegate.dev/Exposure: external",
    ] {
        let scene = Scene::new(label, |net, _| leak(net));
        scene.expect_hidden("leak.example");
        let key = label.split(':').next().expect("a key");
        scene.gate.await_problem(&["error", "Namespace data", key]);
        scene.expect_inside();
    }
}

/// A document that says no longer what it is may be the seal itself.
#[test]
fn a_seal_that_lost_its_kind_still_seals() {
    let scene = Scene::new(SEAL, |net, _| leak(net));
    let nameless = namespace("data", SEAL).replace("kind: Namespace", "knd: Namespace");
    scene.gate.swap("seal.yaml", &nameless);
    scene.gate.await_problem(&["error", "seal.yaml", "has no `kind`"]);
    scene.expect_hidden("leak.example");
    scene.expect_inside();
}

/// Of two copies of an object the sealed one serves, whichever file comes first.
#[test]
fn an_open_copy_of_a_seal_opens_nothing() {
    for name in ["0-first.yaml", "z-last.yaml"] {
        let scene = Scene::new(SEAL, |net, _| leak(net));
        scene.gate.swap(name, &namespace("data", "team: data"));
        scene.gate.await_problem(&["Namespace data", name]);
        scene.expect_hidden("leak.example");
        let gate = scene.gate.into_setup().start();
        assert_eq!(gate.get("leak.example", "/").status, 404, "also after a restart: {name}");
    }
}

/// It cannot be told which addresses it sealed, so nothing is open that does not say so.
#[test]
fn a_seal_on_an_object_that_cannot_be_used_turns_strict_mode_on() {
    let bad = format!("{{apiVersion: v1, kind: Service, metadata: {{name: bad, labels: {{{SEAL}}}}}, spec: {{ports: []}}}}");
    let scene = Scene::new("team: data", |net, _| file(&[leak(net), bad.clone()]));
    assert_eq!(scene.gate.get("leak.example", "/").status, 404);
    scene.gate.await_problem(&["NotExposed", "more.yaml", "strict mode"]);
}

/// A rename is one step: there is no moment without the seal.
#[test]
fn a_seal_that_is_renamed_seals_all_the_while() {
    let scene = Scene::new(SEAL, |net, _| leak(net));
    let folder = scene.gate.folder();
    let renamed = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                for (from, to) in [("seal.yaml", "b.yaml"), ("b.yaml", "seal.yaml")] {
                    std::fs::rename(folder.join(from), folder.join(to)).expect("a rename");
                    std::thread::park_timeout(std::time::Duration::from_millis(40));
                }
            }
            renamed.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !renamed.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(scene.gate.get("leak.example", "/").status, 404);
        }
    });
    assert_eq!(scene.db.connections(), 0);
}

#[test]
fn a_sealed_service_is_hidden_in_an_open_namespace() {
    let scene = Scene::new("team: data", |net, _| leak(net));
    assert_eq!(scene.gate.get("leak.example", "/").status, 502);
    let sealed =
        tcp(&scene.net, "data/db", scene.net.port(), &[&scene.db]).replacen("name: db}", &format!("name: db, labels: {{{SEAL}}}}}"), 1);
    scene.gate.write("db.yaml", &sealed);
    scene.expect_hidden("leak.example");
    scene.gate.await_problem(&["NotExposed", "Ingress data/leak", "Service data/db"]);
    scene.expect_inside();
}

#[test]
fn a_seal_set_while_running_holds_from_the_next_request_on() {
    let scene = Scene::new("team: data", |net, _| leak(net));
    let mut client = Client::connect(scene.gate.http());
    assert_eq!(client.get("shop.example", "/").status, 200);
    scene.gate.write("seal.yaml", &namespace("data", SEAL));
    let before = scene.db.connections();
    assert_eq!(client.get("leak.example", "/").status, 404, "also on a connection that was open before");
    assert_eq!(scene.db.connections(), before);
    scene.expect_hidden("leak.example");
}

#[test]
fn a_sealed_address_is_not_carried_by_another_service() {
    let scene = Scene::new(SEAL, |net, db| {
        let all = [path("Prefix", "/", "front", 80)];
        file(&[carried("front", db.ip(), net.port()), ingress("front", "front.example", &all)])
    });
    scene.expect_hidden("front.example");
    scene.gate.await_problem(&["front", &scene.db.ip().to_string()]);
    // Inside, the hand-written Service may carry it.
    scene.expect_inside();
}

#[test]
fn a_sealed_address_is_not_carried_by_a_pod_that_claims_it() {
    let scene = Scene::new(SEAL, |net, db| app(net, "front", "front.example", &[db]));
    scene.expect_hidden("front.example");
}

#[test]
fn a_sealed_address_of_a_replica_that_is_not_ready_stays_sealed() {
    let scene = Scene::new(SEAL, |net, db| {
        file(&[carried("front", db.ip(), net.port()), ingress("front", "front.example", &[path("Prefix", "/", "front", 80)])])
    });
    let unready = tcp(&scene.net, "data/db", scene.net.port(), &[&scene.db]).replace("status: 'True'", "status: 'False'");
    scene.gate.write("db.yaml", &unready);
    scene.expect_hidden("front.example");
}

#[test]
fn an_endpoint_that_is_a_vip_or_one_of_our_listeners_is_refused() {
    let scene = Scene::new(SEAL, |_, _| String::new());
    scene.expect_inside();
    let before = scene.db.connections();
    let rule = |name: &str| ingress(name, &format!("{name}.example"), &[path("Prefix", "/", name, 80)]);
    for (name, address) in [("vip", scene.vip()), ("admin", scene.gate.admin()), ("own", scene.gate.http())] {
        scene.gate.write("more.yaml", &file(&[carried(name, address.ip(), address.port()), rule(name)]));
        for path in ["/", "/metrics", "/api/v1/services"] {
            let response = scene.gate.get(&format!("{name}.example"), path);
            assert!([404, 503].contains(&response.status), "{name}{path}: {} {}", response.status, response.text());
        }
        scene.gate.await_problem(&["AddressRefused", &address.ip().to_string(), name]);
    }
    assert_eq!(scene.db.connections(), before, "the database was reached through its VIP");
}

#[test]
fn default_backends_and_wildcards_do_not_leak() {
    let scene = Scene::new(SEAL, |net, _| {
        let default = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: data, name: all}}\n\
             spec: {{defaultBackend: {{service: {{name: db, port: {{number: {}}}}}}}}}\n",
            net.port()
        );
        let any = ingress("data/any", "", &[path("Prefix", "/any", "db", net.port())]);
        file(&[default, any, ingress("data/wild", "*.example", &[path("Prefix", "/", "db", net.port())])])
    });
    for host in ["unknown.test", "wild.example", "10.1.1.1"] {
        scene.expect_hidden(host);
        assert_eq!(scene.gate.get(host, "/any").status, 404, "{host}");
    }
    assert_eq!(scene.db.connections(), 0);
}

/// A file that cannot be read might hold a seal.
#[test]
fn a_cold_start_with_an_unreadable_file_is_strict_until_it_can_be_read() {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let named = Replica::start(&net, "named-0", Behaviour::Named);
    let labelled = app(&net, "named", "named.example", &[&named]).replacen(
        "name: named}",
        "name: named, labels: {tidegate.dev/exposure: external}}",
        1,
    );
    let setup = Setup::new(&net)
        .manifest("web.yaml", app(&net, "web", "web.example", &[&web]))
        .manifest("named.yaml", labelled)
        .manifest("seal.yaml", "kind: Namespace\nmetadata: {name: default, labels: {tidegate.dev/expo");
    let gate = setup.start();
    gate.await_problem(&["seal.yaml"]);
    assert_eq!(gate.get("web.example", "/").status, 404, "nobody knows whether it was sealed");
    assert_eq!(gate.get("named.example", "/").replica(), "named-0", "what is labelled external serves");
    gate.write("seal.yaml", &namespace("default", "team: web"));
    assert_eq!(gate.get("web.example", "/").replica(), "web-0");
    std::os::unix::fs::symlink("nowhere", gate.folder().join("late.yaml")).expect("a link can be made");
    gate.await_problem(&["late.yaml"]);
    assert_eq!(gate.get("web.example", "/").replica(), "web-0", "once all was known, a later breakage seals nothing");
}

#[test]
fn a_cold_start_with_a_link_to_nowhere_is_strict() {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("web.yaml", app(&net, "web", "web.example", &[&web]));
    std::os::unix::fs::symlink("nowhere", setup.folder().join("seal.yaml")).expect("a link can be made");
    let gate = setup.start();
    gate.await_problem(&["Unreadable", "seal.yaml"]);
    assert_eq!(gate.get("web.example", "/").status, 404);
}

#[test]
fn strict_mode_serves_only_what_is_labelled_external() {
    let net = Net::take();
    let replicas = ["plain-0", "own-0", "space-0", "both-0"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let [plain, own, space, both] = replicas.each_ref();
    let external = "tidegate.dev/exposure: external";
    let label = |text: String, name: &str, label: &str| {
        text.replacen(&format!("name: {name}}}"), &format!("name: {name}, labels: {{{label}}}}}"), 1)
    };
    let gate = Setup::new(&net)
        .manifest("plain.yaml", app(&net, "plain", "plain.example", &[plain]))
        .manifest("own.yaml", label(app(&net, "own", "own.example", &[own]), "own", external))
        .manifest("space.yaml", file(&[namespace("open", external), app(&net, "open/space", "space.example", &[space])]))
        .manifest("both.yaml", label(app(&net, "open/both", "both.example", &[both]), "both", SEAL))
        .config("exposure: {mode: strict}\n")
        .start();
    assert_eq!(gate.get("plain.example", "/").status, 404);
    assert_eq!(gate.get("own.example", "/").replica(), "own-0");
    assert_eq!(gate.get("space.example", "/").replica(), "space-0");
    assert_eq!(gate.get("both.example", "/").status, 404, "internal anywhere beats external");
}
