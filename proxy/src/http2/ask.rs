//! The body of a request on its way up.
//!
//! Invariant: it is read piece by piece, each after the one before was taken, so that a slow replica slows the client down.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming};

/// What ends a body too early: its client did.
#[derive(Debug, thiserror::Error)]
#[error("the client broke off the request's body")]
pub(crate) struct Broken;

/// A request's body.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Of a client that speaks HTTP/2.
    Two(Incoming),
}

impl Body for Ask {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Ask::Two(incoming) = self.get_mut();
        let frame = ready!(Pin::new(incoming).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(|_| Broken)))
    }

    fn is_end_stream(&self) -> bool {
        let Ask::Two(incoming) = self;
        incoming.is_end_stream()
    }
}
