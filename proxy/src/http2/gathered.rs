//! What a connection of HTTP/2 writes, gathered: frames of many streams leave together, in one record of TLS and one system call.
//!
//! Invariant: nothing stays here past the poll in which it was written. Whoever polls the connection does so by [`Gathered::drive`],
//! which sends what was gathered; the codec's own flushes, one for each frame of content, do nothing. What is large goes past here.
//! A connection to a replica breaks for all that is on it once that one's time is over, and holds the pictures by which it was picked
//! until what was asked has left.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::{Buffer, Buffers, FIRST};
use crate::deadline::Deadline;
use crate::picture::Held;

/// Most bytes that are gathered: what one record of TLS holds (RFC 8446 section 5.1).
const MOST: usize = 16 * 1024;
const _: () = assert!(MOST == FIRST);

/// A connection of which two hold an end: the codec, which reads and writes, and whoever drives it.
pub(super) struct Gathered<S>(Rc<RefCell<Gathering<S>>>);

struct Gathering<S> {
    buffers: Rc<Buffers>,
    stream: S,
    /// Lent while something is in it.
    out: Option<Buffer>,
    /// The codec has more to write than the stream takes now.
    full: bool,
    /// It failed while nobody listened.
    broken: Option<io::Error>,
    /// Wakes the task in which the codec runs. Hyper has others that are driven here, and a socket wakes only who asked it last.
    codec: Option<Waker>,
    /// Wakes whoever wants to know what the codec has heard.
    heard: Option<Waker>,
    /// What a connection to a replica has besides.
    ties: Option<Ties>,
}

/// A connection to a replica, seen from the rest of its worker.
pub(super) struct Ties {
    /// Ends it when the time of a replica that has left is over.
    pub(super) leaves: Deadline,
    pub(super) unsent: Rc<Unsent>,
    /// So many milliseconds pictures are held for a socket that takes nothing.
    pub(super) patience_ms: u64,
}

/// The pictures by which requests were picked whose heads have not left yet (docs/decisions/005-when-a-version-is-acknowledged.md).
///
/// A request goes from hand to hand: hyper's dispatcher takes it, the codec writes it, the socket takes that. Each has run since it came
/// before its picture is let go. No request is woken for that.
#[derive(Default)]
pub(super) struct Unsent {
    held: RefCell<Vec<Rc<Held>>>,
    /// So many of them are with the codec.
    with_codec: Cell<usize>,
    /// The socket takes nothing, and time runs.
    stuck: Cell<bool>,
}

impl Unsent {
    /// A request was given to the dispatcher.
    pub(super) fn hold(&self, picture: Rc<Held>) {
        self.held.borrow_mut().push(picture);
    }

    /// The dispatcher has given the codec all that it had.
    pub(super) fn handed_on(&self) {
        self.with_codec.set(self.held.borrow().len());
    }

    /// Nothing more leaves.
    pub(super) fn clear(&self) {
        self.handed_on();
        self.leave();
    }

    /// What the codec had has left.
    fn leave(&self) {
        self.stuck.set(false);
        self.held.borrow_mut().drain(..self.with_codec.take());
    }
}

impl Ties {
    /// The codec has run, and all that it wrote was `sent` or not.
    fn settle(&self, sent: bool) {
        let unsent = &self.unsent;
        if unsent.with_codec.get() == 0 {
            return;
        }
        if sent || (unsent.stuck.get() && self.leaves.expired()) {
            if unsent.stuck.get() {
                self.leaves.clear();
            }
            unsent.leave();
        } else if !unsent.stuck.replace(true) {
            self.leaves.set(self.patience_ms);
        }
    }
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Gathered<S> {
        Gathered(self.0.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gathered<S> {
    pub(super) fn new(buffers: &Rc<Buffers>, stream: S) -> Gathered<S> {
        let buffers = buffers.clone();
        let gathering = Gathering { buffers, stream, out: None, full: false, broken: None, codec: None, heard: None, ties: None };
        Gathered(Rc::new(RefCell::new(gathering)))
    }

    /// It leads to a replica.
    pub(super) fn tied(self, ties: Ties) -> Gathered<S> {
        self.0.borrow_mut().ties = Some(ties);
        self
    }

    /// Wakes whoever polls with this context once the codec has run again: it may have heard something.
    pub(super) fn listen(&self, context: &Context<'_>) {
        self.0.borrow_mut().heard = Some(context.waker().clone());
    }

    /// Runs `work`, which reads and writes here, and sends what it wrote each time that it was polled.
    pub(super) async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            self.settle(context);
            polled
        })
        .await
    }

