//! The file of our socket: who may have its path, and what becomes of it.
//!
//! Invariant: the file is mode 0660 from the first moment that its path leads to it. A socket that nobody answers (its owner was killed)
//! is replaced in one step; one that somebody answers is left alone, and so is a file that is no socket. At the end the file is removed,
//! unless it is another's by then.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use config::problem::{Problem, Reason};

/// Who may connect: the owner and the group.
const MODE: u32 = 0o660;

/// Our socket's file. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`; makes its folder if there is none.
///
/// # Errors
/// When somebody answers there, a file is there that is no socket, or it cannot be bound.
pub(super) fn claim(path: &Path) -> Result<(UnixListener, SocketFile), Problem> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = |error: io::Error| cannot_bind(path, &error);
    // A draft may be moved to a path that is too long for anybody to connect to.
    SocketAddr::from_pathname(path).map_err(wrong)?;
    fs::create_dir_all(folder).map_err(wrong)?;
    // Of two that start at once, one looks after the other has bound.
    let lock = File::open(folder).map_err(wrong)?;
    lock.lock().map_err(wrong)?;
    is_free(path)?;
    let (listener, identity) = bind(folder, path).map_err(wrong)?;
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

/// Binds in a folder that only we may enter, sets the mode, then moves the file to where others see it.
fn bind(folder: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let closed = tempfile::Builder::new().prefix(".tg").tempdir_in(folder)?;
    let draft = closed.path().join("s");
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(MODE))?;
    let identity = identity(&draft)?;
    fs::rename(&draft, path)?;
    Ok((listener, identity))
}

fn is_free(path: &Path) -> Result<(), Problem> {
    let taken =
        |found: &str, expected: &str, fix: &str| Err(Problem::error(Reason::Conflict, found).in_file(path).expected(expected).fix(fix));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_bind(path, &error)),
        Ok(found) if !found.file_type().is_socket() => {
            return taken(
                "a file that is no socket",
                "no file, or the socket of one that ran before",
                "move it away, or name another path with --listen",
            );
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            taken("another process answers here", "a path of its own for each", "stop that process, or name another path with --listen")
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(cannot_bind(path, &error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn cannot_bind(path: &Path, error: &io::Error) -> Problem {
    Problem::error(Reason::BindFailed, format!("the socket cannot be made: {error}"))
        .in_file(path)
        .expected("a folder that this user may write, and a path of 90 bytes at most")
        .fix("mend the folder's permissions, or name another path with --listen")
}

#[cfg(test)]
mod tests;
