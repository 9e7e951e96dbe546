//! The load: some hundred requests a second of every kind, each with an id of its own, from one thread.
//!
//! Invariant: no request is repeated to hide a failure. The one exception is what HTTP/2 itself says was not processed (RFC 9113 section
//! 8.7), which every client of it sends again. It is moderate on purpose: what fails must fail from churn, not for want of time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_tests::Chance;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;

use crate::ledger::{Ask, By, End, Kind, Ledger, Record, SHOP, TAKER};
use crate::replica::PIECES;
use crate::wire::{Cut, Wire};
use http2::Lane;

mod http1;
mod http2;
mod socket;
mod talk;
mod tcp;

/// How long a client waits for anything. Longer than any gap that a rollout makes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a proxy is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    /// HTTP/1.1
    pub(crate) http1: SocketAddr,
    /// HTTP/2 by prior knowledge
    pub(crate) http2: SocketAddr,
    /// TCP, for the shop
    pub(crate) tcp: SocketAddr,
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    doors: Doors,
    over: Arc<AtomicBool>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// A running load. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    thread: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Load {
    /// Starts clients for these kinds of traffic.
    pub(crate) fn start(kinds: &[Kind], doors: Doors, seed: u64, ledger: Arc<Ledger>) -> Load {
        let over = Arc::<AtomicBool>::default();
        let (kinds, ends) = (kinds.to_vec(), over.clone());
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime can be made");
            runtime.block_on(all(&kinds, Rc::new(Shared { ledger, doors, over: ends }), seed));
        });
        Load { thread: Some(thread), over }
    }

    /// Ends it in good order: what was begun is finished.
    pub(crate) fn finish(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is finished once");
        thread.join().expect("a client panicked; it said why above");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One client: what it speaks, what it asks, of which Service.
#[derive(Clone, Copy, Debug)]
struct Role {
    kind: Kind,
    asks: &'static [Ask],
    service: &'static str,
}

const HTTP: &[Ask] = &[Ask::Get, Ask::Get, Ask::Get, Ask::Post, Ask::Post, Ask::Slow];

/// Who asks in this kind of traffic.
fn roles(kind: Kind) -> Vec<Role> {
    let role = |asks, service| Role { kind, asks, service };
    match kind {
        Kind::H1 => [vec![role(HTTP, SHOP); 4], vec![role(HTTP, TAKER); 2]].concat(),
        Kind::Close => vec![role(HTTP, SHOP); 3],
        Kind::H2 => vec![role(HTTP, SHOP); 4],
        Kind::Grpc => [vec![role(&[Ask::Call], SHOP); 3], vec![role(&[Ask::Stream], SHOP); 2], vec![role(&[Ask::Talk], SHOP); 2]].concat(),
        Kind::Ws => vec![role(&[Ask::Talk], SHOP); 4],
        Kind::Tcp => [vec![role(&[Ask::Talk], SHOP); 3], vec![role(&[Ask::Line], SHOP); 2]].concat(),
    }
}

async fn all(kinds: &[Kind], shared: Rc<Shared>, seed: u64) {
    let mut seeds = Chance::of(seed);
    let mut clients = JoinSet::new();
    for &kind in kinds {
        // The clients of a kind share a connection of HTTP/2, as those of one process would.
        let lane = Rc::new(Lane::to(shared.doors.http2));
        for role in roles(kind) {
            let client = Client { role, shared: shared.clone(), chance: Chance::of(seeds.number()), wire: None, lane: lane.clone() };
            clients.spawn_local(client.run());
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client panicked");
    }
}

/// One client.
struct Client {
    role: Role,
    shared: Rc<Shared>,
    chance: Chance,
    /// Its connection of HTTP/1.1, between two requests.
    wire: Option<Wire>,
    lane: Rc<Lane>,
}

impl Client {
    async fn run(mut self) {
        let mut next = false;
        while self.shared.goes_on() {
            let ask = *self.chance.one(self.role.asks);
            let mut record = self.shared.ledger.open((self.role.kind, ask), self.role.service, next);
            let end = self.ask(&mut record).await.err().unwrap_or(End::Whole);
            // The next attempt is made at once; should that be cut, too, the one after it is not.
            next = matches!(end, End::Cut(_)) && !next;
            self.shared.ledger.close(record, end);
            if !next {
                tokio::time::sleep(self.between(5, 35)).await;
            }
        }
    }

    async fn ask(&mut self, record: &mut Record) -> Result<(), End> {
        let think = self.between(0, 15);
        match (record.kind, record.ask) {
            (Kind::H1 | Kind::Close, _) => {
                let asked = http1::ask(&mut self.wire, self.shared.doors.http1, record, think);
                patient(asked).await
            }
            (Kind::H2, _) => patient(http2::ask(&self.lane, record, think)).await,
            (Kind::Grpc, Ask::Talk) => http2::talk(self, record).await,
            (Kind::Grpc, _) => patient(http2::call(&self.lane, record, think)).await,
            (Kind::Ws, _) => socket::talk(self, record).await,
            (Kind::Tcp, Ask::Talk) => tcp::talk(self, record).await,
            (Kind::Tcp, _) => patient(tcp::line(self.shared.doors.tcp, record)).await,
        }
    }

    /// So many milliseconds, by chance.
    fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.chance.number() % (most - least))
    }
}

impl From<Cut> for End {
    fn from(cut: Cut) -> End {
        End::Cut(cut)
    }
}

/// Waits for as long as a client does.
async fn patient<T>(asked: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(End::Silent))
}

/// The host by which a Service is asked.
pub(crate) fn host(service: &str) -> String {
    format!("{service}.example")
}

/// Who says of itself that it answers.
fn by<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<By> {
    Some(By { service: field("x-service")?.to_owned(), pod: field("x-pod")?.to_owned() })
}

/// Whether this is the content of the answer to the request.
fn belongs(record: &Record, content: &[u8]) -> Result<(), End> {
    let (id, text) = (record.id.to_string(), String::from_utf8_lossy(content));
    let pieces = if record.ask == Ask::Slow { PIECES as usize } else { 1 };
    match text.lines().all(|line| line == id) {
        true if text.lines().count() == pieces => Ok(()),
        true if text.lines().count() < pieces => Err(End::Short),
        _ => Err(End::Wrong(format!("{text:?} to request {id}"))),
    }
}
