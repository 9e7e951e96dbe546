//! What one endpoint's change costs the registry, with 100,000 endpoints in 10,000 services.
//!
//! One change is one pod that turns unready, turns ready again, or returns on another address: apply, publish, and the release of the
//! picture before it, on one core. Each is acknowledged at once by one worker, as a worker would.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::settings::Settings;
use registry::core::Registry;
use registry::event::{Batch, Event, Report as Said};
use registry::snapshot::Snapshot;
use registry::state::Saved;
use tidegate_benches::{Report, Spread, memory, world};

const SERVICES: usize = 10_000;
const PODS: usize = 10;
const CHANGES: usize = 2_000;

fn main() -> ExitCode {
    let mut report = Report::new("one endpoint's change among 100,000 in 10,000 services");
    let mut registry = Registry::new(&Settings::default(), Saved::default());
    let began = Instant::now();
    registry.apply(whole(), began.elapsed());
    let mut now = publish(&mut registry, began);
    report.row("the whole picture, from typed objects", format!("{:.0} ms", began.elapsed().as_secs_f64() * 1000.0));
    let endpoints: usize = now.internal.services.iter().map(|service| service.endpoints.len()).sum();
    assert_eq!(endpoints, SERVICES * PODS, "every pod is an endpoint");
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut total, mut applying) = (Vec::new(), Vec::new());
    for turn in 0..CHANGES {
        let event = one(&mut rng, turn);
        let start = Instant::now();
        registry.apply(event, began.elapsed());
        applying.push(start.elapsed());
        let before = std::mem::replace(&mut now, publish(&mut registry, began));
        assert!(now.version > before.version, "change {turn} made a picture");
        assert!(Arc::ptr_eq(&now.internal.routes, &before.internal.routes), "an endpoint shares the routes");
        drop(before);
        total.push(start.elapsed());
    }
    report.row("apply alone", Spread::of(applying));
    let total = Spread::of(total);
    report.row("apply, publish, acknowledge, release", total);
    report.row("memory now, at most", format!("{:.0} MiB, {:.0} MiB", memory().0, memory().1));
    report.law("p99 under 10 ms of one core", total.p99 < Duration::from_millis(10));
    report.finish()
}

fn publish(registry: &mut Registry, began: Instant) -> Arc<Snapshot> {
    let snapshot = registry.publish(began.elapsed()).expect("something changed");
    registry.report(Said::Acknowledged { worker: 0, version: snapshot.version }, began.elapsed());
    snapshot
}

fn whole() -> Event {
    let services = (0..SERVICES).map(|of| world::change(&format!("s{of}.yaml"), vec![world::service(of)]));
    let pods = (0..SERVICES * PODS).map(|at| {
        let name = format!("p{at}");
        world::change(&format!("{name}.yaml"), vec![world::pod(at % SERVICES, &name, world::pod_ip(at), true)])
    });
    Event::Batch(Batch { source: "bench".into(), changes: services.chain(pods).collect(), whole: true })
}

/// By turns, one pod turns unready and ready again; every third turn another one moves.
fn one(rng: &mut fastrand::Rng, turn: usize) -> Event {
    let at = match turn % 3 {
        2 => rng.usize(..SERVICES * PODS / 2), // the lower half moves
        _ => SERVICES * PODS / 2 + turn / 3,   // the upper half blinks
    };
    let name = format!("p{at}");
    let (ip, ready) = match turn % 3 {
        2 => (world::pod_ip(SERVICES * PODS + turn), true),
        blink => (world::pod_ip(at), blink == 1),
    };
    let change = world::change(&format!("{name}.yaml"), vec![world::pod(at % SERVICES, &name, ip, ready)]);
    Event::Batch(Batch { source: "bench".into(), changes: vec![change], whole: false })
}
