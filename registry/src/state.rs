//! The state directory: VIPs, NodePorts to come, and the last good objects, so that a restart changes no address and loses no seal.
//!
//! Invariant: every file is replaced atomically, and every line carries its own check, so that a damaged line costs itself alone.
//! Of two processes, one gets the directory; the other is refused. What is damaged is set aside under `damaged/`, never thrown away.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::object::{Object, ServiceKey};
use config::problem::{Problem, Reason};
use rustix::fs::FlockOperation;

use crate::event::Origin;

mod record;

use record::{Damage, Lines};

const VIPS: &str = "vips";
const OBJECTS: &str = "objects";
const DAMAGED: &str = "damaged";
/// Up to this many files are synced one by one; more of them by one sync of the whole file system.
const FEW: usize = 16;

/// What the state directory held at start.
#[derive(Debug, Default)]
pub struct Saved {
    /// Addresses given to services.
    pub vips: Vec<SavedVip>,
    /// Last good objects of each origin.
    pub origins: BTreeMap<Origin, Vec<Object>>,
    /// Damaged lines and unreadable files.
    pub problems: Vec<Problem>,
    /// A record of an origin was lost: an unreadable file at a cold start must not trust what is left.
    pub damaged_origins: bool,
}

/// One service's address.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedVip {
    /// Whose.
    pub service: ServiceKey,
    /// Which.
    pub ip: IpAddr,
}

/// A state directory that this process alone writes.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
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
        Ok(StateDir { path, _lock: lock })
    }

    /// What was saved. Damaged lines are set aside under `damaged/`.
    pub fn load(&self) -> Saved {
        let (saved, damage) = read(&self.path);
        let mut saved = saved;
        for (name, lines) in &damage {
            if let Err(error) = self.set_aside(name, lines) {
                saved.problems.push(unusable(&self.path.join(DAMAGED), &error));
            }
        }
        // Nothing is lost by this: the damaged lines were set aside. An objects file is left as it is until its origin is read
        // again, so that its damage stays known.
        if damage.iter().any(|(name, _)| name == Path::new(VIPS)) {
            saved.problems.extend(self.save(Some(&saved.vips), &[]).err());
        }
        saved
    }

    /// Saves all VIPs when given, and each origin's objects (`None`: the origin is gone). Each file changes in one step.
    ///
    /// # Errors
    /// Something could not be written; what was not stays as it was before.
    pub fn save(&self, vips: Option<&[SavedVip]>, origins: &[(Origin, Option<Vec<Object>>)]) -> Result<(), Problem> {
        let mut replacing = Vec::new();
        if let Some(vips) = vips {
            replacing.push((self.path.join(VIPS), record::vips(vips)));
        }
        let mut removing = Vec::new();
        for (origin, objects) in origins {
            let file = self.path.join(OBJECTS).join(record::file_name(origin));
            match objects {
                Some(objects) => replacing.push((file, record::objects(origin, objects))),
                None => removing.push(file),
            }
        }
        self.replace(&replacing, &removing).map_err(|(file, error)| unusable(&file, &error))
    }

    fn replace(&self, replacing: &[(PathBuf, Vec<u8>)], removing: &[PathBuf]) -> Result<(), (PathBuf, io::Error)> {
        let one_by_one = replacing.len() <= FEW;
        for (file, bytes) in replacing {
            write_beside(file, bytes, one_by_one).map_err(|error| (file.clone(), error))?;
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

    /// Appends what is not there yet, so that the same damage found at each start is kept once.
    fn set_aside(&self, name: &Path, lines: &[Vec<u8>]) -> io::Result<()> {
        let file = self.path.join(DAMAGED).join(name.file_name().unwrap_or_default());
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
}

/// Reads a state directory without its lock and without changing it, as `check` and `explain` do. A missing one is empty.
pub fn read_only(path: &Path) -> Saved {
    read(path).0
}

type SetAside = Vec<(PathBuf, Vec<Vec<u8>>)>;

fn read(path: &Path) -> (Saved, SetAside) {
    let mut saved = Saved::default();
    let mut damage = Vec::new();
    match read_if_there(&path.join(VIPS)) {
        Ok(None) => {}
        Ok(Some(bytes)) => {
            let (vips, lines) = record::read_vips(&bytes);
            saved.vips = vips;
            note(&path.join(VIPS), Path::new(VIPS), lines, &mut saved, &mut damage);
        }
        Err(error) => saved.problems.push(unreadable(&path.join(VIPS), &error)),
    }
    match object_files(&path.join(OBJECTS)) {
        Ok(files) => files.iter().for_each(|file| read_objects(file, &mut saved, &mut damage)),
        Err(error) => {
            saved.damaged_origins = true;
            saved.problems.push(unreadable(&path.join(OBJECTS), &error));
        }
    }
    (saved, damage)
}

fn read_objects(file: &Path, saved: &mut Saved, damage: &mut SetAside) {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            saved.damaged_origins = true;
            saved.problems.push(unreadable(file, &error));
            return;
        }
    };
    let (origin, objects, lines) = record::read_objects(&bytes);
    saved.damaged_origins |= lines.lost;
    if let Some(origin) = origin {
        saved.origins.insert(origin, objects);
    }
    let name = Path::new(OBJECTS).join(file.file_name().unwrap_or_default());
    note(file, &name, lines, saved, damage);
}

/// Turns damage into problems for the operator and lines to set aside.
fn note(file: &Path, name: &Path, lines: Lines, saved: &mut Saved, damage: &mut SetAside) {
    if lines.damage.is_empty() {
        return;
    }
    for Damage { line, what, .. } in &lines.damage {
        let problem = Problem::error(Reason::StateDamaged, format!("line {line}: {what}"));
        let problem = problem.in_file(file).expected("lines as Tidegate wrote them: 8 hex digits of CRC-32, a space, JSON");
        saved.problems.push(problem.fix("nothing must be done: all other lines were kept, and the damaged ones are in `damaged/`"));
    }
    damage.push((name.to_owned(), lines.damage.into_iter().filter_map(|damage| damage.bytes).collect()));
}

fn read_if_there(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

fn write_beside(file: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut new = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(beside(file))?;
    new.write_all(bytes)?;
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
        .fix("mend its permissions, or remove it to start without what it remembers")
}

#[cfg(test)]
mod tests;
