//! networking.k8s.io/v1 Ingress and IngressClass.
//!
//! Invariant: hosts are normalised and paths begin with `/`. Whether what it names is there is decided elsewhere.

use serde::{Deserialize, Serialize};

use super::{CaRef, Meta, Name, ObjectKey, PortRef};
use crate::host::HostPattern;

/// The annotation that named an Ingress's class before `spec.ingressClassName` did.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// networking.k8s.io/v1 Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Its metadata.
    pub meta: Meta,
    /// `spec.ingressClassName`, else the annotation [`CLASS_ANNOTATION`]. Empty: explicitly of no class, which nobody serves.
    pub class: Option<Name>,
    /// `spec.defaultBackend` when it is a service.
    pub default_backend: Option<IngressBackend>,
    /// `spec.rules`
    pub rules: Vec<IngressRule>,
    /// `spec.tls`, its entries that name a Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<IngressTls>,
    /// What clients of its hosts must show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientTerms>,
}

/// By whom the certificates of clients must be vouched for, from an Ingress's annotations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientTerms {
    /// Namespace of what holds the authorities (`ca.crt`).
    pub namespace: Name,
    /// Its kind and name.
    #[serde(rename = "secret")] // as it is called in state files
    pub ca: CaRef,
    /// A client that shows none is served, too; one that shows a bad one never is.
    pub optional: bool,
}

impl ClientTerms {
    /// What holds the authorities.
    pub fn key(&self) -> ObjectKey {
        self.ca.key(&self.namespace)
    }
}

/// One entry of an Ingress's `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressTls {
    /// Its place in the list, for messages.
    pub at: usize,
    /// `hosts`; none means all hosts of the rules.
    pub hosts: Vec<HostPattern>,
    /// `secretName`: a Secret in the Ingress's namespace.
    pub secret: Name,
}

/// One host of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressRule {
    /// `host`; no host is [`HostPattern::Any`].
    pub host: HostPattern,
    /// `http.paths`, in file order.
    pub paths: Vec<IngressPath>,
}

/// One path of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressPath {
    /// `pathType`; ImplementationSpecific is read as Prefix.
    pub path_type: PathType,
    /// `path`, starting with `/`; `/` when absent (Prefix only).
    pub path: Box<str>,
    /// `backend.service`
    pub backend: IngressBackend,
}

/// How a path is compared (Ingress v1, "Path types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash, PartialOrd, Ord)]
pub enum PathType {
    /// The whole path, case-sensitive.
    Exact,
    /// By `/`-separated elements, case-sensitive; a trailing slash does not matter.
    Prefix,
}

/// `service.name` and `service.port` of a backend. A `resource` backend is refused when the file is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct IngressBackend {
    /// Service in the Ingress's namespace.
    pub service: Name,
    /// Its port by number or name.
    pub port: PortRef,
}

/// networking.k8s.io/v1 IngressClass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressClass {
    /// Its metadata.
    pub meta: Meta,
    /// `spec.controller`
    pub controller: Box<str>,
    /// Annotation `ingressclass.kubernetes.io/is-default-class` is `true`.
    pub default: bool,
}
