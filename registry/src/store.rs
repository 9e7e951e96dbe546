//! Every object that some source says, by key, and which file said it.
//!
//! Invariant: one bad file or object costs itself alone. What breaks keeps its last good version (after a restart, the saved one);
//! of two files that hold one object, the one that was there first serves, at a cold start the first by path. What was never read
//! and is not remembered cannot be trusted to hold no seal: until it can be read, [`Store::strict`] says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use config::manifest::Manifest;
use config::object::{Object, ObjectKey};
use config::problem::Problem;

use crate::event::{Batch, Change, Content, Origin, SourceName};
use crate::exposure;

mod folders;
mod report;
mod source;
mod unknown;

use folders::Named;
use source::{Document, SourceState};
use unknown::{Lost, Unknown};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One file's claim to an object.
#[derive(Debug)]
struct Claim {
    source: SourceName,
    origin: Origin,
    /// 0 for all that a source says at its start, so that the order of arrival does not matter then.
    since: u64,
    object: Arc<Object>,
}

/// An object that serves now and did not before, or the other way round.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) key: ObjectKey,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
    /// The file of `after`.
    pub(crate) file: Option<Origin>,
    /// It is named but cannot be read, and no good version is known.
    pub(crate) unknown: bool,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Store {
    saved: BTreeMap<Origin, Vec<Object>>,
    /// Records were lost: what is saved may be incomplete.
    damaged: bool,
    saved_problems: Vec<Problem>,
    sources: BTreeMap<SourceName, SourceState>,
    claims: Map<ObjectKey, Vec<Claim>>,
    duplicated: BTreeSet<ObjectKey>,
    unknown: BTreeMap<ObjectKey, Unknown>,
    untrusted: BTreeSet<Origin>,
    step: u64,
    unsaved: HashSet<(Origin, SourceName), foldhash::fast::RandomState>,
    /// What served before the changes that [`Store::changes`] will tell.
    touched: BTreeMap<ObjectKey, Option<Arc<Object>>>,
}

impl Store {
    /// Remembers what was saved.
    pub(crate) fn new(saved: BTreeMap<Origin, Vec<Object>>, damaged: bool, problems: Vec<Problem>) -> Store {
        Store { saved, damaged, saved_problems: problems, ..Store::default() }
    }

    /// Waits for the first whole batch of `source` before [`Store::ready`].
    pub(crate) fn expect(&mut self, source: SourceName, now: Duration) {
        self.source(&source, now).expected = true;
    }

    /// Whether every expected source is known or cannot be read, and one at least is known: where nothing is, nothing can serve.
    pub(crate) fn ready(&self) -> bool {
        let mut expected = self.sources.values().filter(|source| source.expected).peekable();
        let nobody = expected.peek().is_none();
        let (mut all, mut any) = (true, false);
        for source in expected {
            all &= source.known() || source.unknown().is_some();
            any |= source.known();
        }
        nobody || (all && any)
    }

    /// Something that could not be read may hold seals that nobody knows.
    pub(crate) fn strict(&self) -> bool {
        !self.untrusted.is_empty() || self.sources.values().any(|source| source.unknown().is_some())
    }

    fn source(&mut self, name: &SourceName, now: Duration) -> &mut SourceState {
        self.sources.entry(name.clone()).or_insert_with(|| SourceState::new(now))
    }

    /// Applies a batch whole.
    pub(crate) fn apply(&mut self, batch: Batch, now: Duration) {
        self.step += 1;
        let Batch { source: name, mut changes, whole } = batch;
        changes.sort_by(|a, b| a.origin.cmp(&b.origin));
        let source = self.source(&name, now);
        source.alive(now);
        let cold = !source.spoken;
        if whole {
            source.spoken = true;
            let named = Named::of(&changes);
            let gone: Vec<Origin> = source.documents.keys().filter(|origin| !named.covers(origin)).cloned().collect();
            let forgotten = self.saved.keys().filter(|origin| source::holds(&name, origin) && !named.covers(origin));
            let gone: BTreeSet<Origin> = gone.into_iter().chain(forgotten.cloned()).collect();
            gone.into_iter().for_each(|origin| self.remove(&name, origin));
        }
        self.spread(&name, &mut changes, cold);
        for change in changes {
            self.change(&name, change, cold);
        }
    }

