//! What a Service's spec says of the ways to it, beside its type: who may come, from where, and to which endpoints.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Name;

/// How a NodePort or LoadBalancer service is carried outside. Means nothing for other types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carrier {
    /// `spec.loadBalancerIP`
    pub ip: Option<IpAddr>,
    /// `spec.loadBalancerClass`
    pub class: Option<Name>,
    /// `spec.loadBalancerSourceRanges`, or the annotation that it came from: who may connect. Empty: everybody.
    pub sources: Vec<IpNet>,
    /// `spec.allocateLoadBalancerNodePorts`; true when absent.
    pub node_ports: bool,
}

impl Default for Carrier {
    fn default() -> Carrier {
        Carrier { ip: None, class: None, sources: Vec::new(), node_ports: true }
    }
}

impl Carrier {
    pub(super) fn is_default(&self) -> bool {
        *self == Carrier::default()
    }
}

/// Which of a Service's traffic policies say `Local`: only endpoints on this node are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalOnly {
    /// `spec.internalTrafficPolicy`: through its virtual IP.
    pub inside: bool,
    /// `spec.externalTrafficPolicy`: through its node ports and its load balancer.
    pub outside: bool,
}

impl LocalOnly {
    pub(super) fn is_default(&self) -> bool {
        *self == LocalOnly::default()
    }
}
