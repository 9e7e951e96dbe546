//! Reading one file: what it says, or that it says the same as before.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use config::manifest;
use config::problem::{Problem, Reason};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::event::{Change, Content, Origin};

/// Larger files are refused, so that a stray image of a disk does not eat the memory.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What a file holds, overwritten when it is dropped: there may be a Secret in it.
type Bytes = Zeroizing<Vec<u8>>;

static HASHER: LazyLock<foldhash::quality::RandomState> = LazyLock::new(foldhash::quality::RandomState::default);

/// What tells a file that was changed from one that was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file.
    pub(super) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            inode: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// When its content was written last.
    pub(super) fn modified(self) -> SystemTime {
        let (seconds, nanos) = self.modified;
        let since = Duration::new(seconds.max(0).unsigned_abs(), nanos.clamp(0, 999_999_999) as u32);
        SystemTime::UNIX_EPOCH + since
    }

    /// Whether that is less than `age` ago.
    pub(super) fn is_younger(self, age: Duration) -> bool {
        // A time in the future is another machine's clock, and says nothing.
        SystemTime::now().duration_since(self.modified()).is_ok_and(|had| had < age)
    }
}

/// What was seen of an origin last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) stamp: Stamp,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Its bytes, hashed.
    Read(u64),
    /// What was told.
    Failed(Problem),
}

impl Seen {
    /// Whether it could not be read.
    pub(super) fn failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }
}

/// A look at one file.
pub(super) enum Look {
    /// It says something new.
    New(Seen, Content),
    /// It says what it said before.
    Same(Seen),
    /// It changed or went away while it was read.
    Unsteady,
}

impl Look {
    /// The same, unless it was one into the middle of a write, whose begin and end came after each other too fast to be told apart: the file
    /// is not what it was when it was read, or it is empty and younger than `young`, as one is that was opened to be written anew.
    pub(super) fn unless_midway(self, origin: &Path, young: Duration) -> Look {
        let (Look::New(Seen { stamp, state: State::Read(_) }, _) | Look::Same(Seen { stamp, state: State::Read(_) })) = &self else {
            return self;
        };
        let same = fs::metadata(origin).is_ok_and(|meta| Stamp::of(&meta) == *stamp);
        let opened = stamp.size == 0 && stamp.is_younger(young);
        if same && !opened { self } else { Look::Unsteady }
    }
}

/// Reads one file.
pub(super) fn look(origin: &Origin, before: Option<&Seen>) -> Look {
    let (stamp, read) = match bytes(origin) {
        Ok((stamp, Some(bytes))) => (stamp, Ok(bytes)),
        Ok((_, None)) => return Look::Unsteady,
        Err(problem) => (Stamp::default(), Err(problem)),
    };
    let state = match &read {
        Ok(bytes) => State::Read(HASHER.hash_one(&**bytes)),
        Err(problem) => State::Failed(problem.clone()),
    };
    let seen = Seen { stamp, state };
    if before.is_some_and(|before| before.state == seen.state) {
        return Look::Same(seen);
    }
    Look::New(seen, read.map_or_else(Content::Unreadable, |bytes| Content::Manifest(manifest::parse(&bytes))))
}

/// The bytes of a regular file; `None` when it changed meanwhile.
fn bytes(origin: &Path) -> Result<(Stamp, Option<Bytes>), Problem> {
    let failed = |error: io::Error| unreadable(origin, &error);
    // A pipe must not hold us up until someone writes to it.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(origin) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !origin.is_symlink() => return Ok((Stamp::default(), None)),
        opened => opened.map_err(failed)?,
    };
    let meta = file.metadata().map_err(failed)?;
    let stamp = Stamp::of(&meta);
    if !meta.is_file() {
        return Err(odd(origin, "not a regular file"));
    }
    if meta.size() > LARGEST {
        return Err(odd(origin, &format!("{} bytes", meta.size())));
    }
    let bytes = read_all(&mut file, meta.size()).map_err(failed)?;
    let steady = Stamp::of(&file.metadata().map_err(failed)?) == stamp;
    Ok((stamp, steady.then_some(bytes)))
}

fn read_all(file: &mut File, size: u64) -> io::Result<Bytes> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says that an origin cannot be read, unless that was said already.
pub(super) fn failed(origin: &Path, problem: Problem, seen: &mut BTreeMap<Origin, Seen>) -> Option<Change> {
    let state = State::Failed(problem.clone());
    if seen.get(origin).is_some_and(|seen| seen.state == state) {
        return None;
    }
    let origin: Origin = origin.into();
    seen.insert(origin.clone(), Seen { stamp: Stamp::default(), state });
    Some(Change { origin, content: Content::Unreadable(problem) })
}

/// A file or folder that the system does not let us read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::error(Reason::Unreadable, error.to_string()).in_file(path);
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem
            .expected("read permission for the user that Tidegate runs as")
            .fix("chmod or chown it; its last good objects stay until then"),
        io::ErrorKind::NotFound if path.is_symlink() => {
            problem.expected("a link to something that is there").fix("mend or remove the link")
        }
        io::ErrorKind::NotFound => problem.expected("a folder or file of manifests").fix("create it, or correct --manifests"),
        _ => problem.fix("mend it; its last good objects stay until then"),
    }
}

fn odd(path: &Path, found: &str) -> Problem {
    let expected = format!("a regular file of at most {} MiB", LARGEST / 1024 / 1024);
    Problem::error(Reason::Unreadable, found).in_file(path).expected(expected).fix("move it out of the folder of manifests")
}

/// What is told of a file that someone is in the middle of writing at the first look: what it said before stays.
pub(super) fn being_written(path: &Path) -> Problem {
    Problem::error(Reason::Unreadable, "it is being written").in_file(path).fix("nothing must be done: it is read when it is closed")
}
