//! The folder source: manifests from a folder or a file, followed live.
//!
//! Invariant: a file is read when it was closed, moved or linked into place, never in the middle of a write; one step of the writer
//! (a mounted ConfigMap's swap included) is one batch. What cannot be read keeps its last good objects: empty is not unknown. A slow
//! poll is the net below the kernel's notices. It refuses nothing about the content: that is for the registry to judge.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::problem::{Problem, Reason};
use tokio::sync::mpsc;

use crate::event::{Batch, Change, Content, Event, Origin, SourceName};

mod notices;
mod read;
mod settle;
mod silence;
mod tree;

use notices::{Notices, Taken, Watcher};
use read::Seen;
use tree::Tree;

/// How often the folder is looked at.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between looks at everything when the kernel tells us of changes.
    poll: Duration,
    /// The same when it cannot.
    blind_poll: Duration,
    /// Between looks at a folder that is not there.
    retry: Duration,
    /// Between two steps, so that a burst of changes is one batch.
    gather: Duration,
    /// A file changed so recently, and not closed as far as we were told, may be in the middle of a write.
    young: Duration,
    /// How long a step waits for the notice that a file it just read was opened for writing again.
    settle: Duration,
}

const PACE: Pace = Pace {
    poll: Duration::from_secs(30),
    blind_poll: Duration::from_secs(2),
    retry: Duration::from_millis(500),
    gather: Duration::from_millis(15),
    young: Duration::from_millis(200),
    settle: Duration::from_millis(2),
};

/// What the source of `path` is called.
pub fn name(path: &Path) -> SourceName {
    format!("folder:{}", path.display()).into()
}

/// Reads everything once, in path order. A folder that cannot be looked into is an unreadable origin itself.
pub fn read_once(path: &Path) -> Batch {
    let mut folder = Folder::new(path, PACE, None);
    match folder.first() {
        Ok(batch) => batch,
        Err(problem) => {
            let change = Change { origin: path.into(), content: Content::Unreadable(problem) };
            Batch { source: folder.source, changes: vec![change], whole: true }
        }
    }
}

/// Follows `path` until nobody listens any more: a whole batch first, then one batch for each step of its writers.
///
/// # Errors
/// The reading thread failed; start it again.
pub async fn watch(path: PathBuf, out: mpsc::Sender<Event>) -> Result<(), Problem> {
    follow(path, out, PACE).await
}

async fn follow(path: PathBuf, out: mpsc::Sender<Event>, pace: Pace) -> Result<(), Problem> {
    let notices = Arc::new(Notices::default());
    let mut folder = Folder::new(&path, pace, Some(notices.clone()));
    let source = folder.source.clone();
    let mut told = Told::default();
    let mut look = Look::Everything(Taken::default());
    loop {
        let began = Instant::now();
        let (back, result) = step(folder, look, told.started, &path).await?;
        folder = back;
        if let Some(event) = told.news(result, &source, folder.whole)
            && out.send(event).await.is_err()
        {
            return Ok(());
        }
        look = tokio::select! {
            look = next(&notices, &folder, began) => look,
            () = out.closed() => return Ok(()),
        };
    }
}

/// What was sent so far, so that nothing is sent twice.
#[derive(Default)]
struct Told {
    started: bool,
    stale: Option<Problem>,
}

impl Told {
    fn news(&mut self, result: Result<Batch, Problem>, source: &SourceName, whole: bool) -> Option<Event> {
        match result {
            Ok(batch) => {
                let news = !self.started || !batch.changes.is_empty();
                let alive = self.stale.take().is_some() || whole;
                self.started = true;
                if news { Some(Event::Batch(batch)) } else { alive.then(|| Event::Alive(source.clone())) }
            }
            Err(problem) => {
                let before = self.stale.replace(problem.clone());
                (before.as_ref() != Some(&problem)).then(|| Event::Stale(source.clone(), problem))
            }
        }
    }
}

/// One step, off the async threads, since it reads files.
async fn step(mut folder: Folder, look: Look, started: bool, path: &Path) -> Result<(Folder, Result<Batch, Problem>), Problem> {
    let work = move || {
        let result = if started { folder.again(look) } else { folder.first() };
        (folder, result)
    };
    let lost = |error| Problem::error(Reason::Unreadable, format!("reading stopped: {error}")).in_file(path);
    tokio::task::spawn_blocking(work).await.map_err(lost)
}

/// Waits for something to look at.
async fn next(notices: &Notices, folder: &Folder, began: Instant) -> Look {
    let gather = folder.pace.gather;
    tokio::select! {
        () = notices.some() => {
            tokio::time::sleep_until((began + gather).into()).await;
            if notices.swapping() {
                // A ConfigMap's swap is several moves: look when they are through.
                tokio::time::sleep(gather).await;
            }
            let taken = notices.take();
            if taken.everything { Look::Everything(taken) } else { Look::Files(taken) }
        }
        () = tokio::time::sleep_until(folder.due.into()) => Look::Poll,
    }
}

