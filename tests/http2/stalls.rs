//! A side that does not read holds back the other; it does not make the gate store what was said.

use std::io::Write;
use std::time::Duration;

use tidegate_tests::await_until;
use tidegate_tests::frames::{End, INITIAL_WINDOW, PREFACE, frame, kind};
use tidegate_tests::wait::GLANCE;

use super::*;

/// Memory once it has stopped growing.
pub(super) fn settled(gate: &Tidegate) -> u64 {
    let mut highest = gate.memory();
    let mut still = 0;
    while still < 60 {
        let now = gate.memory();
        still = if now > highest { 0 } else { still + 1 };
        highest = highest.max(now);
        std::thread::park_timeout(GLANCE);
    }
    highest
}

/// What serving alone takes: buffers and desks are there.
pub(super) fn warm(scene: &Scene) -> u64 {
    let mut client = scene.frames();
    for _ in 0..20 {
        client.fetch("shop.example", "/");
    }
    drop(client);
    scene.gate.memory()
}

#[test]
fn a_client_that_gives_no_window_does_not_grow_memory() {
    const LENGTH: u64 = 200_000_000;
    for window in [0, 65_535, 0x7fff_ffff] {
        let scene = Scene::new(Behaviour::Named);
        let before = warm(&scene);
        scene.replica.now(Behaviour::Body(LENGTH));
        let mut client = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, window)]);
        client.greedy = false;
        let streams: Vec<u32> = (0..100).map(|_| client.get("shop.example", "/")).collect();
        await_until("all of it to be asked for", || scene.replica.requests() == 120);
        client.until("the heads", |client| streams.iter().all(|&stream| client.on(stream).status == 200));
        // The connection's window is 65,535 bytes at first: no more may come, however wide each stream's is.
        client.settle();
        assert!(client.content().len() <= 65_535, "window {window}: {} bytes came", client.content().len());
        let grown = settled(&scene.gate).saturating_sub(before);
        assert!(grown < 32_000_000, "window {window}: {grown} bytes for 100 stalled answers of {LENGTH}");
        scene.replica.now(Behaviour::Named);
        assert_eq!(scene.frames().fetch("shop.example", "/").status, 200, "window {window}: others are served");
        drop(client);
        await_until("the replica to be left alone", || scene.gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
    }
}

#[test]
fn a_client_that_reads_nothing_at_all_does_not_grow_memory() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    scene.replica.now(Behaviour::Body(200_000_000));
    let mut client = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, 0x7fff_ffff)]);
    client.say(kind::WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes());
    for _ in 0..100 {
        client.get("shop.example", "/");
    }
    await_until("all of it to be asked for", || scene.replica.requests() == 120);
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < 48_000_000, "{grown} bytes for 100 stalled answers");
    scene.replica.now(Behaviour::Named);
    assert_eq!(scene.frames().fetch("shop.example", "/").status, 200, "others are served");
}

#[test]
fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
    let scene = Scene::with(Behaviour::Body(200_000), |setup| setup.config("limits: {idleTimeoutMs: 1500}\n"));
    let mut slow = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, 1000)]);
    slow.greedy = false;
    let taken = slow.get("shop.example", "/");
    let mut stuck = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, 1000)]);
    stuck.greedy = false;
    let stream = stuck.get("shop.example", "/");
    stuck.until("what fits", |client| client.on(stream).body.len() == 1000);
    // It takes a byte whenever it is asked to wait: for longer than the limit, since the other one is given up meanwhile.
    while stuck.on(stream).end.is_none() {
        slow.say(kind::WINDOW_UPDATE, 0, taken, &1u32.to_be_bytes());
        slow.settle();
        stuck.settle();
    }
    assert!(matches!(stuck.on(stream).end, Some(End::Reset(_))), "{:?}", stuck.on(stream).end);
    assert_eq!(slow.on(taken).end, None);
    assert!(slow.on(taken).body.len() > 1000);
    drop(slow);
    await_until("the replica to be left alone", || scene.gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
}

#[test]
fn a_window_that_opens_lets_the_rest_come() {
    let scene = Scene::new(Behaviour::Body(500_000));
    let mut client = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, 1000)]);
    client.greedy = false;
    let stream = client.get("shop.example", "/");
    client.until("the first thousand", |client| client.on(stream).body.len() == 1000);
    client.settle();
    assert_eq!(client.on(stream).body.len(), 1000, "more than the window came");
    for piece in 1..=4 {
        client.say(kind::WINDOW_UPDATE, 0, stream, &1000u32.to_be_bytes());
        client.until("a thousand more", |client| client.on(stream).body.len() >= 1000 + 1000 * piece);
    }
    client.greedy = true;
    client.say(kind::WINDOW_UPDATE, 0, stream, &1_000_000u32.to_be_bytes());
    client.say(kind::WINDOW_UPDATE, 0, 0, &1_000_000u32.to_be_bytes());
    assert_eq!(client.answer(stream).body.len(), 500_000);
}

#[test]
fn a_replica_that_does_not_read_holds_its_client_back() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    scene.replica.now(Behaviour::NeverRead);
    let mut client = scene.frames();
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    let stream = client.post("shop.example", "/");
    await_until("the head to reach the replica", || scene.replica.requests() == 21);
    // It keeps to no window: sooner or later nobody reads it, or it is told off.
    let piece = frame(kind::DATA, 0, stream, &[7; 16_384]);
    let mut sent = 0u64;
    while client.stream.write_all(&piece).is_ok() && sent < 64_000_000 {
        sent += piece.len() as u64;
    }
    assert!(sent < 64_000_000, "somebody stores the body");
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < 16_000_000, "{grown} bytes for one stalled body");
}

#[test]
fn bodies_that_keep_to_their_windows_are_held_back_one_by_one() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    scene.replica.now(Behaviour::NeverRead);
    let body = vec![b'x'; 4_000_000];
    let url = format!("http://shop.example:{}/", scene.gate.http().port());
    let flags = ["--http2-prior-knowledge", "--max-time", "3", "--data-binary", "@-", "--parallel", "--parallel-immediate"];
    let urls = vec![url.as_str(); 20];
    let said = curl(scene.gate.http(), &url, &[&flags[..], &urls].concat(), &body);
    assert_ne!(said.code, 0, "nobody reads it");
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < 32_000_000, "{grown} bytes for 21 stalled bodies");
}

#[test]
fn half_of_the_first_words_holds_little() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    let halves: Vec<_> = (0..200)
        .map(|_| {
            let mut client = tidegate_tests::Client::connect(scene.gate.http());
            client.send(&PREFACE[..20]);
            client
        })
        .collect();
    await_until("all to be accepted", || scene.gate.sum("tidegate_connections_open", &["external"]) >= 200.0);
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < 16_000_000, "{grown} bytes for {} halves of first words", halves.len());
}
