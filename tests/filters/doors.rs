//! Who gets in, and who is sent elsewhere.

use super::*;

/// bert has `password`; carl has `myPassword`, in bcrypt.
const WHO: &str = "bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\ncarl:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n";
const AUTH: [(&str, &str); 2] = [("auth-type", "basic"), ("auth-secret", "who")];

#[test]
fn plain_http_is_sent_to_tls_unless_a_trusted_proxy_speaks_it() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene
        .setup()
        .config("trustedProxies: [127.0.0.9/32]\n")
        .manifest("rule.yaml", site(&[("force-ssl-redirect", "true"), ("hsts", "true")]))
        .start();
    assert_eq!(verdict(&gate, "/a/b?c=d", &[]), "308 https://shop.example/a/b?c=d");
    let proto = ["-H", "X-Forwarded-Proto: https", "--include"];
    assert_eq!(verdict(&gate, "/", &proto), "308 https://shop.example/", "whoever is not trusted is not believed");
    let answer = curl(&gate, "/", &[&proto[..], &["--interface", "127.0.0.9"]].concat());
    assert!(
        answer.ends_with("\n200 ") && answer.contains("Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"),
        "{answer}"
    );
    assert_eq!(scene.app.requests(), 1);
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"redirected\""]), 2.0);
}

#[test]
fn curl_follows_a_redirect_to_tls_and_hears_of_hsts_there() {
    let scene = Scene::new(Behaviour::Named);
    let authority = tidegate_tests::Authority::new();
    let setup = scene.setup().flag("--https", "127.0.0.1:0").manifest("tls.yaml", authority.ecdsa(&[HOST]).secret("shop"));
    let trust = setup.home().join("authority.pem");
    std::fs::write(&trust, &authority.pem).expect("the temporary folder can be written");
    let gate = setup.start();
    let port = gate.listener("https").port().to_string();
    let tls = site(&[("ssl-redirect", "true"), ("ssl-redirect-port", &port), ("hsts", "max-age=60")]);
    gate.write("rule.yaml", &tls.replace("spec: {", "spec: {tls: [{hosts: [shop.example], secretName: shop}], "));
    let resolve = format!("{HOST}:{port}:127.0.0.1");
    let trust = trust.display().to_string();
    let answer = curl(&gate, "/x", &["--location", "--include", "--cacert", &trust, "--resolve", &resolve]);
    assert!(
        answer.contains("308 Permanent Redirect")
            && answer.contains("strict-transport-security: max-age=60\r\n") | answer.contains("Strict-Transport-Security: max-age=60\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("app\n200 "), "{answer}");
}

#[test]
fn redirects_of_every_kind_are_what_curl_reads() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate(&[("app-root", "/welcome"), ("from-to-www-redirect", "true")]);
    let port = gate.http().port();
    assert_eq!(verdict(&gate, "/", &[]), format!("302 http://shop.example:{port}/welcome"));
    assert_eq!(verdict(&gate, "/other", &[]), "200");
    let www = curl_with(&gate, "www.shop.example", "/x?y", &[], b"").exited(0).to_owned();
    assert!(www.ends_with("308 http://shop.example/x?y"), "{www}");
    gate.write("rule.yaml", &site(&[("permanent-redirect", "https://new.example$request_uri"), ("permanent-redirect-code", "308")]));
    assert_eq!(verdict(&gate, "/x?y", &[]), "308 https://new.example/x?y");
    gate.write("rule.yaml", &site(&[(&nginx("temporal-redirect"), "https://new.example/")]));
    assert_eq!(verdict(&gate, "/x?y", &[]), "302 https://new.example/");
    assert_eq!(scene.app.requests(), 1);
}

#[test]
fn lists_of_addresses_keep_out_whoever_is_not_meant() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene
        .setup()
        .config("trustedProxies: [127.0.0.9/32]\n")
        .manifest("rule.yaml", site(&[(&nginx("whitelist-source-range"), "127.0.0.2, 192.0.2.0/24"), ("deny-source-range", "192.0.2.66")]))
        .start();
    let from = |address: &str, told: &str| verdict(&gate, "/", &["--interface", address, "-H", told]);
    assert_eq!(from("127.0.0.1", "X: y"), "403");
    assert_eq!(from("127.0.0.2", "X: y"), "200");
    assert_eq!(from("127.0.0.1", "X-Forwarded-For: 192.0.2.7"), "403", "a stranger is not believed");
    assert_eq!(from("127.0.0.9", "X-Forwarded-For: 192.0.2.7"), "200");
    assert_eq!(from("127.0.0.9", "X-Forwarded-For: 192.0.2.66"), "403");
    assert_eq!(scene.app.requests(), 2);
}

