//! One client's HTTP/2 connection: its streams become requests, each on its own.
//!
//! Invariant: what one connection can hold or ask for is bounded: streams, bytes in windows, fields, and requests that are begun only to
//! be broken off. A connection that drains, idles or misbehaves is told with GOAWAY, and what it has begun may end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::server::{Builder, Connection};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gathered::Gathered;
use super::reply;
use crate::deadline::Deadline;
use crate::http::caller::Caller;
use crate::stream::Stream;
use crate::upstream::{self, Patience};
use crate::worker::Worker;

/// What a client that speaks HTTP/2 says first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most requests of one connection at a time.
const MAX_STREAMS: u32 = 128;
/// Bytes of one request's body that may be under way, and of all of a connection's.
pub(super) const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one answer that wait for the connection.
pub(super) const SEND_BUFFER: usize = 128 * 1024;
/// A client may break off so many requests for nothing; more than that only as a part of those that it let end (CVE-2023-44487).
const BROKEN_OFF: u32 = 100;
/// How long a client that was told to go may take to say that it heard.
const LEAVE_MS: u64 = 5_000;

/// A client's connection.
pub(super) struct Client {
    pub(super) caller: Rc<Caller>,
    /// Wakes the connection: it idled, drains, or was misused.
    patience: Deadline,
    open: Cell<u32>,
    ended: Cell<u32>,
    broken_off: Cell<u32>,
    leaving: Cell<bool>,
}

impl Client {
    /// Nothing is open: it may idle for a while.
    fn rest(&self) {
        let worker = &self.caller.worker;
        if self.leaving.get() {
            self.patience.set(LEAVE_MS);
        } else if !worker.draining.get() {
            self.patience.set_idle(worker.limits.idle_timeout_ms);
        }
    }

    /// It breaks off what it asks for, again and again.
    fn misuses(&self) -> bool {
        self.broken_off.get() > BROKEN_OFF && self.broken_off.get() > self.ended.get()
    }
}

/// One request of a connection is open as long as this lives.
pub(super) struct OpenStream {
    pub(super) client: Rc<Client>,
    /// It was answered whole, or refused.
    pub(super) ended: Cell<bool>,
}

impl OpenStream {
    fn new(client: &Rc<Client>) -> OpenStream {
        client.open.set(client.open.get() + 1);
        if !client.leaving.get() {
            client.patience.set_idle(u64::MAX); // never, but it is told when the worker drains
        }
        OpenStream { client: client.clone(), ended: Cell::new(false) }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let count = if self.ended.get() { &self.client.ended } else { &self.client.broken_off };
        count.set(count.get().saturating_add(1));
        self.client.open.set(self.client.open.get() - 1);
        if self.client.misuses() {
            self.client.patience.expire();
        } else if self.client.open.get() == 0 {
            self.client.rest();
        }
    }
}

/// Serves one client to the end of its connection. `early` was read from the stream already.
pub(crate) async fn serve(caller: Caller, stream: &mut Stream, early: Bytes) {
    let caller = Rc::new(caller);
    let worker = caller.worker.clone();
    let client = Rc::new(Client {
        caller: caller.clone(),
        patience: worker.deadlines.register(),
        open: Cell::new(0),
        ended: Cell::new(0),
        broken_off: Cell::new(0),
        leaving: Cell::new(false),
    });
    // A client that vanished must not hold its streams.
    let vanished = Patience::of(&worker.limits).vanished;
    if stream.on_socket(|socket| upstream::watch(socket, vanished)).is_err() {
        return;
    }
    client.patience.set_idle(worker.limits.head_timeout_ms);
    let io = Gathered::new(&worker.buffers, Rewound { early, stream });
    let mut connection = match client.patience.guard(io.drive(builder(&worker).handshake(io.clone()))).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(peer = %caller.client, %error, "no HTTP/2 connection"),
        Err(_) => return, // it said nothing, and need not be told
    };
    loop {
        let accepting = io.drive(poll_fn(|context| accept(&client, &mut connection, context)));
        match client.patience.guard(accepting).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => return tracing::debug!(peer = %caller.client, %error, "an HTTP/2 connection ended"),
            Err(_) if client.misuses() => return tracing::debug!(peer = %caller.client, "an HTTP/2 connection broke off too many requests"),
            Err(_) if client.leaving.get() && client.open.get() == 0 => return,
            Err(_) => {
                client.leaving.set(true);
                connection.graceful_shutdown();
                if client.open.get() == 0 { client.rest() } else { client.patience.set(u64::MAX) }
            }
        }
    }
}

/// Moves what the connection reads and writes, and begins what it asks for, until it ends.
fn accept(
    client: &Rc<Client>,
    connection: &mut Connection<Gathered<Rewound<'_>>, Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while let Some(accepted) = ready!(connection.poll_accept(context)) {
        let (request, respond) = accepted?;
        // In a box: the runtime moves what it is given several times, and this is large.
        tokio::task::spawn_local(Box::pin(reply::run(OpenStream::new(client), request, respond)));
    }
    Poll::Ready(Ok(()))
}

fn builder(worker: &Worker) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(worker.limits.head_bytes).unwrap_or(u32::MAX))
        .enable_connect_protocol();
    builder
}

/// A stream of which something was read already.
struct Rewound<'s> {
    early: Bytes,
    stream: &'s mut Stream,
}

impl AsyncRead for Rewound<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut *self.stream).poll_read(context, into);
        }
        let count = self.early.len().min(into.remaining());
        into.put_slice(&self.early.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}
