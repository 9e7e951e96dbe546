//! The body of a request on its way up.
//!
//! Invariant: it is read piece by piece, each after the one before was taken, so that a slow replica slows the client down.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::RecvStream;
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{Notify, mpsc};

/// What ends a body too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// Its client broke it off.
    #[error("the client broke off the request's body")]
    Off,
    /// It is more than the route takes.
    #[error("the request's body is larger than its route takes")]
    TooLarge,
}

/// How far a request's body has got.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// More came than the route takes.
    pub(super) overrun: Cell<bool>,
    whole: Cell<bool>,
    turned_whole: Notify,
}

impl Progress {
    /// All of it was taken.
    fn end(&self) {
        if !self.whole.replace(true) {
            self.turned_whole.notify_one();
        }
    }

    /// Waits until all of it was taken.
    pub(super) async fn ended(&self) {
        if !self.whole.get() {
            self.turned_whole.notified().await;
        }
    }
}

/// Keeps a body within what its route takes.
#[derive(Debug)]
pub(crate) struct Limited {
    /// The body.
    pub(super) ask: Ask,
    /// Bytes that may still come.
    pub(super) left: u64,
    pub(super) progress: Rc<Progress>,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.ask).poll_frame(context));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, |bytes| bytes.len() as u64);
        if length > this.left {
            this.progress.overrun.set(true);
            return Poll::Ready(Some(Err(Broken::TooLarge)));
        }
        this.left -= length;
        if frame.is_none() || this.is_end_stream() {
            this.progress.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ask.is_end_stream()
    }
}

/// Content, or trailers behind it.
pub(crate) type Piece = Result<Frame<Bytes>, Broken>;

/// A request's body.
#[derive(Debug)]
pub(crate) enum Ask {
    /// There is none.
    Nothing,
    /// Of a client that speaks HTTP/1.
    One(mpsc::Receiver<Piece>),
    /// Of one that speaks HTTP/2.
    Two(Kept),
}

/// A body that is kept until its answer is whole: to drop it earlier would reset the stream, and the answer with it.
pub(crate) type Kept = Rc<RefCell<Pieces>>;

/// What a stream of HTTP/2 brings, piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    stream: RecvStream,
    /// Its content has ended; trailers may follow.
    content_over: bool,
    /// Somebody wants it.
    wanted: bool,
}

impl Pieces {
    pub(super) fn new(stream: RecvStream) -> Pieces {
        Pieces { stream, content_over: false, wanted: false }
    }

    /// Somebody has asked for it.
    pub(super) fn wanted(&self) -> bool {
        self.wanted
    }

    /// Its client has said all of it.
    fn over(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.wanted = true;
        if !self.content_over {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(bytes)) => {
                    // So much may come again. It fails only for more than came.
                    let _ = self.stream.flow_control().release_capacity(bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken::Off))),
                None => self.content_over = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context)).map_err(|_| Broken::Off);
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

/// After an answer that came before the end of its request, what still comes is read and dropped for so long, and so much of it: many
/// clients lose an answer behind which their stream is reset, although RFC 9113 section 8.1 wants them to read it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Lets the client say more of what nobody reads.
pub(super) fn linger(kept: Kept) {
    if kept.borrow().over() {
        return;
    }
    tokio::task::spawn_local(async move {
        let dropped = async {
            let mut left = LINGER_BYTES;
            while let Some(Ok(frame)) = poll_fn(|context| kept.borrow_mut().poll_frame(context)).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, dropped).await; // either way it is enough
    });
}

impl Ask {
    /// The body of a client that speaks HTTP/2.
    pub(super) fn of(stream: RecvStream) -> Ask {
        if stream.is_end_stream() { Ask::Nothing } else { Ask::Two(Rc::new(RefCell::new(Pieces::new(stream)))) }
    }

    /// What is to be kept of it.
    pub(super) fn kept(&self) -> Option<Kept> {
        match self {
            Ask::Two(pieces) => Some(pieces.clone()),
            Ask::Nothing | Ask::One(_) => None,
        }
    }
}

impl Body for Ask {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.get_mut() {
            Ask::Nothing => Poll::Ready(None),
            Ask::One(pieces) => pieces.poll_recv(context),
            Ask::Two(pieces) => pieces.borrow_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Ask::Nothing => true,
            Ask::One(_) => false,
            Ask::Two(pieces) => pieces.borrow().over(),
        }
    }
}
