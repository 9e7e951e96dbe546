//! Requests that go on while something happens, each of them counted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tidegate_tests::{Client, await_until};

/// Clients that ask one host for its front page until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Heard>>,
}

/// What one client heard.
#[derive(Default)]
struct Heard {
    /// Who answered, and how often.
    who: BTreeMap<String, u64>,
    /// Answers that were cut short, or whose connection was.
    cut: u64,
}

/// How many clients.
const CLIENTS: u64 = 4;

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

    /// Stops; every answer must have been 200. Who answered, and how often. `ends`: so many replicas ended without finishing their answers,
    /// and whatever each client was hearing of such a one just then may have been cut; nobody can send that again.
    pub(crate) fn finish(self, ends: u64) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Heard::default();
        for client in self.clients {
            let heard = client.join().expect("no request fails");
            heard.who.into_iter().for_each(|(who, count)| *all.who.entry(who).or_default() += count);
            all.cut += heard.cut;
        }
        assert!(all.cut <= ends * CLIENTS, "{} answers were cut", all.cut);
        all.who
    }
}

fn ask(address: SocketAddr, host: &str, stop: &AtomicBool, asked: &AtomicU64) -> Heard {
    let mut heard = Heard::default();
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        match client.try_response(false) {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.text());
                *heard.who.entry(answer.text().trim().to_owned()).or_default() += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => heard.cut += 1,
            Err(error) => panic!("{error}"),
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
    heard
}
