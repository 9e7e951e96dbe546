//! The state directory: VIPs, node ports, the last good objects, and the seed of cookies, so that a restart changes no address, loses no
//! seal and moves no client.
//!
//! Invariant: every file is replaced atomically, and every line carries its own check, so that a damaged line costs itself alone.
//! Of two processes, one gets the directory; the other is refused. What is damaged or cannot be read is never written over: it is set
//! aside under `damaged/` first.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::object::{Object, ServiceKey};
use config::problem::{Problem, Reason};
use rustix::fs::FlockOperation;

use crate::event::Origin;
use crate::seed::Seed;
use crate::snapshot::PortName;

mod aside;
mod record;
mod seed;

use aside::Unread;
use record::{Damage, Lines};

/// Virtual IPs were there first; node ports joined them.
const GRANTS: &str = "vips";
const OBJECTS: &str = "objects";
const DAMAGED: &str = "damaged";
/// Up to this many files are synced one by one; more of them by one sync of the whole file system.
const FEW: usize = 16;

/// What the state directory held at start.
#[derive(Debug, Default)]
pub struct Saved {
    /// Virtual IPs and node ports.
    pub grants: Vec<Grant>,
    /// Last good objects of each origin.
    pub origins: BTreeMap<Origin, Vec<Object>>,
    /// Damaged lines and unreadable files.
    pub problems: Vec<Problem>,
    /// What cookies name endpoints by where a Service has no uid.
    pub seed: Seed,
    /// A record of an origin was lost: an unreadable file at a cold start must not trust what is left.
    pub damaged_origins: bool,
}

/// What was given to somebody who keeps it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Grant {
    /// A service's virtual IP.
    Vip {
        /// Whose.
        service: ServiceKey,
        /// Which.
        ip: IpAddr,
    },
    /// A node port.
    NodePort {
        /// Whose.
        port: PortName,
        /// Which.
        number: u16,
    },
}

/// A state directory that this process alone writes.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    unread: Unread,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

impl StateDir {
    /// Creates the directory when it is missing (readable by its owner alone) and takes its lock.
    ///
    /// # Errors
    /// It cannot be created or written, or another process has it.
    pub fn open(path: impl Into<PathBuf>) -> Result<StateDir, Problem> {
        let path = path.into();
        for folder in [path.clone(), path.join(OBJECTS), path.join(DAMAGED)] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| unusable(&folder, &error))?;
        }
        let lock = take_lock(&path.join("lock"))?;
        Ok(StateDir { path, unread: Unread::default(), _lock: lock })
    }

    /// What was saved. Damaged lines are set aside under `damaged/`; what could not be read is when something is written there.
    pub fn load(&self) -> Saved {
        let Found { mut saved, damaged, unread } = read(&self.path);
        self.unread.are(unread);
        let (seed, problem) = self.seed();
        saved.seed = seed;
        saved.problems.extend(problem);
        for (name, lines) in &damaged {
            let file = self.path.join(DAMAGED).join(name.file_name().unwrap_or_default());
            if let Err(error) = aside::keep_lines(&file, lines) {
                saved.problems.push(unusable(&self.path.join(DAMAGED), &error));
            }
        }
        // Nothing is lost by this: the damaged lines were set aside. An objects file is left as it is until its origin is read
        // again, so that its damage stays known.
        if damaged.iter().any(|(name, _)| name == Path::new(GRANTS)) {
            saved.problems.extend(self.save(Some(&saved.grants), &[]).err());
        }
        saved
    }

    /// Moves what could not be read out of the way of the grants, or of an origin's objects.
    ///
    /// # Errors
    /// It cannot be moved; saving there would fail too.
    pub(crate) fn make_way(&self, origin: Option<&Origin>) -> Result<(), Problem> {
        let file = origin.map_or_else(|| self.path.join(GRANTS), |origin| self.file_of(origin));
        self.unread.make_way(&file, &self.path.join(DAMAGED))
    }

    fn file_of(&self, origin: &Origin) -> PathBuf {
        self.path.join(OBJECTS).join(record::file_name(origin))
    }

    /// Saves all grants when given, and each origin's objects (`None`: the origin is gone). Each file changes in one step.
    ///
    /// # Errors
    /// Something could not be written; what was not stays as it was before.
    pub fn save(&self, grants: Option<&[Grant]>, origins: &[(Origin, Option<Vec<Arc<Object>>>)]) -> Result<(), Problem> {
        let mut replacing = Vec::new();
        if let Some(grants) = grants {
            self.make_way(None)?;
            replacing.push((self.path.join(GRANTS), Content::Grants(grants)));
        }
        let mut removing = Vec::new();
        for (origin, objects) in origins {
            self.make_way(Some(origin))?;
            let file = self.file_of(origin);
            match objects {
                Some(objects) => replacing.push((file, Content::Objects(origin, objects))),
                None => removing.push(file),
            }
        }
        self.replace(&replacing, &removing).map_err(|(file, error)| unusable(&file, &error))
    }

    fn replace(&self, replacing: &[(PathBuf, Content<'_>)], removing: &[PathBuf]) -> Result<(), (PathBuf, io::Error)> {
        let one_by_one = replacing.len() <= FEW;
        for (file, content) in replacing {
            write_beside(file, content, one_by_one).map_err(|error| (file.clone(), error))?;
        }
        let here = |error| (self.path.clone(), error);
        if !one_by_one {
            let folder = File::open(&self.path).map_err(here)?;
            rustix::fs::syncfs(&folder).map_err(|error| here(error.into()))?;
        }
        for (file, _) in replacing {
            fs::rename(beside(file), file).map_err(|error| (file.clone(), error))?;
        }
        for file in removing {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((file.clone(), error)),
                _ => {}
            }
        }
        for folder in [self.path.clone(), self.path.join(OBJECTS)] {
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| (folder, error))?;
        }
        Ok(())
    }
}

