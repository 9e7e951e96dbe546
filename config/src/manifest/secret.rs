//! core/v1 Secret: the pair of one of type `kubernetes.io/tls`, the authorities (`ca.crt`) and the passwords (`auth`) of one of any type.
//! Secrets without any of them are none of our business: they are counted and never kept, and of one that is read nothing else is.
//!
//! Invariant: no problem holds a word that was written anywhere but in the metadata. A part that does not parse, or a pair that does
//! not belong together, refuses the object, so that its last good version goes on serving. What was decoded is overwritten.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::check::Findings;
use super::fields;
use super::meta::{self, NameRule};
use crate::credentials::Credentials;
use crate::object::Secret;
use crate::problem::{Problem, Reason};
use crate::tls::{Authorities, BadCertificate, CA, CHAIN, Certificate, KEY};

const TLS: &str = "kubernetes.io/tls";
/// Names that may be said: what may be written elsewhere is not known.
const PLAIN: [&str; 13] = [
    "apiVersion",
    "kind",
    "type",
    "immutable",
    "data",
    "data.tls.crt",
    "data.tls.key",
    "data.ca.crt",
    "data.auth",
    "stringData.tls.crt",
    "stringData.tls.key",
    "stringData.ca.crt",
    "stringData.auth",
];

/// The part that holds names and passwords.
const AUTH: &str = "auth";

fn is_tls(fields: &Map<String, Value>) -> bool {
    fields.get("type").and_then(Value::as_str) == Some(TLS)
}

/// Whether the object holds a part that is read.
pub(super) fn is_read(fields: &Map<String, Value>) -> bool {
    let holds = |place: &&str| fields.get(*place).is_some_and(|parts| [CA, AUTH].iter().any(|part| parts.get(part).is_some()));
    is_tls(fields) || ["data", "stringData"].iter().any(holds)
}

pub(super) fn read(value: &Value, out: &mut Findings) -> Option<Secret> {
    let raw = fields::read_telling::<core::Secret>(value, out, wrong_type);
    out.retell(hushed);
    let core::Secret { metadata, data, string_data, .. } = raw?;
    let mut parts = Parts { plain: string_data.unwrap_or_default(), encoded: data.unwrap_or_default() };
    let meta = meta::namespaced(metadata, NameRule::Subdomain, out);
    if out.has_errors() {
        return None; // a part that could not be read must not be called missing
    }
    let ca = authorities(parts.take(CA), out);
    let certificate = if value.as_object().is_some_and(is_tls) { Some(pair(&mut parts, out)?) } else { None };
    let auth = parts.take(AUTH).map(|(_, lines)| Credentials::read(&lines));
    Some(Secret { meta, certificate, ca: ca?, auth })
}

/// What is written in it, overwritten when it is dropped.
struct Parts {
    plain: BTreeMap<String, String>,
    encoded: BTreeMap<String, ByteString>,
}

impl Parts {
    /// A part, and the field that it is in. As in the API, plain text wins over base64.
    fn take(&mut self, name: &str) -> Option<(&'static str, Zeroizing<Vec<u8>>)> {
        let plain = self.plain.remove(name).map(|text| ("stringData", text.into_bytes()));
        let (field, bytes) = plain.or_else(|| Some(("data", self.encoded.remove(name)?.0)))?;
        Some((field, Zeroizing::new(bytes)))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.plain.values_mut().for_each(Zeroize::zeroize);
        self.encoded.values_mut().for_each(|bytes| bytes.0.zeroize());
    }
}

/// `None`: there are some, and they cannot be read. An issuer that has none leaves them empty.
pub(super) fn authorities(part: Option<(&str, impl AsRef<[u8]>)>, out: &mut Findings) -> Option<Option<Authorities>> {
    let Some((field, pem)) = part.filter(|(_, pem)| !pem.as_ref().trim_ascii().is_empty()) else { return Some(None) };
    Authorities::from_pem(pem.as_ref()).map(Some).map_err(|bad| out.push(told(bad, field))).ok()
}

fn pair(parts: &mut Parts, out: &mut Findings) -> Option<Certificate> {
    let (chain, key) = (parts.take(CHAIN), parts.take(KEY));
    for (name, part) in [(CHAIN, &chain), (KEY, &key)] {
        if part.is_none() {
            out.missing::<()>(format_args!("data[\"{name}\"]"), "PEM text in base64, or as it is under `stringData`");
        }
    }
    let ((chain_in, chain), (key_in, key)) = (chain?, key?);
    let place = |bad: &BadCertificate| if bad.part == KEY { key_in } else { chain_in };
    Certificate::from_pem(&chain, &key).map_err(|bad| out.push(told(bad, place(&bad)))).ok()
}

fn told(bad: BadCertificate, field: &str) -> Problem {
    let problem = Problem::error(Reason::Invalid, bad.found).at(format!("{field}[\"{}\"]", bad.part));
    problem.expected(bad.expected).fix(bad.fix)
}

/// As for other kinds in the metadata; elsewhere without the message, which quotes the value.
fn wrong_type(path: &str, message: &str) -> Problem {
    let (expected, fix) = match path.split('.').next() {
        Some("metadata") => return fields::wrong_type(path, message),
        Some("data") => ("a name and base64 text for each part", "encode it with `base64 -w0`, or write it as it is under `stringData`"),
        Some("stringData") => ("a name and text for each part", "put the text behind `|`, each line indented"),
        _ => ("what the API has for this field", "correct the field"),
    };
    Problem::error(Reason::Invalid, "a value of another form (not shown: it is a Secret's)").at(path).expected(expected).fix(fix)
}

/// The same with as much of its place as may be said.
fn hushed(mut problem: Problem) -> Problem {
    problem.place.field = problem.place.field.and_then(|field| {
        if field.starts_with("metadata") || PLAIN.contains(&&*field) {
            return Some(field);
        }
        field.split('.').next().filter(|part| ["data", "stringData"].contains(part)).map(str::to_owned)
    });
    problem
}
