//! Hosts whose clients must show a certificate.

use super::*;
use tidegate_tests::{Issued, await_until};

const ASKS: &str = "tidegate.dev/client-ca: staff";

/// `staff.example` and `open.example` by one certificate; the first takes clients by these annotations.
fn setup(scene: &Scene, annotations: &str) -> Setup {
    let issued = scene.authority.ecdsa(&["staff.example", "open.example"]);
    let asking = asking(annotations);
    let open = with_tls(&ingress("open", "open.example", &[path("Prefix", "/", "two", 80)]), "[{secretName: site}]");
    scene.setup().manifest("staff.yaml", asking).manifest("open.yaml", file(&[open, issued.secret("site")]))
}

fn asking(annotations: &str) -> String {
    let staff = with_tls(&ingress("staff", "staff.example", &[path("Prefix", "/", "one", 80)]), "[{secretName: site}]");
    staff.replacen("metadata: {", &format!("metadata: {{annotations: {{{annotations}}}, "), 1)
}

/// Flags by which curl shows a certificate.
fn shows(scene: &Scene, name: &str, issued: &Issued) -> [String; 4] {
    let at = |part: &str| scene.trusted.path().join(format!("{name}.{part}"));
    std::fs::write(at("crt"), &issued.chain).expect("the folder can be written");
    std::fs::write(at("key"), &issued.key).expect("the folder can be written");
    ["--cert".to_owned(), at("crt").display().to_string(), "--key".to_owned(), at("key").display().to_string()]
}

fn flags(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn a_host_takes_only_clients_that_its_authority_vouches_for() {
    let scene = Scene::new(Behaviour::Named);
    let (staff, stranger) = (Authority::new(), Authority::new());
    let gate = setup(&scene, ASKS).manifest("authority.yaml", staff.secret("staff")).start();
    let ann = shows(&scene, "ann", &staff.person("ann"));
    let eve = shows(&scene, "eve", &stranger.person("ann"));
    for version in [["--tlsv1.2", "--http1.1"], ["--tlsv1.3", "--http1.1"], ["--tlsv1.3", "--http2"]] {
        let curl = |more: &[&str]| scene.curl(&gate, "staff.example", &[&version[..], more].concat());
        assert_eq!(curl(&flags(&ann)).exited(0), "one");
        assert_ne!(curl(&flags(&eve)).code, 0, "{version:?}: another authority's");
        assert_ne!(curl(&[]).code, 0, "{version:?}: none");
    }
    let request = scene.one.last();
    let told = |name: &str| request.field(name);
    assert_eq!((told("ssl-client-verify").as_deref(), told("ssl-client-subject-dn").as_deref()), (Some("SUCCESS"), Some("CN=ann")));
    assert_eq!(scene.one.requests(), 3);
    await_until("those that failed to be counted", || gate.sum("tidegate_tls_handshakes_total", &["client-certificate"]) == 6.0);
    assert_eq!(scene.curl(&gate, "open.example", &[]).exited(0), "two", "another host asks nobody");
    assert_eq!(gate.rows("problems"), Vec::<serde_json::Value>::new());
}

#[test]
fn no_way_leads_around_the_handshake() {
    let scene = Scene::new(Behaviour::Named);
    let staff = Authority::new();
    let gate = setup(&scene, ASKS).manifest("authority.yaml", staff.secret("staff")).start();
    let plain = gate.get("staff.example", "/");
    assert_eq!(plain.status, 403, "{}", plain.text());
    let at = gate.listener("https");
    let said = scene.openssl(at, "staff.example", &["-servername", "open.example"]);
    assert!(said.contains("HTTP/1.1 421 "), "the same certificate, and another policy:\n{said}");
    assert_eq!(gate.sum("tidegate_refusals_total", &["client-certificate"]), 1.0);
    assert_eq!(scene.one.requests(), 0);
    let forged = ["--header", "ssl-client-verify: SUCCESS", "--header", "SSL_Client_Subject_DN: CN=root"];
    assert_eq!(scene.curl(&gate, "open.example", &forged).exited(0), "two");
    let ann = shows(&scene, "ann", &staff.person("ann"));
    assert_eq!(scene.curl(&gate, "staff.example", &[&forged[..], &flags(&ann)].concat()).exited(0), "one");
    for (request, told) in [(scene.two.last(), 0), (scene.one.last(), 2)] {
        let head = request.head.to_ascii_lowercase();
        assert_eq!(head.matches("ssl").count(), told, "{head}");
        assert!(!head.contains("root"), "{head}");
    }
    let explain = |url: &str| tidegate_tests::command(["explain", url, "--admin", &gate.admin().to_string()]);
    assert!(explain("http://staff.example/").stdout.contains("client-certificate"));
    let said = explain("https://staff.example/").exited(0).to_owned();
    assert!(said.contains("the client must show a certificate that Secret default/staff vouches for"), "{said}");
}

#[test]
fn a_session_from_before_does_not_come_in_without_a_certificate() {
    let scene = Scene::new(Behaviour::Named);
    let staff = Authority::new();
    let gate = setup(&scene, ASKS).manifest("authority.yaml", staff.secret("staff")).start();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = scene.trusted.path().join(version).display().to_string();
        let openssl =
            |more: &str| scene.openssl(gate.listener("https"), "staff.example", &["-servername", "staff.example", version, more, &session]);
        gate.write("staff.yaml", &asking(""));
        assert!(openssl("-sess_out").contains("x-replica: one"), "{version}: the host asks nobody yet");
        assert!(openssl("-sess_in").contains("Reused, TLSv1"), "{version}");
        gate.write("staff.yaml", &asking(ASKS));
        let before = scene.one.requests();
        let said = openssl("-sess_in");
        assert!(!said.contains("Reused, TLSv1") && !said.contains("x-replica"), "{version}\n{said}");
        assert_eq!(scene.one.requests(), before);
    }
}

