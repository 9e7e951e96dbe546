//! What goes through TLS arrives as it was sent, and the replica is told that it came that way.

use tidegate_tests::peers::websockets;

use super::*;

const SAY: [&str; 2] = ["--write-out", " %{http_code} %{http_version} %{num_connects}"];

#[test]
fn a_host_is_served_and_its_replica_told_that_the_client_spoke_tls() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().start();
    for version in [["--tls-max", "1.2"], ["--tlsv1.3", "--no-progress-meter"]] {
        assert_eq!(scene.curl(&gate, "shop.example", &[&SAY[..], &version].concat()).exited(0), "one 200 1.1 1");
    }
    let request = scene.one.last();
    assert_eq!(request.field("x-forwarded-proto").as_deref(), Some("https"), "{}", request.head);
    assert!(request.field("forwarded").is_none_or(|forwarded| forwarded.contains("proto=https")), "{}", request.head);
    assert_eq!(gate.get("shop.example", "/plain").replica(), "one", "plain HTTP serves it too");
    assert_eq!(scene.one.last().field("x-forwarded-proto").as_deref(), Some("http"));
}

#[test]
fn a_connection_is_used_again() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.shop().start();
    let second = format!("https://shop.example:{}/second", gate.listener("https").port());
    assert_eq!(scene.curl(&gate, "shop.example", &[&SAY[..], &[&second]].concat()).exited(0), "one 200 1.1 1one 200 1.1 0");
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let scene = Scene::new(Behaviour::Echo);
    let gate = scene.shop().start();
    let body: Vec<u8> = (0..1_048_576u32).map(|n| b'a' + (n * 7 % 23) as u8).collect();
    let upload = scene.trusted.path().join("body");
    std::fs::write(&upload, &body).expect("the folder can be written");
    let data = format!("@{}", upload.display());
    for more in [&["--header", "Expect:"][..], &["--header", "Transfer-Encoding: chunked"], &["--tls-max", "1.2"]] {
        let said = scene.curl(&gate, "shop.example", &[&["--data-binary", &data][..], more].concat());
        let echoed = said.exited(0);
        assert!(scene.one.last().body.len() >= body.len(), "{more:?}: {} bytes arrived", scene.one.last().body.len());
        assert!(echoed.len() > body.len(), "{more:?}: {} bytes came back", echoed.len());
        let plain = !more.iter().any(|flag| flag.contains("chunked"));
        assert!(!plain || echoed.as_bytes().ends_with(&body), "{more:?}: other bytes came back than were sent");
    }
}

#[test]
fn a_long_answer_arrives_whole() {
    let scene = Scene::new(Behaviour::Body(20_000_000));
    let gate = scene.shop().start();
    let said = scene.curl(&gate, "shop.example", &["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"]);
    assert_eq!(said.exited(0), "200 20000000");
}

#[test]
fn an_answer_that_ends_with_its_connection_ends_in_good_order() {
    let scene = Scene::new(Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()));
    let gate = scene.shop().start();
    // curl takes an end without a word of TLS for a cut.
    assert_eq!(scene.curl(&gate, "shop.example", &[]).exited(0), "until the end");
}

#[test]
fn an_answer_that_is_cut_looks_cut() {
    let scene = Scene::new(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()));
    let gate = scene.shop().start();
    assert_ne!(scene.curl(&gate, "shop.example", &[]).code, 0);
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let scene = Scene::new(Behaviour::Held);
    let mut gate = scene.shop().start();
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| scene.curl(&gate, "shop.example", &[]));
        tidegate_tests::await_until("the request", || scene.one.requests() == 1);
        gate.signal(rustix::process::Signal::TERM);
        tidegate_tests::await_until("the drain", || gate.log().contains("draining"));
        scene.one.release();
        assert_eq!(asked.join().expect("curl ran").exited(0), "one");
    });
    assert!(gate.await_exit().success());
}

#[test]
fn websockets_of_python_talk_through_it() {
    let mut scene = Scene::new(Behaviour::Named);
    let address = scene.one.address();
    scene.one.die();
    let gate = scene.shop().start();
    let said = websockets(address, "wss://shop.example/chat", gate.listener("https"), Some(&scene.trust()));
    assert_eq!(said, "all came back\n");
}
