//! discovery.k8s.io/v1 EndpointSlice, and core/v1 Endpoints read into the same shape.
//!
//! Invariant: conditions are resolved: what the API leaves out has its default here.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Meta, Name, Protocol};

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
    /// `hostname`, by which it is named below a headless Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Name>,
    /// `nodeName`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// `zone`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// `hints`, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Arc<Hints>>,
}

/// Whose traffic an endpoint is for; an empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// `forZones[].name`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Name>,
    /// `forNodes[].name`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Name>,
}
