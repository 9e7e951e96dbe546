//! apps/v1 Deployment, ReplicaSet and StatefulSet.
//!
//! Their templates are not read beyond the field list: pods say themselves what they are.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps::v1 as apps, core::v1 as core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference};

use super::check::Findings;
use super::meta::{self, NameRule};
use crate::object::{Expression, Kind, Labels, Owner, Selector, Test, Workload};

/// `spec.replicas` of one that gives none.
const REPLICAS: u32 = 1;

/// What the three kinds have in common.
struct Spec {
    replicas: Option<i32>,
    selector: LabelSelector,
    template: Option<core::PodTemplateSpec>,
}

pub(super) fn deployment(raw: apps::Deployment, out: &mut Findings) -> Option<Workload> {
    let spec = Spec { replicas: raw.spec.replicas, selector: raw.spec.selector, template: Some(raw.spec.template) };
    convert(Kind::Deployment, raw.metadata, spec, out)
}

pub(super) fn replica_set(raw: apps::ReplicaSet, out: &mut Findings) -> Option<Workload> {
    let spec = Spec { replicas: raw.spec.replicas, selector: raw.spec.selector, template: raw.spec.template };
    convert(Kind::ReplicaSet, raw.metadata, spec, out)
}

pub(super) fn stateful_set(raw: apps::StatefulSet, out: &mut Findings) -> Option<Workload> {
    let spec = Spec { replicas: raw.spec.replicas, selector: raw.spec.selector, template: Some(raw.spec.template) };
    convert(Kind::StatefulSet, raw.metadata, spec, out)
}

fn convert(kind: Kind, mut metadata: ObjectMeta, spec: Spec, out: &mut Findings) -> Option<Workload> {
    let owner = owner(metadata.owner_references.take());
    let meta = meta::namespaced(metadata, NameRule::Subdomain, out);
    let Spec { replicas, selector, template } = spec;
    let selector = self::selector(selector, out);
    let template = template.and_then(|template| template.metadata).and_then(|meta| meta.labels);
    match template.map(meta::labels) {
        _ if selector.is_empty() => out.missing::<()>("spec.selector", "the labels of its pods"),
        Some(labels) if !selector.selects(&labels) => {
            let found = "labels that spec.selector does not select";
            out.invalid::<()>("spec.template.metadata.labels", found, "all labels of spec.selector, with the same values")
        }
        _ => None,
    };
    Some(Workload { meta, kind, replicas: self::replicas(replicas, out)?, selector, owner })
}

fn replicas(raw: Option<i32>, out: &mut Findings) -> Option<u32> {
    let Some(count) = raw else { return Some(REPLICAS) };
    u32::try_from(count).map_or_else(|_| out.invalid("spec.replicas", count.to_string(), "a number of pods, 0 or more"), Some)
}

fn selector(raw: LabelSelector, out: &mut Findings) -> Selector {
    let labels: Labels = meta::labels(raw.match_labels.unwrap_or_default());
    let expressions = raw.match_expressions.unwrap_or_default().into_iter().enumerate();
    Selector { labels, expressions: expressions.filter_map(|(index, raw)| expression(index, raw, out)).collect() }
}

fn expression(index: usize, raw: LabelSelectorRequirement, out: &mut Findings) -> Option<Expression> {
    let at = |field: &str| format!("spec.selector.matchExpressions[{index}].{field}");
    if raw.key.is_empty() {
        return out.missing(at("key"), "the key of a label");
    }
    let values: BTreeSet<Box<str>> = raw.values.unwrap_or_default().into_iter().map(Box::from).collect();
    let test = match (raw.operator.as_str(), values.is_empty()) {
        ("In", false) => Test::In(values),
        ("NotIn", false) => Test::NotIn(values),
        ("Exists", true) => Test::Exists,
        ("DoesNotExist", true) => Test::DoesNotExist,
        ("In" | "NotIn", true) => return out.missing(at("values"), "at least one value"),
        ("Exists" | "DoesNotExist", false) => return out.invalid(at("values"), "values", "none for this operator"),
        (other, _) => return out.invalid(at("operator"), format!("`{other}`"), "`In`, `NotIn`, `Exists` or `DoesNotExist`"),
    };
    Some(Expression { key: raw.key.into(), test })
}

/// The one that controls an object, if any.
pub(super) fn owner(references: Option<Vec<OwnerReference>>) -> Option<Owner> {
    let controller = references.into_iter().flatten().find(|reference| reference.controller == Some(true))?;
    let uid = Some(controller.uid).filter(|uid| !uid.is_empty()).map(Into::into);
    Some(Owner { kind: controller.kind.into(), name: controller.name.into(), uid })
}
