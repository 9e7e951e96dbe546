//! core/v1 Secret of type `kubernetes.io/tls`. Others are none of our business: they are counted and never kept.
//!
//! Invariant: no problem holds a word that was written anywhere but in the metadata. A pair that does not parse, or does not belong
//! together, refuses the object, so that its last good version goes on serving.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value};

use super::check::Findings;
use super::fields;
use super::meta::{self, NameRule};
use crate::object::Secret;
use crate::problem::{Problem, Reason};
use crate::tls::Certificate;

const TLS: &str = "kubernetes.io/tls";
/// Names that may be said: what may be written elsewhere is not known.
const PLAIN: [&str; 9] =
    ["apiVersion", "kind", "type", "immutable", "data", "data.tls.crt", "data.tls.key", "stringData.tls.crt", "stringData.tls.key"];

/// Whether the object says that it holds a certificate.
pub(super) fn is_tls(fields: &Map<String, Value>) -> bool {
    fields.get("type").and_then(Value::as_str) == Some(TLS)
}

pub(super) fn read(value: &Value, out: &mut Findings) -> Option<Secret> {
    let raw = fields::read_telling::<core::Secret>(value, out, wrong_type);
    out.retell(hushed);
    let core::Secret { metadata, data, string_data, .. } = raw?;
    let meta = meta::namespaced(metadata, NameRule::Subdomain, out);
    if out.has_errors() {
        return None; // a part that could not be read must not be called missing
    }
    // As in the API, plain text wins over base64.
    let (mut plain, mut encoded) = (string_data.unwrap_or_default(), data.unwrap_or_default());
    let mut part = |name: &str| {
        let plain = plain.remove(name).map(|text| ("stringData", text.into_bytes()));
        plain.or_else(|| Some(("data", encoded.remove(name)?.0)))
    };
    let (chain, key) = (part("tls.crt"), part("tls.key"));
    for (name, part) in [("tls.crt", &chain), ("tls.key", &key)] {
        if part.is_none() {
            out.missing::<()>(format_args!("data[\"{name}\"]"), "PEM text in base64, or as it is under `stringData`");
        }
    }
    let ((chain_in, chain), (key_in, key)) = (chain?, key?);
    let certificate = Certificate::from_pem(&chain, &key).map_err(|bad| {
        let place = if bad.part == "tls.key" { key_in } else { chain_in };
        let problem = Problem::error(Reason::Invalid, bad.found).at(format!("{place}[\"{}\"]", bad.part));
        out.push(problem.expected(bad.expected).fix(bad.fix));
    });
    Some(Secret { meta, certificate: certificate.ok()? })
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