/// What to look at.
#[derive(Debug)]
enum Look {
    Files(Taken),
    Everything(Taken),
    Poll,
}

/// What is known of one folder.
#[derive(Debug)]
struct Folder {
    root: PathBuf,
    source: SourceName,
    pace: Pace,
    notices: Option<Arc<Notices>>,
    watcher: Option<Watcher>,
    tree: Tree,
    seen: BTreeMap<Origin, Seen>,
    /// The last look was shown a name that went away, or may not be read yet.
    restless: bool,
    /// What is gone, and not told yet.
    held: BTreeSet<Origin>,
    /// The folder itself could not be read at the last look.
    stale: bool,
    /// When to look at everything, notice or not.
    due: Instant,
    /// The last look was at everything.
    whole: bool,
    /// The next look at everything comes early, for a file that was too young or too unsteady to be read.
    soon: bool,
    /// The kernel said nothing of what a poll found, nor of anything since.
    silent: bool,
}

impl Folder {
    fn new(root: &Path, pace: Pace, notices: Option<Arc<Notices>>) -> Folder {
        let watcher = notices.as_ref().and_then(|notices| Watcher::new(notices).map_err(|error| warn_blind(root, &error)).ok());
        Folder {
            root: root.to_owned(),
            source: name(root),
            pace,
            notices,
            watcher,
            tree: Tree::default(),
            seen: BTreeMap::new(),
            restless: false,
            held: BTreeSet::new(),
            stale: false,
            due: Instant::now(),
            whole: false,
            soon: false,
            silent: false,
        }
    }

    /// The first look: everything is read.
    fn first(&mut self) -> Result<Batch, Problem> {
        let changes = self.everything(&HashSet::new(), true)?;
        Ok(Batch { source: self.source.clone(), changes, whole: true })
    }

    fn again(&mut self, look: Look) -> Result<Batch, Problem> {
        self.silent &= matches!(look, Look::Poll);
        self.whole = false;
        let changes = match look {
            Look::Files(taken) if !self.stale => match self.shown(&taken) {
                Some(files) => self.files(&files),
                None => self.after(taken)?,
            },
            Look::Files(taken) | Look::Everything(taken) => self.after(taken)?,
            Look::Poll => {
                if let Some(notices) = &self.notices {
                    notices.forget_stuck(self.pace.poll);
                }
                self.poll()?
            }
        };
        let gone = changes.iter().any(|change| matches!(change.content, Content::Gone));
        let changes = if gone || !self.held.is_empty() { self.settle(changes) } else { changes };
        Ok(Batch { source: self.source.clone(), changes, whole: false })
    }

    fn after(&mut self, taken: Taken) -> Result<Vec<Change>, Problem> {
        if let Some(watcher) = &mut self.watcher {
            watcher.forget(&taken.moved);
        }
        self.everything(&taken.touched, false)
    }

    /// Looks at the whole tree and reads what changed. `touched` (real paths) are read whatever their stamps say.
    fn everything(&mut self, touched: &HashSet<PathBuf>, first: bool) -> Result<Vec<Change>, Problem> {
        let tree = match tree::walk(&self.root, &mut self.watcher) {
            Ok(tree) => tree,
            Err(problem) => {
                self.stale = true;
                self.due = Instant::now() + self.pace.retry;
                return Err(problem);
            }
        };
        (self.stale, self.whole) = (false, true);
        let told = self.watcher.is_some() && !self.silent;
        self.due = Instant::now() + if told { self.pace.poll } else { self.pace.blind_poll };
        self.restless = tree.vanished;
        self.tree = tree;
        let (to_read, mut changes) = self.unread(touched, first);
        changes.extend(self.read(to_read, first));
        changes.extend(self.unreadable_folders());
        changes.extend(self.gone());
        changes.sort_by(|a, b| a.origin.cmp(&b.origin));
        Ok(changes)
    }

    /// The files of the tree that may say something new.
    fn unread(&mut self, touched: &HashSet<PathBuf>, first: bool) -> (Vec<(Origin, PathBuf)>, Vec<Change>) {
        let mended = self.mended();
        let (mut to_read, mut changes, mut waiting) = (Vec::new(), Vec::new(), false);
        for (origin, file) in &self.tree.files {
            let known = self.seen.get(origin);
            let closed = touched.contains(&file.real);
            let same = known.is_some_and(|seen| seen.stamp == file.stamp && !seen.failed());
            if same && !closed {
                continue;
            }
            let must_be_named = first || mended.iter().any(|folder| origin.starts_with(folder));
            if self.writing(&file.real) {
                if must_be_named {
                    changes.extend(read::failed(origin, read::being_written(origin), &mut self.seen));
                }
            } else if must_be_named || closed || file.linked || !file.stamp.is_younger(self.pace.young) {
                to_read.push((origin.clone(), file.real.clone()));
            } else {
                waiting = true;
            }
        }
        if waiting {
            self.restless = true;
            self.look_soon();
        }
        (to_read, changes)
    }

