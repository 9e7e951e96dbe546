//! core/v1 Pod: where it answers, and whether.
//!
//! Invariant: addresses are parsed and ports are in range.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Meta, Name, Owner, Probe, Protocol};

/// core/v1 Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its metadata.
    pub meta: Meta,
    /// `status.podIPs` (or `status.podIP`), in order; empty until the pod has an address.
    pub ips: Vec<IpAddr>,
    /// `status.phase` is Succeeded or Failed: it will not answer any more.
    pub finished: bool,
    /// Condition `Ready`: as written. Without one, true once there is an IP, unless there are other conditions and no probes.
    pub ready: bool,
    /// What must be asked to know whether it is ready, since it does not say; until somebody asks, `ready` is as good as it gets.
    #[serde(default, skip_serializing_if = "<[Probe]>::is_empty")]
    pub probes: Arc<[Probe]>,
    /// Container ports: what a named `targetPort` means for this pod.
    pub ports: Vec<PodPort>,
    /// `spec.nodeName`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// `spec.hostNetwork`: its addresses are its node's, and only the ports above are its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// `spec.hostname`, by which it is named below the Service of `subdomain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Name>,
    /// `spec.subdomain`: the headless Service that `hostname` is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<Name>,
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
