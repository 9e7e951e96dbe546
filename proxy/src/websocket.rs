//! Where the frames of a WebSocket end (RFC 6455 section 5.2), read from bytes that pass by: so that we know when a word of our own may
//! stand between them.
//!
//! Sans-io; nothing is kept but where the stream is. What it carries is not looked at, and no mistake in it is our business.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// A close frame of a server that goes away (RFC 6455 sections 5.5.1 and 7.4.1): status 1001, no text.
pub(crate) const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

const CLOSE: u8 = 8;
/// Two bytes, eight of a long length, four of a mask.
const LONGEST_HEAD: usize = 14;

/// One direction of a WebSocket.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of a frame's head that are here.
    held: usize,
    /// Bytes of its content that are to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// These bytes went by.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let content = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= content as u64;
            bytes = &bytes[content..];
            while let Some((&byte, rest)) = bytes.split_first()
                && self.left == 0
            {
                bytes = rest;
                self.head[self.held] = byte;
                self.held += 1;
                if let Some(left) = self.length() {
                    self.closed |= self.head[0] & 15 == CLOSE;
                    (self.held, self.left) = (0, left);
                }
            }
        }
    }

    /// The length of the content, once the head is whole.
    fn length(&self) -> Option<u64> {
        let (&[_, second], rest) = self.head[..self.held].split_first_chunk()?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (length, size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        (rest.len() == size + mask).then_some(length)
    }

    /// Whether a close frame may stand here: between two frames, when there was none.
    pub(crate) fn may_close(&self) -> bool {
        self.left == 0 && self.held == 0 && !self.closed
    }
}

/// Writes what it is given, and knows where the frames in it end.
pub(crate) struct Watched<'f, W> {
    to: W,
    frames: Option<&'f RefCell<Frames>>,
}

impl<'f, W> Watched<'f, W> {
    /// With none, it only writes.
    pub(crate) fn new(to: W, frames: Option<&'f RefCell<Frames>>) -> Watched<'f, W> {
        Watched { to, frames }
    }

    /// Where it writes.
    pub(crate) fn inner(&mut self) -> &mut W {
        &mut self.to
    }
}

impl<W: AsyncWrite + Unpin> Watched<'_, W> {
    /// The other side has ended. One that did not say goodbye is excused, where a word of ours may stand.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        if self.frames.is_some_and(|frames| frames.borrow().may_close()) {
            self.write_all(&GOING_AWAY).await?;
            self.flush().await?;
        }
        self.shutdown().await
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Watched<'_, W> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.to).poll_write(context, bytes))?;
        if let Some(frames) = this.frames {
            frames.borrow_mut().pass(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().to).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().to).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// A frame as a server or, masked, a client sends it.
    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        let mask = if masked { 0x80 } else { 0 };
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(masked.then_some([0x88; 4]).into_iter().flatten());
        bytes.extend(std::iter::repeat_n(0x88, length));
        bytes
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        for _ in 0..200 {
            let mut frames = Frames::default();
            for _ in 0..5 {
                let length = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000][rng.usize(..8)];
                let bytes = frame(rng.u8(..3), length, rng.bool());
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rng.usize(1..=rest.len()));
                    frames.pass(now);
                    rest = later;
                    assert_eq!(frames.may_close(), rest.is_empty(), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn there_is_one_close_frame() {
        let mut frames = Frames::default();
        assert!(frames.may_close());
        frames.pass(&GOING_AWAY);
        assert!(!frames.may_close());
        frames.pass(&frame(1, 5, false));
        assert!(!frames.may_close());
    }
}
