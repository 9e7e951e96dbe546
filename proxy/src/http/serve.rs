//! One client connection: heads in, one exchange after the other, to the end.
//!
//! Invariant: bytes are judged before any upstream is touched; what cannot be answered in good order ends the connection. An idle
//! connection holds no buffer. See `exchange.rs` for one request.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::exchange::{self, Turn};
use super::head::{HeadError, HeadLimits, RequestHead, ResponseHead};
use super::respond;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::listener::{Listener, contains};
use crate::reason::Reason;
use crate::worker::Worker;

/// After a refusal, what the client still sends is read and dropped for this long, so that the answer is not lost to a reset.
const LINGER_MS: u64 = 1_000;
/// And this much of it at most, in bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) peer: SocketAddr,
    /// The peer's forwarding headers are believed.
    pub(crate) trusted: bool,
    pub(crate) stream: TcpStream,
    /// Bytes read and not consumed: the head, then what followed it.
    pub(crate) input: Buffer,
    pub(crate) head: RequestHead,
    /// Reads the heads of answers; here so that it is made once.
    pub(crate) answer: ResponseHead,
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
            crate::tcp::reset(&self.stream);
        }
    }
}

/// What the client sent next.
enum Next {
    /// A whole head of this many bytes.
    Head(usize),
    /// Nothing more, or nothing that wants an answer.
    End,
    /// Something that is refused.
    Refuse(Reason, Option<HeadError>),
}

/// Serves one client to the end of its connection.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, listener: Arc<Listener>) {
    let limits = HeadLimits { bytes: worker.limits.head_bytes, fields: worker.limits.headers };
    let mut connection = Connection {
        trusted: contains(&worker.shared.trusted, peer.ip()),
        reading: worker.deadlines.register(),
        writing: worker.deadlines.register(),
        input: Buffer::default(),
        head: RequestHead::new(limits),
        answer: ResponseHead::new(limits),
        served: Cell::new(false),
        begun: Cell::new(false),
        worker,
        listener,
        peer,
        stream,
    };
    loop {
        match connection.next().await {
            Next::Head(length) => match exchange::run(&mut connection, length).await {
                Turn::Next => connection.served.set(true),
                Turn::End => break,
                Turn::Linger => return connection.linger().await,
                Turn::Cut => return connection.begun.set(true),
            },
            Next::End => break,
            Next::Refuse(reason, why) => {
                respond::refuse_head(&mut connection, reason, why).await;
                return connection.linger().await;
            }
        }
    }
    let input = std::mem::take(&mut connection.input);
    connection.worker.buffers.give(input);
}

impl Connection {
    /// Reads until a head is whole.
    async fn next(&mut self) -> Next {
        if self.input.is_empty() && !self.wait().await {
            return Next::End;
        }
        self.reading.set(self.worker.limits.head_timeout_ms);
        let next = loop {
            match self.head.read(self.input.filled()) {
                Ok(Some(length)) => break Next::Head(length),
                Ok(None) => {}
                Err(error) if error.status() == 431 => break Next::Refuse(Reason::HeadTooLarge, Some(error)),
                Err(error) => break Next::Refuse(Reason::BadRequest, Some(error)),
            }
            if self.input.room().is_empty() {
                // The reader refuses a head above its limit, so this grows to the limit and a byte at most.
                self.input.grow((self.input.size() * 4).min(self.worker.limits.head_bytes + 1).max(self.input.size() + 1));
            }
            let silent = self.input.is_empty();
            if silent {
                // The runtime calls a new connection readable before anything came.
                self.reading.set_idle(self.worker.limits.head_timeout_ms);
            }
            match self.reading.guard(self.stream.read(self.input.room())).await {
                Ok(Ok(0) | Err(_)) => break Next::End,
                Ok(Ok(count)) => self.input.read(count),
                Err(_) if silent => break Next::End,
                Err(_) => break Next::Refuse(Reason::TimeoutDownstream, None),
            }
            if silent {
                self.reading.set(self.worker.limits.head_timeout_ms);
            }
        };
        self.reading.clear();
        next
    }

    /// Waits for the first byte of a request without holding a buffer. False when the connection should end.
    async fn wait(&mut self) -> bool {
        self.worker.buffers.give(std::mem::take(&mut self.input));
        if self.worker.draining.get() && self.served.get() {
            return false;
        }
        // A client that has connected and says nothing gets the head's time; one that was served may idle.
        let patience = if self.served.get() { self.worker.limits.idle_timeout_ms } else { self.worker.limits.head_timeout_ms };
        self.reading.set_idle(patience);
        let readable = self.reading.guard(self.stream.readable()).await;
        self.reading.clear();
        self.input = self.worker.buffers.take();
        matches!(readable, Ok(Ok(())))
    }

    /// Ends a connection that may still be sending: says that nothing more comes, then reads what does.
    async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        self.reading.set(LINGER_MS);
        let mut sink = self.worker.buffers.take();
        let mut left = LINGER_BYTES;
        while let Ok(Ok(count)) = self.reading.guard(self.stream.read(sink.room())).await {
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                break;
            }
        }
        self.worker.buffers.give(sink);
    }
}
