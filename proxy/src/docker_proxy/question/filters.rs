//! Filters of a question: which keys there are, and the two forms of JSON that clients send them in.
//!
//! Invariant: each key is one of a short list, so that nobody asks by a filter for what answers do not tell (mounts, say). Filters of
//! events always name a type, `container` or `network`: without it the engine would tell of all types.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Refusal;

/// Filters of `/containers/json`.
pub(super) const LIST_KEYS: &[&str] = &["health", "id", "label", "name", "network", "status"];
/// Filters of `/events`.
pub(super) const EVENT_KEYS: &[&str] = &["container", "event", "label", "network", "scope", "type"];
/// Types of events that are told.
const EVENT_TYPES: &[&str] = &["container", "network"];

/// Keys, each with its values, of which one must match (of labels all).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<&'static str, BTreeSet<String>>);

/// A list, or the older set of values that are true.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(BTreeSet<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    /// Filters of a list of containers.
    pub(super) fn of_list(json: &str) -> Result<Filters, Refusal> {
        parse(json, LIST_KEYS, Refusal::ListFilter)
    }

    /// Filters of events; both types are meant where none is named.
    pub(super) fn of_events(json: Option<&str>) -> Result<Filters, Refusal> {
        let mut filters = json.map_or_else(|| Ok(Filters::default()), |json| parse(json, EVENT_KEYS, Refusal::EventFilter))?;
        let types = filters.0.entry("type").or_insert_with(|| EVENT_TYPES.iter().map(|&name| name.to_owned()).collect());
        if types.iter().all(|name| EVENT_TYPES.contains(&name.as_str())) { Ok(filters) } else { Err(Refusal::EventType) }
    }

    /// As the engine reads them; `None` when there are none.
    pub(super) fn json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::json!(self.0).to_string())
    }
}

/// A key without values asks for nothing, and is left out.
fn parse(json: &str, keys: &'static [&'static str], unknown: Refusal) -> Result<Filters, Refusal> {
    let said: BTreeMap<String, Values> = serde_json::from_str(json).map_err(|_| Refusal::Filters)?;
    let mut filters = BTreeMap::new();
    for (key, values) in said {
        let &key = keys.iter().find(|have| **have == key).ok_or(unknown)?;
        let values = match values {
            Values::List(values) => values,
            Values::Set(values) if values.values().all(|&wanted| wanted) => values.into_keys().collect(),
            Values::Set(_) => return Err(Refusal::Filters),
        };
        if !values.is_empty() {
            filters.insert(key, values);
        }
    }
    Ok(Filters(filters))
}
