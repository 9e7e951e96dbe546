//! The manifests below a folder, each as the operator would type it, beside where it really is.
//!
//! Invariant: every folder is watched before it is read, so that nothing made in between is lost; each real folder is read once, by
//! the first path in order, so that loops of links end; a picture taken while a ConfigMap was swapped is taken again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use config::problem::Problem;

use super::notices::{FolderId, Watcher};
use super::read::{Stamp, unreadable};
use crate::event::Origin;

/// Where a mounted ConfigMap's current content is: moved in one step by the kubelet.
const SWAPPED: &str = "..data";
/// Whoever swaps more often than we can look is looked at as it is.
const TRIES: usize = 8;
/// Deeper folders are not looked into.
const DEEPEST: usize = 64;

/// What is below a folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Manifests by their path as shown.
    pub(super) files: BTreeMap<Origin, FileAt>,
    /// Folders that could not be read, by their path as shown.
    pub(super) unreadable: BTreeMap<PathBuf, Problem>,
    /// Real folders, and how each is shown.
    folders: HashMap<PathBuf, PathBuf>,
    /// Folders as shown, links to folders included.
    shown_folders: HashSet<PathBuf>,
    /// The real path of the root's own name, when it is a link or a file: what happens to it happens to everything.
    root_name: Option<PathBuf>,
    /// Real files behind links, and how each is shown.
    links: HashMap<PathBuf, Vec<Origin>>,
    /// Real folders of files behind links: watched for those files only.
    beside: HashSet<PathBuf>,
    /// Where `..data` of each folder that has one led.
    swaps: Vec<(PathBuf, PathBuf)>,
    /// The kernel could not watch everything.
    blind: bool,
    /// A manifest or folder was listed and then not there: it may be there by another name that was not listed.
    pub(super) vanished: bool,
}

/// One manifest.
#[derive(Debug)]
pub(super) struct FileAt {
    /// Its path without links.
    pub(super) real: PathBuf,
    /// Its stamp when it was looked at.
    pub(super) stamp: Stamp,
    /// It is reached by a link, so that it was there before its name was.
    pub(super) linked: bool,
}

impl Tree {
    /// Whether what happened to `real` needs a look at the whole tree.
    pub(super) fn concerns_all(&self, real: &Path) -> bool {
        if self.root_name.as_deref() == Some(real) || self.folders.contains_key(real) || self.beside.contains(real) {
            return true;
        }
        let Some(shown) = self.shown(real) else { return false };
        let was_link = self.files.get(&shown).is_some_and(|file| file.linked);
        let known = was_link || self.shown_folders.contains(&*shown) || self.unreadable.contains_key(&*shown);
        known || skipped(real) || real.is_symlink() || real.is_dir()
    }

    /// Whether `shown` is a folder that was read.
    pub(super) fn has_read(&self, shown: &Path) -> bool {
        self.shown_folders.contains(shown) && !self.unreadable.contains_key(shown)
    }

    /// How a path in one of the folders is shown.
    pub(super) fn shown(&self, real: &Path) -> Option<Origin> {
        let folder = self.folders.get(real.parent()?)?;
        Some(folder.join(real.file_name()?).into())
    }

    /// How a real file is shown through links.
    pub(super) fn links_to(&self, real: &Path) -> impl Iterator<Item = Origin> {
        self.links.get(real).into_iter().flatten().cloned()
    }

    fn is_swapped(&self) -> bool {
        self.swaps.iter().any(|(link, before)| fs::read_link(link).map_or(true, |now| now != *before))
    }
}

/// Whether a path names a manifest. Emacs puts `.#NAME` links beside the files that it edits.
pub(super) fn is_manifest(path: &Path) -> bool {
    let known = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
    known && !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".#")) && !skipped(path)
}

/// Whether a path's last name starts with `..`: a ConfigMap's inner workings.
pub(super) fn skipped(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".."))
}

/// Looks at everything below `root`, which may be a single file, and watches it.
///
/// # Errors
/// The root itself cannot be read.
pub(super) fn walk(root: &Path, watcher: &mut Option<Watcher>) -> Result<Tree, Problem> {
    let mut tree = once(root, watcher)?;
    for _ in 1..TRIES {
        if !tree.is_swapped() {
            break;
        }
        tree = once(root, watcher)?;
    }
    if let Some(watcher) = watcher {
        watcher.keep(|folder| tree.folders.contains_key(folder) || tree.beside.contains(folder));
    }
    if tree.blind {
        // Half a view is worse than none: without a watcher, everything is looked at often.
        tracing::warn!(root = %root.display(), "not every folder can be watched (raise fs.inotify.max_user_watches): looking at all of them instead");
        *watcher = None;
    }
    Ok(tree)
}