    /// Sends what is here. What the socket does not take now leaves once it can: this task is woken then.
    fn settle(&self, context: &mut Context<'_>) {
        let gathering = &mut *self.0.borrow_mut();
        if !gathering.runs_here(context) {
            return;
        }
        if let Some(heard) = gathering.heard.take() {
            heard.wake();
        }
        let sent = gathering.poll_send(context);
        if let Some(ties) = &gathering.ties {
            ties.settle(sent.is_ready() && !gathering.full);
        }
        if let Poll::Ready(Err(error)) = sent {
            gathering.broken = Some(error);
            context.waker().wake_by_ref(); // the codec hears of it when it reads or writes next
        }
    }
}

/// Hyper's tasks, of which one reads and writes here, run on this worker.
impl<S: AsyncRead + AsyncWrite + Unpin + 'static, F: Future + 'static> Executor<F> for Gathered<S> {
    fn execute(&self, task: F) {
        let io = self.clone();
        tokio::task::spawn_local(async move { drop(io.drive(task).await) });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gathering<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(out) = &mut self.out else { return Poll::Ready(Ok(())) };
        while !out.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, out.filled()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.consume(count);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Some(out) = self.out.take() {
            self.buffers.give(out);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.listens(context)?;
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.out.as_ref().map_or(0, |out| out.filled().len()) + length > MOST {
            ready!(self.poll_send(context))?;
        }
        let out = self.out.get_or_insert_with(|| self.buffers.take());
        if length > MOST {
            // With an empty buffer behind it, so that it is flushed.
            return Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        }
        pieces.iter().for_each(|piece| out.put(piece));
        Poll::Ready(Ok(length))
    }

    fn runs_here(&self, context: &Context<'_>) -> bool {
        self.codec.as_ref().is_some_and(|codec| codec.will_wake(context.waker()))
    }

    /// The codec reads or writes, and hears of what broke.
    fn listens(&mut self, context: &Context<'_>) -> io::Result<()> {
        if !self.runs_here(context) {
            self.codec = Some(context.waker().clone());
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    /// What came of it, or an error while nothing does, once the replica has left.
    fn unless_left<T>(&self, polled: Poll<io::Result<T>>, context: &Context<'_>) -> Poll<io::Result<T>> {
        match (polled, &self.ties) {
            (Poll::Pending, Some(ties)) => ties.leaves.poll_cut(context).map(|()| Err(io::ErrorKind::ConnectionAborted.into())),
            (polled, _) => polled,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gathering = &mut *self.0.borrow_mut();
        gathering.listens(context)?;
        let read = Pin::new(&mut gathering.stream).poll_read(context, into);
        gathering.unless_left(read, context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let gathering = &mut *self.0.borrow_mut();
        let written = gathering.poll_write(context, pieces);
        gathering.full = written.is_pending();
        gathering.unless_left(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow_mut().listens(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathering = &mut *self.0.borrow_mut();
        let sent = gathering.poll_send(context);
        ready!(gathering.unless_left(sent, context))?;
        let shut = Pin::new(&mut gathering.stream).poll_shutdown(context);
        gathering.unless_left(shut, context)
    }
}

#[cfg(test)]
mod tests;
