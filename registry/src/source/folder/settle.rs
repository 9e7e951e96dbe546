//! Believing that a file is gone.
//!
//! Invariant: what is renamed, however often, is never missed: a file is told to be gone only beside a look at everything that met every
//! name it was shown, and not while somebody writes a new one by its name. Until then what is gone is held back, and what is new is told. A
//! seal may depend on it.

use std::collections::BTreeMap;

use super::Folder;
use crate::event::{Change, Content, Origin};

/// Looks taken one after the other before what is gone is held back.
const LOOKS: usize = 8;

impl Folder {
    /// A file that is gone may have been renamed after its new name was passed by: it is believed after a second look, and what that
    /// finds belongs to the same step.
    pub(super) fn settle(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let Some(notices) = self.notices.clone() else { return changes };
        let mut merged: BTreeMap<Origin, Change> = by_origin(changes).collect();
        let mut still = false;
        for _ in 0..LOOKS {
            #[expect(clippy::disallowed_methods, reason = "both halves of a move must be through; this thread has nothing else to do")]
            std::thread::sleep(self.pace.gather);
            // A folder that cannot be read now takes nothing away; the next look tells it.
            let Ok(more) = self.after(notices.take()) else { break };
            merged.extend(by_origin(more));
            still = !self.restless;
            if still {
                break;
            }
        }
        self.believe(merged, still)
    }

    fn believe(&mut self, mut merged: BTreeMap<Origin, Change>, still: bool) -> Vec<Change> {
        self.held.retain(|origin| !self.seen.contains_key(origin));
        let gone = merged.extract_if(.., |_, change| matches!(change.content, Content::Gone));
        self.held.extend(gone.map(|(origin, _)| origin));
        if still {
            // One that is there by now is read when it was written.
            let gone: Vec<Origin> = self.held.extract_if(.., |origin| !self.tree.files.contains_key(origin)).collect();
            merged.extend(gone.into_iter().map(|origin| (origin.clone(), Change { origin, content: Content::Gone })));
        } else {
            self.look_soon();
        }
        merged.into_values().collect()
    }
}

pub(super) fn by_origin(changes: Vec<Change>) -> impl Iterator<Item = (Origin, Change)> {
    changes.into_iter().map(|change| (change.origin.clone(), change))
}
