//! What `/metrics` says of handshakes and certificates.

use super::*;
use tidegate_tests::{Client, await_until};

#[test]
fn handshakes_are_counted_by_how_they_ended() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().config("limits: {headTimeoutMs: 2000}\n").start();
    let at = gate.listener("https");
    let count = |labels: &[&str]| gate.sum("tidegate_tls_handshakes_total", labels);
    let of = |result: &str| count(&["external", &format!("\"{result}\"")]);
    assert_eq!(of("full"), 0.0, "there from the start");
    for (version, word) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let session = scene.trusted.path().join(word).display().to_string();
        scene.openssl(at, "shop.example", &["-servername", "shop.example", version, "-sess_out", &session]);
        scene.openssl(at, "shop.example", &["-servername", "shop.example", version, "-sess_in", &session]);
        assert_eq!((count(&["\"full\"", word]), count(&["\"resumed\"", word])), (1.0, 1.0), "{version}");
    }
    scene.openssl(at, "other.example", &["-servername", "other.example"]);
    assert_eq!(of("no-certificate"), 1.0);
    scene.openssl(at, "shop.example", &["-servername", "shop.example", "-tls1_2", "-cipher", "AES128-SHA"]);
    assert_eq!(of("protocol"), 1.0, "no cipher that both speak");
    let other = scene.trusted.path().join("other.pem");
    std::fs::write(&other, tidegate_tests::Authority::new().pem).expect("the folder can be written");
    let stranger = scene.curl(&gate, "shop.example", &["--tls-max", "1.2", "--cacert", &other.display().to_string()]);
    assert_ne!(stranger.code, 0, "it does not know the authority");
    await_until("the alert to be counted", || of("alert") == 1.0);
    let silent = Client::connect(at);
    Client::connect(at).finish();
    await_until("one that went away", || of("gone") == 1.0);
    await_until("one that says nothing", || of("timeout") == 1.0);
    drop(silent);
    assert_eq!((of("full"), of("resumed"), of("client-certificate")), (2.0, 2.0, 0.0));
}
