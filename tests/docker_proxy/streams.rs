//! Events as they happen, and who leaves while an answer is under way.

use std::io::Write;

use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::*;
use crate::engine::EVENTS;
use crate::guard::{rest, status, until};

type Heard = Option<Result<EventMessage, Error>>;

/// What bollard hears next, within the deadline of its own.
async fn next(events: &mut (impl Stream<Item = Result<EventMessage, Error>> + Unpin)) -> Heard {
    tokio::time::timeout(tidegate_tests::wait::DEADLINE, events.next()).await.expect("something is heard, or the stream ends")
}

async fn action(events: &mut (impl Stream<Item = Result<EventMessage, Error>> + Unpin)) -> String {
    next(events).await.expect("an event").expect("an event").action.expect("an action")
}

/// Waits until the engine's stream is there, with the client waiting on it.
async fn open(engine: &Engine, events: &mut (impl Stream<Item = Result<EventMessage, Error>> + Unpin), line: &str) -> String {
    let waiting = action(events);
    let sending = async {
        while engine.send(format!("{line}\n")).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(waiting, sending).0
}

fn line(action: &str) -> &'static str {
    let word = format!("\"Action\":\"{action}");
    EVENTS.lines().find(|line| line.contains(&word)).expect("such an event")
}

#[tokio::test]
async fn each_event_is_told_when_it_happens_and_those_of_exec_are_not() {
    let (engine, guard) = both();
    let options = EventsOptionsBuilder::default().since("1700000000").build();
    let mut events = guard.bollard().events(Some(options));
    assert_eq!(open(&engine, &mut events, line("connect")).await, "connect");
    engine.send(format!("{}\n{}\n", line("exec_create"), line("die"))).await;
    let died = next(&mut events).await.expect("an event").expect("an event");
    assert_eq!(died.action.as_deref(), Some("die"));
    let attributes = died.actor.and_then(|actor| actor.attributes).expect("attributes");
    assert_eq!(attributes["exitCode"], "0");
    assert!(!attributes.contains_key("app"), "no label: {attributes:?}");
    // In pieces, as a network may cut it.
    let (first, second) = line("kill").split_at(40);
    engine.send(first).await;
    engine.send(format!("{second}\n{}\n", line("disconnect"))).await;
    assert_eq!(action(&mut events).await, "kill");
    assert_eq!(action(&mut events).await, "disconnect");
    engine.end_streams();
    assert!(next(&mut events).await.is_none(), "what the engine ends is over");
    let asked = "GET /events?since=1700000000&filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
    assert_eq!(engine.targets(), [asked]);
    assert!(!guard.log().contains(SECRET), "{}", guard.log());
}

#[test]
fn an_engine_that_is_killed_breaks_the_stream_and_may_come_back() {
    let (engine, guard) = both();
    let mut stream = guard.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(status(&until(&mut stream, "\r\n\r\n")), 200, "the head comes before any event");
    let path = engine.kill();
    assert!(!rest(&mut stream).ends_with("0\r\n\r\n"), "what broke does not look whole");
    let (status, body) = guard.get("/_ping");
    assert_eq!(status, 502, "{body}");
    assert!(body.starts_with("{\"message\":\"the Docker engine cannot be reached at "), "{body}");
    let _again = Engine::start(&path);
    assert_eq!(guard.get("/_ping"), (200, "OK".to_owned()));
}

#[tokio::test]
async fn a_line_that_is_no_event_breaks_the_stream() {
    let (engine, guard) = both();
    let mut events = guard.bollard().events(None);
    assert_eq!(open(&engine, &mut events, line("die")).await, "die");
    engine.send("nonsense hunter2\n").await;
    assert!(!matches!(next(&mut events).await, Some(Ok(_))));
    engine.await_open(0);
    assert!(!guard.log().contains(SECRET), "{}", guard.log());
}

#[test]
fn a_client_that_goes_takes_its_question_along() {
    let (engine, guard) = both();
    for target in ["/events", "/containers/held/json"] {
        let mut stream = guard.connect();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("it reads");
        engine.await_open(1);
        drop(stream);
        engine.await_open(0);
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_else_and_fills_no_memory() {
    let (engine, guard) = both();
    let mut stream = guard.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    engine.await_open(1);
    // Whatever fits into sockets and buffers is sent; then the engine waits.
    let many = format!("{}\n", line("die")).repeat(2000);
    let mut sent = 0;
    while let Ok(1) = tokio::time::timeout(std::time::Duration::from_millis(500), engine.send(many.clone())).await {
        sent += many.len();
        assert!(sent < 256 << 20, "it takes whatever comes");
    }
    engine.await_open(1);
    assert!(guard.memory() < 128 << 20, "{} bytes of memory", guard.memory());
    let mut large = guard.connect();
    large.write_all(b"GET /containers/large/json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
    assert_eq!(guard.get("/_ping").0, 200);
    assert_eq!(guard.get("/containers/shop-web-1/json").0, 200);
    let late = rest(&mut large);
    assert!(late.len() > 8 << 20, "who reads late gets all, not {} bytes", late.len());
}
