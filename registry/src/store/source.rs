//! What is known of one source: its files, its age, its problems.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::object::ObjectKey;
use config::problem::{Problem, Reason};

use super::Store;
use crate::event::{Origin, SourceName};
use crate::source::docker;

/// A source tells this often at least that it is as it was, four times over: one that does not hangs.
const SILENT: Duration = Duration::from_secs(120);

/// One file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What it says, in file order.
    pub(super) keys: Vec<ObjectKey>,
    /// Objects that it names, that cannot be read, and of which no good version is known; whether they seal.
    pub(super) unknown: Vec<(ObjectKey, bool)>,
    /// Kinds that are not read.
    pub(super) skipped: BTreeMap<String, usize>,
}

/// One source.
#[derive(Debug)]
pub(super) struct SourceState {
    /// Nothing is published before it has spoken.
    pub(super) expected: bool,
    /// It sent its first whole batch.
    pub(super) spoken: bool,
    /// It could not be read yet, but what it said before the restart is known.
    pub(super) remembered: bool,
    /// Why it cannot be read.
    pub(super) stale: Option<Problem>,
    /// When it was last known to be true.
    pub(super) seen: Duration,
    pub(super) documents: BTreeMap<Origin, Document>,
    /// Only files that have some.
    pub(super) problems: BTreeMap<Origin, Vec<Problem>>,
}

impl SourceState {
    pub(super) fn new(now: Duration) -> SourceState {
        SourceState {
            expected: false,
            spoken: false,
            remembered: false,
            stale: None,
            seen: now,
            documents: BTreeMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// What it says, or said before the restart, is known.
    pub(super) fn known(&self) -> bool {
        self.spoken || self.remembered
    }

    /// Why nothing at all is known of it, although it was looked at.
    pub(super) fn unknown(&self) -> Option<&Problem> {
        self.stale.as_ref().filter(|_| !self.known())
    }

    pub(super) fn alive(&mut self, now: Duration) {
        self.stale = None;
        self.seen = now;
    }
}

impl Store {
    /// Marks sources that were silent for too long as stale. True when there is one.
    pub(crate) fn miss_silent(&mut self, now: Duration) -> bool {
        let hangs = |source: &SourceState| source.expected && source.stale.is_none() && now.saturating_sub(source.seen) > SILENT;
        let silent: Vec<SourceName> = self.sources.iter().filter(|(_, source)| hangs(source)).map(|(name, _)| name.clone()).collect();
        for name in &silent {
            self.stale(name, silence(name), now);
        }
        !silent.is_empty()
    }
}

fn silence(name: &SourceName) -> Problem {
    let found = format!("nothing was heard of {name} for {} s: what it said last stays true until it speaks", SILENT.as_secs());
    let problem = Problem::error(Reason::Unreadable, found).expected("a word at least every 30 s");
    problem.fix("look whether its disk or network share hangs")
}

/// Whether a saved origin belongs to the source of this name: `folder:PATH` holds what is at or under PATH, `docker` what it names itself.
pub(super) fn holds(source: &str, origin: &Path) -> bool {
    match source.strip_prefix("folder:") {
        Some(path) => origin.starts_with(path),
        None => source == &*docker::name() && docker::owns(origin),
    }
}
