//! A replica that speaks HTTP/1, asked for somebody who does not: the request's body up, the answer's head, then its body piece by piece.
//!
//! Invariant: as strict as between two sides of HTTP/1, by the same readers (`http/head.rs`, `http/body.rs`). A connection is used again
//! only after a whole answer to a whole request. Nothing is read before what came earlier was taken.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use registry::snapshot::ReplicaId;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::ask::{Broken, Limited};
use super::connect::{Agreed, Switch, WEBSOCKET};
use super::fields;
use super::link::Link;
use crate::buffer::Buffer;
use crate::clock::now_us;
use crate::deadline::Deadline;
use crate::digits;
use crate::http::body::BodyReader;
use crate::http::head::{Framing, Method, ResponseHead};
use crate::http::relay::Failure;
use crate::worker::Worker;

/// Most bytes of a body that are read, and handed on, in one piece.
const PIECE: u64 = 64 * 1024;

/// A conversation with a replica, from the written head of the request on.
pub(super) struct Talk {
    worker: Rc<Worker>,
    link: Link,
    input: Buffer,
    upload: Upload,
    /// It ends when the time of a replica that has left is over.
    leaves: Deadline,
}

/// Where the request's body is.
enum Upload {
    Going(Box<Going>),
    Done,
    /// The replica takes no more of it; it may still answer.
    Refused,
}

/// A body on its way up.
struct Going {
    ask: Limited,
    chunked: bool,
    /// Bytes to be written, from `at` on.
    out: Vec<u8>,
    at: usize,
    /// `out` holds the end.
    last: bool,
    /// For the client's next piece; set while it is waited for.
    patience: Deadline,
    waiting: bool,
}

/// An answer as far as it is here.
pub(super) struct Answered {
    /// Its head, as it came.
    pub(super) head: Bytes,
    /// What of the body was read with it.
    pub(super) begun: Bytes,
    /// The rest of it, if there is any.
    pub(super) rest: Option<Box<Rest>>,
    /// It is a 101: what follows is no HTTP.
    pub(super) agreed: Option<Agreed>,
}

/// The rest of an answer's body.
pub(super) struct Rest {
    talk: Option<Talk>,
    /// Lines of trailers that were read, and not yet handed on.
    trailers: Vec<u8>,
    body: BodyReader,
    chunked: bool,
    replica: ReplicaId,
    /// The replica keeps the connection open after it.
    keeps: bool,
}

impl Talk {
    /// On `link`, where the head was written; `ask` is still to be sent, in chunks or as it is.
    pub(super) fn new(worker: &Rc<Worker>, link: Link, replica: ReplicaId, ask: Option<(Limited, bool)>) -> Talk {
        let upload = ask.map_or(Upload::Done, |(ask, chunked)| {
            let patience = worker.deadlines.register();
            Upload::Going(Box::new(Going { ask, chunked, out: Vec::new(), at: 0, last: false, patience, waiting: false }))
        });
        let leaves = worker.deadlines.register();
        leaves.follow(Some(replica));
        Talk { worker: worker.clone(), link, input: worker.buffers.take(), upload, leaves }
    }

    /// Reads the head of the final answer to a request of method `to`, and what came with it. A 101 is one where the request asked to
    /// `switch` to what it says.
    pub(super) async fn answer(
        mut self,
        head: &mut ResponseHead,
        to: Method,
        replica: ReplicaId,
        switch: Option<&Switch>,
    ) -> Result<Answered, Failure> {
        let length = self.head(head, to, switch).await?;
        let text = Bytes::copy_from_slice(&self.input.filled()[..length]);
        self.input.consume(length);
        if head.status() == 101 {
            let early = self.input.filled().into();
            self.worker.buffers.give(self.input);
            let websocket = switch.is_some_and(|switch| switch.is(WEBSOCKET));
            let agreed = Some(Agreed { link: self.link, early, websocket });
            return Ok(Answered { head: text, begun: Bytes::new(), rest: None, agreed });
        }
        let framing = head.framing();
        let (body, chunked) = (BodyReader::new(framing), framing == Framing::Chunked);
        let mut rest = Box::new(Rest { talk: Some(self), trailers: Vec::new(), body, chunked, replica, keeps: head.keep_alive() });
        let begun = rest.take_what_is_here().map_err(|_| Failure::BadAnswer)?;
        let rest = if rest.done() { None } else { Some(rest) };
        Ok(Answered { head: text, begun, rest, agreed: None })
    }

