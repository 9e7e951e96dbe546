//! The body of a request on its way up.
//!
//! Invariant: it is read piece by piece, each after the one before was taken, so that a slow replica slows the client down.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::mpsc;

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

/// Keeps a body within what its route takes.
#[derive(Debug)]
pub(crate) struct Limited {
    /// The body.
    pub(crate) ask: Ask,
    /// Bytes that may still come.
    pub(crate) left: u64,
    /// More came.
    pub(crate) overrun: Rc<Cell<bool>>,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.ask).poll_frame(context));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, |bytes| bytes.len() as u64);
        if length > this.left {
            this.overrun.set(true);
            return Poll::Ready(Some(Err(Broken::TooLarge)));
        }
        this.left -= length;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ask.is_end_stream()
    }
}

/// A request's body.
#[derive(Debug)]
pub(crate) enum Ask {
    /// There is none.
    Nothing,
    /// Of a client that speaks HTTP/1.
    One(mpsc::Receiver<Result<Bytes, Broken>>),
    /// Of one that speaks HTTP/2.
    Two(Kept),
}

/// A body that is kept until its answer is whole: to drop it earlier would reset the stream, and the answer with it.
pub(crate) type Kept = Rc<RefCell<Incoming>>;

/// After an answer that came before the end of its request, what still comes is read and dropped for so long, and so much of it: many
/// clients lose an answer behind which their stream is reset, although RFC 9113 section 8.1 wants them to read it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Lets the client say more of what nobody reads.
pub(super) fn linger(kept: Kept) {
    if kept.borrow().is_end_stream() {
        return;
    }
    tokio::task::spawn_local(async move {
        let dropped = async {
            let mut left = LINGER_BYTES;
            while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut *kept.borrow_mut()).poll_frame(context)).await {
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
    pub(crate) fn of(incoming: Incoming) -> Ask {
        if incoming.is_end_stream() { Ask::Nothing } else { Ask::Two(Rc::new(RefCell::new(incoming))) }
    }

    /// What is to be kept of it.
    pub(crate) fn kept(&self) -> Option<Kept> {
        match self {
            Ask::Two(incoming) => Some(incoming.clone()),
            Ask::Nothing | Ask::One(_) => None,
        }
    }
}

impl Body for Ask {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Ask::Nothing => Poll::Ready(None),
            Ask::One(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Ask::Two(incoming) => {
                let frame = ready!(Pin::new(&mut *incoming.borrow_mut()).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Broken::Off)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Ask::Nothing => true,
            Ask::One(_) => false,
            Ask::Two(incoming) => incoming.borrow().is_end_stream(),
        }
    }
}
