//! The engine's side: a question is asked on a connection of its own, in words of our own.
//!
//! Invariant: a reply holds its connection, so that whoever drops it (since the client went) ends the question at the engine, too. Paths
//! have no version, which means the engine's newest: no version is to be agreed on, and an engine that is replaced by another is no event.
//!
//! It speaks to the engine by hyper alone. A client library would read whole answers into its types, secrets included, fail on a value
//! that is newer than it anywhere in them, and needs the engine's version before each first question.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answer::Unlike;
use super::question::Question;

/// How long the engine may take: for the head of an answer, and again for the rest. A list of thousands takes it seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read whole, in bytes.
const LARGEST: usize = 64 << 20;

/// Where the engine is.
#[derive(Debug)]
pub(super) struct Engine {
    socket: PathBuf,
}

/// What the engine began to answer.
pub(super) struct Reply {
    /// Its status.
    pub(super) status: StatusCode,
    /// The version of its API, as it says in each answer.
    pub(super) api: Option<HeaderValue>,
    /// The rest.
    pub(super) body: Incoming,
    /// The connection, for as long as this is held.
    pub(super) line: Line,
}

/// A connection to the engine. Dropped, it is closed.
pub(super) struct Line(AbortHandle);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer of the engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the Docker engine cannot be reached at {}: {error}", socket.display())]
    Unreachable { socket: PathBuf, error: io::Error },
    #[error("the connection to the Docker engine broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the Docker engine did not answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the Docker engine's answer broke off, or is larger than {} MiB", LARGEST >> 20)]
    Unread,
    #[error(transparent)]
    Unlike(#[from] Unlike),
}

impl Fault {
    /// The status that says so.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Fault::Late => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Engine {
    pub(super) fn new(socket: PathBuf) -> Engine {
        Engine { socket }
    }

    /// Asks, and waits until it begins to answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, Fault> {
        timeout(PATIENCE, self.asked(question)).await.map_err(|_| Fault::Late)?
    }

    async fn asked(&self, question: &Question) -> Result<Reply, Fault> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| Fault::Unreachable { socket: self.socket.clone(), error })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let line = Line(tokio::spawn(connection).abort_handle());
        let request = Request::get(question.target()).header("Host", "docker").body(Empty::<Bytes>::new());
        // A target is made of letters, digits and encodings: it is one.
        let Ok(request) = request else { return Err(Fault::Unread) };
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Reply { status: head.status, api: head.headers.get("Api-Version").cloned(), body, line })
    }
}

impl Reply {
    /// All of it.
    pub(super) async fn whole(self) -> Result<Bytes, Fault> {
        let all = timeout(PATIENCE, Limited::new(self.body, LARGEST).collect()).await.map_err(|_| Fault::Late)?;
        all.map(|all| all.to_bytes()).map_err(|_| Fault::Unread)
    }
}
