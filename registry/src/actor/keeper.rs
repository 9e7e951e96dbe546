//! Writes what must survive a restart, beside the actor.
//!
//! Invariant: one write at a time, the newest of each thing; what could not be written is tried again and meanwhile is a problem in
//! the list. Serving never waits for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::object::Object;
use config::problem::{Problem, Reason};
use tokio::task::JoinHandle;

use crate::core::Unsaved;
use crate::event::Origin;
use crate::state::{Grant, StateDir};

/// Keeps the state directory up to date.
#[derive(Debug)]
pub(super) struct Keeper {
    dir: Option<Arc<StateDir>>,
    waiting: Waiting,
    running: Option<JoinHandle<(Waiting, Result<(), Problem>)>>,
    problem: Option<Problem>,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Waiting {
    grants: Option<Vec<Grant>>,
    origins: BTreeMap<Origin, Option<Vec<Arc<Object>>>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.grants.is_none() && self.origins.is_empty()
    }

    /// Writes it. What could not be written comes back.
    fn write(mut self, dir: &StateDir) -> (Waiting, Result<(), Problem>) {
        let (mut left, blocked) = self.without_way(dir);
        let origins: Vec<_> = self.origins.into_iter().collect();
        let result = dir.save(self.grants.as_deref(), &origins);
        if result.is_err() {
            left.take_back(Waiting { grants: self.grants, origins: origins.into_iter().collect() });
        }
        (left, result.and(blocked))
    }

    /// Takes out what cannot be written for something unreadable in its place, so that it costs itself alone.
    fn without_way(&mut self, dir: &StateDir) -> (Waiting, Result<(), Problem>) {
        let mut blocked = Ok(());
        let mut is_blocked = |origin: Option<&Origin>| {
            let way = dir.make_way(origin);
            let none = way.is_err();
            if none && blocked.is_ok() {
                blocked = way;
            }
            none
        };
        let grants = self.grants.take_if(|_| is_blocked(None));
        let (origins, free) = std::mem::take(&mut self.origins).into_iter().partition(|(origin, _)| is_blocked(Some(origin)));
        self.origins = free;
        (Waiting { grants, origins }, blocked)
    }

    /// Takes back what could not be written, unless there is newer.
    fn take_back(&mut self, old: Waiting) {
        self.grants = self.grants.take().or(old.grants);
        for (origin, objects) in old.origins {
            self.origins.entry(origin).or_insert(objects);
        }
    }
}

impl Keeper {
    /// Keeps `dir`; without one nothing is kept, and `problem` says why when there should be one.
    pub(super) fn new(dir: Option<StateDir>, problem: Option<Problem>) -> Keeper {
        Keeper { dir: dir.map(Arc::new), waiting: Waiting::default(), running: None, problem }
    }

    /// Writes this as soon as the write before is through.
    pub(super) fn keep(&mut self, unsaved: Unsaved) {
        if self.dir.is_none() {
            return;
        }
        self.waiting.grants = unsaved.grants.or(self.waiting.grants.take());
        self.waiting.origins.extend(unsaved.origins);
        // After a failure the tick tries again, not every event.
        if self.problem.is_none() {
            self.again();
        }
    }

    /// Starts a write when there is something to write and none is under way.
    pub(super) fn again(&mut self) {
        let Some(dir) = &self.dir else { return };
        if self.running.is_some() || self.waiting.is_empty() {
            return;
        }
        let (waiting, dir) = (std::mem::take(&mut self.waiting), dir.clone());
        self.running = Some(tokio::task::spawn_blocking(move || waiting.write(&dir)));
    }

    /// Resolves when a write is through and it is known whether that is a problem; never while there is none.
    pub(super) async fn done(&mut self) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok((_, Ok(()))) => {
                self.problem = None;
                self.again();
            }
            Ok((left, Err(problem))) => {
                self.problem = Some(problem);
                self.waiting.take_back(left);
            }
            Err(error) => self.problem = Some(Problem::error(Reason::Unreadable, format!("a write of the state stopped: {error}"))),
        }
    }

    /// Writes what is left, once.
    pub(super) async fn finish(&mut self) {
        self.again();
        while self.running.is_some() {
            self.done().await;
        }
    }

    /// Why the last write failed.
    pub(super) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use config::object::ServiceKey;

    use super::*;

    fn vips(last: u8) -> Unsaved {
        let service = ServiceKey { namespace: "a".into(), name: "b".into() };
        Unsaved { grants: Some(vec![Grant::Vip { service, ip: [127, 96, 0, last].into() }]), origins: Vec::new() }
    }

    #[tokio::test]
    async fn a_failed_write_is_a_problem_until_a_later_one_succeeds_with_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Some(StateDir::open(dir.path()).unwrap()), None);
        let in_the_way = dir.path().join("vips.new");
        std::fs::create_dir(&in_the_way).unwrap();
        keeper.keep(vips(1));
        keeper.done().await;
        assert!(keeper.problem().is_some());
        keeper.keep(vips(2));
        assert!(keeper.running.is_none(), "a full disk is not tried at every event");
        std::fs::remove_dir(&in_the_way).unwrap();
        keeper.again();
        keeper.done().await;
        assert_eq!(keeper.problem(), None);
        assert_eq!(Some(crate::state::read_only(dir.path()).grants), vips(2).grants);
    }

    #[tokio::test]
    async fn what_comes_during_a_write_is_written_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Some(StateDir::open(dir.path()).unwrap()), None);
        for last in 1..50 {
            keeper.keep(vips(last));
        }
        keeper.finish().await;
        assert_eq!(Some(crate::state::read_only(dir.path()).grants), vips(49).grants);
    }
    #[tokio::test]
    async fn what_cannot_be_read_nor_moved_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("vips")).unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.load();
        std::fs::remove_dir(dir.path().join("damaged")).unwrap();
        let mut keeper = Keeper::new(Some(state), None);
        let origin: Origin = std::path::Path::new("m/a.yaml").into();
        keeper.keep(Unsaved { origins: vec![(origin.clone(), Some(Vec::new()))], ..vips(1) });
        keeper.done().await;
        assert!(keeper.problem().is_some_and(|problem| problem.place.file == Some(dir.path().join("vips"))), "{:?}", keeper.problem());
        assert!(crate::state::read_only(dir.path()).origins.contains_key(&origin), "the rest is written");
        assert!(keeper.waiting.grants.is_some() && keeper.waiting.origins.is_empty(), "and it alone is tried again");
        std::fs::remove_dir(dir.path().join("vips")).unwrap();
        keeper.finish().await;
        assert_eq!(Some(crate::state::read_only(dir.path()).grants), vips(1).grants);
    }
}
