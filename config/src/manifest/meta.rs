//! `metadata`: names checked, times in seconds, only the annotations that decide something.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::check::{Findings, is_label, is_subdomain};
use super::shared;
use crate::annotations::nginx;
use crate::exposure::OUR_PREFIX;
use crate::object::{Labels, Meta, Name};

/// The namespace of a namespaced object that gives none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Annotations under these are kept.
const KEPT: [&str; 4] = [OUR_PREFIX, "kubernetes.io/", "ingressclass.kubernetes.io/", nginx::PREFIX];

/// What a kind allows as a name.
#[derive(Clone, Copy)]
pub(super) enum NameRule {
    Label,
    Subdomain,
}

/// Metadata of an object in a namespace.
pub(super) fn namespaced(raw: ObjectMeta, rule: NameRule, out: &mut Findings) -> Meta {
    let namespace = raw.namespace.as_deref().filter(|text| !text.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
    if !is_label(namespace) {
        let found = format!("`{namespace}`");
        out.invalid::<()>("metadata.namespace", found, "up to 63 lower-case letters, digits and `-`");
    }
    let namespace = namespace.into();
    read(raw, namespace, rule, out)
}

/// Metadata of an object outside of namespaces; a namespace that was given is meaningless and dropped, as the API does.
pub(super) fn cluster_scoped(raw: ObjectMeta, rule: NameRule, out: &mut Findings) -> Meta {
    read(raw, Name::from(""), rule, out)
}

fn read(raw: ObjectMeta, namespace: Name, rule: NameRule, out: &mut Findings) -> Meta {
    let name = name(raw.name, raw.generate_name.is_some(), rule, out).unwrap_or_default();
    Meta {
        namespace,
        name,
        uid: shared(raw.uid),
        created: raw.creation_timestamp.map(|time| time.0.as_second()),
        deleting: raw.deletion_timestamp.is_some(),
        unclear: false,
        by_label: false,
        labels: labels(raw.labels.unwrap_or_default()),
        annotations: labels(
            raw.annotations.unwrap_or_default().into_iter().filter(|(key, _)| KEPT.iter().any(|kept| key.starts_with(kept))),
        ),
    }
}

fn name(text: Option<String>, generated: bool, rule: NameRule, out: &mut Findings) -> Option<Name> {
    let expected = match rule {
        NameRule::Label => "up to 63 lower-case letters, digits and `-`",
        NameRule::Subdomain => "up to 253 lower-case letters, digits, `-` and `.`",
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let found = if generated { "only `generateName`" } else { "nothing" };
        return out.invalid("metadata.name", found, "a name");
    };
    let good = match rule {
        NameRule::Label => is_label(&text),
        NameRule::Subdomain => is_subdomain(&text),
    };
    if good { Some(text.into()) } else { out.invalid("metadata.name", format!("`{text}`"), expected) }
}

/// Labels in their lean form.
pub(super) fn labels(raw: impl IntoIterator<Item = (String, String)>) -> Labels {
    raw.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
