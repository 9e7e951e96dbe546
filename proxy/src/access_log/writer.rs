//! The thread that owns the log's file: blocks in, bytes out.
//!
//! Invariant: blocks are written whole and in order. A write that fails is said once until one works again; it ends nothing.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;

use config::settings::AccessLog as Destination;

/// What workers send.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole lines.
    Block(Vec<u8>),
    /// No more of them.
    End,
}

/// Where lines go; `None` when the log is off.
pub(super) fn open(destination: &Destination) -> io::Result<Option<Box<dyn Write + Send>>> {
    Ok(match destination {
        Destination::None => None,
        Destination::Stdout => Some(Box::new(io::stdout())),
        Destination::File(path) => {
            let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
            let file = file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            Some(Box::new(file))
        }
    })
}

/// Writes until the end is sent or every sender is gone.
pub(super) fn run(mut out: Box<dyn Write + Send>, blocks: &Receiver<Message>, dropped: &AtomicU64) {
    let (mut failing, mut dropped_said) = (false, 0);
    while let Ok(Message::Block(block)) = blocks.recv() {
        match (out.write_all(&block).and_then(|()| out.flush()), failing) {
            (Ok(()), _) => failing = false,
            (Err(_), true) => {}
            (Err(error), false) => {
                failing = true;
                tracing::error!(%error, "the access log cannot be written; lines are lost until it can");
            }
        }
        let dropped = dropped.load(Relaxed);
        if dropped > dropped_said {
            tracing::warn!(lines = dropped - dropped_said, "access log lines were dropped: its writer is slower than the traffic");
            dropped_said = dropped;
        }
    }
}
