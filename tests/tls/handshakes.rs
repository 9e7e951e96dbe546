//! Which certificate a client is shown, and what it gets where there is none.

use std::io::Read;
use std::time::Duration;

use super::*;
use tidegate_tests::Client;

#[test]
fn a_name_without_a_certificate_gets_an_alert_and_no_other_site_s_certificate() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().environment("TIDEGATE_LOG_FILTER", "debug").start();
    let at = gate.listener("https");
    for flags in [&["-servername", "other.example"][..], &["-noservername"], &["-servername", "other.example", "-tls1_2"]] {
        let said = scene.openssl(at, "shop.example", flags);
        assert!(said.contains("alert number 112") && said.contains("no peer certificate available"), "{flags:?}\n{said}");
    }
    tidegate_tests::await_until("a word in the log", || gate.log().contains("no certificate for `other.example`"));
    assert_eq!(scene.one.requests(), 0);
}

#[test]
fn the_default_secret_serves_every_other_name() {
    let scene = Scene::new(Behaviour::Named);
    let default = scene.authority.ecdsa(&["default.example"]);
    let everything = ingress("all", "", &[path("Prefix", "/", "two", 80)]);
    let setup = scene.shop().manifest("default.yaml", default.secret("infra/default")).manifest("all.yaml", everything);
    let gate = setup.config("tls: {defaultSecret: infra/default}\n").start();
    let at = gate.listener("https");
    for flags in [&["-servername", "other.example"][..], &["-noservername"]] {
        let said = scene.openssl(at, "other.example", flags);
        assert!(said.contains("HTTP/1.1 200 ") && said.contains("x-replica: two"), "{flags:?}\n{said}");
    }
    assert_eq!(scene.curl(&gate, "default.example", &[]).exited(0), "two");
    assert_eq!(scene.curl(&gate, "shop.example", &[]).exited(0), "one");
    assert_eq!(gate.rows("problems"), Vec::<serde_json::Value>::new());
}

#[test]
fn a_wildcard_serves_one_label() {
    let scene = Scene::new(Behaviour::Named);
    let issued = scene.authority.ecdsa(&["*.shop.example"]);
    let gate = scene.setup().manifest("wild.yaml", site("wild", "*.shop.example", "one")).manifest("s.yaml", issued.secret("wild")).start();
    assert_eq!(scene.curl(&gate, "a.shop.example", &[]).exited(0), "one");
    for none in ["shop.example", "a.b.shop.example"] {
        let said = scene.openssl(gate.listener("https"), none, &["-servername", none]);
        assert!(said.contains("alert number 112"), "{none}\n{said}");
    }
}

#[test]
fn any_worker_resumes_a_session() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().flag("--workers", "4").start();
    let at = gate.listener("https");
    for version in ["-tls1_2", "-tls1_3"] {
        let session = scene.trusted.path().join(version).display().to_string();
        let first = scene.openssl(at, "shop.example", &["-servername", "shop.example", version, "-sess_out", &session]);
        assert!(first.contains("New, TLSv1") && first.contains("x-replica: one"), "{first}");
        for _ in 0..8 {
            let again = scene.openssl(at, "shop.example", &["-servername", "shop.example", version, "-sess_in", &session]);
            assert!(again.contains("Reused, TLSv1") && again.contains("x-replica: one"), "{version}\n{again}");
        }
    }
}

