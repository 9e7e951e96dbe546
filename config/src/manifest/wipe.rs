//! Overwrites what a document held, so that a Secret's bytes do not stay in memory that was given back.
//!
//! Every document is wiped, whatever it is: a rule without a question cannot be answered wrongly. Not reached: what the readers of YAML
//! and JSON copy for themselves while they read.

use std::ops::{Deref, DerefMut};

use serde_json::Value;
use zeroize::Zeroize;

/// Overwrites every text in it.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value that is wiped when it is dropped.
pub(super) struct Wiped(pub(super) Value);

impl Deref for Wiped {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_is_left() {
        let mut value = json!({"data": {"tls.key": "x", "list": ["y", {"z": "z"}]}, "n": 1});
        wipe(&mut value);
        assert_eq!(value, json!({"data": {"tls.key": "", "list": ["", {"z": ""}]}, "n": 1}));
    }
}
