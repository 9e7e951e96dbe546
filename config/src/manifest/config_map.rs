//! core/v1 ConfigMap: the authorities (`ca.crt`) in it, and its `data` as fields of answers where all of it can be that.
//!
//! Invariant: what is kept is bounded, however large the object is. A ConfigMap may hold anything for anybody, so data that are no fields
//! are wrong only for whoever names them as such. Authorities that cannot be read refuse the object, so that its last good version serves.

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

use super::check::Findings;
use super::meta::{self, NameRule};
use super::{fields, secret};
use crate::exposure::OUR_PREFIX;
use crate::filter;
use crate::object::ConfigMap;
use crate::tls::CA;

/// As in the API: more is refused.
const MOST_BYTES: usize = 1 << 20;

pub(super) fn read(value: &Value, out: &mut Findings) -> Option<ConfigMap> {
    let core::ConfigMap { metadata, data, binary_data, .. } = fields::read(value, out)?;
    let (data, binary) = (data.unwrap_or_default(), binary_data.unwrap_or_default());
    let mut meta = meta::namespaced(metadata, NameRule::Subdomain, out);
    meta.labels.retain(|key, _| key.starts_with(OUR_PREFIX)); // nobody selects it by the others
    for key in data.keys().filter(|key| binary.contains_key(*key)) {
        out.invalid::<()>(format_args!("binaryData[\"{key}\"]"), "a key that `data` has, too", "each key in one of the two");
    }
    let bytes: usize = data.values().map(String::len).chain(binary.values().map(|bytes| bytes.0.len())).sum();
    if bytes > MOST_BYTES {
        out.invalid::<()>("data", format!("{bytes} bytes"), "1 MiB in all at most, as in the API");
    }
    if out.has_errors() {
        return None;
    }
    let plain = data.get(CA).map(|text| ("data", text.as_bytes()));
    let part = plain.or_else(|| Some(("binaryData", binary.get(CA)?.0.as_slice())));
    let ca = secret::authorities(part, out)?;
    Some(ConfigMap { meta, ca, fields: filter::fields_of(data.iter().map(|(key, text)| (&**key, &**text))) })
}
