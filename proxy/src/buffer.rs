//! Byte buffers, and what else workers lend while bytes are moving and take back when nothing moves.
//!
//! Invariant: an idle connection holds no buffer. Memory is never cleared before it is read into. Buffers that grew for one large
//! message are not kept, and what was lent out to nobody for a while is given back to the system.

use std::cell::{Cell, RefCell};
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// First size of a buffer, in bytes.
pub const FIRST: usize = 16 * 1024;
/// Most that a buffer for streaming bodies grows to, in bytes.
pub const LARGEST: usize = 256 * 1024;

/// Bytes read and not yet consumed, with room behind them.
#[derive(Debug)]
pub struct Buffer {
    data: Vec<u8>,
    start: usize,
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer { data: Vec::with_capacity(FIRST), start: 0 }
    }
}

impl Buffer {
    /// Bytes that were read and not consumed.
    pub fn filled(&self) -> &[u8] {
        &self.data[self.start..]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.data.len()
    }

    /// Whether there is no room for more, unless it grows.
    pub fn is_full(&self) -> bool {
        self.start == 0 && self.data.len() == self.data.capacity()
    }

    /// Size, in bytes.
    pub fn size(&self) -> usize {
        self.data.capacity()
    }

    /// Reads once, as much as there is room for; 0 is the end of the stream. Moves what is filled to the front when there is no room
    /// behind it. The caller sees to it that the buffer is not full.
    ///
    /// # Errors
    /// What the system says.
    pub async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if self.data.len() == self.data.capacity() {
            self.data.drain(..self.start);
            self.start = 0;
        }
        from.read_buf(&mut self.data).await
    }

    /// Appends bytes that were not read but made. It grows where there is no room.
    pub fn put(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// The first `count` filled bytes are done with.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.data.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets what is filled.
    pub fn clear(&mut self) {
        self.data.clear();
        self.start = 0;
    }

    /// Makes the buffer `size` bytes at least.
    pub fn grow(&mut self, size: usize) {
        self.data.reserve_exact(size.saturating_sub(self.data.len()));
    }
}

/// Things that are lent again and again.
#[derive(Debug)]
pub struct Spares<T> {
    list: RefCell<Vec<T>>,
    /// Of them, so many were not needed since the last sweep.
    unused: Cell<usize>,
}

impl<T> Default for Spares<T> {
    fn default() -> Spares<T> {
        Spares { list: RefCell::default(), unused: Cell::new(0) }
    }
}

impl<T> Spares<T> {
    /// One that somebody gave back.
    pub fn take(&self) -> Option<T> {
        let mut list = self.list.borrow_mut();
        let one = list.pop();
        self.unused.set(self.unused.get().min(list.len()));
        one
    }

    /// Takes one back.
    pub fn give(&self, one: T) {
        self.list.borrow_mut().push(one);
    }

    /// Drops what was not needed since the sweep before.
    pub fn sweep(&self) {
        let mut list = self.list.borrow_mut();
        let needed = list.len() - self.unused.get().min(list.len());
        list.truncate(needed);
        self.unused.set(needed);
    }
}

/// A worker's spare buffers.
#[derive(Debug, Default)]
pub struct Buffers(Spares<Buffer>);

impl Buffers {
    /// An empty buffer with room.
    pub fn take(&self) -> Buffer {
        self.0.take().unwrap_or_default()
    }

    /// Takes one back.
    pub fn give(&self, mut buffer: Buffer) {
        if buffer.size() == FIRST {
            buffer.clear();
            self.0.give(buffer);
        }
    }

    /// Drops what was not needed since the sweep before.
    pub fn sweep(&self) {
        self.0.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_filled_survives_moving_and_growing() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        let bytes = [7; 3 * FIRST];
        let mut from = &bytes[..];
        assert_eq!(buffer.read(&mut from).await.unwrap(), FIRST);
        assert!(buffer.is_full());
        buffer.consume(FIRST - 3);
        assert_eq!(buffer.read(&mut from).await.unwrap(), FIRST - 3);
        assert_eq!(buffer.filled(), [7; FIRST]);
        buffer.grow(2 * FIRST);
        assert_eq!(buffer.filled(), [7; FIRST]);
        assert_eq!(buffer.read(&mut from).await.unwrap(), FIRST);
        buffers.give(buffer);
        assert_eq!(buffers.take().size(), FIRST, "one that grew is not kept");
    }

    #[test]
    fn what_nobody_needed_for_a_while_is_dropped() {
        let spares = Spares::default();
        (0..10).for_each(|one| spares.give(one));
        spares.sweep();
        let lent: Vec<_> = (0..4).filter_map(|_| spares.take()).collect();
        lent.into_iter().for_each(|one| spares.give(one));
        spares.sweep();
        assert_eq!(spares.list.borrow().len(), 4);
        spares.sweep();
        assert_eq!(spares.list.borrow().len(), 0);
    }
}