    fn change(&mut self, name: &SourceName, change: Change, cold: bool) {
        let Change { origin, content } = change;
        match content {
            Content::Gone => self.remove(name, origin),
            Content::Manifest(manifest) if manifest.broken => self.keep(name, origin, manifest.problems, cold),
            Content::Unreadable(problem) => self.keep(name, origin, vec![problem], cold),
            Content::Manifest(manifest) => self.replace(name, origin, manifest, cold),
        }
    }

    /// The source cannot be read: all of it stays. Before it ever spoke, what is saved of it serves.
    pub(crate) fn stale(&mut self, name: &SourceName, problem: Problem, now: Duration) {
        let source = self.source(name, now);
        source.stale = Some(problem);
        if source.known() {
            return;
        }
        let origins: Vec<Origin> = self.saved.keys().filter(|origin| source::holds(name, origin)).cloned().collect();
        self.source(name, now).remembered = !origins.is_empty();
        for origin in origins {
            self.keep(name, origin, Vec::new(), true);
        }
    }

    /// The source was looked at and is as it was.
    pub(crate) fn alive(&mut self, name: &SourceName, now: Duration) {
        self.source(name, now).alive(now);
    }

    fn replace(&mut self, name: &SourceName, origin: Origin, manifest: Manifest, cold: bool) {
        let Manifest { objects, mut refused, sealed, lost_seals, mut problems, skipped, unnamed, broken: _ } = manifest;
        let saved = self.saved.remove(&origin);
        let old = self.take(name, &origin);
        let first = old.is_none();
        let old = old.unwrap_or_default();
        let remembered = saved.as_deref().filter(|_| cold && first).unwrap_or_default();
        if unnamed {
            // A seal whose `kind` was lost must not be lost with it.
            refused.extend_from_slice(&old.keys);
            refused.extend(remembered.iter().map(Object::key));
        }
        let good = saved
            .as_ref()
            .is_some_and(|saved| !self.damaged && saved.iter().eq(objects.iter().filter(|object| object.kind().may_be_saved())));
        let mut objects = self.unique(&origin, objects, &mut problems);
        let lost = self.last_good(name, &origin, refused, &sealed, remembered, &objects);
        problems.extend(lost.kept.iter().map(|object| report::kept(object, sealed.contains(&object.key()))));
        self.untrusted.remove(&origin);
        if lost.hides_a_seal(&lost_seals) {
            problems.push(report::lost_seal());
            self.untrusted.insert(origin.clone());
        }
        objects.extend(lost.kept);
        let keys: Vec<ObjectKey> = objects.iter().map(|object| object.key()).collect();
        let changed = self.set(name, &origin, &old.keys, &keys, objects, cold);
        self.set_unknown(old.unknown, &lost.unknown);
        if (if first { !good } else { changed }) || (self.damaged && saved.is_some()) {
            self.unsaved.insert((origin.clone(), name.clone()));
        }
        self.put(name, origin, Document { keys, unknown: lost.unknown, skipped }, problems);
    }

    /// What is left of objects that cannot be used as they are now.
    fn last_good(
        &self,
        name: &SourceName,
        origin: &Origin,
        refused: Vec<ObjectKey>,
        seals: &BTreeSet<ObjectKey>,
        remembered: &[Object],
        good: &[Arc<Object>],
    ) -> Lost {
        if refused.is_empty() {
            return Lost::default();
        }
        let mut seen: BTreeSet<ObjectKey> = good.iter().map(|object| object.key()).collect();
        // The file holds a good copy too, which an unreadable one seals.
        let mut lost = Lost { unknown: seals.intersection(&seen).map(|key| (key.clone(), true)).collect(), ..Lost::default() };
        let remembered: BTreeMap<ObjectKey, &Object> = remembered.iter().map(|object| (object.key(), object)).collect();
        for key in refused {
            if !seen.insert(key.clone()) {
                continue;
            }
            let seals = seals.contains(&key);
            let serving = self.claim(name, origin, &key).map(|claim| claim.object.clone());
            match serving.or_else(|| remembered.get(&key).map(|object| Arc::new(Object::clone(object)))) {
                Some(object) if seals => lost.kept.push(unknown::sealed(&object)),
                Some(object) => lost.kept.push(object),
                None => lost.unknown.push((key, seals)),
            }
        }
        lost
    }

