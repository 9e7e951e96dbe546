//! One client connection: heads in, one exchange after the other, to the end.
//!
//! Invariant: bytes are judged before any upstream is touched; what cannot be answered in good order ends the connection. An idle
//! connection holds no buffer. See `exchange.rs` for one request.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::AsyncWriteExt;

use super::desk::Message;
use super::exchange::{self, Turn};
use super::head::{HeadError, RequestHead};
use super::respond;
use super::tunnel::Tunnel;
use crate::deadline::Deadline;
use crate::digits;
use crate::listener::{Listener, contains};
use crate::reason::Reason;
use crate::stream::Stream;
use crate::worker::Worker;

/// After a refusal, what the client still sends is read and dropped for this long, so that the answer is not lost to a reset.
const LINGER_MS: u64 = 1_000;
/// And this much of it at most, in bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// The longest address as text.
const MAX_IP: usize = 45;

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Arc<Listener>,
    /// The address of the connection's other end.
    pub(crate) client: IpAddr,
    /// The same as text: every request tells it.
    pub(crate) peer: Box<[u8]>,
    /// The peer's forwarding headers are believed.
    pub(crate) trusted: bool,
    pub(crate) stream: Stream,
    /// For reading from the client.
    pub(crate) reading: Deadline,
    /// For writing to the client.
    pub(crate) writing: Deadline,
    /// Nothing was answered yet on this connection: a client that never spoke is not told about its time-out.
    pub(crate) served: Cell<bool>,
    /// The client has seen a part of an answer and not yet all: if it ends now, it must not look whole.
    pub(crate) begun: Cell<bool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.begun.get() {
            self.stream.reset();
        }
    }
}

/// What the client sent next.
enum Next {
    /// A whole head of this many bytes.
    Head(usize),
    /// Nothing yet: it was called readable too early.
    Nothing,
    /// Nothing more, or nothing that wants an answer.
    End,
    /// Something that is refused.
    Refuse(Reason, Option<HeadError>),
}

/// What comes after the requests that were here.
enum Worked {
    /// The next one.
    Waits,
    /// The connection's end.
    Ends,
    /// Another protocol.
    Switches(Box<Tunnel>),
}

/// Serves one client to the end of its connection.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Stream, peer: SocketAddr, listener: Arc<Listener>) {
    let mut text = Vec::with_capacity(MAX_IP);
    digits::ip(&mut text, peer.ip().to_canonical());
    let mut connection = Connection {
        trusted: contains(&worker.terms.trusted, peer.ip()),
        client: peer.ip(),
        peer: text.into(),
        reading: worker.deadlines.register(),
        writing: worker.deadlines.register(),
        served: Cell::new(false),
        begun: Cell::new(false),
        worker,
        listener,
        stream,
    };
    // In boxes, against the law: what a request or a tunnel needs is several times what an idle connection does, and most are idle.
    while connection.wait().await {
        match Box::pin(connection.work()).await {
            Worked::Waits => {}
            Worked::Ends => break,
            Worked::Switches(tunnel) => {
                let Connection { worker, stream, .. } = &mut connection;
                return Box::pin(tunnel.carry(worker, stream)).await;
            }
        }
    }
    connection.end().await;
}

impl Connection {
    /// Waits for the first byte of a request. False when the connection should end.
    async fn wait(&mut self) -> bool {
        if self.worker.draining.get() && self.served.get() {
            return false;
        }
        // A client that has connected and says nothing gets the head's time; one that was served may idle.
        let patience = if self.served.get() { self.worker.limits.idle_timeout_ms } else { self.worker.limits.head_timeout_ms };
        self.reading.set_idle(patience);
        let readable = self.reading.guard(poll_fn(|context| self.stream.poll_ready_to_read(context))).await;
        self.reading.clear();
        matches!(readable, Ok(Ok(())))
    }

    /// Serves what has come.
    async fn work(&mut self) -> Worked {
        let mut desk = self.worker.desks.take();
        let worked = loop {
            match self.next(&mut desk.request).await {
                Next::Head(length) => match exchange::run(self, &mut desk, length).await {
                    Turn::Next => self.served.set(true),
                    Turn::Switch(tunnel) => break Worked::Switches(tunnel),
                    Turn::End => break Worked::Ends,
                    Turn::Linger => {
                        Box::pin(self.linger()).await;
                        break Worked::Ends;
                    }
                    Turn::Cut => {
                        self.begun.set(true);
                        break Worked::Ends;
                    }
                },
                Next::Nothing => break Worked::Waits,
                Next::End => break Worked::Ends,
                Next::Refuse(reason, why) => {
                    respond::refuse_head(self, &mut desk.answer.out, reason, why).await;
                    Box::pin(self.linger()).await;
                    break Worked::Ends;
                }
            }
            if desk.request.input.is_empty() {
                break Worked::Waits;
            }
        };
        self.worker.desks.give(desk);
        worked
    }

    /// Reads until a head is whole.
    async fn next(&mut self, request: &mut Message<RequestHead>) -> Next {
        let Message { input, head, .. } = request;
        if input.is_empty() {
            match at_once(input.read(&mut self.stream)).await {
                None => return Next::Nothing,
                Some(Ok(0) | Err(_)) => return Next::End,
                Some(Ok(_)) => {}
            }
        }
        self.reading.set(self.worker.limits.head_timeout_ms);
        let next = loop {
            match head.read(input.filled()) {
                Ok(Some(length)) => break Next::Head(length),
                Ok(None) => {}
                Err(error) if error.status() == 431 => break Next::Refuse(Reason::HeadTooLarge, Some(error)),
                Err(error) => break Next::Refuse(Reason::BadRequest, Some(error)),
            }
            if input.is_full() {
                // The reader refuses a head above its limit, so this grows to the limit and a byte at most.
                input.grow((input.size() * 4).min(self.worker.limits.head_bytes + 1).max(input.size() + 1));
            }
            match self.reading.guard(input.read(&mut self.stream)).await {
                Ok(Ok(0) | Err(_)) => break Next::End,
                Ok(Ok(_)) => {}
                Err(_) => break Next::Refuse(Reason::TimeoutDownstream, None),
            }
        };
        self.reading.clear();
        next
    }

    /// Says that nothing more comes, where the end of the connection alone does not say it: in TLS. After a half answer it is not said.
    async fn end(&mut self) {
        if self.stream.tls().is_some() && !self.begun.get() {
            self.writing.set(LINGER_MS);
            let _ = self.writing.guard(Box::pin(self.stream.shutdown())).await; // whoever is gone need not hear it
        }
    }

    /// Ends a connection that may still be sending: says that nothing more comes, then reads what does.
    async fn linger(&mut self) {
        self.reading.set(LINGER_MS);
        if !matches!(self.reading.guard(self.stream.shutdown()).await, Ok(Ok(()))) {
            return;
        }
        let mut sink = self.worker.buffers.take();
        let mut left = LINGER_BYTES;
        while let Ok(Ok(count)) = self.reading.guard(sink.read(&mut self.stream)).await {
            sink.clear();
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                break;
            }
        }
        self.worker.buffers.give(sink);
    }
}

/// What `work` gives without waiting, if anything.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
