//! The answer's way back: head, body, trailers, while the rest of a request's body goes up.
//!
//! Invariant: a side is read only after what it sent before was written to the other, so that a slow reader never grows memory. An
//! answer that stops in its middle cuts the client's connection; it is never made to look whole.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::body::BodyReader;
use super::exchange::Exchange;
use super::head::{Framing, Method, ResponseHead};
use super::serve::Connection;
use super::write::{ResponseForm, write_response};
use crate::buffer::{Buffer, Buffers, LARGEST};
use crate::clock::now_us;
use crate::deadline::Deadline;

/// An answer that the client got whole.
pub(super) struct Relayed {
    /// Its status.
    pub(super) status: u16,
    /// When its head was read, in microseconds since the start of the process.
    pub(super) head_us: u64,
    /// Bytes written to the client.
    pub(super) bytes: u64,
    /// The replica's connection can serve again.
    pub(super) reusable: bool,
    /// The client's connection can.
    pub(super) keep: bool,
    /// All of the request was sent up.
    pub(super) uploaded: bool,
    /// What was read after a streamed request body, instead of the connection's input.
    pub(super) rest: Option<Buffer>,
}

/// Why a client did not get a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The replica closed or reset before a byte of an answer.
    NoAnswer,
    /// What it sent is no response, and the client has seen nothing of it.
    BadAnswer,
    /// It stopped in the middle.
    CutUpstream,
    /// The request's body is not framed as it says; the client has seen nothing yet.
    BadBody,
    /// The request's body stopped moving; the client has seen nothing yet.
    SlowBody,
    /// The client closed, or stopped reading, or spoiled its body in the middle of the answer.
    ClientGone,
}

/// What ended an upload.
enum Upload {
    Done,
    /// The replica takes no more; it may still answer.
    UpstreamClosed,
    Failed(Failure),
}

/// What the way down needs.
struct Down<'c> {
    buffers: &'c Buffers,
    writing: &'c Deadline,
    patience_ms: u64,
    method: Method,
    client_11: bool,
    may_go_on: bool,
    /// A part of the request's body has yet to be written to the replica.
    uploading: Cell<bool>,
    /// The replica has said something, be it a 1xx.
    heard: Cell<bool>,
    head_bytes: usize,
    /// The client has seen a part of the final answer.
    begun: &'c Cell<bool>,
}

/// Relays one answer.
pub(super) async fn relay(connection: &mut Connection, exchange: &mut Exchange, upstream: &mut TcpStream) -> Result<Relayed, Failure> {
    let uploads = exchange.uploads();
    // A request that is still coming up can end well, so it does not keep the connection from going on by itself.
    let may_go_on = connection.head.keep_alive() && !connection.worker.draining.get();
    let worker = connection.worker.clone();
    let down = Down {
        buffers: &worker.buffers,
        writing: &connection.writing,
        patience_ms: worker.limits.idle_timeout_ms,
        method: connection.head.method(),
        client_11: connection.head.version_11(),
        may_go_on,
        uploading: Cell::new(uploads),
        heard: Cell::new(false),
        head_bytes: worker.limits.head_bytes,
        begun: &connection.begun,
    };
    let (client_read, client_write) = connection.stream.split();
    let (upstream_read, upstream_write) = upstream.split();
    if !uploads {
        return down.run(&mut connection.answer, upstream_read, client_write).await;
    }
    let mut rest = worker.buffers.take();
    let up = upload(client_read, upstream_write, &mut exchange.body, &mut rest, &connection.reading, worker.limits.idle_timeout_ms);
    let relayed = both(up, down.run(&mut connection.answer, upstream_read, client_write), &down).await;
    connection.reading.clear();
    relayed.map(|relayed| Relayed { rest: Some(rest), ..relayed })
}

/// Runs both ways at once, until the answer is whole or one of them fails.
async fn both(
    up: impl Future<Output = Upload>,
    down: impl Future<Output = Result<Relayed, Failure>>,
    state: &Down<'_>,
) -> Result<Relayed, Failure> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let mut uploading = true;
    poll_fn(|context| {
        if uploading {
            match up.as_mut().poll(context) {
                Poll::Ready(Upload::Failed(_)) if state.begun.get() => return Poll::Ready(Err(Failure::ClientGone)),
                Poll::Ready(Upload::Failed(failure)) => return Poll::Ready(Err(failure)),
                Poll::Ready(Upload::Done) => {
                    uploading = false;
                    state.uploading.set(false);
                }
                // What was not written stays unwritten: neither connection can go on after the answer.
                Poll::Ready(Upload::UpstreamClosed) => uploading = false,
                Poll::Pending => {}
            }
        }
        down.as_mut().poll(context)
    })
    .await
}

/// Carries the rest of a request's body up. What was read after it stays in `buffer`.
async fn upload(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    body: &mut BodyReader,
    buffer: &mut Buffer,
    reading: &Deadline,
    patience_ms: u64,
) -> Upload {
    loop {
        reading.set(patience_ms);
        match reading.guard(from.read(buffer.room())).await {
            Err(_) => return Upload::Failed(Failure::SlowBody),
            Ok(Ok(0) | Err(_)) => return Upload::Failed(Failure::ClientGone),
            Ok(Ok(count)) => buffer.read(count),
        }
        reading.clear(); // while the replica is slow, the client is not to blame
        let Ok(count) = body.advance(buffer.filled()) else { return Upload::Failed(Failure::BadBody) };
        if to.write_all(&buffer.filled()[..count]).await.is_err() {
            return Upload::UpstreamClosed;
        }
        buffer.consume(count);
        if body.done() {
            return Upload::Done;
        }
    }
}

