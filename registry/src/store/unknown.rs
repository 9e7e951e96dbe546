//! Objects that are named and cannot be read.
//!
//! Invariant: what such an object said about its exposure holds for every version of it that serves, in whatever file. When none does
//! and nobody can tell what it covered, [`Lost::hides_a_seal`] says so.

use std::sync::Arc;

use config::object::{Kind, Name, Object, ObjectKey};

use super::Store;
use crate::exposure;

/// How many files name an object that they do not say readably.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    files: usize,
    /// How many of them carry a seal with it.
    sealing: usize,
}

impl Unknown {
    pub(super) fn seals(&self) -> bool {
        self.sealing > 0
    }
}

/// What is left of one file's objects that cannot be used.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// The last good versions, sealed where what cannot be read says so.
    pub(super) kept: Vec<Arc<Object>>,
    /// Those without one, and whether they seal.
    pub(super) unknown: Vec<(ObjectKey, bool)>,
}

impl Lost {
    /// Whether a seal is lost of which nobody knows what it covers. `nameless` are seals of documents that do not say what they are.
    pub(super) fn hides_a_seal(&self, nameless: &[Option<Name>]) -> bool {
        // A Namespace is sealed without being read, and what a class, an Ingress, a Secret or a ConfigMap carries is not served.
        let carries = [Kind::Namespace, Kind::Ingress, Kind::IngressClass, Kind::Secret, Kind::ConfigMap];
        let covers = |kind| !carries.contains(&kind);
        let known = |name: &Option<Name>| {
            self.kept.iter().any(|object| {
                let meta = object.meta();
                Some(&meta.name) == name.as_ref() && exposure::said(object.kind(), meta).seals()
            })
        };
        self.unknown.iter().any(|(key, seals)| *seals && covers(key.kind)) || nameless.iter().any(|name| !known(name))
    }
}

/// The same object as if it were internal.
pub(super) fn sealed(object: &Arc<Object>) -> Arc<Object> {
    let mut object = Object::clone(object);
    object.meta_mut().unclear = true;
    Arc::new(object)
}

impl Store {
    /// Makes `new` all that a file names and does not say readably.
    pub(super) fn set_unknown(&mut self, old: Vec<(ObjectKey, bool)>, new: &[(ObjectKey, bool)]) {
        old.iter().chain(new).for_each(|(key, _)| self.touch(key));
        for (key, seals) in old {
            let Some(unknown) = self.unknown.get_mut(&key) else { continue };
            unknown.files -= 1;
            unknown.sealing -= usize::from(seals);
            if unknown.files == 0 {
                self.unknown.remove(&key);
            }
        }
        for (key, seals) in new {
            let unknown = self.unknown.entry(key.clone()).or_default();
            unknown.files += 1;
            unknown.sealing += usize::from(*seals);
        }
    }
}
