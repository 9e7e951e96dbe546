//! Lean typed Kubernetes objects: only what Tidegate decides by.
//!
//! Invariant: a value of these types is valid on its own (ports in range, addresses parsed, hosts normalised). What refers to
//! other objects is not checked here; the registry does that. Nothing here reads files, clocks or sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::credentials::Credentials;
use crate::filter::Line;
use crate::tls::{Authorities, Certificate};

mod app_protocol;
mod ca_ref;
mod carrier;
mod ingress;
mod kind;
mod pod;
mod probe;
mod service;
mod slice;
mod workload;

pub use app_protocol::AppProtocol;
pub use ca_ref::CaRef;
pub use carrier::{Carrier, LocalOnly};
pub use ingress::{CLASS_ANNOTATION, ClientTerms, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, PathType};
pub use kind::{Kind, ObjectKey, ServiceKey};
pub use pod::{Pod, PodPort};
pub use probe::{Check, HttpCheck, Probe};
pub use service::{Bounds, ClusterIp, Distribution, PortRef, ProxyVersion, Service, ServicePort, ServiceType, UpstreamTerms};
pub use slice::{EndpointSlice, Hints, SliceEndpoint, SlicePort};
pub use workload::{Expression, Owner, Selector, Test, Workload};

/// A name that many structures share.
pub type Name = Arc<str>;
/// Labels or annotations.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

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
    /// It was made from a container's labels: what somebody wrote in a manifest goes before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_label: bool,
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
    ConfigMap(ConfigMap),
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
            Object::ConfigMap(x) => &x.meta,
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
            Object::ConfigMap(x) => &mut x.meta,
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
            Object::ConfigMap(_) => Kind::ConfigMap,
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

/// core/v1 ConfigMap: those of its parts that something can refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMap {
    /// Its metadata; of its labels only ours.
    pub meta: Meta,
    /// `ca.crt` of its `data` or `binaryData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
    /// Its `data` as fields of answers; when one of its keys cannot be a field, why not, and nothing of it is kept.
    pub fields: Result<Box<[Line]>, Box<[Box<str>]>>,
}
