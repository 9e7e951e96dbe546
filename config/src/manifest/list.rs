//! `kind: List` and typed lists (PodList): each item is read by itself.
//!
//! Invariant: what a List hides is not lost. One that cannot be read as it is refuses the items that it names; a key of ours on the
//! List itself labels nothing, and whoever wrote it meant the items, so all of them are sealed.

use serde_json::{Map, Value};

use super::document::Repeated;
use super::kind::{ListKind, ListOf};
use super::{Item, Manifest, Spot, seal};
use crate::problem::{Problem, Reason};

/// What the List around an item means for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// `apiVersion` and `kind` that the items of a typed list may leave out.
    pub(super) inherited: Option<(&'a str, &'a str)>,
    /// The List cannot be read as it is.
    pub(super) refused: bool,
    /// The List carries a key of ours.
    pub(super) sealed: bool,
}

/// Fields of a List besides its items.
const OF_A_LIST: [&str; 4] = ["apiVersion", "kind", "metadata", "items"];

impl Manifest {
    pub(super) fn list(
        &mut self,
        list: ListKind<'_>,
        api_version: &str,
        fields: &Map<String, Value>,
        item: Item<'_>,
        repeated: &[Repeated],
    ) {
        let found = self.problems.len();
        if list.ours {
            self.list_itself(&list, fields, item.spot);
        }
        let refused = self.problems.len() > found;
        let sealed = list.ours && self.list_seals(fields, item.spot);
        let around = Around {
            inherited: if let ListOf::Kind(of) = list.of { Some((api_version, of)) } else { None },
            refused: refused || item.around.refused,
            sealed: sealed || item.around.sealed,
        };
        match items(fields) {
            Some((name, items)) => self.items(name, items, Item { around, ..item }, repeated),
            None if around.refused => {
                self.unnamed = true;
                self.lost_seals.extend(item.seals(None).then_some(None));
            }
            None => {}
        }
    }

    /// What is wrong with the List, whatever is in it.
    fn list_itself(&mut self, list: &ListKind<'_>, fields: &Map<String, Value>, spot: Spot<'_>) {
        if let Some((field, right)) = list.wrong {
            let written = fields.get(field).and_then(Value::as_str).unwrap_or_default();
            let problem = Problem::error(Reason::Invalid, format!("`{written}`")).of(spot).at(field).expected(format!("`{right}`"));
            self.problems.push(problem.fix("correct it; until then none of the items is read"));
        }
        for field in fields.keys().filter(|field| !OF_A_LIST.contains(&field.as_str())) {
            let problem = Problem::error(Reason::UnknownField, "a field that a List does not have").of(spot).at(field);
            self.problems.push(problem.expected("`items`").fix("correct or remove it; until then none of the items is read"));
        }
        if let Some(other) = fields.get("items").filter(|items| !items.is_array() && !items.is_null()) {
            let problem = Problem::error(Reason::Invalid, super::fields::shape(other)).of(spot).at("items");
            self.problems.push(problem.expected("a list").fix("start each item with `- `"));
        }
    }

    /// Whether a key of ours is on the List, where it labels nothing.
    fn list_seals(&mut self, fields: &Map<String, Value>, spot: Spot<'_>) -> bool {
        let carries = |(field, value): &(&String, &Value)| !is_items(field) && seal::mentions(field, value);
        let Some((field, _)) = fields.iter().find(carries) else { return false };
        let problem = Problem::error(Reason::Invalid, "a key under `tidegate.dev/` on a List, where it labels nothing").of(spot).at(field);
        self.problems.push(problem.expected("it on each item").fix("label the items themselves; until then all of them are sealed"));
        true
    }

    fn items(&mut self, name: &str, items: &[Value], list: Item<'_>, repeated: &[Repeated]) {
        let mut of_items = 0;
        for (index, value) in items.iter().enumerate() {
            let prefix = format!("{name}[{index}].");
            let within = |repeated: &Repeated| Some(Repeated { path: repeated.path.strip_prefix(&prefix)?.to_owned(), ..*repeated });
            let inside: Vec<Repeated> = repeated.iter().filter_map(within).collect();
            of_items += inside.len();
            self.item(Item { value, spot: Spot::Item(index, &list.spot), ..list }, &inside);
        }
        if of_items < repeated.len() {
            // Which of two `items` was meant is unknown, and so are the names of what the other held.
            self.broken = true;
            let found = format!("a key of the List itself ({}) is given twice", list.spot);
            self.problems.push(Problem::error(Reason::Invalid, found).at("items").expected("each key once"));
        }
    }
}

/// Whether a field holds the items, or was meant to.
fn is_items(field: &str) -> bool {
    ["items", "item"].iter().any(|right| field.eq_ignore_ascii_case(right))
}

/// The items, and the field that has them: the right one, else one that was meant to be it.
fn items(fields: &Map<String, Value>) -> Option<(&str, &[Value])> {
    let right = fields.get_key_value("items").filter(|(_, value)| value.is_array());
    let (name, value) = right.or_else(|| fields.iter().find(|(name, value)| is_items(name) && value.is_array()))?;
    Some((name, value.as_array()?))
}
