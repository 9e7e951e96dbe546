//! The settings file, followed live.
//!
//! Invariant: a file is read once it has stood still between two looks, so never in the middle of a write; a mounted ConfigMap's swap
//! is a new file. It is looked at, not listened to: one file, twice a second, costs nothing and misses nothing. What it says is laid
//! under flags and environment by whoever started the process; what is wrong with it is told, and changes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::problem::Problem;
use config::settings::Settings;
use tokio::sync::mpsc;

use crate::event::{Event, SettingsNews, SourceName};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two words that it is still as it was.
const ALIVE_EVERY: u32 = 20;

/// The file, and how it makes settings.
#[derive(Clone)]
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Reads it, and lays flags and environment over it.
    pub read: Arc<dyn Fn() -> Result<Settings, Vec<Problem>> + Send + Sync>,
}

impl std::fmt::Debug for SettingsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SettingsFile").field(&self.path).finish()
    }
}

/// What the source of the file is called.
pub fn name(path: &Path) -> SourceName {
    format!("settings:{}", path.display()).into()
}

/// What tells one version of a file from another; `None` while it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?; // through symlinks: a ConfigMap's file is one
    Some(Stamp { file: (meta.dev(), meta.ino()), size: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

/// Follows the file until nobody listens any more. It was read for the start; it is read again at once, since that was a while ago.
pub(crate) async fn watch(file: SettingsFile, out: mpsc::Sender<Event>) {
    let mut watched = Watched::new(file.path.clone());
    let mut quiet = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = out.closed() => return,
        }
        let file = file.clone();
        // Off the async threads: the disk may be slow.
        let looked = tokio::task::spawn_blocking(move || {
            let news = watched.look().then(|| (file.read)());
            (watched, news)
        });
        let Ok((back, news)) = looked.await else { return }; // the process ends
        watched = back;
        quiet = if news.is_some() { 0 } else { quiet + 1 };
        let news = match news {
            Some(Ok(settings)) => SettingsNews::Read(Box::new(settings)),
            Some(Err(problems)) => SettingsNews::Broken(problems),
            None if quiet % ALIVE_EVERY == 0 => SettingsNews::Unchanged,
            None => continue,
        };
        if out.send(Event::Settings(news)).await.is_err() {
            return;
        }
    }
}

/// What was seen of the file.
struct Watched {
    path: PathBuf,
    /// When it was read last by us.
    read: Option<Stamp>,
    /// At the last look.
    seen: Option<Stamp>,
}

impl Watched {
    fn new(path: PathBuf) -> Watched {
        let seen = stamp(&path);
        Watched { path, read: None, seen }
    }

    /// Whether it is another one than was read last, and stands still.
    fn look(&mut self) -> bool {
        let now = stamp(&self.path);
        let still = now == self.seen;
        self.seen = now;
        if !still || now == self.read {
            return false;
        }
        self.read = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_once_when_it_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.yaml");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(path.clone());
        assert!(watched.look() && !watched.look(), "it may have changed since the start read it");
        fs::write(&path, "ab").unwrap();
        assert!(!watched.look(), "it may be in the middle of a write");
        fs::write(&path, "abc").unwrap();
        assert!(!watched.look());
        assert!(watched.look() && !watched.look(), "once");
        fs::remove_file(&path).unwrap();
        assert!(!watched.look() && watched.look(), "that it is gone is news");
    }

    #[test]
    fn the_swap_of_a_mounted_config_map_is_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..v1", "..v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tidegate.yaml"), "same").unwrap();
        }
        std::os::unix::fs::symlink("..v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/tidegate.yaml", at("tidegate.yaml")).unwrap();
        let mut watched = Watched::new(at("tidegate.yaml"));
        assert!(watched.look());
        std::os::unix::fs::symlink("..v2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert!(!watched.look() && watched.look());
    }
}
