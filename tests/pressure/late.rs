//! A worker that is late sheds a part of its new requests: `limits.shedLagMs`.
//!
//! It is made late by stopping the process again and again, each time for longer than the bound: nothing else makes it late for sure.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate_tests::wait::glance;

use super::*;

/// How late it may be.
const BOUND: Duration = Duration::from_millis(200);

fn scene(settings: &str) -> (Tidegate, Replica, Net) {
    let net = Net::take();
    let app = Replica::start(&net, "one", Behaviour::Named);
    let inside = ingress("inner", "inner.example", &[path("Prefix", "/", "app", 80)])
        .replace("spec: {", "spec: {ingressClassName: tidegate-internal, ");
    let manifest = file(&[objects::app(&net, "app", HOST, &[&app]), inside]);
    let setup = Setup::new(&net).config(settings).flag("--internal-http", "127.0.0.1:0").manifest("app.yaml", manifest);
    (setup.start(), app, net)
}

fn pause(length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        glance();
    }
}

/// Stops it for three times the bound, and lets it run long enough to see that.
fn stall(gate: &Tidegate) {
    gate.signal(Signal::STOP);
    pause(3 * BOUND);
    gate.signal(Signal::CONT);
    // Asked by the admin listener, on another thread: the process runs again.
    gate.ask("/healthz");
    pause(Duration::from_millis(30));
}

fn shed(gate: &Tidegate, exposure: &str) -> f64 {
    gate.sum("tidegate_shed_total", &[&format!("exposure=\"{exposure}\"")])
}

#[test]
fn a_worker_that_is_late_again_and_again_refuses_a_part_and_ends_by_itself() {
    let (gate, app, _net) = scene("limits: {shedLagMs: 200}\n");
    let mut outside = Client::connect(gate.http());
    let mut inside = Client::connect(gate.listener("internal-http"));
    let mut two = Frames::connect(gate.http());
    let mut met = Vec::new();
    // Between two stalls a busy machine may let it run so long that it is not late in a row.
    for _ in 0..20 {
        (0..3).for_each(|_| stall(&gate));
        met.extend((0..10).map(|_| outside.get(HOST, "/")));
        if met.iter().any(|answer| answer.status == 503) {
            break;
        }
    }
    let refused: Vec<&Response> = met.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty(), "nothing was shed:\n{}", gate.log());
    assert!(refused.iter().all(|answer| answer.field("retry-after") == Some("1") && answer.replica().is_empty()));
    assert_eq!(met.len() - refused.len(), met.iter().filter(|answer| answer.replica() == "one").count(), "never all");
    assert_eq!(app.requests() as usize, met.len() - refused.len(), "what was refused reached nobody");
    assert_eq!((shed(&gate, "external"), refusals(&gate, "overload")), (refused.len() as f64, refused.len() as f64));
    let asked: Vec<u16> = (0..20).map(|_| two.fetch(HOST, "/").status).collect();
    assert!(asked.iter().all(|status| [200, 503].contains(status)), "{asked:?}");
    assert!((0..20).all(|_| inside.get("inner.example", "/").status == 200), "the inside comes last");
    assert_eq!(shed(&gate, "internal"), 0.0);
    assert!(gate.sum("tidegate_worker_lag_seconds", &[]) > 0.2, "and it is told");
    await_until("it to be over", || gate.sum("tidegate_worker_shed_ratio", &[]) == 0.0);
    assert!((0..20).all(|_| outside.get(HOST, "/").status == 200 && two.fetch(HOST, "/").status == 200));
    let log = gate.log();
    assert!(log.contains("too late: a part of new requests is shed") && log.contains("back in time"), "{log}");
}

#[test]
fn without_a_bound_nothing_is_shed_and_the_usual_one_forgives_a_moment() {
    for settings in ["limits: {shedLagMs: 0}\n", ""] {
        let (gate, _app, _net) = scene(settings);
        let mut outside = Client::connect(gate.http());
        // Three times the bound of the other test is not late enough for the usual one, or late once.
        let stalls = if settings.is_empty() { 1 } else { 3 };
        (0..stalls).for_each(|_| stall(&gate));
        assert!((0..20).all(|_| outside.get(HOST, "/").status == 200), "{settings:?}");
        assert_eq!(shed(&gate, "external"), 0.0);
    }
}