#[test]
fn a_password_opens_and_a_changed_secret_counts_at_once() {
    let scene = Scene::new(Behaviour::Echo);
    let gate = scene.setup().manifest("rule.yaml", site(&AUTH)).manifest("who.yaml", secret("who", WHO)).start();
    let asked = |user: &str| verdict(&gate, "/", &["--user", user]);
    let challenge = curl(&gate, "/", &["--include"]);
    assert!(challenge.contains("WWW-Authenticate: Basic realm=\"Authentication Required\", charset=\"UTF-8\"\r\n"), "{challenge}");
    assert!(challenge.ends_with("\n401 "), "{challenge}");
    for (user, status) in [
        ("bert:password", "200"),
        ("bert:password", "200"),
        ("carl:myPassword", "200"),
        ("carl:password", "401"),
        ("nobody:x", "401"),
        ("bert:", "401"),
    ] {
        assert_eq!(asked(user), status, "{user}");
    }
    gate.write("who.yaml", &secret("who", "bert:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")); // `test`
    assert_eq!((asked("bert:password"), asked("bert:test"), asked("carl:myPassword")), ("401".into(), "200".into(), "401".into()));
    gate.change(|folder| std::fs::remove_file(folder.join("who.yaml")).expect("it is there"));
    assert_eq!((asked("bert:test"), verdict(&gate, "/", &[])), ("503".into(), "503".into()), "nobody knows who may");
    gate.await_problem(&["there is no Secret default/who", "rule.yaml"]);
    gate.write("who.yaml", &secret("who", WHO));
    assert_eq!(asked("bert:password"), "200");
    for topic in ["routes", "problems"] {
        assert!(!gate.api(topic).to_string().contains("W6ph5Mm5Pz8"), "a hash is shown in {topic}");
    }
    let state = std::fs::read_dir(gate.state()).expect("the state directory is there");
    for entry in state.flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).expect("it can be read");
        assert!(!String::from_utf8_lossy(&bytes).contains("W6ph5Mm5Pz8"), "a hash is saved in {}", entry.path().display());
    }
}

#[test]
fn whoever_guesses_does_not_hold_up_the_others() {
    let scene = Scene::new(Behaviour::Named);
    // A cost of 12: about a quarter of a second for each guess.
    let slow = "anna:$2y$12$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n";
    let open = ingress("open", "open.example", &[path("Prefix", "/", "app", 80)]);
    let gate =
        scene.setup().manifest("rule.yaml", site(&AUTH)).manifest("open.yaml", open).manifest("who.yaml", secret("who", slow)).start();
    let mut guesses: Vec<Client> = (0..4).map(|_| Client::connect(gate.http())).collect();
    for guess in &mut guesses {
        guess.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Basic YW5uYTpndWVzcw==\r\n\r\n"));
    }
    let answers = std::thread::spawn(move || guesses.iter_mut().map(|guess| guess.response().status).collect::<Vec<_>>());
    assert_eq!(gate.get("open.example", "/").status, 200);
    assert!(!answers.is_finished(), "the guesses were checked first");
    assert_eq!(answers.join().expect("they are answered"), [401; 4]);
}
