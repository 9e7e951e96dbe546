//! The access log: one line for each request, written by a thread of its own.
//!
//! Invariant: a worker never waits for the disk. It formats into its own buffer and hands over whole blocks; when the writer falls
//! behind, lines are counted as dropped instead of held without bound, and the count is said. The query of a URL is not logged, since
//! it may hold secrets; nor is any header field but the request's id. What a client sent is escaped, so that one request is one line.

mod line;
mod writer;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use config::settings::{AccessLog as Destination, LogFormat};

pub use line::AccessLine;
use line::Clock;
use writer::Message;

/// A block is handed over once it holds this much.
const BLOCK: usize = 32 * 1024;
/// What a worker keeps while the writer is behind; lines above it are dropped.
const KEPT: usize = 8 * BLOCK;
/// Blocks on their way to the writer.
const QUEUE: usize = 64;
/// How long the end of the process waits for a writer that does not write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens access logs.
#[derive(Debug)]
pub struct AccessLog;

impl AccessLog {
    /// Opens the destination and starts the writer; `None` when the access log is off.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub fn open(destination: &Destination, format: LogFormat) -> io::Result<Option<AccessLogSink>> {
        let Some(out) = writer::open(destination)? else { return Ok(None) };
        let (blocks, received) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let said = dropped.clone();
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer::run(out, &received, &said))?;
        Ok(Some(AccessLogSink { blocks, dropped, format, thread }))
    }
}

/// The open log.
#[derive(Debug)]
pub struct AccessLogSink {
    blocks: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    format: LogFormat,
    thread: JoinHandle<()>,
}

impl AccessLogSink {
    /// One worker's part of it.
    pub fn local(&self) -> LocalAccessLog {
        LocalAccessLog {
            blocks: self.blocks.clone(),
            dropped: self.dropped.clone(),
            format: self.format,
            buffer: RefCell::default(),
            lines: Cell::default(),
            clock: RefCell::default(),
        }
    }

    /// Lines that were lost because the writer was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Writes what was handed over and ends. To be called once every worker has ended, so that no line is lost.
    pub fn close(self) {
        if !send(&self.blocks, Message::End) {
            return tracing::error!("the access log's writer is stuck; its last lines are lost");
        }
        let until = Instant::now() + PATIENCE;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        if self.thread.is_finished() && self.thread.join().is_err() {
            tracing::error!("the access log's writer panicked");
        }
    }
}

/// One worker's buffer of lines.
#[derive(Debug)]
pub struct LocalAccessLog {
    blocks: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    format: LogFormat,
    buffer: RefCell<Vec<u8>>,
    /// Lines in `buffer`.
    lines: Cell<u64>,
    clock: RefCell<Clock>,
}

impl LocalAccessLog {
    /// Adds a line. This is the one formatting that the hot path law allows, and only while the log is on: a line is text.
    pub fn write(&self, line: &AccessLine<'_>) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() >= KEPT {
            self.dropped.fetch_add(1, Relaxed); // shared by workers, but touched only when lines are lost
            return;
        }
        line::write(line, self.clock.borrow_mut().now(), self.format, &mut buffer);
        self.lines.set(self.lines.get() + 1);
        let full = buffer.len() >= BLOCK;
        drop(buffer);
        if full {
            self.flush();
        }
    }

    /// Hands the lines over, if the writer has room for them; to be called a few times a second.
    pub fn flush(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        let block = std::mem::replace(&mut *buffer, Vec::with_capacity(BLOCK + BLOCK / 8));
        match self.blocks.try_send(Message::Block(block)) {
            Ok(()) => self.lines.set(0),
            Err(TrySendError::Full(Message::Block(block))) => *buffer = block,
            Err(_) => self.lines.set(0), // the writer has ended: the process is past its deadline
        }
    }
}

impl Drop for LocalAccessLog {
    fn drop(&mut self) {
        let rest = self.buffer.take();
        if !rest.is_empty() && !send(&self.blocks, Message::Block(rest)) {
            self.dropped.fetch_add(self.lines.get(), Relaxed);
        }
    }
}

/// Sends within [`PATIENCE`]. The data path is over when this is called, so that waiting harms nobody.
fn send(blocks: &SyncSender<Message>, mut message: Message) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        message = match blocks.try_send(message) {
            Ok(()) => return true,
            Err(TrySendError::Full(back)) if Instant::now() < until => back,
            Err(_) => return false,
        };
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests;
