//! The way down: heads that are not the last, the answer's head, its body and its trailers, to a client of HTTP/1.
//!
//! Invariant: a side is read only after what it sent before was written to the other.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use super::{Again, Failure, Heard, Relayed, pipe_for};
use crate::buffer::{Buffer, LARGEST};
use crate::clock::now_us;
use crate::deadline::Deadline;
use crate::filter::FieldEdits;
use crate::http::body::BodyReader;
use crate::http::desk::Message;
use crate::http::head::{Framing, Method, ResponseHead};
use crate::http::write::{ResponseForm, write_response};
use crate::splice::Pipe;
use crate::stream::WriteSide;
use crate::worker::Worker;

/// What the way down needs.
pub(super) struct Down<'c> {
    pub(super) worker: &'c Worker,
    pub(super) writing: &'c Deadline,
    pub(super) method: Method,
    pub(super) client_11: bool,
    pub(super) may_go_on: bool,
    /// The protocol that the client asked to go on with.
    pub(super) upgrade: Option<&'c [u8]>,
    /// A part of the request's body has yet to be written to the replica.
    pub(super) uploading: Cell<bool>,
    /// The replica has said something, be it a 1xx.
    pub(super) heard: Cell<bool>,
    /// Bytes that the client took.
    pub(super) written: Cell<u64>,
    /// The client has seen a part of the final answer.
    pub(super) begun: &'c Cell<bool>,
    /// What filters make of the answer's fields.
    pub(super) edits: Option<&'c FieldEdits<'c>>,
    /// How long the replica may say nothing, in milliseconds, once it has all of the request.
    pub(super) patience: Option<(&'c Deadline, u64)>,
    pub(super) again: Again<'c>,
    pub(super) answered: Heard<'c>,
}

impl Down<'_> {
    pub(super) async fn run(
        &self,
        answer: &mut Message<ResponseHead>,
        mut from: ReadHalf<'_>,
        mut to: WriteSide<'_>,
    ) -> Result<Relayed, Failure> {
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
