//! From an edit in the folder until every worker runs it: 200 edits, at 10 and at 10,000 services.
//!
//! The whole proxy runs in this process as `tidegate run` would, with two workers and a real folder. An edit renames a new version of
//! one pod's file into place, with the pod on another address; the clock starts before the rename and stops when the slowest worker has
//! acknowledged a picture that holds the new address. Edits come 20 to 60 ms apart, so that they are not gathered into one step.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use config::settings::{AccessLog, Settings};
use proxy::server::{self, Running};
use tidegate_benches::{Report, Spread, memory, world};

const EDITS: usize = 200;
const READY_WITHIN: Duration = Duration::from_secs(120);
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let mut report = Report::new("from an edit until every worker runs it");
    for services in [10, 10_000] {
        let times = measure(services);
        let longest = times.iter().enumerate().max_by_key(|(_, time)| **time).map_or(0, |(turn, _)| turn + 1);
        let spread = Spread::of(times);
        report.row(&format!("{services:>6} services"), spread);
        report.row(&format!("{services:>6} services, the longest was edit number"), longest);
        report.row(&format!("{services:>6} services, memory now, at most"), format!("{:.0} MiB, {:.0} MiB", memory().0, memory().1));
        report.law(&format!("p99 under 100 ms at {services} services"), spread.p99 < Duration::from_millis(100));
    }
    report.finish()
}

fn measure(services: usize) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).expect("a folder in it");
    world::write(&manifests, services).expect("the manifests are written");
    let edited = services / 2;
    edit(&manifests, edited, 0);
    let running = server::start(settings(&manifests, &folder.path().join("state"))).expect("the proxy starts");
    assert!(running.wait_ready(READY_WITHIN), "the proxy is ready");
    let mut rng = fastrand::Rng::with_seed(1);
    let edits = (1..=EDITS).map(|turn| {
        std::thread::park_timeout(Duration::from_millis(rng.u64(20..60)));
        let start = Instant::now();
        let address = edit(&manifests, edited, turn);
        wait_until_known(&running, edited, address);
        start.elapsed()
    });
    let times = edits.collect();
    running.stop();
    times
}

fn settings(manifests: &Path, state: &Path) -> Settings {
    let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Settings {
        manifests: vec![manifests.to_owned()],
        state_dir: Some(state.to_owned()),
        http: loopback,
        https: None,
        admin: loopback,
        workers: WORKERS,
        access_log: AccessLog::None,
        ..Settings::default()
    }
}

/// One more pod of service `of`, which moves with each turn.
fn edit(manifests: &Path, of: usize, turn: usize) -> SocketAddr {
    let ip = world::pod_ip(1_000_000 + turn);
    let beside = manifests.join("moving.new");
    std::fs::write(&beside, world::pod_yaml(of, "moving", ip)).expect("the edit is written");
    std::fs::rename(beside, manifests.join("moving.yaml")).expect("the edit is renamed into place");
    SocketAddr::from((ip, world::PORT))
}

/// Looks at a picture once, so that looking does not slow down what is measured.
fn wait_until_known(running: &Running, of: usize, address: SocketAddr) {
    let name = format!("s{of}");
    let mut snapshots = running.snapshots();
    snapshots.mark_changed();
    let began = Instant::now();
    let mut version = u64::MAX;
    while running.acknowledged() < version {
        assert!(began.elapsed() < KNOWN_WITHIN, "{address} is not known to every worker");
        if version == u64::MAX && snapshots.has_changed().unwrap_or(false) {
            let snapshot = snapshots.borrow_and_update();
            let service = snapshot.internal.services.iter().find(|service| *service.name.service.name == *name);
            let known = service.is_some_and(|service| service.endpoints.iter().any(|endpoint| endpoint.replica.address == address));
            version = if known { snapshot.version } else { u64::MAX };
        }
        std::thread::park_timeout(Duration::from_micros(100));
    }
}
