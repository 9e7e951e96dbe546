//! The answer's way back: head, body, trailers, while the rest of a request's body goes up.
//!
//! Invariant: a side is read only after what it sent before was written to the other, so that a slow reader never grows memory. An
//! answer that stops in its middle cuts the client's connection; it is never made to look whole.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use config::filter::RetryOn;
use registry::filter::Filters;
use registry::route::Route;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::asked;
use super::body::{BodyError, BodyReader};
use super::desk::{Desk, Message};
use super::exchange::Exchange;
use super::head::{Framing, Method, ResponseHead};
use super::serve::Connection;
use super::write::{ResponseForm, write_response};
use crate::buffer::{Buffer, LARGEST};
use crate::clock::now_us;
use crate::deadline::Deadline;
use crate::filter::FieldEdits;
use crate::splice::{Pipe, WORTH};
use crate::stream::{ReadSide, WriteSide};
use crate::upstream;
use crate::worker::Worker;

/// How long a client that has closed its side may take nothing before it is taken for gone.
const HALF_CLOSED_MS: u64 = 1_000;

/// An answer that the client got whole.
pub(super) struct Relayed {
    /// Its status.
    pub(super) status: u16,
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

impl Relayed {
    /// Another protocol is spoken from here on: what is left in the answer's input belongs to it.
    pub(super) fn switched(&self) -> bool {
        self.status == 101
    }
}

/// Why a client did not get a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The replica closed or reset before a byte of an answer.
    NoAnswer,
    /// Its machine acknowledged nothing more, before a byte of an answer.
    Vanished,
    /// What it sent is no response, and the client has seen nothing of it.
    BadAnswer,
    /// It stopped in the middle.
    CutUpstream,
    /// It said nothing for longer than the route waits.
    SlowUpstream,
    /// The request's body is not framed as it says; the client has seen nothing yet.
    BadBody,
    /// The request's body is larger than the route takes; the client has seen nothing yet.
    LargeBody,
    /// The request's body stopped moving; the client has seen nothing yet.
    SlowBody,
    /// The client closed, or stopped reading, or spoiled its body in the middle of the answer.
    ClientGone,
    /// It has a status after which the route wants the request to be sent again; the client has seen nothing of it.
    Unwanted,
    /// The request is to be sent again; the client has seen nothing.
    Again,
}

impl Failure {
    /// A connection broke so before a byte of an answer.
    pub(crate) fn unanswered(error: &io::Error) -> Failure {
        if upstream::is_vanished(error) { Failure::Vanished } else { Failure::NoAnswer }
    }
}

/// When the answer is not the client's, since the request can be sent again.
pub(super) struct Again<'a> {
    /// After answers of these statuses.
    pub(super) statuses: RetryOn,
    /// The answer's head may take so many milliseconds.
    pub(super) within_ms: Option<u64>,
    /// Takes one repetition out of the service's budget.
    pub(super) budget: &'a dyn Fn() -> bool,
}

/// Is told the status of the answer and when its head was here, in microseconds since the start of the process: at once, since the rest may
/// take for ever, or never come.
pub(super) type Heard<'a> = &'a dyn Fn(u16, u64);

/// What ended an upload.
enum Upload {
    Done,
    /// The replica takes no more; it may still answer.
    UpstreamClosed,
    Failed(Failure),
}

/// What the way down needs.
struct Down<'c> {
    worker: &'c Worker,
    writing: &'c Deadline,
    method: Method,
    client_11: bool,
    may_go_on: bool,
    /// The protocol that the client asked to go on with.
    upgrade: Option<&'c [u8]>,
    /// A part of the request's body has yet to be written to the replica.
    uploading: Cell<bool>,
    /// The replica has said something, be it a 1xx.
    heard: Cell<bool>,
    /// Bytes that the client took.
    written: Cell<u64>,
    /// The client has seen a part of the final answer.
    begun: &'c Cell<bool>,
    /// What filters make of the answer's fields.
    edits: Option<&'c FieldEdits<'c>>,
    /// How long the replica may say nothing, in milliseconds, once it has all of the request.
    patience: Option<(&'c Deadline, u64)>,
    again: Again<'c>,
    answered: Heard<'c>,
}

