//! The load: clients that keep their connections through the ingress, and clients that connect anew through the virtual IP.
//!
//! Invariant: every request is counted, and whatever is not the right app's whole answer with status 200 is a failure with a reason.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::SECRET;
use super::world::{API, App, SHOP};
use crate::tricks::Scene;

/// Clients of the sites, each with one connection.
const CLIENTS: usize = 12;
/// Clients of the database.
const DB_CLIENTS: usize = 3;
/// Each rests between two requests: this is a demonstration, not a benchmark.
const REST: Duration = Duration::from_millis(2);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures of which the reason is kept.
const REASONS: usize = 5;

/// What the clients saw.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) ingress: Counter,
    pub(super) vip: Counter,
    reasons: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// Requests of one kind.
#[derive(Default)]
pub(super) struct Counter {
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
    slowest_us: AtomicU64,
}

impl Counter {
    /// The longest that a request took.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest_us.load(Relaxed))
    }

    fn add(&self, began: Instant, outcome: Result<(), &String>) {
        self.requests.fetch_add(1, Relaxed);
        self.failures.fetch_add(u64::from(outcome.is_err()), Relaxed);
        self.slowest_us.fetch_max(began.elapsed().as_micros() as u64, Relaxed);
    }
}

impl Tally {
    /// Ends the clients after the request that they are at.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// The first few reasons of failures.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All failures.
    pub(super) fn failures(&self) -> u64 {
        self.ingress.failures.load(Relaxed) + self.vip.failures.load(Relaxed)
    }

    fn note(&self, reason: String) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS {
            reasons.push(reason);
        }
    }
}

/// Starts all clients.
pub(super) fn start(scene: &Scene, tally: &Arc<Tally>) -> Vec<JoinHandle<()>> {
    let (ingress, vip) = (scene.external, scene.vip);
    let sites = (0..CLIENTS).map(|first| tokio::spawn(browse(ingress, first, tally.clone())));
    let sessions = (0..DB_CLIENTS).map(|_| tokio::spawn(query(vip, tally.clone())));
    sites.chain(sessions).collect()
}

/// One client of both sites, by turns over one connection.
async fn browse(ingress: SocketAddr, first: usize, tally: Arc<Tally>) {
    let mut kept = None;
    let mut turn = first;
    while !tally.stopped.load(Relaxed) {
        let app = [&SHOP, &API][turn % 2];
        let began = Instant::now();
        let outcome = in_time(visit(&mut kept, ingress, app, turn)).await.map_err(|why| format!("GET http://{}/: {why}", app.host));
        tally.ingress.add(began, outcome.as_ref().copied());
        if let Err(reason) = outcome {
            kept = None;
            tally.note(reason);
        }
        turn += 1;
        tokio::time::sleep(REST).await;
    }
}

async fn in_time(request: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(PATIENCE, request).await.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn visit(kept: &mut Option<TcpStream>, ingress: SocketAddr, app: &App, turn: usize) -> Result<(), String> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(ingress).await.map_err(|error| format!("connect: {error}"))?,
    };
    let request = format!("GET /{turn} HTTP/1.1\r\nHost: {}\r\nUser-Agent: demo\r\n\r\n", app.host);
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("send: {error}"))?;
    let answer = Answer::read(&mut stream).await.map_err(|error| format!("receive: {error}"))?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    if !answer.body.starts_with(&format!("{} from {}-", app.name, app.name)) {
        return Err(format!("answered by another service: {:?}", answer.body));
    }
    if !answer.last {
        *kept = Some(stream);
    }
    Ok(())
}

/// A whole answer.
struct Answer {
    status: u16,
    body: String,
    /// The connection ends with it.
    last: bool,
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> io::Result<Answer> {
        let mut input = Vec::with_capacity(512);
        loop {
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the answer was whole"));
            }
            if let Some(answer) = Answer::parse(&input)? {
                return Ok(answer);
            }
        }
    }

    fn parse(input: &[u8]) -> io::Result<Option<Answer>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(input).map_err(io::Error::other)? {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial => return Ok(None),
        };
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let length: Option<usize> = value("content-length").and_then(|text| text.parse().ok());
        let length = length.ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
        let last = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        let body = input.get(head..head + length);
        let status = response.code.unwrap_or(0);
        Ok(body.map(|body| Answer { status, body: String::from_utf8_lossy(body).into_owned(), last }))
    }
}

/// One client of the database: connects, greets, says that it is done, and reads to the end.
async fn query(vip: SocketAddr, tally: Arc<Tally>) {
    while !tally.stopped.load(Relaxed) {
        let began = Instant::now();
        let outcome = in_time(session(vip)).await.map_err(|why| format!("session with {vip}: {why}"));
        tally.vip.add(began, outcome.as_ref().copied());
        if let Err(reason) = outcome {
            tally.note(reason);
        }
        tokio::time::sleep(REST * 2).await;
    }
}

async fn session(vip: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect(vip).await.map_err(|error| format!("connect: {error}"))?;
    stream.write_all(b"hello\n").await.map_err(|error| format!("send: {error}"))?;
    stream.shutdown().await.map_err(|error| format!("end: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| format!("receive: {error}"))?;
    let right = answer.starts_with("hello from db-") && answer.trim_end().ends_with(SECRET);
    if right { Ok(()) } else { Err(format!("answered {answer:?}")) }
}
