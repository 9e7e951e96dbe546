//! Seals that were lifted: told once, when something can be reached from outside for it that could not before.
//!
//! Invariant: a seal that comes back before the next picture was never lifted. The first picture has nothing before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use config::object::ObjectKey;

use crate::event::Origin;
use crate::snapshot::{Plane, PortName, Service};

/// More services than this are not listed one by one.
const LISTED: usize = 10;

/// A seal that holds no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// What carried it.
    pub object: ObjectKey,
    /// The file that it was in, when that is known.
    pub file: Option<Origin>,
    /// What can be reached from outside since, or at more addresses.
    pub reachable: Vec<PortName>,
}

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seal lifted: {}", self.object)?;
        if let Some(file) = &self.file {
            write!(f, " (in {})", file.display())?;
        }
        let listed: Vec<String> = self.reachable.iter().take(LISTED).map(PortName::to_string).collect();
        write!(f, " seals nothing any more; now reachable from outside: {}", listed.join(", "))?;
        match self.reachable.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Which objects seal, and which ceased to since the last picture.
#[derive(Debug, Default)]
pub(super) struct Seals {
    held: BTreeMap<ObjectKey, Option<Origin>>,
    ceased: BTreeMap<ObjectKey, Option<Origin>>,
}

impl Seals {
    pub(super) fn note(&mut self, key: &ObjectKey, seals: bool, file: Option<Origin>) {
        if seals {
            self.ceased.remove(key);
            self.held.insert(key.clone(), file);
        } else if let Some(file) = self.held.remove(key) {
            self.ceased.insert(key.clone(), file);
        }
    }

    /// What ceased until now opened nothing.
    pub(super) fn forget(&mut self) {
        self.ceased.clear();
    }

    /// What ceased since the last call, if the external plane gained something by then.
    pub(super) fn lifted(&mut self, before: &Plane, after: &Plane) -> Vec<Lifted> {
        let ceased = std::mem::take(&mut self.ceased);
        if ceased.is_empty() {
            return Vec::new();
        }
        let reachable = gained(before, after);
        if reachable.is_empty() {
            return Vec::new();
        }
        ceased.into_iter().map(|(object, file)| Lifted { object, file, reachable: reachable.clone() }).collect()
    }
}

/// Service ports that are new, or are at new addresses.
fn gained(before: &Plane, after: &Plane) -> Vec<PortName> {
    let addresses = |service: &Service| service.endpoints.iter().map(|endpoint| endpoint.replica.address).collect::<BTreeSet<_>>();
    let old: BTreeMap<&PortName, BTreeSet<_>> = before.services.iter().map(|service| (&service.name, addresses(service))).collect();
    let new = after.services.iter().filter(|service| old.get(&service.name).is_none_or(|old| !addresses(service).is_subset(old)));
    let mut gained: Vec<PortName> = new.map(|service| service.name.clone()).collect();
    gained.sort();
    gained
}