impl Down<'_> {
    async fn run(&self, head: &mut ResponseHead, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<Relayed, Failure> {
        let mut buffer = self.buffers.take();
        let mut out = self.buffers.take_out();
        let relayed = self.answer(head, &mut from, &mut to, &mut buffer, &mut out).await;
        self.buffers.give(buffer);
        self.buffers.give_out(out);
        relayed
    }

    async fn answer(
        &self,
        head: &mut ResponseHead,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<Relayed, Failure> {
        let length = loop {
            let length = self.read_head(from, head, buffer).await?;
            self.heard.set(true);
            match head.status() {
                101 => return Err(self.bad()), // no upgrade was asked for
                100..=199 => self.interim(head, to, buffer, length, out).await?,
                _ => break length,
            }
        };
        let head_us = now_us();
        let framing = head.framing();
        // An HTTP/1.0 client knows no chunks: it gets the plain bytes, and the end of the connection ends them.
        let decode = framing == Framing::Chunked && !self.client_11;
        let keep = self.may_go_on && framing != Framing::UntilClose && !decode && !self.uploading.get();
        out.clear();
        write_response(
            head,
            &buffer.filled()[..length],
            ResponseForm { keep_alive: keep, client_11: self.client_11, decoded: decode },
            out,
        );
        buffer.consume(length);
        let mut body = BodyReader::new(framing);
        self.begun.set(true);
        let bytes = self.body(from, to, &mut body, decode, buffer, out).await?;
        let uploaded = !self.uploading.get();
        let reusable = head.keep_alive() && framing != Framing::UntilClose && buffer.is_empty() && uploaded;
        Ok(Relayed { status: head.status(), head_us, bytes, reusable, keep, uploaded, rest: None })
    }

    async fn read_head(&self, from: &mut ReadHalf<'_>, head: &mut ResponseHead, buffer: &mut Buffer) -> Result<usize, Failure> {
        loop {
            if !buffer.is_empty() {
                match head.read(buffer.filled(), self.method) {
                    Ok(Some(length)) => return Ok(length),
                    Ok(None) => {}
                    Err(_) => return Err(self.bad()),
                }
            }
            if buffer.room().is_empty() {
                buffer.grow((buffer.size() * 4).min(self.head_bytes + 1).max(buffer.size() + 1));
            }
            match from.read(buffer.room()).await {
                Ok(0) | Err(_) if buffer.is_empty() && !self.heard.get() => return Err(Failure::NoAnswer),
                Ok(0) | Err(_) => return Err(self.bad()),
                Ok(count) => buffer.read(count),
            }
        }
    }

    /// A 1xx answer: passed on, unless the client's version knows none (RFC 9110 section 15.2).
    async fn interim(
        &self,
        head: &ResponseHead,
        to: &mut WriteHalf<'_>,
        buffer: &mut Buffer,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.client_11 {
            out.clear();
            write_response(head, &buffer.filled()[..length], ResponseForm { keep_alive: true, client_11: true, decoded: false }, out);
            self.write(to, out).await?;
        }
        buffer.consume(length);
        Ok(())
    }

    /// Streams the body; `out` already holds the head. Returns the bytes written.
    async fn body(
        &self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        body: &mut BodyReader,
        decode: bool,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let mut bytes = 0;
        loop {
            let filled = buffer.filled();
            let count = if decode { body.advance_decoded(filled, out) } else { body.advance(filled) };
            let Ok(count) = count else {
                return Err(self.bad());
            };
            // The head and the first piece leave in one write; later pieces go as they lie in the buffer.
            if !decode && out.is_empty() {
                self.write(to, &filled[..count]).await?;
                bytes += count as u64;
            } else {
                if !decode {
                    out.extend_from_slice(&filled[..count]);
                }
                self.write(to, out).await?;
                bytes += out.len() as u64;
                out.clear();
            }
            let full = count == buffer.size();
            buffer.consume(count);
            if body.done() {
                return Ok(bytes);
            }
            if full {
                buffer.grow((buffer.size() * 4).min(LARGEST));
            }
            match from.read(buffer.room()).await {
                Ok(0) => return body.eof().map(|()| bytes).map_err(|_| Failure::CutUpstream),
                Ok(count) => buffer.read(count),
                Err(_) => return Err(Failure::CutUpstream),
            }
        }
    }

    /// Writes to the client; one that takes nothing for too long is given up.
    async fn write(&self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<(), Failure> {
        let mut left = bytes;
        while !left.is_empty() {
            self.writing.set(self.patience_ms);
            match self.writing.guard(to.write(left)).await {
                Ok(Ok(count)) if count > 0 => left = &left[count..],
                _ => return Err(Failure::ClientGone),
            }
        }
        self.writing.clear();
        Ok(())
    }

    /// The replica broke the protocol: 502 if the client has seen nothing, a cut if it has.
    fn bad(&self) -> Failure {
        if self.begun.get() { Failure::CutUpstream } else { Failure::BadAnswer }
    }
}
