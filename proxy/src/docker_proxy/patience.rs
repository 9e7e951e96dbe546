//! A client's connection that gives up on a client who does not read what it asked for.
//!
//! Invariant: a write waits for [`LONGEST`] at most, so that whoever stops reading gives its place back. Reading has the server's own
//! limits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the client may leave what it asked for unread, once the socket holds no more.
const LONGEST: Duration = Duration::from_secs(30);

/// A connection whose writes do not wait for ever.
pub(super) struct Patient {
    stream: UnixStream,
    longest: Duration,
    /// Runs while a write waits.
    end: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(stream: UnixStream) -> Patient {
        Patient { stream, longest: LONGEST, end: None }
    }

    /// What a write came to, unless it waits for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.end = None;
            return written;
        }
        let longest = self.longest;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + longest)));
        match end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// How long a write waits here.
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn who_does_not_read_is_given_up_and_who_reads_is_not() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut patient = Patient { longest: SHORT, ..Patient::new(ours) };
        let (chunk, mut written) = ([0; 4096], 0_usize);
        let error = loop {
            match patient.write(&chunk).await {
                Ok(count) => written += count,
                Err(error) => break error,
            }
            assert!(written < 64 << 20, "a socket that holds everything");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(patient);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.expect("it is there");
        assert_eq!(read.len(), written, "what fits is written at once");
    }

    #[tokio::test]
    async fn a_slow_reader_gets_all() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut patient = Patient::new(ours);
        let all: Vec<u8> = (0..4 << 20).map(|at: u32| at as u8).collect();
        let writing = async {
            patient.write_all(&all).await.expect("somebody reads");
            patient.shutdown().await.expect("the end can be said");
        };
        let mut read = Vec::new();
        let mut slowly = tokio::io::BufReader::with_capacity(100, theirs);
        let (count, ()) = tokio::join!(slowly.read_to_end(&mut read), writing);
        assert_eq!(count.expect("all of it"), all.len());
        assert_eq!(read, all);
    }
}
