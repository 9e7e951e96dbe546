//! Who has which value of a pool, and keeps it: virtual IPs of Services, node ports of their ports.
//!
//! Invariant: one value has one holder, and a holder keeps it: through restarts (saved), and for the life of the process even when it is
//! deleted, so that one that returns finds its value again. Only two things take a value away: somebody who asks for it, and an
//! exhausted pool, which takes from those that are gone. The outcome of one update does not depend on the order of its changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::RangeInclusive;

use config::problem::Problem;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What can be given.
pub(crate) trait Pool {
    /// Who asks.
    type Key: Clone + Debug + Ord + Hash;
    /// What is given.
    type Value: Copy + Debug + Ord + Hash;
    /// Whether it may be given to this one.
    fn holds(&self, key: &Self::Key, value: Self::Value) -> bool;
    /// The numbers of the values that may be given to whoever asks for none; `None` when there are none.
    fn numbers(&self) -> Option<RangeInclusive<u128>>;
    /// The value with this number, for this one.
    fn value(&self, key: &Self::Key, number: u128) -> Self::Value;
    /// Why it cannot be given: it is not of the pool.
    fn outside(&self, value: Self::Value) -> Problem;
    /// Why it cannot be given: an older one asked for it.
    fn taken(&self, value: Self::Value, winner: &Self::Key) -> Problem;
    /// Why none can be given.
    fn exhausted(&self) -> Problem;
}

/// Orders two that ask for one value: the older first.
type Claim<K> = (i64, K);

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want<K, V> {
    Any,
    Exactly(V, Claim<K>),
}

/// A want of this pool.
pub(crate) type WantOf<P> = Want<<P as Pool>::Key, <P as Pool>::Value>;

/// The table.
#[derive(Debug)]
pub(crate) struct Ledger<P: Pool> {
    pool: P,
    wants: Map<P::Key, WantOf<P>>,
    given: Map<P::Key, P::Value>,
    holders: Map<P::Value, P::Key>,
    asked: Map<P::Value, BTreeSet<Claim<P::Key>>>,
    problems: BTreeMap<P::Key, Problem>,
    next: u128,
    unsaved: bool,
}

impl<P: Pool> Ledger<P> {
    /// Gives from `pool`; `saved` values that are still in it are kept for their holders.
    pub(crate) fn new(pool: P, saved: Vec<(P::Key, P::Value)>) -> Ledger<P> {
        let mut ledger = Ledger {
            pool,
            wants: Map::default(),
            given: Map::default(),
            holders: Map::default(),
            asked: Map::default(),
            problems: BTreeMap::new(),
            next: 0,
            unsaved: false,
        };
        let many = saved.len();
        for (key, value) in saved {
            if ledger.pool.holds(&key, value) && !ledger.holders.contains_key(&value) && !ledger.given.contains_key(&key) {
                ledger.give(key, value);
            }
        }
        ledger.unsaved = ledger.given.len() < many;
        ledger
    }

    /// Takes in what is wanted now (`None`: nothing any more). Whoever's value may have changed is in the answer.
    pub(crate) fn update(&mut self, changes: impl IntoIterator<Item = (P::Key, Option<WantOf<P>>)>) -> BTreeSet<P::Key> {
        let (mut changed, mut contested) = (BTreeSet::new(), BTreeSet::new());
        for (key, want) in changes {
            if self.wants.get(&key) == want.as_ref() {
                continue;
            }
            changed.insert(key.clone());
            self.problems.remove(&key);
            if let Some(Want::Exactly(value, claim)) = self.wants.remove(&key) {
                contested.insert(value);
                self.asked.entry(value).or_default().remove(&claim);
            }
            if let Some(Want::Exactly(value, claim)) = &want {
                contested.insert(*value);
                self.asked.entry(*value).or_default().insert(claim.clone());
            }
            self.wants.extend(want.map(|want| (key, want)));
        }
        for value in contested {
            self.settle(value, &mut changed);
        }
        self.allocate(&changed);
        changed
    }

    /// Gives a contested value to the oldest that asks for it.
    fn settle(&mut self, value: P::Value, changed: &mut BTreeSet<P::Key>) {
        let claims = self.asked.remove(&value).unwrap_or_default();
        let Some((_, winner)) = claims.first() else { return };
        let usable = self.pool.holds(winner, value);
        if usable && self.holders.get(&value) != Some(winner) {
            if let Some(holder) = self.holders.remove(&value) {
                self.given.remove(&holder);
                self.unsaved = true;
                changed.insert(holder);
            }
            self.give(winner.clone(), value);
        }
        for (index, (_, key)) in claims.iter().enumerate() {
            changed.insert(key.clone());
            if !usable {
                self.problems.insert(key.clone(), self.pool.outside(value));
            } else if index > 0 {
                self.problems.insert(key.clone(), self.pool.taken(value, winner));
            } else {
                self.problems.remove(key);
            }
        }
        self.asked.insert(value, claims);
    }

    fn allocate(&mut self, changed: &BTreeSet<P::Key>) {
        for key in changed {
            if self.wants.get(key) != Some(&Want::Any) || self.given.contains_key(key) {
                continue;
            }
            match self.free(key).or_else(|| self.reclaim(key)) {
                Some(value) => self.give(key.clone(), value),
                None => _ = self.problems.insert(key.clone(), self.pool.exhausted()),
            }
        }
    }

    /// The next value that nobody has.
    fn free(&mut self, key: &P::Key) -> Option<P::Value> {
        let numbers = self.pool.numbers()?;
        for _ in 0..=self.holders.len() {
            let at = if numbers.contains(&self.next) { self.next } else { *numbers.start() };
            self.next = at.wrapping_add(1);
            let value = self.pool.value(key, at);
            if !self.holders.contains_key(&value) {
                return Some(value);
            }
        }
        None
    }

    /// The lowest value of one that is gone.
    fn reclaim(&mut self, key: &P::Key) -> Option<P::Value> {
        let gone = self.holders.iter().filter(|(value, holder)| !self.wants.contains_key(*holder) && self.pool.holds(key, **value));
        let gone = gone.map(|(value, _)| *value).min()?;
        let holder = self.holders.remove(&gone)?;
        self.given.remove(&holder);
        Some(gone)
    }

    fn give(&mut self, key: P::Key, value: P::Value) {
        if let Some(old) = self.given.insert(key.clone(), value) {
            self.holders.remove(&old);
        }
        self.holders.insert(value, key);
        self.unsaved = true;
    }

    /// The value of one that wants it.
    pub(crate) fn of(&self, key: &P::Key) -> Option<P::Value> {
        let given = self.given.get(key).copied()?;
        match self.wants.get(key)? {
            Want::Any => Some(given),
            Want::Exactly(value, _) => (*value == given).then_some(given),
        }
    }

    /// Those without the value that they want, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&P::Key, &Problem)> {
        self.problems.iter()
    }

    /// Whether a holder changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Every holder, sorted.
    pub(crate) fn given(&self) -> Vec<(&P::Key, P::Value)> {
        let mut all: Vec<(&P::Key, P::Value)> = self.given.iter().map(|(key, &value)| (key, value)).collect();
        all.sort();
        all
    }
}
