//! GOAWAY: when we drain, when a client idles; and a client's own.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate_tests::await_until;
use tidegate_tests::frames::{End, kind};

use super::*;

#[test]
fn a_drain_says_so_and_finishes_what_is_in_flight() {
    let mut scene = Scene::with(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    let mut client = scene.frames();
    let streams = [client.get("shop.example", "/one"), client.get("shop.example", "/two")];
    let mut idle = scene.frames();
    idle.settle();
    await_until("the requests to reach the replica", || scene.replica.requests() == 2);
    scene.gate.signal(Signal::TERM);
    assert_eq!(client.goodbye().code, 0, "no error");
    assert_eq!(idle.goodbye().code, 0, "no error");
    idle.closed();
    for _ in 0..2 {
        scene.replica.release();
    }
    for stream in streams {
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.end), (200, Some(End::Whole)));
    }
    client.closed();
    assert!(client.left().is_some_and(|left| left.last >= streams[1]), "{:?} was finished", client.left());
    let status = scene.gate.await_exit();
    assert_eq!(status.code(), Some(0), "{status}:\n{}", scene.gate.log());
}

#[test]
fn a_drain_in_tls_lets_curl_finish() {
    let mut scene = Scene::with(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| scene.curl_in_tls("safe.example", &[&["--http2"], &SAY[..]].concat()));
        await_until("the request", || scene.replica.requests() == 1);
        scene.gate.signal(Signal::TERM);
        await_until("the drain", || scene.gate.log().contains("draining"));
        scene.replica.release();
        assert_eq!(asked.join().expect("curl ran").exited(0), "one 200 2 1");
    });
    assert_eq!(scene.gate.await_exit().code(), Some(0));
}

#[test]
fn what_comes_after_the_goodbye_is_not_sent_on() {
    let mut scene = Scene::with(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    let mut client = scene.frames();
    let held = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    scene.gate.signal(Signal::TERM);
    client.until("the last stream to be named", |client| client.left().is_some_and(|left| left.last < 1 << 30));
    let late = client.get("shop.example", "/late");
    client.settle();
    scene.replica.release();
    assert_eq!(client.answer(held).status, 200);
    client.closed();
    assert_ne!(client.on(late).status, 200, "it was told that it would not be served");
    assert_eq!(scene.replica.requests(), 1);
    assert_eq!(scene.gate.await_exit().code(), Some(0));
}

#[test]
fn a_drain_has_a_deadline() {
    let mut scene = Scene::with(Behaviour::Held, |setup| setup.config("limits: {drainDeadlineMs: 300}\n"));
    let mut client = scene.frames();
    let held = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    let start = Instant::now();
    assert_eq!(scene.gate.stop().code(), Some(0), "{}", scene.gate.log());
    assert!((Duration::from_millis(250)..Duration::from_secs(7)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_ne!(client.answer(held).end, Some(End::Whole), "what did not finish is cut");
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.config("limits: {idleTimeoutMs: 400}\n"));
    let mut client = scene.frames();
    assert_eq!(client.fetch("shop.example", "/").status, 200);
    let start = Instant::now();
    assert_eq!(client.goodbye().code, 0);
    client.closed();
    assert!((Duration::from_millis(350)..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    await_until("it to be gone", || scene.gate.sum("tidegate_connections_open", &["external"]) == 0.0);
}

#[test]
fn a_connection_with_a_request_under_way_does_not_idle() {
    let scene = Scene::with(Behaviour::Held, |setup| setup.config("limits: {idleTimeoutMs: 400}\n"));
    let mut client = scene.frames();
    let held = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    assert!(!client.until_quiet(Duration::from_millis(1500)), "it was closed");
    assert_eq!(client.left(), None, "it was told to go");
    scene.replica.release();
    assert_eq!(client.answer(held).status, 200);
    assert_eq!(client.goodbye().code, 0, "now it idles");
}

#[test]
fn a_client_that_never_says_its_settings_is_closed() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.config("limits: {headTimeoutMs: 400}\n"));
    let mut silent = tidegate_tests::Client::connect(scene.gate.http());
    silent.send(tidegate_tests::frames::PREFACE);
    let start = Instant::now();
    let _ = silent.rest();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    await_until("it to be gone", || scene.gate.sum("tidegate_connections_open", &["external"]) == 0.0);
}

#[test]
fn a_client_that_leaves_is_answered_first() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.frames();
    let held = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    client.say(kind::GOAWAY, 0, 0, &[0; 8]);
    client.settle();
    scene.replica.release();
    let answer = client.answer(held);
    assert_eq!((answer.status, answer.end), (200, Some(End::Whole)));
    client.closed();
}

#[test]
fn a_body_that_does_not_move_is_a_408() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.config("limits: {idleTimeoutMs: 400}\n"));
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    client.data(stream, b"half", false);
    let answer = client.answer(stream);
    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(scene.refusals("timeout-downstream"), 1.0);
    await_until("the replica to be left alone", || scene.replica.open() == 0);
    assert!(scene.replica.received().is_empty(), "half a body looked whole");
}
