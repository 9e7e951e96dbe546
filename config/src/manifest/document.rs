//! Text to documents: YAML or JSON, read into plain values.
//!
//! A key given twice is remembered with its path instead of ending the file, so that it costs its own object alone. Errors say
//! line, column and what is wrong with the syntax; they never quote the text, which may be a Secret's.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Options, Spanned};

use super::seal;
use super::wipe::wipe;
use crate::problem::{Problem, Reason};

/// One document of a file. Empty ones (comments, `null`) are not documents.
#[derive(Debug)]
pub(crate) struct Document {
    /// What it says.
    pub(crate) value: Value,
    /// Where it starts, when that is known.
    pub(crate) line: Option<u64>,
    /// Counted from 1.
    pub(crate) ordinal: usize,
    /// Keys given twice; `value` has the last.
    pub(crate) repeated: Vec<Repeated>,
}

/// A key that was given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// Its path.
    pub(crate) path: String,
    /// Whether a key of ours is in what the document's `value` lost by it.
    pub(crate) ours: bool,
}

/// All documents of a file, given on one by one: of a large file, only one is here at a time.
///
/// # Errors
/// The text is not UTF-8, or neither YAML nor JSON; what was given on is lost with it.
pub(crate) fn read<C: Default + Extend<Document>>(bytes: &[u8]) -> Result<C, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Problem::error(Reason::Invalid, format!("bytes at line {line} that are not UTF-8"))
            .expected("UTF-8 text")
            .fix("save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.trim_start();
    if start.starts_with(['{', '[']) && !start.starts_with("{{") {
        // JSON first: it is faster, and values may follow each other without a separator. YAML flow style looks alike.
        return json(text).or_else(|error| yaml(text).map_err(|_| json_problem(&error)));
    }
    yaml(text).map_err(|error| yaml_problem(&error, text))
}

fn json<C: Default + Extend<Document>>(text: &str) -> Result<C, serde_json::Error> {
    let mut documents = Counted::<C>::default();
    for tree in serde_json::Deserializer::from_str(text).into_iter::<Tree>() {
        documents.add(tree?, None);
    }
    Ok(documents.into)
}

fn yaml<C: Default + Extend<Document>>(text: &str) -> Result<C, serde_saphyr::Error> {
    let documents: Counted<C> = serde_saphyr::from_str_multiple_with_options(text, options())?;
    Ok(documents.into)
}

/// Counts documents on their way.
#[derive(Default)]
struct Counted<C> {
    seen: usize,
    into: C,
}

impl<C: Extend<Document>> Counted<C> {
    fn add(&mut self, tree: Tree, line: Option<u64>) {
        self.seen += 1;
        let Tree { value, repeated } = tree;
        self.into.extend((!value.is_null()).then_some(Document { value, line, ordinal: self.seen, repeated }));
    }
}

impl<C: Extend<Document>> Extend<Spanned<Tree>> for Counted<C> {
    fn extend<I: IntoIterator<Item = Spanned<Tree>>>(&mut self, trees: I) {
        for tree in trees {
            let line = Some(tree.referenced.line()).filter(|&line| line > 0);
            self.add(tree.value, line);
        }
    }
}

/// Room for a large cluster in one file; depth and alias replay stay bounded, since they are what an attack grows.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1_000_000,
            max_nodes: 50_000_000,
            max_events: 100_000_000,
            max_total_scalar_bytes: 512 * 1024 * 1024,
            max_depth: 64,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn json_problem(error: &serde_json::Error) -> Problem {
    // Only syntax errors reach this: their text is fixed and holds nothing of the file.
    Problem::error(Reason::Invalid, format!("not JSON: {error}")).expected("JSON or YAML")
}

fn yaml_problem(error: &serde_saphyr::Error, text: &str) -> Problem {
    let error = error.without_snippet();
    let place = error.location().map_or_else(String::new, |at| format!(" at line {}, column {}", at.line(), at.column()));
    let problem = Problem::error(Reason::Invalid, format!("not YAML{place}: {}", what(error, text)));
    match text.contains("{{") {
        true => problem.expected("YAML or JSON").fix("if this is a template, render it first (`helm template`)"),
        false => problem.expected("YAML or JSON").fix("mend the syntax at this line, or the indentation above it"),
    }
}

/// What the reader says, in one line. Its text may quote a key or a tag, so a file that speaks of Secrets gets none of it.
fn what(error: &serde_saphyr::Error, text: &str) -> String {
    if text.contains("Secret") {
        return "the syntax is wrong (not quoted: the file holds a Secret)".to_owned();
    }
    let message = error.to_string();
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("the syntax is wrong").trim();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

/// A value and the paths of its repeated keys.
struct Tree {
    value: Value,
    repeated: Vec<Repeated>,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        let mut repeated = Vec::new();
        let value = Node { above: None, repeated: &mut repeated }.deserialize(deserializer)?;
        Ok(Tree { value, repeated })
    }
}

/// The way from the root to a value, told only when something is wrong.
#[derive(Clone, Copy)]
struct Step<'a> {
    above: Option<&'a Step<'a>>,
    here: Here<'a>,
}

#[derive(Clone, Copy)]
enum Here<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}")?;
        }
        match (self.here, self.above) {
            (Here::Index(index), _) => write!(f, "[{index}]"),
            (Here::Key(key), None) => f.write_str(key),
            (Here::Key(key), Some(_)) => write!(f, ".{key}"),
        }
    }
}

struct Node<'a> {
    above: Option<&'a Step<'a>>,
    repeated: &'a mut Vec<Repeated>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    /// A whole number beyond 64 bits is no field of ours; its nearest float keeps the document readable.
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Number::from_f64(value as f64).map_or(Value::Null, Value::Number))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Number::from_f64(value as f64).map_or(Value::Null, Value::Number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Node { above, repeated } = self;
        let mut values = Vec::new();
        loop {
            let step = Step { above, here: Here::Index(values.len()) };
            match seq.next_element_seed(Node { above: Some(&step), repeated: &mut *repeated })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Node { above, repeated } = self;
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let step = Step { above, here: Here::Key(&key) };
            let value = map.next_value_seed(Node { above: Some(&step), repeated: &mut *repeated })?;
            if let Some(lost) = fields.get(&key) {
                repeated.push(Repeated { path: step.to_string(), ours: seal::mentions(&key, lost) });
            }
            if let Some(mut lost) = fields.insert(key, value) {
                wipe(&mut lost);
            }
        }
        Ok(Value::Object(fields))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("binary values are not read"))
    }
}
