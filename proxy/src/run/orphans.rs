//! Whoever is the first process of its PID namespace inherits the orphans of all others, and must take note of their end.
//!
//! So it is in a container, and with an app that shares its PID namespace they are the app's. Invariant: where we are not that process, no
//! child is waited for here.

use rustix::process::{WaitOptions, getpid, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes note of the end of orphans as they end, on the runtime that this is called in.
///
/// # Errors
/// When SIGCHLD cannot be listened for.
pub(super) fn adopt() -> std::io::Result<()> {
    if getpid().is_init() {
        tokio::spawn(reap(signal(SignalKind::child())?));
    }
    Ok(())
}

async fn reap(mut ends: Signal) {
    loop {
        // One signal may stand for many ends.
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            tracing::debug!(pid = pid.as_raw_pid(), "an orphan ended");
        }
        if ends.recv().await.is_none() {
            return;
        }
    }
}
