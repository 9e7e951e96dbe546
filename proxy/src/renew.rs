//! Takes renewed settings to those who go by them: workers, and the access log.
//!
//! Invariant: what cannot be done (an access log that cannot be opened) leaves things as they are, and is told. Runs on the control
//! thread; nothing here decides what the settings are.

use std::sync::{Arc, Mutex, PoisonError};

use config::problem::{Problem, Reason};
use config::settings::{AccessLog as Destination, Settings};
use registry::event::Report;
use tokio::sync::{oneshot, watch};

use crate::access_log::{AccessLog, AccessLogSink, LocalAccessLog};
use crate::terms::Terms;
use crate::worker::{Order, Shared};

/// The open access log, if it is on.
pub type Sink = Arc<Mutex<Option<AccessLogSink>>>;

/// Opens the access log of the settings.
///
/// # Errors
/// A [`Problem`] that says what to mend.
pub fn open_log(settings: &Settings) -> Result<Option<AccessLogSink>, Problem> {
    AccessLog::open(&settings.access_log, settings.log).map_err(|error| {
        let problem = Problem::error(Reason::Unreadable, format!("cannot open the access log: {error}")).at("accessLog");
        problem.expected("a file that this user may write").fix("mend the path or its permissions, or give `-` or `none`")
    })
}

/// Follows the settings.
pub struct Renewer {
    settings: watch::Receiver<Arc<Settings>>,
    shared: Arc<Shared>,
    sink: Sink,
    /// Where the access log goes now.
    logs_to: Destination,
}

impl Renewer {
    /// From what the process runs with.
    pub fn new(mut settings: watch::Receiver<Arc<Settings>>, shared: Arc<Shared>, sink: Sink) -> Renewer {
        let logs_to = settings.borrow_and_update().access_log.clone();
        Renewer { settings, shared, sink, logs_to }
    }

    /// Until there are no more settings.
    pub async fn run(mut self) {
        while self.settings.changed().await.is_ok() {
            let settings = self.settings.borrow_and_update().clone();
            let terms = Terms::of(&settings);
            for orders in &self.shared.orders {
                let _ = orders.send(Order::Renew(terms)); // a worker that has ended needs none
            }
            let problem = self.move_log(&settings).await.err();
            let _ = self.shared.reports.send(Report::AccessLog(problem)); // the registry ends last
        }
    }

    async fn move_log(&mut self, settings: &Settings) -> Result<(), Problem> {
        if settings.access_log == self.logs_to {
            return Ok(());
        }
        let sink = open_log(settings)?;
        self.logs_to.clone_from(&settings.access_log);
        let (old, given): (Vec<_>, Vec<_>) = self.shared.orders.iter().map(|_| oneshot::channel()).unzip();
        for (orders, old) in self.shared.orders.iter().zip(old) {
            let _ = orders.send(Order::Log(sink.as_ref().map(AccessLogSink::local), old));
        }
        let before = std::mem::replace(&mut *self.sink.lock().unwrap_or_else(PoisonError::into_inner), sink);
        let mut parts: Vec<LocalAccessLog> = Vec::new();
        for given in given {
            parts.extend(given.await.ok().flatten()); // a worker that has ended has written its part
        }
        // Its last lines may wait for a disk.
        tokio::task::spawn_blocking(move || {
            drop(parts);
            before.map(AccessLogSink::close)
        });
        Ok(())
    }
}
