//! Files that say again what they said before, in whatever order, with the same objects in several of them: what all of them say last is
//! what counts, and nothing of the way there is left.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::churn::{Truth, shape, started};
use super::random::{Step, rules, steps};
use super::*;

const FILES: usize = 5;

/// What a file may say at some time.
#[derive(Clone, Debug)]
enum Said {
    /// These objects of all that were ever said.
    Objects(Vec<Index>),
    Unreadable,
    Gone,
}

impl Said {
    fn content(&self, all: &[Object]) -> Content {
        match self {
            Said::Objects(picked) if all.is_empty() || picked.is_empty() => manifest(Vec::new()),
            Said::Objects(picked) => manifest(picked.iter().map(|at| at.get(all).clone()).collect()),
            Said::Unreadable => Content::Unreadable(Problem::error(Reason::Unreadable, "no permission")),
            Said::Gone => Content::Gone,
        }
    }
}

/// What is told before the end: batches of what a file says, which may have been told before. True: as all that there is.
type History = Vec<(bool, BTreeMap<usize, Said>)>;

fn histories() -> impl Strategy<Value = History> {
    let said = prop_oneof![8 => vec(any::<Index>(), 0..8).prop_map(Said::Objects), 1 => Just(Said::Unreadable), 2 => Just(Said::Gone)];
    let told = vec((proptest::bool::weighted(0.1), vec(any::<Index>(), 1..4)), 0..25);
    (vec((0..FILES, said), 1..10), told).prop_map(|(versions, told)| {
        let again = |picked: Vec<Index>| picked.iter().map(|at| at.get(&versions).clone()).collect();
        told.into_iter().map(|(whole, picked)| (whole, again(picked))).collect()
    })
}

fn tell(registry: &mut Registry, whole: bool, files: Vec<(usize, Content)>) {
    const NAMES: [&str; FILES] = ["m/0.yaml", "m/1.yaml", "m/2.yaml", "m/3.yaml", "m/4.yaml"];
    registry.apply(batch(whole, files.into_iter().map(|(at, content)| (NAMES[at], content)).collect()), T);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_was_told_before_the_last_word_counts(
        rules in rules(),
        steps in steps(),
        history in histories(),
        places in vec(0..FILES, 64),
        order in Just((0..FILES).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let steps = steps.concat();
        let all: Vec<Object> = steps.iter().filter_map(|step| if let Step::Put(object) = step { Some(Object::clone(object)) } else { None }).collect();
        let mut truth = Truth::new(rules);
        truth.change(steps);
        // Each object is in one file at last.
        let mut last: BTreeMap<usize, Vec<Object>> = (0..FILES).map(|at| (at, Vec::new())).collect();
        for (object, place) in truth.objects.values().zip(places.iter().cycle()) {
            last.entry(*place).or_default().push(object.clone());
        }
        let last = || order.iter().map(|at| (*at, manifest(last[at].clone()))).collect::<Vec<_>>();

        let mut registry = started(&truth.rules, Saved::default());
        tell(&mut registry, true, Vec::new());
        for (whole, said) in history {
            tell(&mut registry, whole, said.iter().map(|(at, said)| (*at, said.content(&all))).collect());
            if let Some(snapshot) = registry.publish(T) {
                registry.report(Report::Acknowledged { worker: 0, version: snapshot.version }, T);
            }
        }
        tell(&mut registry, true, last());
        let snapshot = truth.judge(&mut registry)?;
        // Told once more, it is no news.
        tell(&mut registry, true, last());
        prop_assert!(registry.publish(T).is_none());

        let mut fresh = started(&truth.rules, Saved::default());
        tell(&mut fresh, true, last());
        let scratch = truth.afresh().judge(&mut fresh)?;
        for exposure in [Exposure::External, Exposure::Internal] {
            let shape = |snapshot: &Snapshot| shape(snapshot.plane(exposure), &truth.objects);
            prop_assert_eq!(shape(&snapshot), shape(&scratch));
        }
        prop_assert_eq!(registry.routes(), fresh.routes());
        let told = |registry: &Registry| registry.problems().iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(told(&registry), told(&fresh));
    }
}
