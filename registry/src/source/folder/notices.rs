//! What the kernel says about a folder, folded into what has to be looked at.
//!
//! Invariant: bounded by the number of paths, however many notices come; a lost notice becomes a look at everything. All paths here
//! are real ones (no symlink in them).

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher as _};

use super::tree;

/// More touched paths than this are a look at everything.
const MANY: usize = 4096;

/// The box that the watcher's thread fills and the source empties.
#[derive(Debug, Default)]
pub(super) struct Notices {
    inbox: Mutex<Inbox>,
    arrived: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    taken: Taken,
    /// Files changed and not closed since, and when that was heard last.
    writing: HashMap<PathBuf, Instant>,
    /// A name that starts with `..` was touched.
    swapping: bool,
}

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Files closed, moved, linked or removed; folders made or removed.
    pub(super) touched: HashSet<PathBuf>,
    /// Paths that are not what they were: a watch on them says nothing any more.
    pub(super) moved: HashSet<PathBuf>,
    /// Notices were lost.
    pub(super) everything: bool,
}

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // A panic elsewhere leaves sets of paths: still true.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when there is something to look at.
    pub(super) async fn some(&self) {
        loop {
            let arrived = self.arrived.notified();
            if !self.lock().taken.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Whether a ConfigMap's swap seems to be going on.
    pub(super) fn swapping(&self) -> bool {
        self.lock().swapping
    }

    /// Nothing was told since the box was emptied, and nobody is known to be writing.
    pub(super) fn is_quiet(&self) -> bool {
        let inbox = self.lock();
        inbox.taken.is_empty() && inbox.writing.is_empty()
    }

    /// Empties the box.
    pub(super) fn take(&self) -> Taken {
        let mut inbox = self.lock();
        inbox.swapping = false;
        std::mem::take(&mut inbox.taken)
    }

    /// Whether someone is in the middle of writing this file.
    pub(super) fn is_writing(&self, real: &Path) -> bool {
        self.lock().writing.contains_key(real)
    }

    /// A change without a close (`truncate` by path, a notice lost) must not keep a file unread for ever.
    pub(super) fn forget_stuck(&self, age: Duration) {
        self.lock().writing.retain(|_, heard| heard.elapsed() < age);
    }

    fn hear(&self, notice: notify::Result<notify::Event>) {
        let mut inbox = self.lock();
        match notice {
            Ok(event) if event.need_rescan() => inbox.lose(),
            Ok(event) => inbox.hear(event),
            Err(_) => inbox.lose(),
        }
        if !inbox.taken.is_empty() {
            drop(inbox);
            self.arrived.notify_one();
        }
    }
}

impl Taken {
    fn is_empty(&self) -> bool {
        !self.everything && self.touched.is_empty()
    }
}

impl Inbox {
    fn lose(&mut self) {
        self.taken.everything = true;
        // The close may be among what was lost; the age of a file must do until the next notice.
        self.writing.clear();
    }

    fn hear(&mut self, event: notify::Event) {
        let kind = event.kind;
        for path in event.paths {
            match kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.touch(path),
                EventKind::Modify(ModifyKind::Data(_)) => self.write(path),
                EventKind::Create(CreateKind::File) if !is_in_place(&path) => self.write(path),
                EventKind::Create(_) => self.touch(path),
                // Comes after `From` and `To` of the same move.
                EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {}
                EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                    self.taken.moved.insert(path.clone());
                    self.touch(path);
                }
                EventKind::Modify(ModifyKind::Metadata(_)) if !self.writing.contains_key(&path) => self.touch(path),
                _ => {}
            }
        }
    }

    fn write(&mut self, path: PathBuf) {
        self.taken.touched.remove(&path);
        self.writing.insert(path, Instant::now());
    }

    fn touch(&mut self, path: PathBuf) {
        self.writing.remove(&path);
        self.swapping |= tree::skipped(&path);
        self.taken.touched.insert(path);
        if self.taken.touched.len() > MANY {
            self.taken.everything = true;
            self.taken.touched.clear();
        }
    }
}

/// A new name for something that was there before: a symlink or a hard link, which nobody will close.
fn is_in_place(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_symlink() || meta.nlink() > 1)
}

/// The kernel's watches: one for each real folder.
#[derive(Debug)]
pub(super) struct Watcher {
    kernel: notify::RecommendedWatcher,
    watched: HashMap<PathBuf, FolderId>,
}

/// Device and inode of a folder.
pub(super) type FolderId = (u64, u64);

impl Watcher {
    /// # Errors
    /// The kernel has no more room for watchers.
    pub(super) fn new(notices: &Arc<Notices>) -> notify::Result<Watcher> {
        let notices = notices.clone();
        let kernel = notify::recommended_watcher(move |notice| notices.hear(notice))?;
        Ok(Watcher { kernel, watched: HashMap::new() })
    }

    /// Watches a folder, from before it is read.
    ///
    /// # Errors
    /// It is gone, or the kernel has no more room.
    pub(super) fn watch(&mut self, folder: &Path, id: FolderId) -> notify::Result<()> {
        match self.watched.get(folder) {
            Some(known) if *known == id => return Ok(()),
            Some(_) => self.drop_watch(folder),
            None => {}
        }
        self.kernel.watch(folder, RecursiveMode::NonRecursive)?;
        self.watched.insert(folder.to_owned(), id);
        Ok(())
    }

    /// Drops watches on what was moved or removed, and below it.
    pub(super) fn forget(&mut self, moved: &HashSet<PathBuf>) {
        self.keep(|folder| !folder.ancestors().any(|above| moved.contains(above)));
    }

    /// Drops the watches on other folders.
    pub(super) fn keep(&mut self, wanted: impl Fn(&Path) -> bool) {
        let unwanted: Vec<PathBuf> = self.watched.keys().filter(|folder| !wanted(folder)).cloned().collect();
        for folder in unwanted {
            self.drop_watch(&folder);
        }
    }

    /// Makes the kernel silent without a word of it, as an unmounted share does.
    #[cfg(test)]
    pub(super) fn fall_silent(&mut self) {
        for folder in self.watched.keys() {
            let _ = self.kernel.unwatch(folder);
        }
    }

    fn drop_watch(&mut self, folder: &Path) {
        self.watched.remove(folder);
        // It fails when the folder is gone, and the watch with it.
        let _ = self.kernel.unwatch(folder);
    }
}
