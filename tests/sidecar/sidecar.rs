//! Beside an app: how a process ends with the app that it serves (`--exit-with`), and what the app may still do until then.

use std::net::SocketAddr;

use rustix::process::Signal;
use tidegate_tests::objects::tcp;
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until, command};

mod app;
mod first_process;

use app::Program;

/// A process beside an app, which reaches `db` through it.
struct Beside {
    gate: Tidegate,
    db: SocketAddr,
    _replica: Replica,
    _net: Net,
}

impl Beside {
    fn start(exit_with: &str) -> Beside {
        let net = Net::take();
        let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
        let setup = Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica]));
        let gate = setup.flag("--exit-with", exit_with).start();
        let ip = gate.rows("services")[0]["vip"].as_str().and_then(|ip| ip.parse().ok()).expect("a VIP");
        let db = SocketAddr::new(ip, net.port());
        await_until("the VIP to be bound", || Client::try_connect(db).is_ok());
        Beside { gate, db, _replica: replica, _net: net }
    }

    /// Waits until it has seen exactly these processes.
    fn await_seen(&self, app: &app::App) {
        let seen = format!("processes=[{}]", app.pid());
        await_until("the app to be seen", || self.gate.log().contains(&seen));
    }

    fn await_said(&self, words: &str) {
        await_until(words, || self.gate.log().contains(words));
    }

    /// One new connection through the virtual IP.
    fn ask(&self) {
        let mut client = Client::connect(self.db);
        client.send("ping");
        assert_eq!(client.exactly(4).expect("the echo"), b"ping");
    }

    fn exits(&mut self, code: i32) {
        let status = self.gate.await_exit();
        assert_eq!(status.code(), Some(code), "{status}:\n{}", self.gate.log());
    }
}

#[test]
fn it_ends_with_the_app_though_nobody_takes_note_of_the_app_s_end() {
    let program = Program::new();
    let mut app = program.start();
    let mut beside = Beside::start(&program.name());
    beside.await_seen(&app);
    beside.ask();
    app.end();
    beside.exits(0);
    assert!(beside.gate.log().contains("drained"), "{}", beside.gate.log());
}

#[test]
fn it_waits_for_an_app_that_starts_later() {
    let program = Program::new();
    let mut beside = Beside::start(&program.name());
    beside.ask();
    let mut app = program.start_by_argument();
    beside.await_seen(&app);
    app.end();
    beside.exits(0);
}

#[test]
fn an_app_is_also_named_by_its_process_id() {
    let program = Program::new();
    let (mut app, other) = (program.start(), program.start());
    let mut beside = Beside::start(&app.pid().to_string());
    beside.await_seen(&app);
    app.end();
    beside.exits(0);
    drop(other);
}

#[test]
fn while_the_app_runs_sigterm_leaves_it_its_way_out() {
    let program = Program::new();
    let mut app = program.start();
    let mut beside = Beside::start(&program.name());
    beside.await_seen(&app);
    beside.gate.signal(Signal::TERM);
    beside.await_said("serving until the app has gone");
    beside.ask();
    app.end();
    beside.exits(0);
}

#[test]
fn an_app_that_began_just_before_sigterm_is_waited_for_too() {
    let program = Program::new();
    let mut beside = Beside::start(&program.name());
    let mut app = program.start();
    beside.gate.signal(Signal::TERM);
    beside.await_said("serving until the app has gone");
    beside.ask();
    app.end();
    beside.exits(0);
}

#[test]
fn a_second_signal_waits_for_nobody() {
    let program = Program::new();
    let app = program.start();
    let mut beside = Beside::start(&program.name());
    beside.await_seen(&app);
    beside.gate.signal(Signal::INT);
    beside.await_said("serving until the app has gone");
    beside.gate.signal(Signal::TERM);
    beside.exits(1);
}

#[test]
fn another_process_of_the_app_that_began_meanwhile_is_waited_for_too() {
    let program = Program::new();
    let mut first = program.start();
    let mut beside = Beside::start(&program.name());
    beside.await_seen(&first);
    let mut second = program.start();
    first.end();
    beside.await_seen(&second);
    beside.ask();
    second.end();
    beside.exits(0);
}

#[test]
fn an_app_that_was_never_seen_is_not_waited_for() {
    let program = Program::new();
    let mut over = program.start();
    over.end();
    // A zombie: its process has ended, and nobody has taken note.
    await_until("its end", || std::fs::read_to_string(format!("/proc/{}/stat", over.pid())).is_ok_and(|stat| stat.contains(") Z ")));
    let mut beside = Beside::start(&program.name());
    beside.gate.signal(Signal::TERM);
    beside.exits(0);
    assert!(!beside.gate.log().contains("the app"), "{}", beside.gate.log());
}

#[test]
fn what_cannot_be_an_app_is_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path().display().to_string();
    for wrong in ["", "0", "/bin/app"] {
        let finished = command(["run", "--manifests", &home, "--exit-with", wrong]);
        assert_eq!(finished.code, 2, "{wrong}: {}", finished.stderr);
        assert!(finished.stderr.contains("--exit-with"), "{wrong}: {}", finished.stderr);
    }
}
