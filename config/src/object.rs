//! Lean typed Kubernetes objects: only what Tidegate decides by.
//!
//! Invariant: a value of these types is valid on its own (ports in range, addresses parsed, hosts normalised). What refers to
//! other objects is not checked here; the registry does that. Nothing here reads files, clocks or sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::credentials::Credentials;
use crate::host::HostPattern;
use crate::tls::{Authorities, Certificate};

mod app_protocol;
mod carrier;
mod workload;

pub use app_protocol::AppProtocol;
pub use carrier::{Carrier, LocalOnly};
pub use workload::{Expression, Owner, Selector, Test, Workload};

/// A name that many structures share.
pub type Name = Arc<str>;
/// Labels or annotations.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// The kinds that Tidegate reads. Other kinds are counted and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// core/v1 Namespace
    Namespace,
    /// core/v1 Pod
    Pod,
    /// core/v1 Service
    Service,
    /// discovery.k8s.io/v1 EndpointSlice
    EndpointSlice,
    /// core/v1 Endpoints (the older form; read into an [`EndpointSlice`])
    Endpoints,
    /// networking.k8s.io/v1 Ingress
    Ingress,
    /// networking.k8s.io/v1 IngressClass
    IngressClass,
    /// core/v1 Secret: certificates, authorities and passwords, nothing else of it
    Secret,
    /// apps/v1 Deployment
    Deployment,
    /// apps/v1 ReplicaSet
    ReplicaSet,
    /// apps/v1 StatefulSet
    StatefulSet,
}

impl Kind {
    /// The `kind` field's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Pod => "Pod",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Endpoints => "Endpoints",
            Kind::Ingress => "Ingress",
            Kind::IngressClass => "IngressClass",
            Kind::Secret => "Secret",
            Kind::Deployment => "Deployment",
            Kind::ReplicaSet => "ReplicaSet",
            Kind::StatefulSet => "StatefulSet",
        }
    }

    /// Whether its objects may be written to the state directory.
    pub const fn may_be_saved(self) -> bool {
        !matches!(self, Kind::Secret)
    }
}

