//! From its start to its end: the file of its socket, an engine that is not there, signals.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::process::Signal;
use tidegate_tests::command;

use super::*;
use crate::guard::rest;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn it_starts_before_the_engine_does() {
    let guard = Guard::start(home());
    guard.await_logged("the engine cannot be reached yet");
    let (status, body) = guard.get("/v1.41/containers/json");
    assert_eq!(status, 502, "{body}");
    assert!(body.contains(&guard.engine().display().to_string()), "{body}");
    let _engine = Engine::start(&guard.engine());
    assert_eq!(guard.get("/v1.41/containers/json").0, 200);
}

#[test]
fn its_socket_is_for_owner_and_group_and_gone_at_the_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut guard = Guard::start(home());
        let found = fs::symlink_metadata(guard.path()).expect("the file");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o660);
        assert_eq!(guard.stop(signal).code(), Some(0), "{}", guard.log());
        assert!(!guard.path().exists());
    }
}

#[test]
fn it_ends_although_answers_are_under_way() {
    let (engine, mut guard) = both();
    let mut streams: Vec<_> = ["/events", "/containers/held/json"]
        .map(|target| {
            let mut stream = guard.connect();
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("it reads");
            stream
        })
        .into();
    engine.await_open(2);
    assert_eq!(guard.stop(Signal::TERM).code(), Some(0), "{}", guard.log());
    for stream in &mut streams {
        assert!(!rest(stream).ends_with("0\r\n\r\n"), "what is cut does not look whole");
    }
    engine.await_open(0);
}

#[test]
fn what_a_killed_one_left_behind_is_replaced() {
    let mut guard = Guard::start(home());
    guard.stop(Signal::KILL);
    assert!(guard.path().exists(), "a killed one cleans nothing up");
    let kept = std::mem::replace(&mut guard.home, home());
    let again = Guard::start(kept);
    assert_eq!(again.get("/_ping").0, 502);
}

#[test]
fn a_second_one_does_not_start_and_the_first_goes_on() {
    let (_engine, guard) = both();
    let (listen, socket) = (guard.path().display().to_string(), guard.engine().display().to_string());
    let second = command(["docker-proxy", "--listen", &listen, "--socket", &socket]);
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(second.stderr.contains("another process answers here") && second.stderr.contains(&listen), "{}", second.stderr);
    assert_eq!(guard.get("/_ping").0, 200);
}

#[test]
fn what_is_no_socket_of_its_own_is_left_alone() {
    let home = home();
    let at = |name: &str| home.path().join(name).display().to_string();
    fs::write(at("file"), "precious").expect("the temporary folder can be written");
    drop(UnixListener::bind(at("engine.sock")).expect("the temporary folder can be written"));
    for (listen, words) in [("file", "no socket"), ("engine.sock", "the same file"), ("file/docker.sock", "cannot be made")] {
        let finished = command(["docker-proxy", "--listen", &at(listen), "--socket", &at("engine.sock")]);
        assert_eq!(finished.code, 2, "{listen}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{listen}: {}", finished.stderr);
    }
    assert_eq!(fs::read_to_string(at("file")).expect("the file"), "precious");
    assert!(UnixStream::connect(at("engine.sock")).is_err() && fs::symlink_metadata(at("engine.sock")).is_ok());
}
