//! What was meant to seal, however it was written.

use super::*;

const LABEL: &str = "labels: {tidegate.dev/exposure: internal}";

fn keys<'k>(keys: impl IntoIterator<Item = &'k ObjectKey>) -> Vec<String> {
    keys.into_iter().map(ToString::to_string).collect()
}

fn errors(manifest: &Manifest) -> Vec<String> {
    manifest.problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
}

/// Whether each object that could be read is sealed by what could not be understood.
fn unclear(text: &str) -> Vec<bool> {
    let manifest = parse(text.as_bytes());
    assert!(!manifest.objects.is_empty() && !errors(&manifest).is_empty(), "{text}: {:?}", said(&manifest));
    manifest.objects.iter().map(|object| object.meta().unclear).collect()
}

#[test]
fn a_misspelt_kind_or_group_is_an_error_that_seals_what_it_names() {
    for (api_version, kind, right) in [
        ("v1", "namespace", "`kind: Namespace`"),
        ("v1", "Namespaces", "`kind: Namespace`"),
        ("core/v1", "Namespace", "`apiVersion: v1`"),
        ("v1", "service", "`kind: Service`"),
        ("core/v1", "Service", "`apiVersion: v1`"),
        ("v1", "pods", "`kind: Pod`"),
        ("discovery/v1", "EndpointSlice", "`apiVersion: discovery.k8s.io/v1"),
        ("networking.k8s.io/v1", "ingressClass", "`kind: IngressClass`"),
    ] {
        let text = format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: x, {LABEL}}}}}");
        let manifest = parse(text.as_bytes());
        assert!(errors(&manifest)[0].contains(right), "{text}: {:?}", said(&manifest));
        assert_eq!((manifest.skipped.len(), manifest.objects.len(), manifest.refused.len()), (0, 0, 1), "{text}");
        assert_eq!(keys(&manifest.sealed), keys(&manifest.refused), "{text}");
        let plain = parse(text.replace(LABEL, "labels: {app: x}").as_bytes());
        assert_eq!((plain.refused.len(), plain.sealed.len(), plain.lost_seals.len()), (1, 0, 0), "{text}");
    }
}

#[test]
fn both_words_may_be_wrong_and_a_name_may_be_missing() {
    let manifest = parse(format!("{{apiVersion: core/v1, kind: namespace, metadata: {{{LABEL}}}}}").as_bytes());
    assert_eq!((errors(&manifest).len(), manifest.unnamed, manifest.lost_seals.len()), (2, true, 1), "{:?}", said(&manifest));
}

#[test]
fn a_kind_that_kubernetes_does_not_have_is_no_place_for_a_seal() {
    let typo = |rest: &str| parse(format!("{{apiVersion: v1, kind: Namepsace, metadata: {{name: data{rest}}}}}").as_bytes());
    let sealing = typo(&format!(", {LABEL}"));
    assert_eq!((errors(&sealing).len(), sealing.lost_seals.as_slice()), (1, &[Some("data".into())][..]), "{:?}", said(&sealing));
    assert_eq!((typo("").problems.len(), typo("").skipped.len()), (0, 1));
    for (api_version, kind) in [("serving.knative.dev/v1", "Service"), ("apps/v1", "DaemonSet"), ("v1", "LimitRange")] {
        let other = parse(format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: x, {LABEL}}}}}").as_bytes());
        assert_eq!((other.problems.len(), other.skipped.len(), other.lost_seals.len()), (0, 1, 0), "{api_version} {kind}");
    }
}

const DATA: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: data, labels: {tidegate.dev/exposure: internal}}}";

#[test]
fn a_list_that_cannot_be_read_refuses_and_seals_what_it_names() {
    for list in [
        "apiVersion: v1, kind: list, items: [X]",
        "apiVersion: v1, kind: Lists, items: [X]",
        "apiVersion: core/v1, kind: List, items: [X]",
        "apiVersion: v1, kind: List, item: [X]",
        "apiVersion: v1, kind: List, Items: [X]",
        "apiVersion: v1, kind: namespacelist, items: [X]",
        "apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: list, items: [X]}]",
    ] {
        let manifest = parse(format!("{{{}}}", list.replace('X', DATA)).as_bytes());
        assert!(!errors(&manifest).is_empty() && manifest.skipped.is_empty(), "{list}: {:?}", said(&manifest));
        assert_eq!((manifest.objects.len(), keys(&manifest.sealed)), (0, vec!["Namespace data".to_owned()]), "{list}");
    }
    let nowhere = parse(format!("{{apiVersion: v1, kind: List, elements: [{DATA}]}}").as_bytes());
    assert_eq!((nowhere.unnamed, nowhere.lost_seals.len()), (true, 1), "{:?}", said(&nowhere));
    let empty = parse(b"{apiVersion: v1, kind: List, metadata: {resourceVersion: ''}, items: null}");
    assert!(empty.problems.is_empty() && empty.skipped.is_empty());
}

