//! Which object holds the authorities that certificates are verified by.
//!
//! Invariant: never ambiguous. A plain name is a Secret's, as it is everywhere in Kubernetes where TLS names something; a ConfigMap's has its
//! kind before it, as `kubectl` writes it. No name of an object holds a `/`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Kind, Name, ObjectKey};
use crate::manifest::check;

/// What stands before the name of a ConfigMap.
const CONFIG_MAP: &str = "configmap/";

/// An object with `ca.crt`, in the namespace of whoever names it: `NAME`, or `configmap/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs)]
pub enum CaRef {
    Secret(Name),
    ConfigMap(Name),
}

impl CaRef {
    /// What an annotation expects.
    pub(crate) const EXPECTED: &str = "the name of a Secret, or `configmap/` and that of a ConfigMap, with `ca.crt`";

    /// Reads an annotation's text.
    pub fn parse(text: &str) -> Option<CaRef> {
        let (name, of): (_, fn(Name) -> CaRef) = match text.strip_prefix(CONFIG_MAP) {
            Some(name) => (name, CaRef::ConfigMap),
            None => (text, CaRef::Secret),
        };
        check::is_subdomain(name).then(|| of(name.into()))
    }

    /// The object, in this namespace.
    pub fn key(&self, namespace: &Name) -> ObjectKey {
        let (kind, name) = match self {
            CaRef::Secret(name) => (Kind::Secret, name),
            CaRef::ConfigMap(name) => (Kind::ConfigMap, name),
        };
        ObjectKey { kind, namespace: namespace.clone(), name: name.clone() }
    }
}

impl fmt::Display for CaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaRef::Secret(name) => f.write_str(name),
            CaRef::ConfigMap(name) => write!(f, "{CONFIG_MAP}{name}"),
        }
    }
}

impl From<CaRef> for String {
    fn from(named: CaRef) -> String {
        named.to_string()
    }
}

impl TryFrom<String> for CaRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<CaRef, &'static str> {
        CaRef::parse(&text).ok_or(CaRef::EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_object_and_is_written_as_it_was_read() {
        for (text, shown) in [("ca", "Secret a/ca"), ("configmap/ca.b", "ConfigMap a/ca.b"), ("configmap", "Secret a/configmap")] {
            let read = CaRef::parse(text).unwrap();
            assert_eq!((read.key(&"a".into()).to_string(), read.to_string()), (shown.to_owned(), text.to_owned()));
            assert_eq!(serde_json::from_value::<CaRef>(serde_json::to_value(&read).unwrap()).unwrap(), read);
        }
        for wrong in ["", "configmap/", "ConfigMap/ca", "secret/ca", "b/ca", "configmap/b/ca", "configmap/Ca", " ca"] {
            assert_eq!(CaRef::parse(wrong), None, "{wrong:?}");
        }
    }
}