fn once(root: &Path, watcher: &mut Option<Watcher>) -> Result<Tree, Problem> {
    let mut walk = Walk { tree: Tree::default(), visited: HashSet::new(), depth: 0, watcher };
    let failed = |error: io::Error| unreadable(root, &error);
    let meta = fs::metadata(root).map_err(failed)?;
    if root.is_symlink() || !meta.is_dir() {
        // Its name may come to stand for something else.
        walk.tree.root_name = walk.watch_parent(root);
    }
    if meta.is_dir() {
        walk.folder(root).map_err(failed)?
    } else {
        walk.linked_file(root).map_err(failed)?
    }
    Ok(walk.tree)
}

/// Looks at one manifest.
///
/// # Errors
/// It is gone or cannot be looked at.
pub(super) fn look_at(path: &Path) -> io::Result<FileAt> {
    let linked = path.symlink_metadata()?.is_symlink();
    Ok(FileAt { real: path.canonicalize()?, stamp: Stamp::of(&fs::metadata(path)?), linked })
}

/// The names in a folder, sorted, and whether each is a folder: as they were at one moment, unless they never stand still.
fn list(real: &Path) -> io::Result<Vec<(OsString, bool)>> {
    let changed = || fs::metadata(real).map(|meta| (meta.ctime(), meta.ctime_nsec()));
    let entry = |entry: io::Result<fs::DirEntry>| entry.map(|entry| (entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
    let mut names: Vec<(OsString, bool)> = Vec::new();
    for _ in 0..TRIES {
        let before = changed()?;
        names = fs::read_dir(real)?.map(entry).collect::<io::Result<_>>()?;
        if changed()? == before {
            break;
        }
    }
    names.sort();
    Ok(names)
}

struct Walk<'w> {
    tree: Tree,
    visited: HashSet<FolderId>,
    depth: usize,
    watcher: &'w mut Option<Watcher>,
}

impl Walk<'_> {
    fn folder(&mut self, shown: &Path) -> io::Result<()> {
        if self.depth > DEEPEST {
            return Err(io::Error::other(format!("more than {DEEPEST} folders in one another")));
        }
        self.tree.shown_folders.insert(shown.to_owned());
        let real = shown.canonicalize()?;
        let meta = fs::metadata(&real)?;
        if !self.visited.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        self.watch(&real, (meta.dev(), meta.ino()));
        let swap = shown.join(SWAPPED);
        if let Ok(to) = fs::read_link(&swap) {
            self.tree.swaps.push((swap, to));
        }
        self.depth += 1;
        for (name, is_folder) in list(&real)? {
            self.entry(shown.join(&name), real.join(&name), is_folder);
        }
        self.depth -= 1;
        self.tree.folders.insert(real, shown.to_owned());
        Ok(())
    }

    fn entry(&mut self, shown: PathBuf, real: PathBuf, is_folder: bool) {
        if skipped(&shown) {
            return;
        }
        let manifest = is_manifest(&shown);
        let Ok(own) = real.symlink_metadata() else {
            self.tree.vanished |= manifest || is_folder;
            return;
        };
        let done = match own {
            own if own.is_dir() => self.folder(&shown),
            own if own.is_symlink() && (manifest || real.is_dir()) => self.link(&shown),
            own if manifest => {
                self.tree.files.insert(shown.as_path().into(), FileAt { real, stamp: Stamp::of(&own), linked: false });
                Ok(())
            }
            _ => Ok(()),
        };
        match done {
            // Removed or renamed while we looked: the notice of that is on its way.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !shown.is_symlink() => self.tree.vanished = true,
            Err(error) => {
                let problem = unreadable(&shown, &error);
                self.tree.unreadable.insert(shown, problem);
            }
            Ok(()) => {}
        }
    }

    fn link(&mut self, shown: &Path) -> io::Result<()> {
        if fs::metadata(shown)?.is_dir() { self.folder(shown) } else { self.linked_file(shown) }
    }

    fn linked_file(&mut self, shown: &Path) -> io::Result<()> {
        let real = shown.canonicalize()?;
        self.watch_parent(&real);
        let origin: Origin = shown.into();
        self.tree.links.entry(real.clone()).or_default().push(origin.clone());
        self.tree.files.insert(origin, FileAt { real, stamp: Stamp::of(&fs::metadata(shown)?), linked: true });
        Ok(())
    }

    /// Watches the folder that holds `file` and returns the file's path in it, links of its own not followed. When that folder is
    /// closed to us, the poll must do.
    fn watch_parent(&mut self, file: &Path) -> Option<PathBuf> {
        let parent = file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        let real = parent.canonicalize().ok()?;
        let meta = fs::metadata(&real).ok()?;
        self.watch(&real, (meta.dev(), meta.ino()));
        let name = real.join(file.file_name()?);
        self.tree.beside.insert(real);
        Some(name)
    }

    fn watch(&mut self, real: &Path, id: FolderId) {
        if let Some(watcher) = self.watcher
            && let Err(error) = watcher.watch(real, id)
        {
            self.tree.blind |= matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
        }
    }
}