    async fn head(&mut self, head: &mut ResponseHead, to: Method, switch: Option<&Switch>) -> Result<usize, Failure> {
        let mut heard = false;
        loop {
            if !self.input.is_empty() {
                heard = true;
                match head.read(self.input.filled(), to) {
                    Ok(Some(length)) if head.status() == 101 => {
                        let bytes = self.input.filled();
                        let protocol = head.upgrade(bytes).map(|protocol| protocol.of(bytes));
                        let asked = switch.zip(protocol).is_some_and(|(switch, protocol)| switch.is(protocol));
                        return if asked { Ok(length) } else { Err(Failure::BadAnswer) };
                    }
                    // Interim answers stay here.
                    Ok(Some(length)) if head.status() < 200 => {
                        self.input.consume(length);
                        continue;
                    }
                    Ok(Some(length)) => return Ok(length),
                    Ok(None) => {}
                    Err(_) => return Err(Failure::BadAnswer),
                }
            }
            if self.input.is_full() {
                let size = self.input.size();
                self.input.grow((size * 4).min(self.worker.limits.head_bytes + 1).max(size + 1));
            }
            match poll_fn(|context| self.poll_more(context)).await? {
                Ok(0) | Err(_) if heard => return Err(Failure::BadAnswer),
                Ok(0) => return Err(Failure::NoAnswer),
                Err(error) => return Err(Failure::unanswered(&error)),
                Ok(_) => {}
            }
        }
    }

    /// Reads more of the answer while the body goes up. 0 is the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Failure>> {
        self.poll_upload(context)?;
        let read = pin!(self.input.read(&mut self.link)).poll(context);
        self.unless_left(read, context).map(Ok)
    }

    /// What was read, or an error while nothing is, once the replica has left.
    fn unless_left(&self, read: Poll<io::Result<usize>>, context: &Context<'_>) -> Poll<io::Result<usize>> {
        match read {
            Poll::Pending => self.leaves.poll_cut(context).map(|()| Err(io::ErrorKind::ConnectionAborted.into())),
            read => read,
        }
    }

    /// Moves as much of the body as there is. Errs when its client failed.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let Upload::Going(going) = &mut self.upload else { return Ok(()) };
        match going.poll(context, &mut self.link, self.worker.limits.idle_timeout_ms) {
            Poll::Pending => {}
            Poll::Ready(Ok(true)) => self.upload = Upload::Done,
            Poll::Ready(Ok(false)) => self.upload = Upload::Refused,
            Poll::Ready(Err(failure)) => return Err(failure),
        }
        Ok(())
    }

    /// After a whole answer: keeps the connection for the next request if it can serve one.
    fn end(self, replica: ReplicaId, keeps: bool) {
        let Talk { worker, link, input, upload, .. } = self;
        if keeps && matches!(upload, Upload::Done) && input.is_empty() && worker.keeps(replica) {
            match link {
                Link::Plain(stream) => worker.pool.borrow_mut().checkin(replica, stream, now_us() / 1000),
                tls => worker.links.borrow_mut().checkin(replica, tls, now_us() / 1000),
            }
        }
        worker.buffers.give(input);
    }
}

impl Going {
    /// True when all of it was written, false when the replica takes no more.
    fn poll(&mut self, context: &mut Context<'_>, link: &mut Link, idle_ms: u64) -> Poll<Result<bool, Failure>> {
        loop {
            while self.at < self.out.len() {
                match ready!(Pin::new(&mut *link).poll_write(context, &self.out[self.at..])) {
                    Ok(count) if count > 0 => self.at += count,
                    _ => return Poll::Ready(Ok(false)),
                }
            }
            if self.last {
                return Pin::new(&mut *link).poll_flush(context).map(|flushed| Ok(flushed.is_ok()));
            }
            self.out.clear();
            self.at = 0;
            if self.poll_piece(context, idle_ms)?.is_pending() {
                // What TLS holds back must not wait for the client.
                let _ = Pin::new(&mut *link).poll_flush(context); // an error comes again with the next write
                return Poll::Pending;
            }
        }
    }

