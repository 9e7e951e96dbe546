//! What is cheap to send and dear to serve: each flood is cut or held back, costs bounded memory, and leaves others served.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_tests::await_until;
use tidegate_tests::frames::{END_HEADERS, END_STREAM, block, frame, kind, request};

use super::stalls::{settled, warm};
use super::*;

/// Memory that a flood may cost.
const BOUND: u64 = 16_000_000;

/// Ends the others also when the test fails, so that it fails instead of hanging.
struct EndsOnDrop<'a>(&'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Floods while another client asks without a pause: that one is served, and memory stays within the bound.
fn flooded(scene: &Scene, flood: impl FnOnce()) {
    let before = warm(scene);
    let (done, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = scene.gate.http();
    std::thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        let other = scope.spawn(|| {
            let mut client = Frames::connect(address);
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.fetch("shop.example", "/other").status, 200, "another client suffers");
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        flood();
        let so_far = served.load(Ordering::Relaxed);
        await_until("others to be served", || served.load(Ordering::Relaxed) > so_far + 20 || other.is_finished());
        drop(ends);
        other.join().expect("another client was not served");
    });
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < BOUND, "the flood cost {grown} bytes");
}

/// Sends these bytes again and again, reading nothing; gives up when it is not heard for half a second. Says what was sent.
fn pour(client: &mut Frames, piece: &[u8], most: u64) -> u64 {
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    let mut sent = 0;
    while sent < most && client.stream.write_all(piece).is_ok() {
        sent += piece.len() as u64;
    }
    sent
}

/// Requests that a flood brought to the replica.
fn reached(scene: &Scene) -> usize {
    scene.replica.received().iter().filter(|request| request.head.starts_with("GET /flood ")).count()
}

/// CVE-2023-44487.
#[test]
fn requests_that_are_broken_off_at_once_end_the_connection() {
    let scene = Scene::new(Behaviour::Named);
    flooded(&scene, || {
        let mut client = scene.frames();
        let mut burst = Vec::new();
        for _ in 0..1000 {
            let stream = client.next_stream();
            burst.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "shop.example", "/flood"))));
            burst.extend(frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        }
        client.send(burst);
        client.closed();
    });
    assert!(reached(&scene) <= 150, "{} of 1,000 reached the replica", reached(&scene));
    assert_eq!(scene.gate.sum("tidegate_requests_in_flight", &["shop"]), 0.0);
}

/// The same, patiently: each is broken off once the replica has it.
#[test]
fn requests_that_are_broken_off_later_end_the_connection_too() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.frames();
    let mut turns = 0;
    while turns < 1000 && client.left().is_none() {
        let stream = client.get("shop.example", "/flood");
        client.settle();
        client.reset(stream);
        client.settle();
        turns += 1;
        if client.on(stream).end == Some(tidegate_tests::frames::End::Closed) {
            break;
        }
    }
    assert!(turns < 300, "{turns} requests were broken off on one connection");
    assert!(scene.replica.requests() < 300, "{} reached the replica", scene.replica.requests());
    await_until("nothing in flight", || scene.gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
}

/// Who breaks off now and then, a browser for instance, is no flood.
#[test]
fn who_breaks_off_some_and_lets_most_end_stays() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    for _ in 0..150 {
        for _ in 0..2 {
            assert_eq!(client.fetch("shop.example", "/").status, 200);
        }
        let stream = client.post("shop.example", "/");
        client.settle();
        client.reset(stream);
    }
    assert_eq!(client.fetch("shop.example", "/").status, 200);
    assert_eq!(client.left(), None);
}

/// CVE-2025-8671: the client does nothing wrong but make the server break off.
#[test]
fn requests_that_we_are_made_to_break_off_end_the_connection() {
    let scene = Scene::new(Behaviour::Named);
    flooded(&scene, || {
        let mut client = scene.frames();
        let mut burst = Vec::new();
        for _ in 0..3000 {
            let stream = client.next_stream();
            burst.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "shop.example", "/flood"))));
            burst.extend(frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4]));
        }
        client.send(burst);
        client.closed();
    });
    assert!(reached(&scene) <= 1200, "{} of 3,000 reached the replica", reached(&scene));
}

/// CVE-2024-27316.
#[test]
fn a_head_that_never_ends_is_cut() {
    let scene = Scene::new(Behaviour::Named);
    let fields = block(&[("x-a", &"x".repeat(16_000))]);
    for piece in [fields.as_slice(), &block(&[("x-a", "b")]), &[]] {
        flooded(&scene, || {
            let mut client = scene.frames();
            let stream = client.next_stream();
            client.say(kind::HEADERS, END_STREAM, stream, &block(&request("GET", "shop.example", "/flood")));
            let sent = pour(&mut client, &frame(kind::CONTINUATION, 0, stream, piece).repeat(20), 64_000_000);
            assert!(sent < 64_000_000, "{sent} bytes of a head in pieces of {} were taken", piece.len());
            client.closed();
        });
    }
    assert_eq!(reached(&scene), 0);
}

