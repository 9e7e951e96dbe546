//! Byte buffers that workers lend to connections while bytes are moving, and take back when nothing moves.
//!
//! Invariant: an idle connection holds no buffer. Buffers that grew for one large message are not kept.

use std::cell::RefCell;

/// First size of a buffer, in bytes.
pub const FIRST: usize = 16 * 1024;
/// Most that a buffer for streaming bodies grows to, in bytes.
pub const LARGEST: usize = 256 * 1024;
/// Buffers that a worker keeps for the next connection.
const KEPT: usize = 64;

/// Bytes read and not yet consumed, with room behind them.
#[derive(Debug, Default)]
pub struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Bytes that were read and not consumed.
    pub fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Size, in bytes.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Room to read into; moves what is filled to the front when there is none behind it. Empty only when the buffer is full.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 && (self.is_empty() || self.end == self.data.len()) {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.data[self.end..]
    }

    /// `count` bytes were read into [`Buffer::room`].
    pub fn read(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.data.len());
    }

    /// The first `count` filled bytes are done with.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// Makes the buffer `size` bytes at least.
    pub fn grow(&mut self, size: usize) {
        if size > self.data.len() {
            self.data.resize(size, 0);
        }
    }
}

/// A worker's spare buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
    spare_out: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room.
    pub fn take(&self) -> Buffer {
        let data = self.spare.borrow_mut().pop().unwrap_or_else(|| vec![0; FIRST]);
        Buffer { data, start: 0, end: 0 }
    }

    /// Takes one back.
    pub fn give(&self, buffer: Buffer) {
        let mut spare = self.spare.borrow_mut();
        if buffer.data.len() == FIRST && spare.len() < KEPT {
            spare.push(buffer.data);
        }
    }

    /// An empty vector to write a message into.
    pub fn take_out(&self) -> Vec<u8> {
        self.spare_out.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes one back.
    pub fn give_out(&self, mut out: Vec<u8>) {
        let mut spare = self.spare_out.borrow_mut();
        if out.capacity() > 0 && out.capacity() <= 2 * FIRST && spare.len() < KEPT {
            out.clear();
            spare.push(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_survives_moving_and_growing() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        let size = buffer.size();
        buffer.room()[..size].fill(7);
        buffer.read(size);
        assert!(buffer.room().is_empty());
        buffer.consume(size - 3);
        assert_eq!(buffer.room().len(), size - 3);
        assert_eq!(buffer.filled(), [7, 7, 7]);
        buffer.grow(2 * size);
        assert_eq!(buffer.filled(), [7, 7, 7]);
        buffers.give(buffer);
        assert_eq!(buffers.take().size(), FIRST, "one that grew is not kept");
    }
}
