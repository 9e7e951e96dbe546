//! The shape of what is told, and how it is picked out of an answer.
//!
//! Invariant: what is picked holds nothing that the shape does not name. A value of another kind than it names is left out.

use serde_json::Value;

/// What is told of a value.
pub(super) enum Shape {
    /// A string.
    Text,
    /// A whole number of 64 bits, as all of the API are: of others it is not sure that they are told as they came.
    Number,
    /// True or false.
    Bool,
    /// An array, all its elements so: a list with a gap would be another list.
    List(&'static Shape),
    /// The first string of an array, if it is one of these words.
    First(&'static [&'static str]),
    /// An object with any keys, its values so.
    Map(&'static Shape),
    /// An object with these fields.
    Object(&'static [(&'static str, Shape)]),
}

impl Shape {
    /// What is told of `value`; `None` when it is of another kind.
    pub(super) fn pick(&self, value: Value) -> Option<Value> {
        match (self, value) {
            (Shape::Text, value @ Value::String(_)) => Some(value),
            (Shape::Number, Value::Number(number)) if number.is_i64() || number.is_u64() => Some(Value::Number(number)),
            (Shape::Bool, value @ Value::Bool(_)) => Some(value),
            (Shape::List(of), Value::Array(values)) => values.into_iter().map(|value| of.pick(value)).collect(),
            (Shape::First(words), Value::Array(values)) => {
                let first = values.into_iter().next();
                Some(first.filter(|value| value.as_str().is_some_and(|word| words.contains(&word))).into_iter().collect())
            }
            (Shape::Map(of), Value::Object(fields)) => {
                Some(Value::Object(fields.into_iter().filter_map(|(key, value)| Some((key, of.pick(value)?))).collect()))
            }
            (Shape::Object(shapes), Value::Object(mut fields)) => {
                let told = shapes.iter().filter_map(|(name, of)| Some(((*name).to_owned(), of.pick(fields.remove(*name)?)?)));
                Some(Value::Object(told.collect()))
            }
            _ => None,
        }
    }
}