    /// Keeps the last good objects of an origin that cannot be read now.
    fn keep(&mut self, name: &SourceName, origin: Origin, mut problems: Vec<Problem>, cold: bool) {
        let old = self.take(name, &origin);
        let first = old.is_none();
        let mut document = old.unwrap_or_default();
        if cold && first {
            match self.saved.get(&origin).cloned() {
                Some(saved) => {
                    let saved = self.unique(&origin, saved, &mut Vec::new());
                    document.keys = saved.iter().map(|object| object.key()).collect();
                    self.set(name, &origin, &[], &document.keys, saved, cold);
                    if self.damaged {
                        self.untrusted.insert(origin.clone());
                    }
                }
                None if self.remembers_below(name, &origin) => {}
                None => _ = self.untrusted.insert(origin.clone()),
            }
        }
        if !problems.is_empty() {
            let objects = document.keys.len() + self.objects_below(name, &origin);
            problems.push(report::last_good(objects, self.untrusted.contains(&origin)));
        }
        self.put(name, origin, document, problems);
    }

    fn remove(&mut self, name: &SourceName, origin: Origin) {
        self.untrusted.remove(&origin);
        let old = self.take(name, &origin);
        if self.saved.remove(&origin).is_some() || old.is_some() {
            self.unsaved.insert((origin.clone(), name.clone()));
        }
        let Some(old) = old else { return };
        self.set(name, &origin, &old.keys, &[], Vec::new(), false);
        self.set_unknown(old.unknown, &[]);
    }

    /// The objects as claims; of one key twice in one file, one that seals, else the first.
    fn unique(&self, origin: &Origin, objects: Vec<Object>, problems: &mut Vec<Problem>) -> Vec<Arc<Object>> {
        let seals = |object: &Object| exposure::said(object.kind(), object.meta()).seals();
        let mut places: BTreeMap<ObjectKey, usize> = BTreeMap::new();
        let mut unique: Vec<Arc<Object>> = Vec::with_capacity(objects.len());
        for object in objects {
            let key = object.key();
            match places.get(&key) {
                None => {
                    places.insert(key, unique.len());
                    unique.push(Arc::new(object));
                }
                Some(&first) => {
                    problems.push(report::twice(&key, origin, origin));
                    if seals(&object) && !seals(&unique[first]) {
                        unique[first] = Arc::new(object);
                    }
                }
            }
        }
        unique
    }

    /// Makes `objects`, whose keys are `new`, all that the origin says. True when what is saved of it is something else than before.
    fn set(
        &mut self,
        name: &SourceName,
        origin: &Origin,
        old: &[ObjectKey],
        new: &[ObjectKey],
        objects: Vec<Arc<Object>>,
        cold: bool,
    ) -> bool {
        let mut gone: BTreeSet<&ObjectKey> = old.iter().collect();
        let mut changed = false;
        for (key, object) in new.iter().zip(objects) {
            gone.remove(key);
            changed |= self.set_claim(name, origin, key, object, cold) && key.kind.may_be_saved();
        }
        changed |= gone.iter().any(|key| key.kind.may_be_saved());
        for key in gone {
            self.drop_claim(name, origin, key);
        }
        changed
    }

