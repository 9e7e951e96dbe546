//! Requests that go on while something happens, each of them counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tidegate_tests::{Client, await_until};

/// Clients that ask one host for its front page until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

/// How many clients.
const CLIENTS: usize = 4;

impl Load {
    /// Starts, and waits until each client was answered.
    pub(crate) fn start(address: SocketAddr, host: &str) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..CLIENTS).map(|_| {
            let (stop, asked, host) = (stop.clone(), asked.clone(), host.to_owned());
            std::thread::spawn(move || ask(address, &host, &stop, &asked))
        });
        let load = Load { clients: clients.collect(), stop, asked };
        load.more();
        load
    }

    /// Waits until some more requests were answered.
    pub(crate) fn more(&self) {
        let enough = self.asked.load(Ordering::Relaxed) + 50;
        await_until("requests to be answered", || {
            self.asked.load(Ordering::Relaxed) >= enough || self.clients.iter().any(JoinHandle::is_finished)
        });
    }

    /// Stops; every answer must have been 200. Who answered, and how often.
    pub(crate) fn finish(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for client in self.clients {
            let who = client.join().expect("no request fails");
            who.into_iter().for_each(|(who, count)| *all.entry(who).or_default() += count);
        }
        all
    }
}

fn ask(address: SocketAddr, host: &str, stop: &AtomicBool, asked: &AtomicU64) -> BTreeMap<String, u64> {
    let mut who: BTreeMap<String, u64> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = Client::connect(address).get(host, "/");
        assert_eq!(answer.status, 200, "after {} answers: {}", who.values().sum::<u64>(), answer.text());
        *who.entry(answer.text().trim().to_owned()).or_default() += 1;
        asked.fetch_add(1, Ordering::Relaxed);
    }
    who
}
