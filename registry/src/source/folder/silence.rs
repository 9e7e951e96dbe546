//! A watch that fell silent: a poll found what the kernel should have told of, and did not.
//!
//! Invariant: what the poll found is told, whatever becomes of the watch. The folder is then watched anew and looked at more often, until
//! the kernel speaks again; on a file system that tells of nothing (a network share) that is never, and changes are still seen.

use std::collections::{BTreeMap, HashSet};

use config::problem::Problem;

use super::notices::Watcher;
use super::{Folder, settle, warn_blind};
use crate::event::{Change, Origin};

impl Folder {
    /// Looks at everything, since it was time to.
    pub(super) fn poll(&mut self) -> Result<Vec<Change>, Problem> {
        // An early look, or the first at a folder that was away, finds what nobody was to tell of.
        let expected = std::mem::take(&mut self.soon) || self.stale;
        let changes = self.everything(&HashSet::new(), false)?;
        if expected || changes.is_empty() || !self.fell_silent() {
            return Ok(changes);
        }
        let mut found: BTreeMap<Origin, Change> = settle::by_origin(changes).collect();
        // A folder that cannot be read now takes nothing away; the next look tells it.
        if let Ok(more) = self.watch_anew() {
            found.extend(settle::by_origin(more));
        }
        Ok(found.into_values().collect())
    }

    /// Whether there is a watch, and it has nothing to tell.
    fn fell_silent(&self) -> bool {
        let Some(notices) = self.notices.as_ref().filter(|notices| self.watcher.is_some() && notices.is_quiet()) else { return false };
        #[expect(clippy::disallowed_methods, reason = "the notice may be on its way; this thread has nothing else to do")]
        std::thread::sleep(self.pace.gather);
        notices.is_quiet()
    }

    fn watch_anew(&mut self) -> Result<Vec<Change>, Problem> {
        if !std::mem::replace(&mut self.silent, true) {
            tracing::warn!(source = %self.source, "the kernel did not tell of changes that are there: watching anew, and looking more often");
        }
        let notices = self.notices.as_ref();
        self.watcher = notices.and_then(|notices| Watcher::new(notices).map_err(|error| warn_blind(&self.root, &error)).ok());
        self.everything(&HashSet::new(), false)
    }
}