/// Relays one answer, by the route that let its request through and its filters.
pub(super) async fn relay(
    connection: &mut Connection,
    desk: &mut Desk,
    exchange: &mut Exchange,
    upstream: &mut TcpStream,
    by: Option<(&Arc<Route>, &Filters)>,
    (again, answered): (Again<'_>, Heard<'_>),
) -> Result<Relayed, Failure> {
    let edits = by.map(|(route, filters)| asked::down(connection, &desk.request, (route, filters), exchange.mark));
    let read_ms = by.and_then(|(_, filters)| filters.timeouts.read_ms);
    let patience = read_ms.map(|ms| (connection.caller.worker.deadlines.register(), ms));
    let Desk { request, answer, .. } = desk;
    let asked = &request.head;
    let uploads = exchange.uploads();
    // A request that is still coming up can end well, so it does not keep the connection from going on by itself.
    let may_go_on = asked.keep_alive() && !connection.caller.worker.draining.get();
    let worker = connection.caller.worker.clone();
    let down = Down {
        worker: &worker,
        writing: &connection.writing,
        method: asked.method(),
        client_11: asked.version_11(),
        may_go_on,
        upgrade: asked.upgrade(request.input.filled()).map(|protocol| protocol.of(request.input.filled())),
        uploading: Cell::new(uploads),
        heard: Cell::new(false),
        written: Cell::new(0),
        begun: &connection.begun,
        edits: edits.as_ref(),
        patience: patience.as_ref().map(|(deadline, ms)| (deadline, *ms)),
        again,
        answered,
    };
    let (mut client_read, client_write) = connection.stream.split();
    let (upstream_read, upstream_write) = upstream.split();
    let (reading, begun) = (&connection.reading, &connection.begun);
    let mut rest = uploads.then(|| worker.buffers.take());
    let client = async {
        if let Some(rest) = &mut rest {
            match Box::pin(upload(&worker, &mut client_read, upstream_write, &mut exchange.body, rest, reading)).await {
                Upload::Done => down.uploading.set(false),
                // What was not written stays unwritten: neither connection can go on after the answer.
                Upload::UpstreamClosed => {}
                Upload::Failed(failure) => return failure,
            }
        }
        gone(&mut client_read, reading, &down.written).await;
        Failure::ClientGone
    };
    let relayed = {
        // Pinned where they are: moving them costs more than the rest of this function.
        let (mut client, mut answer) = (pin!(client), pin!(down.run(answer, upstream_read, client_write)));
        let both = poll_fn(|context| {
            // The way up goes first as long as there is one, so that an answer knows whether all of the request was sent.
            let first = down.uploading.get();
            if first && let Poll::Ready(failure) = client.as_mut().poll(context) {
                return Poll::Ready(Err(failure));
            }
            let polled = match answer.as_mut().poll(context) {
                Poll::Pending if !first => client.as_mut().poll(context).map(Err),
                polled => polled,
            };
            if polled.is_ready() {
                return polled;
            }
            // The replica has left, and the time for what was under way is over.
            reading.poll_cut(context).map(|()| Err(if begun.get() { Failure::CutUpstream } else { Failure::NoAnswer }))
        });
        both.await
    };
    connection.reading.clear();
    match relayed {
        Err(Failure::BadBody | Failure::LargeBody | Failure::SlowBody) if connection.begun.get() => Err(Failure::ClientGone),
        relayed => relayed.map(|relayed| Relayed { rest, ..relayed }),
    }
}

/// Ends when the client has: at once when it resets; when it closed its side, once it took nothing for [`HALF_CLOSED_MS`], since it may
/// still be reading. Never when it has sent more.
pub(super) async fn gone(from: &mut ReadSide<'_>, patience: &Deadline, written: &Cell<u64>) {
    match from.more().await {
        Ok(false) => {}
        Ok(true) => pending().await,
        Err(_) => return,
    }
    loop {
        let before = written.get();
        patience.set(HALF_CLOSED_MS);
        let _ = patience.guard(pending::<()>()).await;
        if written.get() == before {
            return;
        }
    }
}