/// HPACK: a field that is in the table costs one byte each time.
#[test]
fn a_small_head_that_unfolds_to_a_huge_one_is_refused() {
    let scene = Scene::new(Behaviour::Named);
    flooded(&scene, || {
        for _ in 0..5 {
            let mut client = scene.frames();
            let stream = client.next_stream();
            // One field of 4,000 bytes, kept in the table, and then 16,000 times that: 64 megabytes.
            let mut bomb = block(&request("GET", "shop.example", "/flood"));
            let mut kept = block(&[("x-a", &"x".repeat(4000))]);
            kept[0] = 0x40;
            bomb.extend(kept);
            bomb.resize(bomb.len() + 10_000, 0xbe);
            client.say(kind::HEADERS, END_HEADERS | END_STREAM, stream, &bomb);
            let answer = client.answer(stream);
            assert!(answer.status == 431 || answer.status == 0, "{answer:?}");
        }
    });
    assert_eq!(reached(&scene), 0);
}

#[test]
fn settings_and_pings_without_end_are_held_back() {
    let scene = Scene::new(Behaviour::Named);
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(1000);
    let pings = frame(kind::PING, 0, 0, b"flooding").repeat(1000);
    for (what, piece) in [("SETTINGS", settings), ("PING", pings)] {
        flooded(&scene, || {
            let mut client = scene.frames();
            // It reads no answer: sooner or later it is not heard either, or cut.
            let sent = pour(&mut client, &piece, 256_000_000);
            assert!(sent < 256_000_000, "{what}: {sent} bytes were taken and answered to nobody");
        });
    }
}

/// What needs no answer costs nothing but its reading; nobody else may wait for that.
#[test]
fn frames_that_do_nothing_starve_nobody() {
    let scene = Scene::new(Behaviour::Named);
    let priority = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 16]).repeat(1000);
    let window = frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]).repeat(1000);
    let unknown = frame(0x77, 0, 0, &[0; 100]).repeat(100);
    for (what, piece) in [("PRIORITY", priority), ("WINDOW_UPDATE of nothing", window), ("unknown", unknown)] {
        flooded(&scene, || {
            let mut client = scene.frames();
            let sent = pour(&mut client, &piece, 20_000_000);
            println!("{what}: {sent} bytes were read");
        });
    }
}

#[test]
fn empty_pieces_of_a_body_without_end_are_cut() {
    let scene = Scene::new(Behaviour::Named);
    flooded(&scene, || {
        let mut client = scene.frames();
        let stream = client.post("shop.example", "/flood");
        let sent = pour(&mut client, &frame(kind::DATA, 0, stream, &[]).repeat(100), 20_000_000);
        assert!(sent < 20_000_000, "{sent} bytes of nothing were taken");
    });
}

#[test]
fn more_streams_than_are_allowed_are_refused_and_not_kept() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    scene.replica.now(Behaviour::Held);
    let mut client = scene.frames();
    let mut burst = Vec::new();
    for _ in 0..2000 {
        let stream = client.next_stream();
        burst.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "shop.example", "/flood"))));
    }
    client.send(burst);
    client.until_quiet(Duration::from_millis(500));
    assert!(scene.replica.requests() - 20 <= 128, "{} reached the replica", scene.replica.requests() - 20);
    let grown = settled(&scene.gate).saturating_sub(before);
    assert!(grown < BOUND, "it cost {grown} bytes");
    scene.replica.now(Behaviour::Named);
    assert_eq!(scene.frames().fetch("shop.example", "/").status, 200, "others are served");
}

#[test]
fn connections_that_only_say_hello_cost_little() {
    let scene = Scene::new(Behaviour::Named);
    let before = warm(&scene);
    let clients: Vec<Frames> = (0..300).map(|_| scene.frames()).collect();
    await_until("all to be accepted", || scene.gate.sum("tidegate_connections_open", &["external"]) >= 300.0);
    let each = settled(&scene.gate).saturating_sub(before) / clients.len() as u64;
    assert!(each < 64_000, "an idle connection of HTTP/2 costs {each} bytes");
    println!("an idle connection of HTTP/2 costs {each} bytes");
}

#[test]
fn garbage_after_the_first_words_ends_the_connection() {
    let scene = Scene::new(Behaviour::Named);
    let too_long = frame(kind::DATA, 0, 1, &[0; 20_000]);
    let odd = frame(kind::HEADERS, END_HEADERS | END_STREAM, 2, &block(&request("GET", "shop.example", "/flood")));
    let lone = frame(kind::CONTINUATION, END_HEADERS, 1, &[]);
    let broken = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]);
    for (what, bytes) in
        [("text", b"GET / HTTP/1.1\r\n\r\n".to_vec()), ("too long", too_long), ("even", odd), ("lone", lone), ("HPACK", broken)]
    {
        let mut client = scene.frames();
        client.send(bytes);
        assert_ne!(client.goodbye().code, 0, "{what}");
        client.closed();
    }
    assert_eq!(reached(&scene), 0);
    assert_eq!(scene.frames().fetch("shop.example", "/").status, 200);
}