/// What names one object: kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for Namespace and IngressClass.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind.as_str(), self.name)
        } else {
            write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
        }
    }
}

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The part of `metadata` that decides something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Meta {
    /// `metadata.namespace`; `default` when a namespaced object gives none, empty for cluster-scoped kinds.
    pub namespace: Name,
    /// `metadata.name`
    pub name: Name,
    /// `metadata.uid`, absent in hand-written files.
    pub uid: Option<Name>,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub created: Option<i64>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.labels`
    pub labels: Labels,
    /// `metadata.annotations` under `tidegate.dev/`, `kubernetes.io/`, `ingressclass.kubernetes.io/` and
    /// `nginx.ingress.kubernetes.io/`; others are dropped.
    pub annotations: Labels,
    /// Something that was meant to decide about its exposure cannot be understood, or is in a version of it that cannot be used:
    /// as if it were internal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unclear: bool,
}

/// One object of a kind that Tidegate reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Object {
    Namespace(Namespace),
    Pod(Pod),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Ingress(Ingress),
    IngressClass(IngressClass),
    Workload(Workload),
    /// Never written anywhere: the serializer refuses it.
    #[serde(skip)]
    Secret(Secret),
}

impl Object {
    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Object::Namespace(x) => &x.meta,
            Object::Pod(x) => &x.meta,
            Object::Service(x) => &x.meta,
            Object::EndpointSlice(x) => &x.meta,
            Object::Ingress(x) => &x.meta,
            Object::IngressClass(x) => &x.meta,
            Object::Secret(x) => &x.meta,
            Object::Workload(x) => &x.meta,
        }
    }

    /// Its metadata, to be changed.
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Object::Namespace(x) => &mut x.meta,
            Object::Pod(x) => &mut x.meta,
            Object::Service(x) => &mut x.meta,
            Object::EndpointSlice(x) => &mut x.meta,
            Object::Ingress(x) => &mut x.meta,
            Object::IngressClass(x) => &mut x.meta,
            Object::Secret(x) => &mut x.meta,
            Object::Workload(x) => &mut x.meta,
        }
    }

    /// Its kind. An EndpointSlice read from the older form says `Endpoints`.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Namespace(_) => Kind::Namespace,
            Object::Pod(_) => Kind::Pod,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(x) if x.legacy => Kind::Endpoints,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::Ingress(_) => Kind::Ingress,
            Object::IngressClass(_) => Kind::IngressClass,
            Object::Secret(_) => Kind::Secret,
            Object::Workload(x) => x.kind,
        }
    }

    /// What names it.
    pub fn key(&self) -> ObjectKey {
        let meta = self.meta();
        ObjectKey { kind: self.kind(), namespace: meta.namespace.clone(), name: meta.name.clone() }
    }
}

/// core/v1 Namespace: only its labels matter (a seal).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its metadata.
    pub meta: Meta,
}

/// core/v1 Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its metadata.
    pub meta: Meta,
    /// `status.podIPs` (or `status.podIP`), in order; empty until the pod has an address.
    pub ips: Vec<IpAddr>,
    /// `status.phase` is Succeeded or Failed: it will not answer any more.
    pub finished: bool,
    /// Condition `Ready`: as written; without any conditions, true once there is an IP.
    pub ready: bool,
    /// Container ports: what a named `targetPort` means for this pod.
    pub ports: Vec<PodPort>,
    /// `spec.nodeName`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// `spec.hostNetwork`: its addresses are its node's, and only the ports above are its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// The controller among `metadata.ownerReferences`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// A container port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPort {
    /// `ports[].name`; empty when unnamed.
    pub name: Name,
    /// `ports[].containerPort`, 1 to 65535
    pub port: u16,
    /// `ports[].protocol`
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash, Default, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

impl Protocol {
    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

/// core/v1 Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its metadata.
    pub meta: Meta,
    /// `spec.type`
    pub service_type: ServiceType,
    /// `spec.clusterIP`
    pub cluster_ip: ClusterIp,
    /// `spec.selector`; `None` or empty means that slices are hand-written.
    pub selector: Option<Labels>,
    /// `spec.ports`
    pub ports: Vec<ServicePort>,
    /// `spec.publishNotReadyAddresses`
    pub publish_not_ready: bool,
    /// `spec.sessionAffinity: ClientIP`: a client keeps its endpoint until this many seconds after its last use, 1 to 86400
    /// (`spec.sessionAffinityConfig.clientIP.timeoutSeconds`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_s: Option<u32>,
    /// Annotation [`PROXY_PROTOCOL`](crate::exposure::PROXY_PROTOCOL): a header tells replicas who an opaque connection comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
    /// What else a NodePort or LoadBalancer spec says about the way outside.
    #[serde(default, skip_serializing_if = "Carrier::is_default")]
    pub carrier: Carrier,
    /// Traffic policies that say `Local`.
    #[serde(default, skip_serializing_if = "LocalOnly::is_default")]
    pub local_only: LocalOnly,
    /// How TLS to its replicas is done, on ports that speak it.
    #[serde(default, skip_serializing_if = "UpstreamTerms::is_default")]
    pub upstream: UpstreamTerms,
    /// `spec.externalIPs`, never served; named in `check`.
    pub external_ips: Vec<IpAddr>,
    /// Fields of the spec that are not in the API, found on a NodePort or LoadBalancer service: they refuse its exposure.
    pub unknown_fields: Vec<String>,
}

/// The terms of TLS to a Service's replicas, from its annotations. What is not said is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct UpstreamTerms {
    /// `tidegate.dev/upstream-ca`: a Secret of its namespace, whose `ca.crt` replicas are verified by. Else by the system's authorities.
    pub ca: Option<Name>,
    /// `tidegate.dev/upstream-name`: the host name or IP address that their certificate must have. Else `NAME.NAMESPACE.svc`.
    pub name: Option<Name>,
    /// `tidegate.dev/upstream-certificate`: a Secret of its namespace, whose `tls.crt` and `tls.key` they are shown.
    pub certificate: Option<Name>,
}

impl UpstreamTerms {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == UpstreamTerms::default()
    }
}

/// Version of the PROXY protocol (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// `spec.type` of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[allow(missing_docs)]
pub enum ServiceType {
    #[default]
    ClusterIp,
    NodePort,
    LoadBalancer,
    /// `spec.externalName`
    ExternalName(Name),
}

/// `spec.clusterIP` of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum ClusterIp {
    /// Not given: one is allocated.
    #[default]
    Allocate,
    /// `None`: headless, no VIP.
    Headless,
    /// As asked for.
    Asked(IpAddr),
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// `name`; empty when the service has a single unnamed port.
    pub name: Name,
    /// `port`, 1 to 65535
    pub port: u16,
    /// `targetPort`; equals `port` when absent.
    pub target_port: PortRef,
    /// `protocol`
    pub protocol: Protocol,
    /// `appProtocol` as written; [`ServicePort::app`] is what it means.
    pub app_protocol: Option<Name>,
    /// `nodePort`
    pub node_port: Option<u16>,
}

impl ServicePort {
    /// What it speaks.
    pub fn app(&self) -> AppProtocol {
        AppProtocol::of(self.app_protocol.as_deref())
    }
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[allow(missing_docs)]
pub enum PortRef {
    Number(u16),
    Name(Name),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortRef::Number(n) => write!(f, "{n}"),
            PortRef::Name(n) => f.write_str(n),
        }
    }
}

/// discovery.k8s.io/v1 EndpointSlice, or core/v1 Endpoints read into the same shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// Its metadata.
    pub meta: Meta,
    /// Label `kubernetes.io/service-name`, or the name of an Endpoints object. A slice without it belongs to no service.
    pub service: Option<Name>,
    /// `ports`: name (empty when unnamed) and number; a port without a number is dropped with a warning.
    pub ports: Vec<SlicePort>,
    /// `endpoints`, one entry for each address.
    pub endpoints: Vec<SliceEndpoint>,
    /// Read from the older Endpoints kind; ignored when the service has any EndpointSlice.
    pub legacy: bool,
}

/// One entry of a slice's `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// Name of the service port that it belongs to; empty when unnamed.
    pub name: Name,
    /// Port number at the address.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// One address of a slice with its conditions (`ready` nil = true; `serving` nil = ready; `terminating` nil = false).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceEndpoint {
    /// The address.
    pub ip: IpAddr,
    /// `conditions.ready`
    pub ready: bool,
    /// `conditions.serving`
    pub serving: bool,
    /// `conditions.terminating`
    pub terminating: bool,
    /// `targetRef` when it names a Pod: (name, uid).
    pub pod: Option<(Name, Option<Name>)>,
    /// `nodeName`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
}

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
    /// Namespace of the Secret that holds the authorities (`ca.crt`).
    pub namespace: Name,
    /// Its name.
    pub secret: Name,
    /// A client that shows none is served, too; one that shows a bad one never is.
    pub optional: bool,
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

/// core/v1 Secret: those of its parts that something can refer to. Nothing of it is ever shown or saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its metadata.
    pub meta: Meta,
    /// `tls.crt` and `tls.key` of its `data` or `stringData`; always there in one of type `kubernetes.io/tls`.
    pub certificate: Option<Certificate>,
    /// `ca.crt`
    pub ca: Option<Authorities>,
    /// `auth`: lines of an htpasswd file.
    pub auth: Option<Credentials>,
}
