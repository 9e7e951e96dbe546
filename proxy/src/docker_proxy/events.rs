//! Events on their way from the engine to a client: line by line, each picked, for as long as both are there.
//!
//! Invariant: the client draws. What it does not read stays with the engine; when it goes, the stream is dropped, and the connection to
//! the engine with it. A stream that the engine or this process breaks off ends as a broken one, never as a whole one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming};

use super::answer;
use super::engine::{Line, Reply};

/// Longest line, in bytes: an event with all labels of a container.
const LONGEST: usize = 1 << 20;

/// Why a stream ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the Docker engine broke off")]
    Engine(#[from] hyper::Error),
    #[error("the Docker engine sent a line that is no event")]
    Unlike(#[from] answer::Unlike),
    #[error("the Docker engine sent a line of more than {LONGEST} bytes")]
    Long,
    #[error("this process ends")]
    Leaving,
}

/// A stream of events, one JSON object in each line.
pub(super) struct Events {
    from: Incoming,
    /// The bytes of lines that are not told yet.
    held: Vec<u8>,
    /// So many of them are known to hold no line end.
    seen: usize,
    _line: Line,
    /// Over when the process ends.
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Events {
    /// Until either side ends it, or `leaving` is over.
    pub(super) fn new(Reply { body, line, .. }: Reply, leaving: impl Future<Output = ()> + Send + 'static) -> Events {
        Events { from: body, held: Vec::new(), seen: 0, _line: line, leaving: Box::pin(leaving) }
    }

    /// What is told of the whole lines that are held.
    fn told(&mut self) -> Result<Vec<u8>, Cut> {
        let mut told = Vec::new();
        let mut start = 0;
        while let Some(length) = self.held[start.max(self.seen)..].iter().position(|&byte| byte == b'\n') {
            let end = start.max(self.seen) + length;
            tell(&self.held[start..end], &mut told)?;
            start = end + 1;
        }
        self.held.drain(..start);
        self.seen = self.held.len();
        if self.held.len() > LONGEST { Err(Cut::Long) } else { Ok(told) }
    }
}

fn tell(line: &[u8], told: &mut Vec<u8>) -> Result<(), Cut> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    if let Some(event) = answer::event(line)? {
        told.extend_from_slice(event.to_string().as_bytes());
        told.push(b'\n');
    }
    Ok(())
}

impl Body for Events {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.leaving.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Cut::Leaving)));
        }
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.from).poll_frame(context)) else {
                // What comes after the last line end is no line.
                return Poll::Ready(None);
            };
            let Ok(data) = frame?.into_data() else { continue };
            self.held.extend_from_slice(&data);
            let told = self.told()?;
            if !told.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(told.into()))));
            }
        }
    }
}
