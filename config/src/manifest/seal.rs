//! Keys under our prefix where nobody reads them: in objects that cannot be used, and in fields that mean nothing.
//!
//! Invariant: fail closed. Whoever wrote such a key meant to decide about exposure, so what cannot be understood of it seals. Only
//! `exposure: external` in its proper place, and annotations that say nothing about exposure, ask for nothing.

use serde_json::Value;

use crate::exposure::{EXPOSURE_LABEL, Exposure, OUR_PREFIX, is_annotation_of, kind_of_annotation};
use crate::object::Kind;

/// Fields whose keys are another object's labels.
const SELECTORS: [&str; 5] = ["selector", "nodeSelector", "labelSelector", "matchLabels", "matchExpressions"];

/// Whether an object, however wrong it is, says something about its exposure that is not plainly `external`. Where it is not known of what
/// kind it is, an annotation that any kind may have says nothing.
pub(super) fn carried(kind: Option<Kind>, document: &Value) -> bool {
    let Some(fields) = document.as_object() else { return mentions("", document) };
    fields.iter().any(|(field, value)| match (field.as_str(), value.as_object()) {
        ("metadata", Some(metadata)) => metadata.iter().any(|(field, value)| in_metadata(kind, field, value)),
        _ => mentions(field, value),
    })
}

fn in_metadata(kind: Option<Kind>, field: &str, value: &Value) -> bool {
    match (field, value.as_object()) {
        ("labels" | "annotations", Some(entries)) => {
            let known = |key: &str| kind.map_or_else(|| kind_of_annotation(key).is_some(), |kind| is_annotation_of(kind, key));
            let harmless = |key: &str| field == "annotations" && known(key);
            let place = field == "labels" || kind.is_none_or(|kind| kind == Kind::Ingress);
            let mut ours = entries.iter().filter(|(key, _)| key.starts_with(OUR_PREFIX) && !harmless(key));
            ours.any(|(key, word)| !place || key != EXPOSURE_LABEL || word.as_str() != Some(Exposure::External.as_str()))
        }
        _ => mentions(field, value),
    }
}

/// Whether a field's name, or anything inside it, is a key of ours.
pub(super) fn mentions(field: &str, value: &Value) -> bool {
    named(field, value, true)
}

/// `texts`: a label may be written as plain text, in metadata. In a spec such a text is an image or a controller.
fn named(field: &str, value: &Value, texts: bool) -> bool {
    let texts = texts && !["spec", "status"].contains(&field);
    match value {
        _ if field.starts_with(OUR_PREFIX) => true,
        _ if SELECTORS.contains(&field) => false,
        Value::Object(fields) => fields.iter().any(|(field, value)| named(field, value, texts)),
        Value::Array(values) => values.iter().any(|value| named("", value, texts)),
        Value::String(text) => texts && text.trim_start().starts_with(OUR_PREFIX),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_of_ours_is_found_wherever_it_was_put() {
        for document in [
            json!({"metadata": {"labels": {"tidegate.dev/exposure": "internal"}}}),
            json!({"metadata": {"labels": {"tidegate.dev/exposure": "External"}}}),
            json!({"metadata": {"annotations": {"tidegate.dev/x": "external"}}}),
            json!({"metadata": {"labels": {"tidegate.dev/upstream-ca": "a"}}}),
            json!({"metadata": {"labels": {"tidegate.dev/ssl-redirect": "true"}}}),
            json!({"metadata": {"label": {"tidegate.dev/exposure": "external"}}}),
            json!({"metadata": {"labels": ["tidegate.dev/exposure=internal"]}}),
            json!({"metadata": {"labels": "tidegate.dev/exposure: internal"}}),
            json!({"metadata": {"tidegate.dev/exposure": "internal"}}),
            json!({"Metadata": {"labels": {"tidegate.dev/exposure": "internal"}}}),
            json!({"labels": {"tidegate.dev/exposure": "internal"}}),
            json!({"tidegate.dev/exposure": "internal"}),
            json!({"spec": {"labels": {"tidegate.dev/exposure": "internal"}}}),
            json!([{"metadata": {"labels": {"tidegate.dev/exposure": "internal"}}}]),
        ] {
            assert!(carried(None, &document), "{document}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_no_seal() {
        for document in [
            json!({"metadata": {"labels": {"tidegate.dev/exposure": "external", "app": "x"}}}),
            json!({"metadata": {"labels": {"tidegate.devs/exposure": "internal"}}}),
            json!({"metadata": {"annotations": {"tidegate.dev/upstream-ca": "a", "tidegate.dev/exposure": "external"}}}),
            json!({"metadata": {"annotations": {"tidegate.dev/ssl-redirect": "true", "tidegate.dev/exposure": "external"}}}),
            json!({"spec": {"selector": {"tidegate.dev/exposure": "internal"}}}),
            json!({"spec": {"controller": "tidegate.dev/ingress-controller"}}),
            json!({"spec": {"containers": [{"image": "tidegate.dev/proxy:1"}]}}),
            json!(null),
            json!("text"),
        ] {
            assert!(!carried(None, &document), "{document}");
        }
    }

    #[test]
    fn an_annotation_says_nothing_on_its_own_kind_alone() {
        let with = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
        for (key, value, own, other) in [
            ("tidegate.dev/upstream-ca", "a", Kind::Service, Kind::Ingress),
            ("tidegate.dev/allow-source-range", "10.0.0.0/8", Kind::Ingress, Kind::Service),
            ("tidegate.dev/exposure", "external", Kind::Ingress, Kind::Service),
        ] {
            assert!(!carried(Some(own), &with(key, value)), "{key}");
            assert!(carried(Some(other), &with(key, value)), "{key}");
        }
    }
}
