//! The Secrets that TLS to replicas is made of: missing, bad, and changed while requests are served.

use tidegate_tests::await_until;
use tidegate_tests::certificates;

use super::*;

const ALL: &str = "tidegate.dev/upstream-ca: inner, tidegate.dev/upstream-certificate: ours";

#[test]
fn without_a_secret_that_is_named_nobody_is_asked() {
    let (net, inner) = (Net::take(), Authority::new());
    let ours = inner.person("the gate");
    let replica = TlsReplica::start(&net, "one", Behaviour::Named, &good(&inner));
    let cut = |secret: String| secret.replace("MII", "!!!");
    let empty = inner.secret("inner").replace("ca.crt", "other.crt");
    let cases = [
        ("no authority", file(&[ours.secret("ours")]), "upstream-ca"),
        ("no certificate of ours", file(&[inner.secret("inner")]), "upstream-certificate"),
        ("an authority elsewhere", file(&[inner.secret("other/inner"), ours.secret("ours")]), "upstream-ca"),
        ("an authority without `ca.crt`", file(&[empty, ours.secret("ours")]), "upstream-ca"),
        ("a broken authority", file(&[cut(inner.secret("inner")), ours.secret("ours")]), "ca.crt"),
        ("a broken certificate of ours", file(&[inner.secret("inner"), cut(ours.secret("ours"))]), "tls.crt"),
        (
            "a certificate of ours with another key",
            file(&[inner.secret("inner"), certificates::secret("ours", &ours.chain, &inner.person("eve").key)]),
            "tls.key",
        ),
    ];
    for (what, secrets, word) in cases {
        let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "https", ALL, &[replica.ip()])).manifest("secrets.yaml", secrets);
        let gate = setup.start();
        for by in BOTH {
            assert_eq!(get(gate.http(), by), 503, "{what}, {by:?}");
        }
        assert_eq!(refusals(&gate, "no-endpoint"), 2.0, "{what}");
        gate.await_problem(&[word]);
        gate.write("secrets.yaml", &file(&[inner.secret("inner"), ours.secret("ours")]));
        assert_eq!(get(gate.http(), By::Http1), 200, "{what}: once they are there");
    }
    assert!(replica.handshakes().iter().all(|handshake| handshake.failed.is_none()), "{:#?}", replica.handshakes());
}

#[test]
fn another_authority_counts_for_new_connections_and_cuts_none() {
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Held, |inner| good(inner).speaking(speaks));
        let other = Authority::new();
        let mut client = Frames::connect(scene.gate.http());
        let held = client.get("shop.example", "/");
        if speaks == ["http/1.1"] {
            await_until("the request to reach the replica", || scene.replica.one.requests() == 1);
        } else {
            assert_eq!(client.answer(held).status, 200, "over HTTP/2 it answers at once");
        }
        scene.gate.write("inner.yaml", &other.secret("inner"));
        for by in BOTH {
            assert_eq!(get(scene.gate.http(), by), 502, "{speaks:?}, {by:?}: the old authority is not believed any more");
        }
        assert_eq!(scene.refusals("upstream-connect"), 2.0);
        scene.replica.one.release();
        assert_eq!(client.answer(held).status, 200, "{speaks:?}: what was under way ends");
        scene.replica.one.now(Behaviour::Named);
        scene.replica.show(&Shows::new(other.ecdsa(&[NAME])).speaking(speaks));
        for by in BOTH {
            assert_eq!(get(scene.gate.http(), by), 200, "{speaks:?}, {by:?}: the new one is");
        }
        scene.gate.write("inner.yaml", &scene.inner.secret("inner"));
        assert_eq!(get(scene.gate.http(), By::Http2), 502, "{speaks:?}: and back, on no connection of the other's");
    }
}

#[test]
fn an_authority_that_breaks_keeps_its_last_good_version() {
    let scene = Scene::new(Behaviour::Named, good);
    assert_eq!(get(scene.gate.http(), By::Http1), 200);
    scene.gate.swap("inner.yaml", &scene.inner.secret("inner").replace("MII", "!!!"));
    scene.gate.await_problem(&["Secret default/inner", "ca.crt"]);
    for by in BOTH {
        assert_eq!(get(scene.gate.http(), by), 200, "{by:?}");
    }
    scene.gate.change(|folder| std::fs::remove_file(folder.join("inner.yaml")).expect("it is there"));
    for by in BOTH {
        assert_eq!(get(scene.gate.http(), by), 503, "{by:?}: without it nobody is believed");
    }
    scene.gate.write("inner.yaml", &scene.inner.secret("inner"));
    assert_eq!(get(scene.gate.http(), By::Http2), 200);
}

#[test]
fn another_name_counts_for_new_connections() {
    let scene = Scene::new(Behaviour::Named, |inner| Shows::new(inner.ecdsa(&[NAME, "web.example"])));
    assert_eq!(get(scene.gate.http(), By::Http2), 200);
    let named = |name: &str| format!("{BY_INNER}, tidegate.dev/upstream-name: {name}");
    let net_shop = |annotations: &str| shop(&scene.net, "https", annotations, &[scene.replica.ip()]);
    scene.gate.write("shop.yaml", &net_shop(&named("web.example")));
    assert_eq!(get(scene.gate.http(), By::Http2), 200);
    assert_eq!(scene.replica.handshakes().last().and_then(|last| last.name.clone()).as_deref(), Some("web.example"));
    scene.gate.write("shop.yaml", &net_shop(&named("other.example")));
    assert_eq!(get(scene.gate.http(), By::Http2), 502, "no connection from before is used for another name");
}

#[test]
fn the_system_s_authorities_are_believed_where_none_is_named() {
    let (net, system) = (Net::take(), Authority::new());
    let replica = TlsReplica::start(&net, "one", Behaviour::Named, &good(&system));
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "https", "", &[replica.ip()]));
    let file = setup.home().join("system.pem");
    std::fs::write(&file, &system.pem).expect("the temporary folder can be written");
    let gate = setup.environment("SSL_CERT_FILE", &file.display().to_string()).start();
    for by in BOTH {
        assert_eq!(get(gate.http(), by), 200, "{by:?}");
    }
}
