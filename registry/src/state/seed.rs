//! The seed of the state directory: what cookies name endpoints by where a Service has no uid.
//!
//! Invariant: it is made once, and is the same after each restart; a file that cannot be one is set aside and another made, and then
//! clients are given new cookies. One that cannot be read or written costs only that: the process has a seed of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use config::problem::{Problem, Reason};

use super::{DAMAGED, StateDir, aside, beside};
use crate::seed::Seed;

const SEED: &str = "seed";

impl StateDir {
    /// The seed that was kept, else one that is kept from now on.
    pub(super) fn seed(&self) -> (Seed, Option<Problem>) {
        match kept(&self.path.join(SEED), &self.path.join(DAMAGED)) {
            Ok(seed) => (seed, None),
            Err(error) => (Seed::random(), Some(forgotten(&self.path.join(SEED), &error))),
        }
    }
}

fn kept(file: &Path, damaged: &Path) -> io::Result<Seed> {
    match super::read_file(file) {
        Ok(bytes) => match Seed::kept(&bytes) {
            Some(seed) => return Ok(seed),
            None => aside::move_to(file, damaged)?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let seed = Seed::random();
    let mut new = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(beside(file))?;
    new.write_all(seed.bytes())?;
    new.sync_all()?;
    fs::rename(beside(file), file)?;
    Ok(seed)
}

fn forgotten(file: &Path, error: &io::Error) -> Problem {
    Problem::warning(Reason::Unreadable, format!("the seed of cookies cannot be kept: {error}"))
        .in_file(file)
        .expected("a file that this user may read and write")
        .fix("mend its permissions or make room; until then clients get new cookies after a restart")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (first, problem) = state.seed();
        assert_eq!((problem, state.load().seed == first), (None, true));
        drop(state);
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(state.seed().0, first);
        fs::write(dir.path().join(SEED), b"short").unwrap();
        let (other, problem) = state.seed();
        assert!(other != first && problem.is_none());
        assert_eq!(fs::read(dir.path().join(DAMAGED).join(SEED)).unwrap(), b"short", "nothing is thrown away");
        assert_eq!(state.seed().0, other);
    }

    #[test]
    fn a_file_that_is_none_costs_the_memory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join(SEED)).unwrap();
        let (seed, problem) = state.seed();
        assert!(!seed.bytes().is_empty() && problem.unwrap().to_string().contains("new cookies"));
    }
}
