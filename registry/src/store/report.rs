//! What the store tells the operator.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::object::{Object, ObjectKey};
use config::problem::{Problem, Reason};

use super::Store;
use crate::event::Origin;
use crate::view::SourceView;

pub(super) fn in_file(mut problem: Problem, origin: &Origin) -> Problem {
    problem.place.file.get_or_insert_with(|| origin.to_path_buf());
    problem
}

pub(super) fn twice(key: &ObjectKey, first: &Path, second: &Path) -> Problem {
    Problem::error(Reason::Conflict, format!("the object is already in {}", first.display()))
        .in_file(second)
        .of(key)
        .expected("each object once")
        .fix("remove one of the two; until then one that is sealed serves, else that of a manifest before labels, else the one that was there first")
}

/// `sealed`: by what cannot be read of it now.
pub(super) fn kept(object: &Object, sealed: bool) -> Problem {
    let key = object.key();
    if sealed {
        return Problem::error(Reason::NotExposed, "its last good version stays in force, and is sealed: what it says now cannot be read")
            .of(key)
            .fix("correct the object, which carries a key under `tidegate.dev/`");
    }
    Problem::note(Reason::Invalid, "its last good version stays in force until it is mended").of(key)
}

pub(super) fn lost_seal() -> Problem {
    Problem::error(
        Reason::NotExposed,
        "an object that cannot be used carries a seal, and no good version of it is known: strict mode is on",
    )
    .fix("correct the object; until then only what is labelled `tidegate.dev/exposure: external` can be reached from outside")
}

pub(super) fn last_good(objects: usize, untrusted: bool) -> Problem {
    let said = match objects {
        0 => "nothing that this file said before is known".to_owned(),
        1 => "the 1 object of its last good version stays in force".to_owned(),
        n => format!("the {n} objects of its last good version stay in force"),
    };
    if untrusted {
        return Problem::error(Reason::NotExposed, format!("{said}, so it may hold seals that nobody knows: strict mode is on"))
            .fix("make the file readable; until then only what is labelled `tidegate.dev/exposure: external` can be reached from outside");
    }
    Problem::note(Reason::Unreadable, said)
}

/// A source that could not be read yet, and of which nothing was saved.
fn unknown(why: &Problem) -> Problem {
    let found = "nothing that it says was ever read, so it may hold seals that nobody knows: strict mode is on";
    let problem = Problem::error(Reason::NotExposed, found)
        .expected("a source that can be read at the first start")
        .fix("make it readable, or name it no more; until then only what is labelled `tidegate.dev/exposure: external` can be reached from outside");
    Problem { place: why.place.clone(), ..problem }
}

impl Store {
    /// Everything wrong with files and folders.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut all = self.saved_problems.clone();
        for source in self.sources.values() {
            all.extend(source.stale.clone());
            all.extend(source.unknown().map(unknown));
            all.extend(source.problems.values().flatten().cloned());
        }
        for key in &self.duplicated {
            let claims = self.claims.get(key).map_or(&[][..], |claims| claims);
            if let [first, others @ ..] = claims {
                all.extend(others.iter().map(|claim| twice(key, &first.origin, &claim.origin)));
            }
        }
        all
    }

    /// Every source, as `get sources` shows it.
    pub(crate) fn source_views(&self, now: Duration) -> Vec<SourceView> {
        let views = self.sources.iter().map(|(name, source)| SourceView {
            name: name.to_string(),
            state: if source.stale.is_some() { "stale" } else { "ok" }.to_owned(),
            age_s: now.saturating_sub(source.seen).as_secs_f64(),
            objects: source.documents.values().map(|document| document.keys.len()).sum(),
            skipped: sum(source.documents.values().map(|document| &document.skipped)),
            problems: source.problems.values().map(Vec::len).sum::<usize>() + usize::from(source.stale.is_some()),
        });
        views.collect()
    }

    /// Kinds that no one reads, with how many of each.
    pub(crate) fn skipped(&self) -> BTreeMap<String, usize> {
        sum(self.sources.values().flat_map(|source| source.documents.values()).map(|document| &document.skipped))
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for (kind, count) in counts.flatten() {
        *all.entry(kind.clone()).or_default() += count;
    }
    all
}
