//! The least busy replica is asked. Distributions, not single answers: each bound is the one that the project states.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_tests::objects::app;
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate};

mod affinity;
mod cookie;
mod hash;
mod http2;
mod services;
mod zones;

/// Distributions are measured one at a time: another test's load would be measured too.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gate(net: &Net, replicas: &[&Replica]) -> Tidegate {
    Setup::new(net).manifest("app.yaml", app(net, "app", "app.example", replicas)).flag("--workers", "2").start()
}

/// Closed-loop clients: a second of warm-up, then so many requests, each replica's share of them. Every answer counts, errors too.
fn shares(gate: &Tidegate, clients: usize, requests: usize, warm_up: Duration) -> BTreeMap<String, f64> {
    let address = gate.http();
    let warm = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    let counts: Vec<BTreeMap<String, usize>> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let mut counts = BTreeMap::new();
                    loop {
                        let counted = warm.load(Ordering::Relaxed);
                        if counted && sent.fetch_add(1, Ordering::Relaxed) >= requests {
                            return counts;
                        }
                        let response = client.get("app.example", "/");
                        if counted {
                            *counts.entry(response.replica().to_owned()).or_default() += 1;
                        }
                    }
                })
            })
            .collect();
        let start = Instant::now();
        while start.elapsed() < warm_up {
            std::thread::park_timeout(warm_up.saturating_sub(start.elapsed()));
        }
        warm.store(true, Ordering::Relaxed);
        runs.into_iter().map(|run| run.join().expect("a client panicked")).collect()
    });
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    for (replica, count) in counts.into_iter().flatten() {
        *all.entry(replica).or_default() += count as f64 / requests as f64;
    }
    all
}

fn share(shares: &BTreeMap<String, f64>, name: &str) -> f64 {
    shares.get(name).copied().unwrap_or(0.0)
}

#[test]
fn a_slow_replica_gets_little() {
    let _alone = alone();
    let net = Net::take();
    let after = |name: &str, ms: u64| Replica::start(&net, name, Behaviour::After(Duration::from_millis(ms)));
    let replicas = [after("fast-1", 5), after("fast-2", 5), after("slow", 50)];
    let gate = gate(&net, &replicas.each_ref());
    let shares = shares(&gate, 32, 5_000, Duration::from_secs(1));
    assert!(share(&shares, "slow") < 0.083, "{shares:?}");
    assert!(share(&shares, "fast-1") > 0.3 && share(&shares, "fast-2") > 0.3, "{shares:?}");
}

#[test]
fn equal_replicas_share_also_when_nothing_is_busy() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["one", "two"].map(|name| Replica::start(&net, name, Behaviour::After(Duration::from_millis(5))));
    let gate = gate(&net, &replicas.each_ref());
    let shares = shares(&gate, 1, 600, Duration::from_millis(200));
    assert!(share(&shares, "one") > 0.35 && share(&shares, "two") > 0.35, "{shares:?}");
}

#[test]
fn a_replica_that_fails_at_once_attracts_nothing() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["good-1", "good-2"].map(|name| Replica::start(&net, name, Behaviour::After(Duration::from_millis(5))));
    let failing = Replica::start(&net, "failing", Behaviour::Status(503));
    let gate = gate(&net, &[&replicas[0], &replicas[1], &failing]);
    let shares = shares(&gate, 32, 5_000, Duration::from_secs(1));
    assert!(share(&shares, "failing") <= 1.0 / 3.0, "{shares:?}");
}

#[test]
fn a_replica_that_resets_at_once_attracts_nothing() {
    let _alone = alone();
    let net = Net::take();
    let replicas = ["good-1", "good-2"].map(|name| Replica::start(&net, name, Behaviour::After(Duration::from_millis(5))));
    let failing = Replica::start(&net, "failing", Behaviour::RawThenReset(Vec::new()));
    let gate = gate(&net, &[&replicas[0], &replicas[1], &failing]);
    let shares = shares(&gate, 16, 2_000, Duration::from_millis(500));
    let failed = share(&shares, "");
    assert!(failed <= 1.0 / 3.0, "{failed} of the requests went to the replica that resets: {shares:?}");
}

#[test]
fn load_is_shared_knowledge_of_all_workers() {
    let _alone = alone();
    let net = Net::take();
    let held = Replica::start(&net, "held", Behaviour::Held);
    let free = Replica::start(&net, "free", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&held, &free])).flag("--workers", "8").start();
    let address = gate.http();
    let ask = || {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
        client
    };
    // One request waits at the held replica, on whatever worker it landed.
    let mut waiting = Vec::new();
    while held.requests() == 0 {
        let mut client = ask();
        client.stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
        let _ = client.try_response(false); // no answer is the one that is waited for
        waiting.push(client);
        assert!(waiting.len() < 100, "the held replica was never asked");
    }
    // Each of the other seven workers would send it one of its own, if it did not know. Now and then a request comes before the one
    // before it is counted out at the free replica, and then chance decides.
    for _ in 0..200 {
        let mut client = ask();
        client.stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
        let _ = client.try_response(false);
    }
    assert!(held.requests() <= 4, "{} requests went to the replica that one was waiting at", held.requests());
}