/// Carries the rest of a request's body up. What was read after it stays in `buffer`.
async fn upload(
    worker: &Worker,
    from: &mut ReadSide<'_>,
    mut to: WriteHalf<'_>,
    body: &mut BodyReader,
    buffer: &mut Buffer,
    reading: &Deadline,
) -> Upload {
    while !body.done() {
        if let Some(socket) = from.plain()
            && let Some((mut pipe, left)) = pipe_for(worker, body)
        {
            reading.set(worker.limits.idle_timeout_ms);
            match reading.guard(pipe.fill(socket, left)).await {
                Err(_) => return Upload::Failed(Failure::SlowBody),
                Ok(Ok(0) | Err(_)) => return Upload::Failed(Failure::ClientGone),
                Ok(Ok(count)) => body.passed(count as u64),
            }
            reading.clear(); // while the replica is slow, the client is not to blame
            while pipe.held() > 0 {
                if pipe.drain(to.as_ref()).await.is_err() {
                    return Upload::UpstreamClosed;
                }
            }
            continue;
        }
        reading.set(worker.limits.idle_timeout_ms);
        match reading.guard(buffer.read(from)).await {
            Err(_) => return Upload::Failed(Failure::SlowBody),
            Ok(Ok(0) | Err(_)) => return Upload::Failed(Failure::ClientGone),
            Ok(Ok(_)) => {}
        }
        reading.clear();
        let count = match body.advance(buffer.filled()) {
            Ok(count) => count,
            Err(BodyError::TooLarge) => return Upload::Failed(Failure::LargeBody),
            Err(_) => return Upload::Failed(Failure::BadBody),
        };
        if to.write_all(&buffer.filled()[..count]).await.is_err() {
            return Upload::UpstreamClosed;
        }
        buffer.consume(count);
    }
    Upload::Done
}

/// A pipe for a body of which so much is to come that it is worth one.
fn pipe_for<'w>(worker: &'w Worker, body: &BodyReader) -> Option<(Pipe<'w>, u64)> {
    let left = body.plain().filter(|&left| left >= WORTH as u64)?;
    Some((worker.pipes.lend()?, left))
}

