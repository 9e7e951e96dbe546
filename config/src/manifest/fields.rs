//! A plain value to a typed Kubernetes object: every wrong type and every unknown field, each with its path.
//!
//! The field list is the API's own. All wrong types are reported, not only the first.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::check::Findings;
use super::seal;
use super::wipe::Wiped;
use crate::problem::{Problem, Reason};

/// More wrong types than this in one object are not listed one by one.
const MOST_ERRORS: usize = 32;
/// What is quoted of a wrong value, in characters.
const MOST_QUOTED: usize = 80;

/// Reads `value` as `T`. Wrong types are errors in `out`, and the object that comes back then lacks those fields.
pub(super) fn read<T: DeserializeOwned>(value: &Value, out: &mut Findings) -> Option<T> {
    read_telling(value, out, wrong_type)
}

/// As [`read`]; `tell` makes a problem of the path of a wrong type and the reader's message, which may quote the value.
pub(super) fn read_telling<T: DeserializeOwned>(value: &Value, out: &mut Findings, tell: fn(&str, &str) -> Problem) -> Option<T> {
    if let (Ok(object), unknown) = telling_ignored(value, value) {
        report_unknown(unknown, out);
        return Some(object);
    }
    // Only what is wrong pays for finding out where.
    let (Err(mut error), _) = attempt::<T>(value) else { return None };
    let mut rest = Wiped(value.clone());
    let mut last = String::new();
    for _ in 0..MOST_ERRORS {
        let path = error.path().to_string();
        if path == last {
            return None;
        }
        out.push(tell(&path, &error.inner().to_string()));
        *at_path(&mut rest, error.path())? = Value::Null;
        let (again, unknown) = attempt::<T>(&rest);
        match again {
            Ok(object) => {
                report_unknown(unknown, out);
                return Some(object);
            }
            Err(next) => error = next,
        }
        last = path;
    }
    None
}

type Attempt<T> = Result<T, serde_path_to_error::Error<serde_json::Error>>;

/// A field that the API does not have.
struct Unknown {
    path: String,
    /// A key of ours is in it.
    ours: bool,
}

impl Unknown {
    fn at(path: &serde_ignored::Path<'_>, root: &Value) -> Unknown {
        Unknown { path: render(path), ours: is_ours(root, path) }
    }
}

fn attempt<T: DeserializeOwned>(value: &Value) -> (Attempt<T>, Vec<Unknown>) {
    let mut track = serde_path_to_error::Track::new();
    let (read, unknown) = telling_ignored(serde_path_to_error::Deserializer::new(value, &mut track), value);
    (read.map_err(|error| serde_path_to_error::Error::new(track.path(), error)), unknown)
}

/// Reads a `T`, and what it ignores of `root`.
fn telling_ignored<'v, T: Deserialize<'v>, D: Deserializer<'v>>(from: D, root: &'v Value) -> (Result<T, D::Error>, Vec<Unknown>) {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(Unknown::at(&path, root));
    // One type for all `T`: readers of the types that they share, as of a pod's fields, are compiled once and not for each of them.
    let note: &mut dyn FnMut(serde_ignored::Path<'_>) = &mut note;
    (serde_ignored::deserialize(from, note), unknown)
}

fn report_unknown(unknown: Vec<Unknown>, out: &mut Findings) {
    for Unknown { path, ours } in unknown {
        if ours {
            out.unclear(
                &path,
                "a field that the API does not have, with a key under `tidegate.dev/`",
                "such a key under `metadata.labels`",
            );
        } else {
            let problem = Problem::warning(Reason::UnknownField, "a field that the API does not have").at(path.clone());
            out.push(problem.fix("correct its spelling or its indentation, or remove it"));
        }
        out.unknown_fields.push(path);
    }
}

fn is_ours(root: &Value, path: &serde_ignored::Path<'_>) -> bool {
    let key = if let serde_ignored::Path::Map { key, .. } = path { key } else { "" };
    ignored(root, path).is_some_and(|value| seal::mentions(key, value))
}

/// The value that was ignored.
fn ignored<'v>(root: &'v Value, path: &serde_ignored::Path<'_>) -> Option<&'v Value> {
    use serde_ignored::Path;
    match path {
        Path::Root => Some(root),
        Path::Seq { parent, index } => ignored(root, parent)?.get(*index),
        Path::Map { parent, key } => ignored(root, parent)?.get(key.as_str()),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => ignored(root, parent),
    }
}

/// The path as an operator writes it: `spec.ports[0].port`.
fn render(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(parent)),
        Path::Map { parent, key } => match render(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => render(parent),
    }
}

fn at_path<'v>(mut value: &'v mut Value, path: &serde_path_to_error::Path) -> Option<&'v mut Value> {
    for segment in path {
        value = match segment {
            Segment::Seq { index } => value.get_mut(*index)?,
            Segment::Map { key } => value.get_mut(key)?,
            Segment::Enum { .. } | Segment::Unknown => return None,
        };
    }
    Some(value)
}

/// `invalid type: string "x", expected i32`, taken apart.
pub(super) fn wrong_type(path: &str, message: &str) -> Problem {
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: ")).unwrap_or(found);
    let problem = Problem::error(Reason::Invalid, shorten(found)).at(path);
    let scalar = ["integer", "floating point"].iter().any(|kind| found.starts_with(kind));
    match expected {
        "" => problem,
        "i32" | "i64" if found.starts_with("string") => problem.expected("a whole number").fix("write it without quotes"),
        "i32" | "i64" => problem.expected("a whole number"),
        "a string" if found.starts_with("boolean") => {
            problem.expected("text").fix("put the value in quotes (YAML reads y, n, yes, no, on and off as true or false)")
        }
        "a string" if scalar => problem.expected("text").fix("put the value in quotes"),
        "a string" => problem.expected("text"),
        "a boolean" => problem.expected("`true` or `false`"),
        "a sequence" => problem.expected("a list").fix("start each entry with `- `"),
        other => problem.expected(other),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a value is, without its content.
pub(crate) fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "plain text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
