//! The body of a request on its way up.
//!
//! Invariant: it is read piece by piece, each after the one before was taken, so that a slow replica slows the client down.

use std::pin::Pin;
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
}

impl Body for Ask {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Ask::Nothing => Poll::Ready(None),
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
            Ask::Two(incoming) => incoming.is_end_stream(),
        }
    }
}
