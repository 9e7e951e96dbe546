//! What other objects refer to by name: Secrets and ConfigMaps.
//!
//! Invariant: fail closed. What is not there, or holds not what it is named for, is nothing. Whether something may serve the outside is a
//! question of its own, which whoever serves the outside asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::object::{ConfigMap, Object, ObjectKey, Secret};
use config::tls::Authorities;

use crate::exposure;

/// Every Secret and ConfigMap that is read.
#[derive(Debug, Default)]
pub(crate) struct Referents(BTreeMap<ObjectKey, Arc<Object>>);

impl Referents {
    /// Puts one, or takes it away.
    pub(super) fn set(&mut self, key: ObjectKey, after: Option<Arc<Object>>) {
        match after {
            Some(object) => _ = self.0.insert(key, object),
            None => _ = self.0.remove(&key),
        }
    }

    /// A Secret that is there.
    pub(crate) fn secret(&self, key: &ObjectKey) -> Option<&Secret> {
        if let Object::Secret(secret) = self.get(key)? { Some(secret) } else { None }
    }

    /// A ConfigMap that is there.
    pub(super) fn config_map(&self, key: &ObjectKey) -> Option<&ConfigMap> {
        if let Object::ConfigMap(map) = self.get(key)? { Some(map) } else { None }
    }

    /// The `ca.crt` of one that is there.
    pub(super) fn authorities(&self, key: &ObjectKey) -> Option<&Authorities> {
        match self.get(key)? {
            Object::Secret(secret) => secret.ca.as_ref(),
            Object::ConfigMap(map) => map.ca.as_ref(),
            _ => None,
        }
    }

    /// Whether its labels keep it from serving anybody outside.
    pub(super) fn is_sealed(&self, key: &ObjectKey) -> bool {
        self.get(key).is_some_and(|object| exposure::said(key.kind, object.meta()).seals())
    }

    fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.0.get(key).map(|object| &**object)
    }
}