#[test]
fn a_key_of_ours_on_a_list_seals_its_items() {
    for list in [
        "kind: List, metadata: {labels: {tidegate.dev/exposure: internal}}",
        "kind: List, metadata: {annotations: {tidegate.dev/exposure: external}}",
        "kind: List, metadata: {tidegate.dev/exposure: internal}",
        "kind: NamespaceList, metadata: {labels: {tidegate.dev/exposure: internal}}",
    ] {
        let items =
            "items: [{apiVersion: v1, kind: Namespace, metadata: {name: a}}, {apiVersion: v1, kind: Namespace, metadata: {name: b}}]";
        assert_eq!(unclear(&format!("{{apiVersion: v1, {list}, {items}}}")), [true, true], "{list}");
        let wrong =
            parse(format!("{{apiVersion: v1, {list}, items: [{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: 7}}]}}").as_bytes());
        assert_eq!(keys(&wrong.sealed), ["Pod default/p"], "{list}");
    }
    let top =
        parse(format!("{{apiVersion: v1, kind: List, {LABEL}, items: [{{apiVersion: v1, kind: Pod, metadata: {{name: p}}}}]}}").as_bytes());
    assert_eq!((errors(&top).len(), keys(&top.sealed)), (2, vec!["Pod default/p".to_owned()]), "{:?}", said(&top));
}

#[test]
fn a_key_of_ours_in_an_unknown_field_is_an_error_that_seals_its_object() {
    let spec = "spec: {ports: [{port: 1}]}";
    for metadata in [
        "metadata: {name: x, label: {tidegate.dev/exposure: internal}}",
        "metadata: {name: x, Labels: {tidegate.dev/exposure: external}}",
        "metadata: {name: x, lables: {tidegate.dev/exposure: internal}}",
        "metadata: {name: x, tidegate.dev/exposure: internal}",
        "metadata: {name: x}, Metadata: {labels: {tidegate.dev/exposure: internal}}",
        "metadata: {name: x}, labels: {tidegate.dev/exposure: internal}",
        "metadata: {name: x}, tidegate.dev/exposure: internal",
    ] {
        assert_eq!(unclear(&format!("{{apiVersion: v1, kind: Service, {metadata}, {spec}}}")), [true], "{metadata}");
    }
    let inside = "spec: {ports: [{port: 1}], labels: {tidegate.dev/exposure: internal}}";
    assert_eq!(unclear(&format!("{{apiVersion: v1, kind: Service, metadata: {{name: x}}, {inside}}}")), [true]);
    let plain = parse(format!("{{apiVersion: v1, kind: Service, metadata: {{name: x, label: {{app: x}}}}, {spec}}}").as_bytes());
    assert!(!plain.objects[0].meta().unclear && errors(&plain).is_empty());
    let instead = parse(b"{apiVersion: v1, kind: Namespace, Metadata: {name: x, labels: {tidegate.dev/exposure: internal}}}");
    assert_eq!(keys(&instead.sealed), ["Namespace x"], "{:?}", said(&instead));
}

#[test]
fn an_object_that_is_wrong_elsewhere_is_sealed_by_its_label() {
    let text = format!("{{apiVersion: v1, kind: Service, metadata: {{name: x, {LABEL}}}, spec: {{ports: []}}}}");
    assert_eq!(keys(&parse(text.as_bytes()).sealed), ["Service default/x"]);
    // The second of two `labels` hides the first.
    let twice = parse(format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: x, {LABEL}, labels: {{app: x}}}}}}").as_bytes());
    assert_eq!(keys(&twice.sealed), ["Namespace x"], "{:?}", said(&twice));
    let open = parse(b"{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {app: a, app: b}}}");
    assert_eq!((open.refused.len(), open.sealed.len()), (1, 0));
}

#[test]
fn an_ingress_whose_class_was_misspelt_is_sealed() {
    let rest = "defaultBackend: {service: {name: a, port: {number: 1}}}";
    let text = |metadata: &str, spec: &str, top: &str| {
        format!("{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: i{metadata}}}, spec: {{{spec}{rest}}}{top}}}")
    };
    for wrong in [
        text("", "ingressClassname: tidegate-internal, ", ""),
        text("", "ingressClass: tidegate-internal, ", ""),
        text("", "Rules: [], ", ""),
        text(", annotation: {kubernetes.io/ingress.class: tidegate-internal}", "", ""),
        text(", Annotations: {kubernetes.io/ingress.class: tidegate-internal}", "", ""),
        text("", "", ", annotations: {kubernetes.io/ingress.class: tidegate-internal}"),
    ] {
        assert_eq!(unclear(&wrong), [true], "{wrong}");
        assert_eq!(parse(wrong.as_bytes()).problems.len(), 1, "{wrong}");
    }
    assert!(!parse(text("", "bogus: 1, ", "").as_bytes()).objects[0].meta().unclear);
    assert_eq!(one_ingress(&format!("{{ingressClassName: '', {rest}}}")).class.as_deref(), Some(""), "explicitly none");
}
