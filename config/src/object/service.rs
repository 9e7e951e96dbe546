//! core/v1 Service: its ports, how its replicas are found, and how they are spoken to.
//!
//! Invariant: ports are in range and addresses are parsed. Which endpoints it has is decided elsewhere.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AppProtocol, CaRef, Carrier, Labels, LocalOnly, Meta, Name, Protocol};

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
    /// `spec.trafficDistribution`: which endpoints are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// How much it may carry at once.
    #[serde(default, skip_serializing_if = "Bounds::is_default")]
    pub bounds: Bounds,
    /// Annotation [`SLOW_START`](crate::exposure::SLOW_START): endpoints grow to their full share in this time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start_ms: Option<u64>,
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
    /// `tidegate.dev/upstream-ca`: what of its namespace holds the `ca.crt` that replicas are verified by. Else the system's authorities.
    pub ca: Option<CaRef>,
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

/// `spec.trafficDistribution` of a Service (KEP-3015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// `PreferSameZone`, or `PreferClose` by its older name: endpoints of the same zone.
    SameZone,
    /// `PreferSameNode`: endpoints of the same node, else of the same zone.
    SameNode,
}

/// How much each port of a Service may carry at once, from its annotations: requests, and opaque connections. `None` is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Bounds {
    /// [`MAX_IN_FLIGHT`](crate::exposure::MAX_IN_FLIGHT): over all endpoints, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// [`MAX_ENDPOINT_IN_FLIGHT`](crate::exposure::MAX_ENDPOINT_IN_FLIGHT): at one endpoint, whatever service it is asked for by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_in_flight: Option<u32>,
    /// [`MAX_PENDING`](crate::exposure::MAX_PENDING): more that wait until one of the others lets them. `None`: nobody waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
}

impl Bounds {
    /// Whether nothing is bounded.
    pub fn is_default(&self) -> bool {
        *self == Bounds::default()
    }
}

/// As the annotations say it, without their prefix.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [("max-in-flight", self.in_flight), ("max-endpoint-in-flight", self.endpoint_in_flight), ("max-pending", self.pending)];
        let said = all.iter().filter_map(|(key, most)| Some(format!("{key} {}", (*most)?)));
        f.write_str(&said.collect::<Vec<_>>().join(", "))
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
