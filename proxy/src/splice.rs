//! Bytes from one socket to another without a visit to this process: splice(2) through pipes that a worker lends.
//!
//! Invariant: a pipe that is lent is empty, and one that comes back with bytes in it is closed: they belonged to a flow that ended.
//! Whoever gets no pipe copies. For flows that are known to be large only: for a few bytes, two more system calls cost more than the copy.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe holds: few system calls for each MiB, and what describes its pages stays in the processor's nearest caches.
const SIZE: usize = 256 * 1024;
/// Empty pipes that a worker keeps for the next flow.
const KEPT: usize = 16;
/// Pipes of one worker in all: each is two descriptors, which connections need more.
const MOST: usize = 512;
/// A flow is worth a pipe from this many bytes on.
pub const WORTH: usize = 64 * 1024;

/// A worker's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    spare: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// An empty pipe; `None` when there are too many, or the system has none left.
    pub fn lend(&self) -> Option<Pipe<'_>> {
        let spare = self.spare.borrow_mut().pop();
        let ends = spare.or_else(|| (self.lent.get() < MOST).then(Ends::new).flatten())?;
        self.lent.set(self.lent.get() + 1);
        Some(Pipe { all: self, ends: Some(ends), held: 0 })
    }
}

impl Ends {
    fn new() -> Option<Ends> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A user with many pipes gets small ones, which work, too.
        let _ = fcntl_setpipe_size(&write, SIZE);
        Some(Ends { read, write })
    }
}

/// A pipe lent to one flow.
#[derive(Debug)]
pub struct Pipe<'p> {
    all: &'p Pipes,
    ends: Option<Ends>,
    held: usize,
}

impl Pipe<'_> {
    /// Bytes in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes what `from` has, `limit` bytes at most, into the empty pipe. 0 is the end of the stream.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] when nothing is there.
    pub fn try_fill(&mut self, from: &TcpStream, limit: u64) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let room = usize::try_from(limit).map_or(SIZE, |limit| limit.min(SIZE));
        let take = |room| splice(from, None, &ends.write, None, room, SpliceFlags::MOVE | SpliceFlags::NONBLOCK);
        // The pipe is empty: nothing to take means that the socket has nothing, which the runtime must hear.
        self.held = from.try_io(Interest::READABLE, || take(room).map_err(io::Error::from))?;
        // From now on the pipe may be what is full, so the runtime must not.
        while self.held > 0 && self.held < room {
            match take(room - self.held) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(count) => self.held += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.held)
    }

    /// As [`Pipe::try_fill`], and waits until there is something.
    ///
    /// # Errors
    /// What the system says.
    pub async fn fill(&mut self, from: &TcpStream, limit: u64) -> io::Result<usize> {
        loop {
            std::future::poll_fn(|context| from.poll_read_ready(context)).await?;
            match self.try_fill(from, limit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Gives some of what is held to `to`, waiting until it takes any. Returns how much.
    ///
    /// # Errors
    /// What the system says.
    pub async fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let give = || splice(&ends.read, None, to, None, self.held, flags).map_err(io::Error::from);
        let count = to.async_io(Interest::WRITABLE, give).await?;
        self.held -= count.min(self.held);
        Ok(count)
    }
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.all.lent.set(self.all.lent.get() - 1);
        let mut spare = self.all.spare.borrow_mut();
        if self.held == 0 && spare.len() < KEPT {
            spare.extend(self.ends.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pair;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_arrive_in_order_up_to_the_limit_and_the_end_is_seen() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let sends = tokio::spawn(async move { sender.write_all(&sent).await });
        let receives = tokio::spawn(async move {
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).await.map(|_| received)
        });
        let pipes = Pipes::default();
        let mut pipe = pipes.lend().unwrap();
        let mut left = 2_900_000;
        while left > 0 {
            let count = pipe.fill(&from, left).await.unwrap();
            assert!(count > 0 && count as u64 <= left);
            left -= count as u64;
            while pipe.held() > 0 {
                pipe.drain(&to).await.unwrap();
            }
        }
        drop(to);
        assert!(receives.await.unwrap().unwrap() == expected[..2_900_000], "other bytes arrived than were sent");
        let mut rest = 0;
        while pipe.fill(&from, u64::MAX).await.unwrap() > 0 {
            rest += std::mem::take(&mut pipe.held);
        }
        sends.await.unwrap().unwrap();
        assert_eq!(rest, 100_000);
    }

    #[tokio::test]
    async fn a_pipe_that_is_not_empty_is_never_lent_again() {
        let (mut sender, from) = pair().await;
        sender.write_all(b"left behind").await.unwrap();
        let pipes = Pipes::default();
        let mut pipe = pipes.lend().unwrap();
        pipe.fill(&from, 4).await.unwrap();
        assert_eq!(pipe.held(), 4);
        drop(pipe);
        assert!(pipes.spare.borrow().is_empty());
        drop(pipes.lend());
        assert_eq!((pipes.spare.borrow().len(), pipes.lent.get()), (1, 0));
    }

    #[tokio::test]
    async fn nothing_to_read_is_said_and_waited_for() {
        let (mut sender, from) = pair().await;
        let pipes = Pipes::default();
        let mut pipe = pipes.lend().unwrap();
        from.writable().await.unwrap();
        assert_eq!(pipe.try_fill(&from, 10).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (sent, filled) = tokio::join!(sender.write_all(b"here"), pipe.fill(&from, 10));
        sent.unwrap();
        assert_eq!(filled.unwrap(), 4);
    }
}
