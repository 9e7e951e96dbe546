//! What an `apiVersion` and a `kind` mean to us.
//!
//! Invariant: our kinds in another spelling, or in a group that can only be Kubernetes' own, are mistakes and never passed over: the
//! seal of a `kind: namespace` must not be lost. Kinds of other projects are none of our business, whatever they are called.

use crate::object::Kind;

/// How a document's `apiVersion` and `kind` are understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    Ours(Kind),
    /// Our kind, misspelt or in an `apiVersion` that is not read; the right one beside it.
    Meant(Kind, &'static str),
    /// A group of Kubernetes' own has no such kind.
    Unheard,
    NotOurs,
}

const CORE: &str = "v1";
const DISCOVERY: &str = "discovery.k8s.io/v1";
const NETWORKING: &str = "networking.k8s.io/v1";
const APPS: &str = "apps/v1";

/// Each kind that is read: its `apiVersion`, and in lower case what it may be taken for.
const READ: [(Kind, &str, [&str; 2]); 12] = [
    (Kind::Namespace, CORE, ["namespace", "namespaces"]),
    (Kind::Pod, CORE, ["pod", "pods"]),
    (Kind::Service, CORE, ["service", "services"]),
    (Kind::Endpoints, CORE, ["endpoints", "endpoint"]),
    (Kind::Secret, CORE, ["secret", "secrets"]),
    (Kind::ConfigMap, CORE, ["configmap", "configmaps"]),
    (Kind::EndpointSlice, DISCOVERY, ["endpointslice", "endpointslices"]),
    (Kind::Ingress, NETWORKING, ["ingress", "ingresses"]),
    (Kind::IngressClass, NETWORKING, ["ingressclass", "ingressclasses"]),
    (Kind::Deployment, APPS, ["deployment", "deployments"]),
    (Kind::ReplicaSet, APPS, ["replicaset", "replicasets"]),
    (Kind::StatefulSet, APPS, ["statefulset", "statefulsets"]),
];

/// The other kinds of the groups that ours are in.
const OTHERS: [&str; 16] = [
    "Binding",
    "ComponentStatus",
    "ControllerRevision",
    "DaemonSet",
    "Event",
    "IPAddress",
    "LimitRange",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "ServiceAccount",
    "ServiceCIDR",
];

pub(super) fn recognise(api_version: &str, kind: &str) -> Recognised {
    let exact = READ.iter().find(|(known, ..)| known.as_str() == kind);
    if let Some((kind, ..)) = exact.filter(|(_, right, _)| *right == api_version) {
        return Recognised::Ours(*kind);
    }
    if !is_kubernetes(api_version) {
        return Recognised::NotOurs;
    }
    let lower = kind.to_ascii_lowercase();
    match READ.iter().find(|(.., spellings)| spellings.contains(&lower.as_str())) {
        Some((kind, right, _)) => Recognised::Meant(*kind, right),
        None if [CORE, DISCOVERY, NETWORKING, APPS].contains(&api_version) && !OTHERS.contains(&kind) => Recognised::Unheard,
        None => Recognised::NotOurs,
    }
}

/// Whether the group can only be Kubernetes' own, if it exists at all: others must have a domain of their own.
fn is_kubernetes(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_ascii_lowercase();
    !group.contains('.') || group == "k8s.io" || group.ends_with(".k8s.io")
}

/// What a List holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListOf<'a> {
    /// `kind: List`: each item says what it is.
    Any,
    /// `kind: PodList`: the items may leave it out.
    Kind(&'a str),
}

/// How the `kind` of a List is understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListKind<'a> {
    pub(super) of: ListOf<'a>,
    /// Objects that we read are, or may be, in it.
    pub(super) ours: bool,
    /// The field that is misspelt, and how it is written.
    pub(super) wrong: Option<(&'static str, &'static str)>,
}

