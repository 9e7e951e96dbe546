//! A stranger outside who tries every trick, spread over the run.
//!
//! Invariant: each attempt is a connection of its own to the external listener, and is judged by [`Trick::held`] alone.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::SECRET;
use crate::tricks::{Expect, Scene, TRICKS, Trick};

/// A connection that says nothing for this long has said all.
const QUIET: Duration = Duration::from_millis(400);

/// The attempts so far.
pub(super) struct Attempts {
    pace: Duration,
    scene: Mutex<Scene>,
    log: Mutex<Log>,
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// Tricks that were tried at least once, by name.
    pub(super) tried: BTreeSet<&'static str>,
    /// Attempts of tricks that must be refused.
    pub(super) forbidden: u64,
    /// Of these, how many were.
    pub(super) refused: u64,
    /// Attempts of tricks that name the public site, and saw nothing else.
    pub(super) harmless: u64,
    /// Tricks that got in, or could not be tried, with what came back.
    pub(super) broken: Vec<String>,
}

impl Attempts {
    /// None yet; all tricks will be tried within `seconds`.
    pub(super) fn new(scene: Scene, seconds: u64) -> Attempts {
        let most = Duration::from_secs(seconds.max(1)).mul_f64(0.9);
        Attempts { pace: most / TRICKS.len() as u32, scene: Mutex::new(scene), log: Mutex::default() }
    }

    /// The database moved: tricks that name a replica should name one that lives.
    pub(super) fn replica_is(&self, address: SocketAddr) {
        lock(&self.scene).replica = address;
    }

    /// What came of them so far.
    pub(super) fn log(&self) -> Log {
        lock(&self.log).clone()
    }

    /// Tries all tricks once, or over and over.
    pub(super) async fn keep_trying(self: Arc<Self>, forever: bool) {
        let mut running = JoinSet::new();
        loop {
            for trick in TRICKS {
                let attempts = self.clone();
                running.spawn(async move { attempts.attempt(trick).await });
                tokio::time::sleep(self.pace).await;
                while running.try_join_next().is_some() {}
            }
            if !forever {
                break;
            }
        }
        running.join_all().await;
    }

    async fn attempt(&self, trick: &'static Trick) {
        let (bytes, external) = {
            let scene = lock(&self.scene);
            (trick.bytes(&scene), scene.external)
        };
        let answer = send(external, &bytes).await;
        let mut log = lock(&self.log);
        log.tried.insert(trick.name);
        let forbidden = trick.expect == Expect::Refused;
        log.forbidden += u64::from(forbidden);
        match answer {
            Ok(answer) if trick.held(&answer, SECRET.as_bytes()) => {
                let counter = if forbidden { &mut log.refused } else { &mut log.harmless };
                *counter += 1;
            }
            Ok(answer) => {
                let first = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
                log.broken.push(format!("{} ({}): got {first:?}", trick.name, trick.why));
            }
            Err(error) => log.broken.push(format!("{}: could not be tried: {error}", trick.name)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends raw bytes and reads until the connection ends or is quiet; then says that nothing more will come, and reads the rest.
async fn send(to: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let mut answer = Vec::new();
    if stream.write_all(bytes).await.is_ok() && !read_until_quiet(&mut stream, &mut answer).await {
        let _ = stream.shutdown().await; // the other end went first when this fails
        read_until_quiet(&mut stream, &mut answer).await;
    }
    Ok(answer)
}

/// True when the connection ended.
async fn read_until_quiet(stream: &mut TcpStream, answer: &mut Vec<u8>) -> bool {
    loop {
        match tokio::time::timeout(QUIET, stream.read_buf(answer)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}
