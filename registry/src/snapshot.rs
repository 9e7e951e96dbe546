//! The immutable picture that the data plane reads.
//!
//! Invariant: nothing here changes after it is built, except the [`Load`] of a replica (relaxed atomics shared by workers). The
//! external plane holds only what an external carrier names and no seal covers: what is only internal does not exist in it.
//! Indexes are valid within one snapshot only, and their types keep the planes' arrays apart from other numbers.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use config::exposure::Exposure;
use config::object::{Name, ProxyVersion, ServiceKey};
use crossbeam_utils::CachePadded;

use crate::certificate::CertificateTable;
use crate::route::RouteTable;

/// One picture of the world.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows by one with each published picture; the first is 1.
    pub version: u64,
    /// What external listeners may reach.
    pub external: Plane,
    /// What internal listeners and VIPs may reach.
    pub internal: Plane,
    /// Every VIP port, by the address it answers on; its service is one of the internal plane.
    pub vips: Arc<HashMap<SocketAddr, VipPort, foldhash::fast::RandomState>>,
}

impl Snapshot {
    /// The plane of a listener's exposure: the only way in.
    pub fn plane(&self, exposure: Exposure) -> &Plane {
        match exposure {
            Exposure::External => &self.external,
            Exposure::Internal => &self.internal,
        }
    }
}

/// Routes and services that one exposure can reach.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Which one.
    pub exposure: Exposure,
    /// Host and path to service.
    pub routes: Arc<RouteTable>,
    /// Routes that were refused exposure, to say why a request missed; never used to forward.
    pub refused: Arc<RouteTable>,
    /// What handshakes show, by host; of the inside nothing, where TLS is not served.
    pub certificates: Arc<CertificateTable>,
    /// The plane's services.
    pub services: Arc<[Arc<Service>]>,
}

impl Plane {
    /// A plane that leads nowhere.
    pub fn empty(exposure: Exposure) -> Plane {
        Plane { exposure, routes: Arc::default(), refused: Arc::default(), certificates: Arc::default(), services: Arc::from([]) }
    }

    /// The service at `index`, which must come from this very snapshot and plane.
    pub fn service(&self, index: ServiceIndex) -> &Arc<Service> {
        &self.services[index.0 as usize]
    }
}

/// Position in [`Plane::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceIndex(pub u32);

/// A port of a Service and the endpoints that may be picked for it now.
#[derive(Debug)]
pub struct Service {
    /// What it is called.
    pub name: PortName,
    /// Small dense number of (service, port), the same in all snapshots and planes: where its metrics live.
    pub slot: u32,
    /// A client keeps its endpoint until this many seconds after its last use (`sessionAffinity: ClientIP`).
    pub affinity_s: Option<u32>,
    /// An opaque connection to an endpoint begins with this header.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Ready endpoints, or serving ones that are terminating when none is ready (KEP-1669). In a stable order, without repeats.
    pub endpoints: Box<[Endpoint]>,
}

impl Service {
    /// The same service with other endpoints.
    pub fn with_endpoints(&self, endpoints: Box<[Endpoint]>) -> Service {
        Service { name: self.name.clone(), endpoints, ..*self }
    }

    /// Whether everything but the endpoints is the same.
    pub fn same_manner(&self, other: &Service) -> bool {
        (self.slot, self.affinity_s, self.proxy_protocol) == (other.slot, other.affinity_s, other.proxy_protocol)
    }
}

/// `NAMESPACE/NAME:PORT`, the port as the Service writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortName {
    /// The Service.
    pub service: ServiceKey,
    /// `spec.ports[].port`
    pub port: u16,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// A replica's membership in one service port.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Never used twice.
    pub id: EndpointId,
    /// Who answers.
    pub replica: Arc<Replica>,
}

/// Identity of an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub NonZeroU64);

/// Identity of a [`Replica`]: the key of the connection pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub NonZeroU64);

/// One process that answers at one (pod uid, IP, port). Shared by every service that it is in.
#[derive(Debug)]
pub struct Replica {
    /// Never used twice, even when the address is.
    pub id: ReplicaId,
    /// Where it answers.
    pub address: SocketAddr,
    /// `NAMESPACE/NAME` of its pod when known.
    pub pod: Option<Name>,
    /// How busy it is.
    pub load: CachePadded<Load>,
}

/// What workers know about a replica together. All accesses are relaxed: a stale value costs a worse pick, never a wrong one.
#[derive(Debug, Default)]
pub struct Load {
    /// Requests (or opaque connections) in flight.
    pub in_flight: AtomicU32,
    /// Peak EWMA of the time to a response head, in microseconds; 0 while unmeasured.
    pub latency_us: AtomicU32,
    /// When it was last measured, in microseconds since the process started.
    pub measured_us: AtomicU64,
}

/// A service port on a virtual IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipPort {
    /// Which service of the internal plane answers.
    pub service: ServiceIndex,
    /// Its name, for logs and `get listeners`.
    pub name: PortName,
}

/// A listener's or VIP's address, for the ban on forwarding to ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Every address that a listener of this process is bound to.
    pub listeners: Vec<SocketAddr>,
    /// Addresses of this machine's interfaces: what a wildcard bind answers on. Loopback is always meant too.
    pub local: Vec<IpAddr>,
}
