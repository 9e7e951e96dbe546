//! The query of a target, read strictly: pairs, each key once and as it is written, values in UTF-8 with whole percent-encodings.
//!
//! The form is that of URL-encoded forms (WHATWG URL, section 5), which clients of the Docker API send. It refuses where that form
//! permits repair.

use std::fmt::Write;

use super::Refusal;

/// What is left of a query.
pub(super) struct Query<'q>(Vec<(&'q str, String)>);

impl<'q> Query<'q> {
    /// All pairs. An empty query has none.
    pub(super) fn parse(text: &'q str) -> Result<Query<'q>, Refusal> {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for pair in text.split('&').filter(|_| !text.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(Refusal::Query)?;
            if pairs.iter().any(|(have, _)| *have == key) {
                return Err(Refusal::Query);
            }
            pairs.push((key, decoded(value).ok_or(Refusal::Query)?));
        }
        Ok(Query(pairs))
    }

    /// The value of a key, once. An empty value is as none: that is how clients in Go leave one out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(have, _)| *have == key)?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Parameter) }
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut into = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        into.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(into).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `path`, and those of these pairs that have a value. All but letters, digits and `-._~` of a value is percent-encoded.
pub(super) fn write<const N: usize>(path: &str, pairs: [(&str, Option<&str>); N]) -> String {
    let mut target = path.to_owned();
    let said = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    for ((key, value), mark) in said.zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        target.extend([mark.encode_utf8(&mut [0; 4]), key, "="]);
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                target.push(char::from(byte));
            } else {
                // Writing to a String never fails.
                let _ = write!(target, "%{byte:02X}");
            }
        }
    }
    target
}
