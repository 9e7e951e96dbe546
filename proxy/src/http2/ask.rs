//! The body of a request on its way up.
//!
//! Invariant: it is read piece by piece, each after the one before was taken, so that a slow replica slows the client down.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::mpsc;

/// What ends a body too early: its client did.
#[derive(Debug, thiserror::Error)]
#[error("the client broke off the request's body")]
pub(crate) struct Broken;

/// A request's body.
#[derive(Debug)]
pub(crate) enum Ask {
    /// There is none.
    Nothing,
    /// Of a client that speaks HTTP/1.
    One(mpsc::Receiver<Result<Bytes, Broken>>),
    /// Of one that speaks HTTP/2.
    Two(Incoming),
    /// One of these, of which only so many bytes more are taken.
    Limited(Box<Limited>),
}

/// A body with an end to what is taken of it.
#[derive(Debug)]
pub(crate) struct Limited {
    ask: Ask,
    left: u64,
    /// There was more.
    more: Arc<AtomicBool>,
}

impl Ask {
    /// The same, up to `most` bytes; `more` says that there were more, and then it breaks off.
    pub(super) fn limited(self, most: u64, more: &Arc<AtomicBool>) -> Ask {
        Ask::Limited(Box::new(Limited { ask: self, left: most, more: more.clone() }))
    }
}

impl Limited {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = ready!(Pin::new(&mut self.ask).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => {
                    self.more.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(Broken)));
                }
            }
        }
        Poll::Ready(frame)
    }
}

impl Body for Ask {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Ask::Nothing => Poll::Ready(None),
            Ask::Limited(limited) => limited.poll_frame(context),
            Ask::One(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Ask::Two(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Ask::Nothing => true,
            Ask::One(_) => false,
            Ask::Limited(limited) => limited.ask.is_end_stream(),
            Ask::Two(incoming) => incoming.is_end_stream(),
        }
    }
}
