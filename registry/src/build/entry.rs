//! A Service that serves, with its ports and what is known of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::annotations::Judged;
use config::host::HostPattern;
use config::object::{Distribution, Name, Object, Service, ServiceKey, ServicePort, ServiceType};
use config::problem::Problem;
use ipnet::IpNet;

use super::seats::Seat;
use crate::exposure::Seal;
use crate::seed::Seed;
use crate::snapshot::{PortName, ServiceIndex};
use crate::speech::UpstreamTls;

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// `exposure.mode: strict`
    pub(crate) strict: bool,
    /// `nodeName`
    pub(crate) node: Option<String>,
    /// `zone`
    pub(crate) zone: Option<String>,
    /// What marks of endpoints are keyed by where a Service has no uid.
    pub(crate) seed: Seed,
    /// `external.addresses`
    pub(crate) external: Vec<IpAddr>,
    /// `serviceCidr`
    pub(crate) service_cidr: IpNet,
    /// `claimServiceCidr`: all of it is ours.
    pub(crate) claims: bool,
    /// `externalName.allow`
    pub(crate) names: Vec<HostPattern>,
    /// `externalName.allowInside`
    pub(crate) names_inside: Vec<HostPattern>,
}

/// One Service that serves.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) object: Arc<Object>,
    pub(crate) seal: Option<Seal>,
    pub(crate) ports: Vec<Port>,
    /// Every address that it names, whatever its condition: what a seal covers.
    pub(super) covered: BTreeSet<SocketAddr>,
    /// Pods that its slices refer to by name.
    pub(super) references: Vec<Name>,
    /// By which its replicas are spoken to where a port speaks TLS.
    pub(super) tls: Option<Arc<UpstreamTls>>,
    /// What became of its annotation about how endpoints are picked.
    pub(crate) judged: Option<Judged>,
    pub(crate) problems: Vec<Problem>,
}

/// One port of a Service.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) spec: ServicePort,
    /// Where it is in the internal plane; `None` when its protocol is not served.
    pub(crate) place: Option<ServiceIndex>,
    /// Where its endpoints on this node are; `None` when `internalTrafficPolicy` uses all.
    pub(super) local_place: Option<ServiceIndex>,
    pub(crate) seats: Vec<Seat>,
    /// In this time a new endpoint grows to its full share.
    pub(super) slow_start: Duration,
    /// What is preferred of its endpoints.
    pub(super) distribution: Option<Distribution>,
    /// Its endpoints' ejections so far, by cause.
    pub(crate) ejections: [u64; 3],
}

impl Port {
    /// What it is called; `key` is its service's.
    pub(crate) fn name(&self, key: &ServiceKey) -> PortName {
        PortName { service: key.clone(), port: self.spec.port, protocol: self.spec.protocol }
    }
}

impl Entry {
    /// The Service as written.
    pub(crate) fn service(&self) -> &Service {
        match &*self.object {
            Object::Service(service) => service,
            // `World::set_service` takes services alone.
            _ => unreachable!("only services are kept as services"),
        }
    }

    /// The port of this number and protocol.
    pub(crate) fn port(&self, name: &PortName) -> Option<&Port> {
        self.ports.iter().find(|port| port.spec.port == name.port && port.spec.protocol == name.protocol)
    }

    /// Whether it is for the outside by itself.
    pub(super) fn carries(&self) -> bool {
        matches!(self.service().service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
    }
}