    /// The client's next piece.
    fn poll_piece(&mut self, context: &mut Context<'_>, idle_ms: u64) -> Poll<Result<(), Failure>> {
        if !self.waiting {
            self.waiting = true;
            self.patience.set(idle_ms);
        }
        let piece = poll_fn(|context| Pin::new(&mut self.ask).poll_frame(context));
        let piece = ready!(pin!(self.patience.guard(piece)).poll(context));
        self.waiting = false;
        self.patience.clear(); // while the replica is slow, the client is not to blame
        let mut trailers = None;
        match piece.map_err(|_| Failure::SlowBody)? {
            Some(Err(Broken::Off)) => return Poll::Ready(Err(Failure::ClientGone)),
            Some(Err(Broken::TooLarge)) => return Poll::Ready(Err(Failure::LargeBody)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    self.put(&bytes);
                    self.last = self.ask.is_end_stream();
                }
                Err(frame) => {
                    self.last = true;
                    trailers = frame.into_trailers().ok();
                }
            },
            None => self.last = true,
        }
        if self.last && self.chunked {
            self.out.extend_from_slice(b"0\r\n");
            if let Some(trailers) = &trailers {
                fields::write_trailers(trailers, &mut self.out);
            }
            self.out.extend_from_slice(b"\r\n");
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, bytes: &Bytes) {
        if !self.chunked {
            self.out.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            digits::chunk(&mut self.out, bytes);
        }
    }
}

impl Rest {
    /// All of it was taken.
    pub(super) fn done(&self) -> bool {
        self.talk.is_none() && self.trailers.is_empty()
    }

    /// The next piece; `None` is the end.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            let Some(talk) = &mut self.talk else {
                let trailers = fields::trailers_from_one(&std::mem::take(&mut self.trailers));
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            };
            if let Err(failure) = talk.poll_upload(context) {
                return Poll::Ready(Some(Err(failure)));
            }
            let piece = match self.body.plain() {
                Some(left) => ready!(self.poll_plain(context, left.min(PIECE) as usize)),
                None => match ready!(talk.poll_more(context)) {
                    Ok(Ok(0)) => self.body.eof().map(|()| Bytes::new()).map_err(|_| Failure::CutUpstream).inspect(|_| self.keeps = false),
                    Ok(Ok(_)) => self.take_what_is_here(),
                    // A reset, or an end of TLS without a word: what came may not be all (RFC 9112 section 9.8).
                    Ok(Err(_)) => Err(Failure::CutUpstream),
                    Err(failure) => Err(failure),
                },
            };
            match piece {
                Err(failure) => return Poll::Ready(Some(Err(failure))),
                Ok(piece) => {
                    self.end_if_done();
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
            }
        }
    }

    /// Reads content whose length is known where it will stay.
    fn poll_plain(&mut self, context: &mut Context<'_>, room: usize) -> Poll<Result<Bytes, Failure>> {
        let Some(talk) = &mut self.talk else { return Poll::Ready(Ok(Bytes::new())) };
        let mut piece = Vec::with_capacity(room);
        let read = pin!((&mut talk.link).take(room as u64).read_buf(&mut piece)).poll(context);
        match ready!(talk.unless_left(read, context)) {
            Ok(count) if count > 0 => {
                self.body.passed(count as u64);
                Poll::Ready(Ok(piece.into()))
            }
            _ => Poll::Ready(Err(Failure::CutUpstream)),
        }
    }

    /// What was read and belongs to the body.
    fn take_what_is_here(&mut self) -> Result<Bytes, Failure> {
        let Some(talk) = &mut self.talk else { return Ok(Bytes::new()) };
        let filled = talk.input.filled();
        let mut piece = Vec::new();
        let count = if self.chunked {
            self.body.advance_parted(filled, &mut piece, &mut self.trailers)
        } else {
            self.body.advance(filled).inspect(|&count| piece.extend_from_slice(&filled[..count]))
        };
        talk.input.consume(count.map_err(|_| Failure::CutUpstream)?);
        self.end_if_done();
        Ok(piece.into())
    }

    fn end_if_done(&mut self) {
        if self.body.done()
            && let Some(talk) = self.talk.take()
        {
            talk.end(self.replica, self.keeps);
        }
    }
}