#[test]
fn of_two_certificates_a_client_is_shown_what_it_can_verify() {
    let scene = Scene::new(Behaviour::Named);
    let (ecdsa, rsa) = (scene.authority.ecdsa(&["shop.example"]), scene.authority.rsa(&["shop.example"]));
    let both = "[{hosts: [shop.example], secretName: rsa}, {secretName: ecdsa}]";
    let site = with_tls(&ingress("shop", "shop.example", &[path("Prefix", "/", "one", 80)]), both);
    let secrets = file(&[ecdsa.secret("ecdsa"), rsa.secret("rsa")]);
    let gate = scene.setup().manifest("shop.yaml", site).manifest("secrets.yaml", secrets).start();
    let at = gate.listener("https");
    for (flags, kind) in [
        (&[][..], "ECDSA"),
        (&["-sigalgs", "rsa_pss_rsae_sha256"], "RSA-PSS"),
        (&["-sigalgs", "ecdsa_secp256r1_sha256"], "ECDSA"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA"),
    ] {
        let said = scene.openssl(at, "shop.example", &[&["-servername", "shop.example"], flags].concat());
        assert!(said.contains(&format!("Peer signature type: {kind}")) && said.contains("x-replica: one"), "{flags:?}\n{said}");
    }
    assert_eq!(gate.rows("problems"), Vec::<serde_json::Value>::new());
}

#[test]
fn a_request_for_a_host_with_another_certificate_is_misdirected() {
    let scene = Scene::new(Behaviour::Named);
    let (shop, wild) = (scene.authority.ecdsa(&["shop.example"]), scene.authority.ecdsa(&["*.wild.example"]));
    let setup = scene
        .setup()
        .manifest("shop.yaml", site("shop", "shop.example", "one"))
        .manifest("wild.yaml", site("wild", "*.wild.example", "two"));
    let plain = ingress("plain", "plain.example", &[path("Prefix", "/", "two", 80)]);
    let gate = setup.manifest("secrets.yaml", file(&[shop.secret("shop"), wild.secret("wild")])).manifest("plain.yaml", plain).start();
    let ask = |opened: &str, host: &str| {
        let said = scene.openssl(gate.listener("https"), host, &["-servername", opened]);
        let status = said.split("HTTP/1.1 ").nth(1).and_then(|rest| rest.get(..3)).map(str::to_owned);
        status.unwrap_or_else(|| panic!("no answer:\n{said}"))
    };
    for (opened, host, status) in [
        ("shop.example", "SHOP.example:443", "200"),
        ("a.wild.example", "b.wild.example", "200"),
        ("shop.example", "a.wild.example", "421"),
        ("a.wild.example", "shop.example", "421"),
        ("shop.example", "plain.example", "421"),
        ("shop.example", "nowhere.example", "421"),
    ] {
        assert_eq!(ask(opened, host), status, "{host} on a connection for {opened}");
    }
    assert_eq!(gate.sum("tidegate_refusals_total", &["misdirected"]), 4.0);
}

#[test]
fn what_stands_inside_or_is_sealed_is_shown_to_nobody() {
    let scene = Scene::new(Behaviour::Named);
    let hosts = ["inside.example", "sealed.example", "leak.example"];
    let issued = scene.authority.ecdsa(&hosts);
    let label = "labels: {tidegate.dev/exposure: internal}, ";
    let inside = site("inside", hosts[0], "one").replace("spec: {", "spec: {ingressClassName: tidegate-internal, ");
    let sealed = site("sealed", hosts[1], "one").replace("metadata: {", &format!("metadata: {{{label}"));
    let leak = site("leak", hosts[2], "db");
    let db = objects::tcp(&scene.net, "db", 80, &[&scene.two]).replacen("metadata: {", &format!("metadata: {{{label}"), 1);
    let secrets = ["inside", "sealed", "leak"].map(|name| issued.secret(name));
    let gate = scene.setup().manifest("all.yaml", file(&[inside, sealed, leak, db, file(&secrets)])).start();
    for host in hosts {
        let said = scene.openssl(gate.listener("https"), host, &["-servername", host]);
        assert!(said.contains("alert number 112"), "{host}\n{said}");
    }
    gate.await_problem(&["Ingress default/inside", "spec.tls[0]", "outside alone"]);
}

#[test]
fn what_is_no_handshake_ends() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().config("limits: {headTimeoutMs: 300}\n").start();
    let at = gate.listener("https");
    assert!(Client::connect(at).closed(), "a client that says nothing is given up");
    let mut plain = Client::connect(at);
    plain.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let answer = plain.until_quiet(Duration::from_secs(5));
    assert!(answer.len() <= 7 && !answer.starts_with(b"HTTP"), "{answer:?}");
    let mut half = Client::connect(at);
    half.send(b"\x16\x03\x01\x02\x00\x01\x00");
    assert!(half.closed(), "half a hello is given up");
    let mut gone = Client::connect(at);
    gone.finish();
    assert_eq!(gone.stream.read(&mut [0]).ok(), Some(0));
    assert_eq!(scene.curl(&gate, "shop.example", &[]).exited(0), "one", "others are served");
}

#[test]
fn the_listener_is_shown_and_a_url_explained() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().start();
    let at = gate.listener("https");
    let rows = gate.rows("listeners");
    assert!(rows.iter().any(|row| row["name"] == "https" && row["protocol"] == "HTTPS" && row["exposure"] == "external"), "{rows:#?}");
    let admin = gate.admin().to_string();
    let explain = |url: String| tidegate_tests::command(["explain", &url, "--admin", &admin]).exited(0).to_owned();
    let said = explain(format!("https://shop.example:{}/", at.port()));
    for word in ["forward", "listener   https ", "certificate for shop.example: Secret default/shop (Ingress default/shop)"] {
        assert!(said.contains(word), "{word}:\n{said}");
    }
    let said = explain("https://other.example/".to_owned());
    assert!(said.contains("unrecognized_name"), "{said}");
}
