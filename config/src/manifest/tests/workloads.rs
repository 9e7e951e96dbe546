//! Deployments, ReplicaSets and StatefulSets as they are written.

use super::*;
use crate::object::{Owner, Test, Workload};

fn workload(text: &str) -> Workload {
    match good(text).remove(0) {
        Object::Workload(workload) => workload,
        other => panic!("{other:?}"),
    }
}

const TEMPLATE: &str = "template: {metadata: {labels: {app: web, tier: front}}, spec: {containers: [{name: web, image: web:1}]}}";

fn written(kind: &str, spec: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: web, namespace: shop}}, spec: {{{spec}}}}}")
}

#[test]
fn the_three_kinds_say_how_many_of_which_pods_are_wanted() {
    for (kind, more) in [
        ("Deployment", "strategy: {type: Recreate}, minReadySeconds: 3, revisionHistoryLimit: 2, progressDeadlineSeconds: 60"),
        ("ReplicaSet", "minReadySeconds: 3"),
        ("StatefulSet", "serviceName: web, podManagementPolicy: Parallel, persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}"),
    ] {
        let read = workload(&written(kind, &format!("replicas: 3, selector: {{matchLabels: {{app: web}}}}, {more}, {TEMPLATE}")));
        assert_eq!((read.kind.as_str(), read.replicas, &*read.meta.namespace), (kind, 3, "shop"));
        assert!(read.selector.selects(&meta::labels([("app".to_owned(), "web".to_owned())])));
    }
    assert_eq!(workload(&written("Deployment", &format!("selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}"))).replicas, 1);
    assert_eq!(workload(&written("Deployment", &format!("replicas: 0, selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}"))).replicas, 0);
}

#[test]
fn expressions_are_read() {
    let text = "selector: {matchExpressions: [{key: tier, operator: In, values: [front, back]}, {key: old, operator: DoesNotExist}]}";
    let read = workload(&written("Deployment", &format!("{text}, {TEMPLATE}")));
    assert_eq!(read.selector.expressions[0].test, Test::In(["back".into(), "front".into()].into()));
    assert_eq!(read.selector.expressions[1].test, Test::DoesNotExist);
}

#[test]
fn who_controls_a_pod_or_a_set_is_known() {
    let owners = "ownerReferences: [{apiVersion: v1, kind: Node, name: node-1, uid: '1'}, \
                  {apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: '2', controller: true}]";
    let owner = Some(Owner { kind: "ReplicaSet".into(), name: "web-1".into(), uid: Some("2".into()) });
    match good(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: web-1-a, {owners}}}}}")).remove(0) {
        Object::Pod(pod) => assert_eq!(pod.owner, owner),
        other => panic!("{other:?}"),
    }
    let set = written("ReplicaSet", &format!("selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}"));
    assert_eq!(workload(&set).owner, None);
    assert_eq!(workload(&set.replace("namespace: shop", &format!("namespace: shop, {owners}"))).owner, owner);
}

#[test]
fn what_the_api_would_refuse_is_refused() {
    let expression = |text: &str| written("Deployment", &format!("selector: {{matchExpressions: [{{{text}}}]}}"));
    let refused = |text: String, field: &str| assert_eq!(fields_wrong(&text).first().map(String::as_str), Some(field), "{text}");
    refused("{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web}}".to_owned(), "spec.selector");
    refused(written("Deployment", TEMPLATE), "spec.selector");
    refused(written("Deployment", &format!("selector: {{matchLabels: {{app: api}}}}, {TEMPLATE}")), "spec.template.metadata.labels");
    refused(written("Deployment", &format!("replicas: -1, selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}")), "spec.replicas");
    refused(expression("operator: Exists"), "spec.selector.matchExpressions[0].key");
    refused(expression("key: a, operator: In"), "spec.selector.matchExpressions[0].values");
    refused(expression("key: a, operator: Exists, values: [b]"), "spec.selector.matchExpressions[0].values");
    refused(expression("key: a, operator: in, values: [b]"), "spec.selector.matchExpressions[0].operator");
}
