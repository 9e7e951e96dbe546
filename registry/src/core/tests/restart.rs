//! Random worlds after a restart in which some files cannot be read, with and without what was saved of them.
//!
//! The rules are those of docs/operate.md, "What cannot be read at the start", read plainly: what is remembered is as it was; what is not
//! may be anything, so that only what says `external` is outside.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::churn::{Truth, file, files, started};
use super::plainly::World;
use super::random::{rules, steps};
use super::*;

/// How much of what was saved is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// There is no state directory.
    None,
    Whole,
    /// Some lines are lost, and that is known.
    Damaged,
}

/// Why a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Unreadable,
    NotYaml,
    /// Its object is named and wrong; with a seal on it, or without.
    Object(bool),
}

/// One file that cannot be used, by its place among all.
#[derive(Clone, Debug)]
struct Lost {
    at: Index,
    wrong: Wrong,
    /// Its line is among those that are lost.
    forgotten: bool,
}

fn losses() -> impl Strategy<Value = Vec<Lost>> {
    let wrong = select(vec![Wrong::Unreadable, Wrong::NotYaml, Wrong::Object(true), Wrong::Object(false)]);
    let lost = (any::<Index>(), wrong, any::<bool>()).prop_map(|(at, wrong, forgotten)| Lost { at, wrong, forgotten });
    proptest::collection::vec(lost, 0..6)
}

/// What a state directory holds: written and read as text.
#[derive(Default)]
struct Disk(BTreeMap<Origin, Vec<String>>);

impl Disk {
    fn save(&mut self, registry: &mut Registry) {
        for (origin, objects) in registry.unsaved().origins {
            let text = |object: &Arc<Object>| serde_json::to_string(&**object).unwrap();
            match objects {
                Some(objects) => _ = self.0.insert(origin, objects.iter().map(text).collect()),
                None => _ = self.0.remove(&origin),
            }
        }
    }

    fn load(&self, memory: Memory, forgotten: &BTreeSet<String>) -> Saved {
        let kept = |origin: &Origin| memory != Memory::None && !forgotten.contains(&*origin.to_string_lossy());
        let read = |lines: &[String]| -> Vec<Object> { lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect() };
        let origins = self.0.iter().filter(|(origin, _)| kept(origin)).map(|(origin, lines)| (origin.clone(), read(lines)));
        Saved { origins: origins.collect(), damaged_origins: memory == Memory::Damaged, ..Saved::default() }
    }
}

/// What is in a file that cannot be used.
fn content(key: &ObjectKey, wrong: Wrong) -> Content {
    let problem = Problem::error(Reason::Invalid, "it is wrong");
    let broken = Manifest { problems: vec![problem.clone()], ..Manifest::default() };
    match wrong {
        Wrong::Unreadable => Content::Unreadable(problem),
        Wrong::NotYaml => Content::Manifest(Manifest { broken: true, ..broken }),
        Wrong::Object(seals) => {
            let sealed = seals.then(|| key.clone()).into_iter().collect();
            Content::Manifest(Manifest { refused: vec![key.clone()], sealed, ..broken })
        }
    }
}

/// What must be counted with while files are lost: the objects, and whether nobody knows which seals there are.
fn counted(objects: &World, lost: &BTreeMap<ObjectKey, (Wrong, bool)>, memory: Memory) -> (World, bool) {
    let (mut objects, mut unsure) = (objects.clone(), false);
    let seal = |mut object: Object| {
        object.meta_mut().labels.insert(SEAL.0.into(), SEAL.1.into());
        object
    };
    for (key, (wrong, remembered)) in lost {
        let was = objects.remove(key).expect("a file that is lost was there");
        match (wrong, remembered) {
            (Wrong::Unreadable | Wrong::NotYaml, true) => {
                objects.insert(key.clone(), was);
                unsure |= memory == Memory::Damaged; // there may have been more in it
            }
            (Wrong::Unreadable | Wrong::NotYaml, false) => unsure = true,
            (Wrong::Object(seals), true) => _ = objects.insert(key.clone(), if *seals { seal(was) } else { was }),
            // Its name is all that a seal of a Namespace needs.
            (Wrong::Object(_), false) if key.kind == Kind::Namespace => _ = objects.insert(key.clone(), seal(was)),
            (Wrong::Object(seals), false) => unsure |= seals,
        }
    }
    (objects, unsure)
}

/// Ingresses and classes that are wrong have rules of their own, which other tests look at.
fn may_be_wrong(key: &ObjectKey, wrong: Wrong) -> bool {
    !matches!(wrong, Wrong::Object(_)) || !matches!(key.kind, Kind::Ingress | Kind::IngressClass)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_restart_keeps_the_gate(
        rules in rules(),
        steps in steps(),
        memory in select(vec![Memory::None, Memory::Whole, Memory::Damaged]),
        losses in losses(),
        mended in subsequence((0..6usize).collect::<Vec<_>>(), 0..6),
    ) {
        let (mut truth, mut disk) = (Truth::new(rules.clone()), Disk::default());
        let mut first = started(&rules, Saved::default());
        for (at, step) in steps.into_iter().enumerate() {
            let changed = truth.change(step);
            first.apply(batch(at == 0, files(&changed)), T);
            disk.save(&mut first);
        }
        let objects = truth.objects.clone();
        let keys: Vec<&ObjectKey> = objects.keys().collect();
        let mut lost: BTreeMap<ObjectKey, (Wrong, bool)> = BTreeMap::new();
        for Lost { at, wrong, forgotten } in losses.iter().filter(|_| !keys.is_empty()) {
            let key = *at.get(&keys);
            if may_be_wrong(key, *wrong) {
                lost.insert(key.clone(), (*wrong, memory == Memory::Whole || (memory == Memory::Damaged && !forgotten)));
            }
        }
        let forgotten = lost.iter().filter(|(_, (_, remembered))| !remembered).map(|(key, _)| file(key)).collect();
        let mut second = started(&truth.rules, disk.load(memory, &forgotten));
        let named: Vec<String> = keys.iter().map(|key| file(key)).collect();
        let found = |key: &ObjectKey| lost.get(key).map_or_else(|| manifest(vec![objects[key].clone()]), |(wrong, _)| content(key, *wrong));
        second.apply(batch(true, keys.iter().zip(&named).map(|(key, name)| (name.as_str(), found(key))).collect()), T);

        let strict = truth.rules.law.strict;
        let mut left = lost.clone();
        let order: Vec<ObjectKey> = lost.keys().cloned().collect();
        let first_mended = mended.iter().filter_map(|at| order.get(*at)).cloned();
        let then = [None].into_iter().chain(first_mended.map(Some)).chain(order.iter().cloned().map(Some));
        for key in then {
            if let Some(key) = key {
                if left.remove(&key).is_none() {
                    continue;
                }
                second.apply(batch(false, vec![(&*file(&key), manifest(vec![objects[&key].clone()]))]), T);
            }
            let (counted, unsure) = counted(&objects, &left, memory);
            truth.objects = counted;
            truth.rules.law.strict = strict || unsure;
            truth.judge(&mut second)?;
        }
        prop_assert_eq!(&truth.objects, &objects, "all is mended");
    }
}