/// `None`: no List.
pub(super) fn list<'a>(api_version: &str, kind: &'a str) -> Option<ListKind<'a>> {
    if ["list", "lists"].contains(&kind.to_ascii_lowercase().as_str()) {
        let wrong = match kind {
            "List" if api_version == CORE => None,
            "List" => Some(("apiVersion", CORE)),
            _ => Some(("kind", "List")),
        };
        return Some(ListKind { of: ListOf::Any, ours: is_kubernetes(api_version), wrong });
    }
    let (of, list) = kind.split_at_checked(kind.len().checked_sub("List".len())?)?;
    let ours = matches!(recognise(api_version, of), Recognised::Ours(_) | Recognised::Meant(..));
    match list {
        "List" => Some(ListKind { of: ListOf::Kind(of), ours, wrong: None }),
        _ if ours && list.eq_ignore_ascii_case("list") => Some(ListKind { of: ListOf::Kind(of), ours, wrong: Some(("kind", "...List")) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_kinds_are_known_in_every_spelling_and_group_that_means_them() {
        for (api_version, kind, meant) in [
            ("v1", "namespace", Kind::Namespace),
            ("v1", "Namespaces", Kind::Namespace),
            ("v1", "NAMESPACE", Kind::Namespace),
            ("core/v1", "Namespace", Kind::Namespace),
            ("core/v1", "services", Kind::Service),
            ("v1", "service", Kind::Service),
            ("v1", "Configmap", Kind::ConfigMap),
            ("core/v1", "ConfigMap", Kind::ConfigMap),
            ("v1", "Endpoint", Kind::Endpoints),
            ("discovery/v1", "EndpointSlice", Kind::EndpointSlice),
            ("v1", "EndpointSlice", Kind::EndpointSlice),
            ("networking.k8s.io/v1", "Ingresses", Kind::Ingress),
            ("networking/v1", "ingressclass", Kind::IngressClass),
            ("extensions/v1beta1", "Ingress", Kind::Ingress),
            ("extensions/v1beta1", "Deployment", Kind::Deployment),
            ("apps/v1", "statefulSet", Kind::StatefulSet),
            ("k8s.io/v1", "Pod", Kind::Pod),
            ("V1", "Pod", Kind::Pod),
        ] {
            let found = recognise(api_version, kind);
            assert!(matches!(found, Recognised::Meant(kind, _) if kind == meant), "{api_version} {kind}: {found:?}");
        }
        assert_eq!(recognise("v1", "Service"), Recognised::Ours(Kind::Service));
        assert_eq!(recognise("v1", "Namepsace"), Recognised::Unheard);
    }

    #[test]
    fn kinds_of_others_are_left_alone() {
        for (api_version, kind) in [
            ("serving.knative.dev/v1", "Service"),
            ("serving.knative.dev/v1", "service"),
            ("networking.istio.io/v1", "Gateway"),
            ("networking.istio.io/v1", "Ingress"),
            ("traefik.io/v1alpha1", "IngressRoute"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"),
            ("multicluster.x-k8s.io/v1alpha1", "Service"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "Job"),
            ("v1", "ServiceAccount"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
        ] {
            assert_eq!(recognise(api_version, kind), Recognised::NotOurs, "{api_version} {kind}");
        }
    }

    #[test]
    fn lists_are_known_by_their_end() {
        let right = |of, ours| Some(ListKind { of, ours, wrong: None });
        assert_eq!(list("v1", "List"), right(ListOf::Any, true));
        assert_eq!(list("example.org/v1", "List").map(|list| list.ours), Some(false));
        assert_eq!(list("v1", "PodList"), right(ListOf::Kind("Pod"), true));
        assert_eq!(list("monitoring.coreos.com/v1", "ProbeList"), right(ListOf::Kind("Probe"), false));
        for (api_version, kind, field) in
            [("v1", "list", "kind"), ("v1", "Lists", "kind"), ("core/v1", "List", "apiVersion"), ("v1", "podlist", "kind")]
        {
            assert_eq!(list(api_version, kind).and_then(|list| list.wrong).map(|(at, _)| at), Some(field), "{api_version} {kind}");
        }
        for (api_version, kind) in [("v1", "Service"), ("example.org/v1", "playlist"), ("v1", ""), ("v1", "ßist")] {
            assert_eq!(list(api_version, kind), None, "{api_version} {kind}");
        }
    }
}