    fn set_claim(&mut self, name: &SourceName, origin: &Origin, key: &ObjectKey, object: Arc<Object>, cold: bool) -> bool {
        let since = if cold { 0 } else { self.step };
        if self.claim(name, origin, key).is_some_and(|claim| *claim.object == *object) {
            return false;
        }
        self.touch(key);
        let claims = self.claims.entry(key.clone()).or_default();
        match claims.iter_mut().find(|claim| claim.origin == *origin && claim.source == *name) {
            Some(claim) => claim.object = object,
            None => {
                let claim = Claim { source: name.clone(), origin: origin.clone(), since, object };
                let at = claims.partition_point(|other| (other.since, &other.origin, &other.source) <= (since, origin, name));
                claims.insert(at, claim);
            }
        }
        if claims.len() > 1 {
            // Of several copies one that seals serves, else one of a manifest, else the one that was there first.
            claims.sort_by(|a, b| {
                let order = |claim: &Claim| {
                    let meta = claim.object.meta();
                    (!exposure::said(key.kind, meta).seals(), meta.by_label, claim.since)
                };
                order(a).cmp(&order(b)).then_with(|| (&a.origin, &a.source).cmp(&(&b.origin, &b.source)))
            });
            self.duplicated.insert(key.clone());
        }
        true
    }

    fn drop_claim(&mut self, name: &SourceName, origin: &Origin, key: &ObjectKey) {
        self.touch(key);
        let Some(claims) = self.claims.get_mut(key) else { return };
        claims.retain(|claim| claim.origin != *origin || claim.source != *name);
        if claims.len() < 2 {
            self.duplicated.remove(key);
        }
        if claims.is_empty() {
            self.claims.remove(key);
        }
    }

    /// Notes what serves under `key` before that changes.
    fn touch(&mut self, key: &ObjectKey) {
        if !self.touched.contains_key(key) {
            self.touched.insert(key.clone(), self.serving(key));
        }
    }

    /// Takes a file out of the books, to be put back changed.
    fn take(&mut self, name: &SourceName, origin: &Origin) -> Option<Document> {
        let source = self.sources.get_mut(name)?;
        source.problems.remove(origin);
        source.documents.remove(origin)
    }

    fn put(&mut self, name: &SourceName, origin: Origin, document: Document, problems: Vec<Problem>) {
        let source = self.source(name, Duration::ZERO);
        if !problems.is_empty() {
            let problems = problems.into_iter().map(|problem| report::in_file(problem, &origin)).collect();
            source.problems.insert(origin.clone(), problems);
        }
        source.documents.insert(origin, document);
    }

    fn claim(&self, name: &SourceName, origin: &Origin, key: &ObjectKey) -> Option<&Claim> {
        self.claims.get(key)?.iter().find(|claim| claim.origin == *origin && claim.source == *name)
    }

    /// The object that serves under `key`: sealed when another version of it, which cannot be used, says so.
    fn serving(&self, key: &ObjectKey) -> Option<Arc<Object>> {
        let object = &self.claims.get(key)?.first()?.object;
        let seals = self.unknown.get(key).is_some_and(Unknown::seals);
        Some(if seals { unknown::sealed(object) } else { object.clone() })
    }

    /// The file that the serving object is in.
    pub(crate) fn file_of(&self, key: &ObjectKey) -> Option<&Origin> {
        Some(&self.claims.get(key)?.first()?.origin)
    }

    /// What changed since the last call, by key.
    pub(crate) fn changes(&mut self) -> Vec<Changed> {
        let touched = std::mem::take(&mut self.touched);
        let changed = touched.into_iter().map(|(key, before)| {
            let (after, file) = (self.serving(&key), self.file_of(&key).cloned());
            let unknown = after.is_none() && self.unknown.contains_key(&key);
            Changed { key, before, after, file, unknown }
        });
        changed.collect()
    }

    /// Origins whose last good objects changed since the last call.
    pub(crate) fn unsaved(&mut self) -> Vec<(Origin, Option<Vec<Arc<Object>>>)> {
        let mut unsaved: Vec<(Origin, SourceName)> = self.unsaved.drain().collect();
        unsaved.sort();
        let objects = |(origin, name): (Origin, SourceName)| {
            let document = self.sources.get(&name).and_then(|source| source.documents.get(&origin));
            let objects = document.map(|document| {
                let saved = document.keys.iter().filter(|key| key.kind.may_be_saved());
                saved.filter_map(|key| self.claim(&name, &origin, key)).map(|claim| claim.object.clone()).collect()
            });
            (origin, objects)
        };
        unsaved.into_iter().map(objects).collect()
    }

    /// How many objects serve.
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }
}