/// What a file is to hold.
enum Content<'a> {
    Grants(&'a [Grant]),
    Objects(&'a Origin, &'a [Arc<Object>]),
}

/// Reads a state directory without its lock and without changing it, as `check` and `explain` do. A missing one is empty.
pub fn read_only(path: &Path) -> Saved {
    read(path).saved
}

/// What a state directory holds, and what is to be done about the rest.
#[derive(Default)]
struct Found {
    saved: Saved,
    /// Damaged lines, by the name of their file within the directory.
    damaged: Vec<(PathBuf, Vec<Vec<u8>>)>,
    /// What could not be read at all.
    unread: Vec<PathBuf>,
}

fn read(path: &Path) -> Found {
    let mut found = Found::default();
    match read_file(&path.join(GRANTS)) {
        Ok(bytes) => {
            let (grants, lines) = record::read_grants(&bytes);
            found.saved.grants = grants;
            found.note(&path.join(GRANTS), Path::new(GRANTS), lines);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => found.unreadable(path.join(GRANTS), &error),
    }
    match object_files(&path.join(OBJECTS)) {
        Ok(files) => files.into_iter().for_each(|file| found.read_objects(file)),
        Err(error) => {
            found.saved.damaged_origins = true;
            found.unreadable(path.join(OBJECTS), &error);
        }
    }
    found
}

impl Found {
    fn read_objects(&mut self, file: PathBuf) {
        let bytes = match read_file(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.saved.damaged_origins = true;
                return self.unreadable(file, &error);
            }
        };
        let (origin, objects, lines) = record::read_objects(&bytes);
        self.saved.damaged_origins |= lines.lost;
        if let Some(origin) = origin {
            self.saved.origins.insert(origin, objects);
        }
        let name = Path::new(OBJECTS).join(file.file_name().unwrap_or_default());
        self.note(&file, &name, lines);
    }

    /// Turns damage into problems for the operator and lines to set aside.
    fn note(&mut self, file: &Path, name: &Path, lines: Lines) {
        if lines.damage.is_empty() {
            return;
        }
        for Damage { line, what, .. } in &lines.damage {
            let problem = Problem::error(Reason::StateDamaged, format!("line {line}: {what}"));
            let problem = problem.in_file(file).expected("lines as Tidegate wrote them: 8 hex digits of CRC-32, a space, JSON");
            self.saved
                .problems
                .push(problem.fix("nothing must be done: all other lines were kept, and the damaged ones are in `damaged/`"));
        }
        self.damaged.push((name.to_owned(), lines.damage.into_iter().filter_map(|damage| damage.bytes).collect()));
    }

    fn unreadable(&mut self, file: PathBuf, error: &io::Error) {
        self.saved.problems.push(unreadable(&file, error));
        self.unread.push(file);
    }
}

/// Reads a file; nothing is waited for at what is none, such as a pipe.
fn read_file(file: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    fs::read(file)
}

/// The objects files in name order; what an interrupted write left behind is not one.
fn object_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_none() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn beside(file: &Path) -> PathBuf {
    file.with_extension("new")
}

fn write_beside(file: &Path, content: &Content<'_>, sync: bool) -> io::Result<()> {
    let mut new = BufWriter::new(OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(beside(file))?);
    match content {
        Content::Grants(grants) => record::write_grants(grants, &mut new)?,
        Content::Objects(origin, objects) => record::write_objects(origin, objects, &mut new)?,
    }
    let new = new.into_inner().map_err(io::IntoInnerError::into_error)?;
    if sync { new.sync_all() } else { Ok(()) }
}

fn take_lock(path: &Path) -> Result<File, Problem> {
    let opened = OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).open(path);
    let mut lock = opened.map_err(|error| unusable(path, &error))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(path, &mut lock)),
        Err(error) => return Err(unusable(path, &error.into())),
    }
    // The number is only for the message above; the lock itself is the kernel's and ends with the process.
    let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
    written.map_err(|error| unusable(path, &error))?;
    Ok(lock)
}

fn taken(path: &Path, lock: &mut File) -> Problem {
    let mut holder = String::new();
    // Unreadable text only costs the number in the message.
    let _ = lock.take(20).read_to_string(&mut holder);
    let who = if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
    Problem::error(Reason::Conflict, format!("{who} runs on this state directory"))
        .in_file(path)
        .expected("one process for each state directory")
        .fix("stop it, or give this one its own with --state-dir")
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    Problem::error(Reason::Unreadable, format!("state cannot be written: {error}"))
        .in_file(path)
        .expected("a directory that this user may write, with space left")
        .fix("mend its permissions or make room, or give another with --state-dir; until then a restart may change addresses")
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::error(Reason::Unreadable, format!("saved state cannot be read: {error}"))
        .in_file(path)
        .expected("a file that this user may read")
        .fix("mend its permissions and start again; it is moved to `damaged/` before anything is written in its place")
}

#[cfg(test)]
mod tests;
