//! Hands on who is to be asked whether they are ready, and lets the first picture wait for the first answers.
//!
//! Invariant: that wait is bounded. Without it a restart would be a burst of refusals, since who is asked is not ready before.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::core::Registry;
use crate::event::Event;
use crate::health::{self, Tally, Wanted};

/// The first picture waits this long, once it could be made, for the first answers of those who may be asked at once.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);

/// The actor's end of the task that asks.
#[derive(Debug)]
pub(super) struct Asking {
    wanted: watch::Sender<Arc<Wanted>>,
    pub(super) tally: Arc<Tally>,
    /// Until when the first picture waits, while it does.
    patience: Option<Instant>,
}

impl Asking {
    /// Spawns the task on the current runtime.
    pub(super) fn start(out: mpsc::Sender<Event>) -> Asking {
        let (wanted, follows) = watch::channel(Arc::new(Wanted::new()));
        let tally = Arc::<Tally>::default();
        tokio::spawn(health::watch::watch(follows, tally.clone(), out, fastrand::u64(..)));
        Asking { wanted, tally, patience: None }
    }

    /// Says who is to be asked.
    pub(super) fn ask(&mut self, registry: &mut Registry) {
        let new = registry.wanted();
        self.wanted.send_if_modified(|wanted| {
            let changed = !Arc::ptr_eq(wanted, new);
            if changed {
                wanted.clone_from(new);
            }
            changed
        });
    }

    /// Whether the first picture, which could be made, waits still.
    pub(super) fn holds(&mut self, registry: &mut Registry) -> bool {
        self.ask(registry);
        let now = Instant::now();
        let end = self.patience.unwrap_or(now + FIRST_ANSWERS);
        let waits = now < end && registry.waits_for_probes();
        self.patience = waits.then_some(end);
        waits
    }

    /// Resolves when the first picture has waited long enough; never when it does not wait.
    pub(super) async fn patience(&self) {
        match self.patience {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}