#[test]
fn without_its_authority_a_host_is_closed_and_a_new_one_counts_from_the_next_handshake() {
    let scene = Scene::new(Behaviour::Named);
    let (one, two) = (Authority::new(), Authority::new());
    let gate = setup(&scene, ASKS).start();
    let (ann, bob) = (shows(&scene, "ann", &one.person("ann")), shows(&scene, "bob", &two.person("bob")));
    let served = |who: &[String]| scene.curl(&gate, "staff.example", &flags(who)).code == 0;
    let said = scene.openssl(gate.listener("https"), "staff.example", &["-servername", "staff.example"]);
    assert!(said.contains("alert number 49"), "{said}");
    gate.await_problem(&["Ingress default/staff", "NotFound", "there is no Secret default/staff"]);
    gate.write("authority.yaml", &one.secret("staff"));
    assert_eq!((served(&ann), served(&bob)), (true, false));
    gate.write("authority.yaml", &two.secret("staff"));
    assert_eq!((served(&ann), served(&bob)), (false, true));
    gate.swap("authority.yaml", &two.secret("staff").replace("MII", "!!!"));
    gate.await_problem(&["Secret default/staff", "ca.crt"]);
    assert_eq!((served(&ann), served(&bob)), (false, true), "its last good version stays");
}

#[test]
fn a_certificate_may_be_optional_but_a_bad_one_never_is() {
    let scene = Scene::new(Behaviour::Named);
    let (staff, stranger) = (Authority::new(), Authority::new());
    let nginx = "nginx.ingress.kubernetes.io/auth-tls-secret: infra/staff, nginx.ingress.kubernetes.io/auth-tls-verify-client: optional";
    let gate = setup(&scene, nginx).manifest("authority.yaml", staff.secret("infra/staff")).start();
    let verify = |who: &[String]| {
        let said = scene.curl(&gate, "staff.example", &flags(who));
        (said.code == 0).then(|| scene.one.last().field("ssl-client-verify").unwrap_or_default())
    };
    assert_eq!(verify(&[]).as_deref(), Some("NONE"));
    assert_eq!(verify(&shows(&scene, "ann", &staff.person("ann"))).as_deref(), Some("SUCCESS"));
    assert_eq!(verify(&shows(&scene, "eve", &stranger.person("eve"))), None);
}

#[test]
fn its_authority_may_be_in_a_config_map_and_counts_as_it_is_now() {
    let scene = Scene::new(Behaviour::Named);
    let (one, two) = (Authority::new(), Authority::new());
    let gate = setup(&scene, "tidegate.dev/client-ca: configmap/staff").manifest("secret.yaml", two.secret("staff")).start();
    let (ann, bob) = (shows(&scene, "ann", &one.person("ann")), shows(&scene, "bob", &two.person("bob")));
    let served = |who: &[String]| scene.curl(&gate, "staff.example", &flags(who)).code == 0;
    gate.await_problem(&["Ingress default/staff", "NotFound", "there is no ConfigMap default/staff"]);
    assert_eq!((served(&ann), served(&bob)), (false, false), "a Secret does not stand in for it");
    gate.write("map.yaml", &one.config_map("staff"));
    assert_eq!((served(&ann), served(&bob)), (true, false));
    let explained = tidegate_tests::command(["explain", "https://staff.example/", "--admin", &gate.admin().to_string()]);
    let said = explained.exited(0).to_owned();
    assert!(said.contains("the client must show a certificate that ConfigMap default/staff vouches for"), "{said}");
    gate.write("map.yaml", &two.config_map("staff"));
    assert_eq!((served(&ann), served(&bob)), (false, true));
    gate.swap("map.yaml", &two.config_map("staff").replace("MII", "!!!"));
    gate.await_problem(&["ConfigMap default/staff", "ca.crt"]);
    assert_eq!((served(&ann), served(&bob)), (false, true), "its last good version stays");
}