impl Down<'_> {
    async fn run(&self, answer: &mut Message<ResponseHead>, mut from: ReadHalf<'_>, mut to: WriteSide<'_>) -> Result<Relayed, Failure> {
        let Message { input: buffer, head, out } = answer;
        buffer.clear();
        let length = match self.again.within_ms {
            None => self.final_head(head, buffer, out, &mut from, &mut to).await?,
            Some(ms) => {
                let deadline = self.worker.deadlines.register();
                deadline.set(ms);
                // Rare, and large.
                let in_time = deadline.guard(Box::pin(self.final_head(head, buffer, out, &mut from, &mut to))).await;
                in_time.unwrap_or(Err(Failure::SlowUpstream))?
            }
        };
        (self.answered)(head.status(), now_us());
        if self.again.statuses.status(head.status()) && (self.again.budget)() {
            return Err(Failure::Unwanted);
        }
        let framing = head.framing();
        // An HTTP/1.0 client knows no chunks: it gets the plain bytes, and the end of the connection ends them.
        let decode = framing == Framing::Chunked && !self.client_11;
        let switched = head.status() == 101;
        let keep = self.may_go_on && framing != Framing::UntilClose && !decode && !self.uploading.get() && !switched;
        self.write_head(head, &buffer.filled()[..length], (keep, decode), self.edits, out);
        buffer.consume(length);
        let mut body = BodyReader::new(framing);
        self.begun.set(true);
        self.body(&mut from, &mut to, &mut body, decode, buffer, out).await?;
        let uploaded = !self.uploading.get();
        let reusable = head.keep_alive() && framing != Framing::UntilClose && buffer.is_empty() && uploaded && !switched;
        Ok(Relayed { status: head.status(), bytes: self.written.get(), reusable, keep, uploaded, rest: None })
    }

    /// Reads up to the head that is not an interim one; gives its length.
    async fn final_head(
        &self,
        head: &mut ResponseHead,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteSide<'_>,
    ) -> Result<usize, Failure> {
        loop {
            let length = self.read_head(from, head, buffer).await?;
            self.heard.set(true);
            match head.status() {
                101 if self.switches(head, buffer.filled()) => return Ok(length),
                101 => return Err(self.bad()),
                100..=199 => self.interim(head, to, buffer, length, out).await?,
                _ => return Ok(length),
            }
        }
    }

    /// What the replica says next, if it does so in time. While it waits for the request itself, time does not count.
    async fn hear<T>(&self, next: impl Future<Output = T>) -> Result<T, Failure> {
        let Some((deadline, ms)) = self.patience else { return Ok(next.await) };
        let mut next = pin!(next);
        loop {
            deadline.set(ms);
            match deadline.guard(next.as_mut()).await {
                Ok(heard) => return Ok(heard),
                Err(_) if self.uploading.get() => {}
                Err(_) => return Err(Failure::SlowUpstream),
            }
        }
    }

    /// Whether this 101 is the answer to what was asked.
    fn switches(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let protocol = head.upgrade(bytes).map(|protocol| protocol.of(bytes));
        self.upgrade.zip(protocol).is_some_and(|(asked, protocol)| asked.eq_ignore_ascii_case(protocol))
    }

    fn write_head(
        &self,
        head: &ResponseHead,
        bytes: &[u8],
        (keep_alive, decoded): (bool, bool),
        edits: Option<&FieldEdits<'_>>,
        out: &mut Vec<u8>,
    ) {
        let date = self.worker.date.borrow();
        out.clear();
        write_response(head, bytes, ResponseForm { keep_alive, client_11: self.client_11, decoded, date: date.as_bytes(), edits }, out);
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
            if buffer.is_full() {
                buffer.grow((buffer.size() * 4).min(self.worker.limits.head_bytes + 1).max(buffer.size() + 1));
            }
            match self.hear(buffer.read(from)).await? {
                Err(error) if buffer.is_empty() && !self.heard.get() => return Err(Failure::unanswered(&error)),
                Ok(0) if buffer.is_empty() && !self.heard.get() => return Err(Failure::NoAnswer),
                Ok(0) | Err(_) => return Err(self.bad()),
                Ok(_) => {}
            }
        }
    }

    /// A 1xx answer: passed on, unless the client's version knows none (RFC 9110 section 15.2).
    async fn interim(
        &self,
        head: &ResponseHead,
        to: &mut WriteSide<'_>,
        buffer: &mut Buffer,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.client_11 {
            self.write_head(head, &buffer.filled()[..length], (true, false), None, out);
            self.write(to, out).await?;
        }
        buffer.consume(length);
        Ok(())
    }

    /// Streams the body; `out` already holds the head.
    async fn body(
        &self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteSide<'_>,
        body: &mut BodyReader,
        decode: bool,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        loop {
            let filled = buffer.filled();
            let count = if decode { body.advance_decoded(filled, out) } else { body.advance(filled) };
            let Ok(count) = count else {
                return Err(self.bad());
            };
            // The head and the first piece leave in one write; later pieces go as they lie in the buffer.
            if !decode && out.is_empty() {
                self.write(to, &filled[..count]).await?;
            } else {
                if !decode {
                    out.extend_from_slice(&filled[..count]);
                }
                self.write(to, out).await?;
                out.clear();
            }
            let full = count == buffer.size();
            buffer.consume(count);
            if body.done() {
                return Ok(());
            }
            if !decode
                && let Some(socket) = to.plain()
                && let Some((pipe, left)) = pipe_for(self.worker, body)
            {
                return Box::pin(self.splice(from.as_ref(), socket, pipe, left)).await;
            }
            if full {
                buffer.grow((buffer.size() * 4).min(LARGEST));
            }
            match self.hear(buffer.read(from)).await? {
                Ok(0) => return body.eof().map_err(|_| Failure::CutUpstream),
                Ok(_) => {}
                Err(_) => return Err(Failure::CutUpstream),
            }
        }
    }

    /// Streams the last `left` bytes of a body whose length is known.
    async fn splice(&self, from: &TcpStream, to: &TcpStream, mut pipe: Pipe<'_>, mut left: u64) -> Result<(), Failure> {
        while left > 0 {
            match self.hear(pipe.fill(from, left)).await? {
                Ok(0) | Err(_) => return Err(Failure::CutUpstream),
                Ok(count) => left -= count as u64,
            }
            while pipe.held() > 0 {
                self.writing.set(self.worker.limits.idle_timeout_ms);
                match self.writing.guard(pipe.drain(to)).await {
                    Ok(Ok(count)) if count > 0 => self.written.set(self.written.get() + count as u64),
                    _ => return Err(Failure::ClientGone),
                }
            }
            self.writing.clear();
        }
        Ok(())
    }

    /// Writes to the client; one that takes nothing for too long is given up.
    async fn write(&self, to: &mut WriteSide<'_>, bytes: &[u8]) -> Result<(), Failure> {
        let mut left = bytes;
        while !left.is_empty() {
            self.writing.set(self.worker.limits.idle_timeout_ms);
            match self.writing.guard(to.write(left)).await {
                Ok(Ok(count)) if count > 0 => {
                    self.written.set(self.written.get() + count as u64);
                    left = &left[count..];
                }
                _ => return Err(Failure::ClientGone),
            }
        }
        if to.plain().is_none() && !matches!(self.writing.guard(to.flush()).await, Ok(Ok(()))) {
            return Err(Failure::ClientGone);
        }
        self.writing.clear();
        Ok(())
    }

    /// The replica broke the protocol: 502 if the client has seen nothing, a cut if it has.
    fn bad(&self) -> Failure {
        if self.begun.get() { Failure::CutUpstream } else { Failure::BadAnswer }
    }
}
