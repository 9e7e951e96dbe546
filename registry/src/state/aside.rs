//! What cannot be used is set aside under `damaged/` before anything is written in its place.
//!
//! Invariant: nothing that was found is thrown away. A file that could not be read stays where it is until something must be written
//! there, so that mending it brings it back; when it cannot be moved then, it is not written over.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use config::problem::{Problem, Reason};

/// Files and folders of the state directory that could not be read at the start, and that are still there.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<BTreeSet<PathBuf>>);

impl Unread {
    /// These, and no others.
    pub(super) fn are(&self, found: impl IntoIterator<Item = PathBuf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found.into_iter().collect();
    }

    /// Moves `file` to the folder `aside` when it is one of them.
    ///
    /// # Errors
    /// It cannot be moved, or it is in a folder that could not be listed, so that nobody knows what is there: it may not be written.
    pub(super) fn make_way(&self, file: &Path, aside: &Path) -> Result<(), Problem> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = file.parent().filter(|folder| unread.contains(*folder)) {
            return Err(in_the_way(folder, "it is a folder that cannot be listed"));
        }
        if unread.contains(file) {
            move_to(file, aside).map_err(|error| in_the_way(file, &error.to_string()))?;
            unread.remove(file);
        }
        Ok(())
    }
}

pub(super) fn move_to(file: &Path, aside: &Path) -> io::Result<()> {
    let there = |file: &Path| fs::symlink_metadata(file).is_ok();
    if !there(file) {
        return Ok(()); // somebody moved it already
    }
    let name = aside.join(file.file_name().unwrap_or_default());
    let numbered = (1..).map(|number| name.with_extension(number.to_string()));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !there(name)).unwrap_or(name);
    fs::rename(file, &free)?;
    tracing::warn!(file = %file.display(), to = %free.display(), "saved state that cannot be read was moved aside");
    Ok(())
}

/// Appends lines that are not there yet, so that the same damage found at each start is kept once.
pub(super) fn keep_lines(file: &Path, lines: &[Vec<u8>]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(file)?;
    let mut kept = Vec::new();
    file.read_to_end(&mut kept)?;
    for line in lines {
        if !kept.split(|&byte| byte == b'\n').any(|old| old == line.as_slice()) {
            file.write_all(line)?;
            file.write_all(b"\n")?;
        }
    }
    file.sync_all()
}

fn in_the_way(path: &Path, why: &str) -> Problem {
    Problem::error(Reason::Unreadable, format!("saved state can be neither read nor moved aside: {why}"))
        .in_file(path)
        .expected("something that this user may read, or move to `damaged/`")
        .fix("mend its permissions or move it away; until then it is not written over, and what belongs there is known to this process alone")
}