    /// Folders that could not be read before and can be now. What lies below is forgotten, so that all of it is named anew: nobody
    /// knows what was removed there meanwhile.
    fn mended(&mut self) -> Vec<Origin> {
        let failed = self.seen.iter().filter(|(_, seen)| seen.failed()).map(|(origin, _)| origin.clone());
        let mended: Vec<Origin> = failed.filter(|origin| self.tree.has_read(origin)).collect();
        if !mended.is_empty() {
            self.seen.retain(|origin, _| !mended.iter().any(|folder| origin != folder && origin.starts_with(folder)));
        }
        mended
    }

    /// The manifests that the touched paths are; `None` when the whole tree must be looked at.
    fn shown(&self, taken: &Taken) -> Option<BTreeSet<Origin>> {
        let mut files = BTreeSet::new();
        for real in &taken.touched {
            if self.tree.concerns_all(real) {
                return None;
            }
            files.extend(self.tree.links_to(real));
            files.extend(self.tree.shown(real).filter(|origin| tree::is_manifest(origin)));
        }
        Some(files)
    }

    /// Reads these files again.
    fn files(&mut self, origins: &BTreeSet<Origin>) -> Vec<Change> {
        let mut to_read = Vec::new();
        let mut changes = Vec::new();
        for origin in origins {
            match tree::look_at(origin) {
                Ok(file) => {
                    to_read.push((origin.clone(), file.real.clone()));
                    self.tree.files.insert(origin.clone(), file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.tree.files.remove(origin);
                    changes.extend(self.seen.remove(origin).map(|_| Change { origin: origin.clone(), content: Content::Gone }));
                }
                Err(error) => changes.extend(read::failed(origin, read::unreadable(origin, &error), &mut self.seen)),
            }
        }
        changes.extend(self.read(to_read, false));
        changes.sort_by(|a, b| a.origin.cmp(&b.origin));
        changes
    }

    /// Reads files (as shown, and where they really are) and says which have something new.
    fn read(&mut self, files: Vec<(Origin, PathBuf)>, first: bool) -> Vec<Change> {
        if files.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let looks: Vec<_> = files.into_iter().map(|(origin, real)| (read::look(&origin, self.seen.get(&origin)), origin, real)).collect();
        if !first && self.watcher.is_some() {
            #[expect(
                clippy::disallowed_methods,
                reason = "the notice may come within this time or not at all; this thread has nothing else to do"
            )]
            std::thread::sleep(self.pace.settle.saturating_sub(began.elapsed()));
        }
        let mut changes = Vec::new();
        for (look, origin, real) in looks {
            // Whoever writes again will close again, and then it is read.
            if !first && self.writing(&real) {
                continue;
            }
            let look = if first { look } else { look.unless_midway(&origin, self.pace.young) };
            match look {
                read::Look::New(seen, content) => {
                    self.seen.insert(origin.clone(), seen);
                    changes.push(Change { origin, content });
                }
                read::Look::Same(seen) => {
                    self.seen.insert(origin, seen);
                }
                read::Look::Unsteady => {
                    self.restless = true;
                    self.look_soon();
                    changes.extend(first.then(|| read::failed(&origin, read::being_written(&origin), &mut self.seen)).flatten());
                }
            }
        }
        changes
    }

    fn unreadable_folders(&mut self) -> Vec<Change> {
        let folders = self.tree.unreadable.iter();
        folders.filter_map(|(folder, problem)| read::failed(folder, problem.clone(), &mut self.seen)).collect()
    }

    /// What was there and is not. What lies below a folder that cannot be read may be there still.
    fn gone(&mut self) -> Vec<Change> {
        let Tree { files, unreadable, .. } = &self.tree;
        let hidden = |origin: &Path| origin.ancestors().any(|above| unreadable.contains_key(above));
        let gone: Vec<Origin> = self.seen.keys().filter(|origin| !files.contains_key(*origin) && !hidden(origin)).cloned().collect();
        for origin in &gone {
            self.seen.remove(origin);
        }
        gone.into_iter().map(|origin| Change { origin, content: Content::Gone }).collect()
    }

    fn writing(&self, real: &Path) -> bool {
        self.notices.as_ref().is_some_and(|notices| notices.is_writing(real))
    }

    /// A young or unsteady file is looked at again when it is old enough.
    fn look_soon(&mut self) {
        self.due = self.due.min(Instant::now() + self.pace.young);
        self.soon = true;
    }
}

fn warn_blind(root: &Path, error: &notify::Error) {
    let every = PACE.blind_poll.as_secs();
    tracing::warn!(source = %name(root), %error, "the kernel gives no notice of changes (raise fs.inotify.max_user_instances): looking every {every} s");
}

#[cfg(test)]
mod tests;
