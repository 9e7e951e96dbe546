//! The immutable picture that the data plane reads.
//!
//! Invariant: nothing here changes after it is built, except the [`Load`] of a replica, a [`Trial`], and what a [`Bounded`] service carries,
//! and whether a service was [`Reached`]: atomics that workers share, and the line of those who wait, whose lock nobody takes while it is empty. The external plane holds only what
//! an external carrier names and no seal covers: what is only internal does not exist in it. Indexes are valid within one snapshot only,
//! and their types keep the planes' arrays apart from other numbers.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;

use config::exposure::Exposure;
use config::filter::Balance;
use config::object::{AppProtocol, Name, Protocol, ProxyVersion, ServiceKey};
use crossbeam_utils::CachePadded;
use ipnet::IpNet;

use crate::certificate::CertificateTable;
use crate::route::RouteTable;
use crate::seed::Seed;
use crate::speech::Speech;

mod bounded;
mod line;
mod load;
mod named;
mod names;
mod reached;
mod unsettled;

pub use bounded::{Bounded, Carried, Pending, Room, within};
pub use load::{Flights, Load};
pub use named::Named;
pub use names::{Called, NameTable, NamedHost, NamedPort};
pub use reached::Reached;
pub use unsettled::{Aside, Trial, Unsettled, Young};

/// One picture of the world.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows by one with each published picture; the first is 1.
    pub version: u64,
    /// What external listeners may reach.
    pub external: Plane,
    /// What internal listeners and VIPs may reach.
    pub internal: Plane,
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
    /// What Services ask to be bound: VIPs inside; node ports and load balancers outside.
    pub listeners: Arc<ServiceListeners>,
    /// What Services are called by DNS; outside they have no names.
    pub names: Arc<NameTable>,
}

/// Every listener that a Service of the plane asks for.
pub type ServiceListeners = HashMap<Socket, ServiceListener, foldhash::fast::RandomState>;

impl Plane {
    /// A plane that leads nowhere.
    pub fn empty(exposure: Exposure) -> Plane {
        Plane {
            exposure,
            routes: Arc::default(),
            refused: Arc::default(),
            certificates: Arc::default(),
            services: Arc::from([]),
            listeners: Arc::default(),
            names: Arc::default(),
        }
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
#[derive(Clone, Debug)]
pub struct Service {
    /// What it is called.
    pub name: PortName,
    /// Small dense number of (service, port), the same in all snapshots and planes: where its metrics live.
    pub slot: u32,
    /// A client keeps its endpoint until this many seconds after its last use (`sessionAffinity: ClientIP`).
    pub affinity_s: Option<u32>,
    /// How an endpoint is picked where no route says so (annotation `tidegate.dev/balance`).
    pub balance: Option<Balance>,
    /// What its endpoints' marks are keyed by.
    pub seed: Seed,
    /// What `Host` says to its replicas, where they are somebody else's (ExternalName).
    pub host: Option<Arc<str>>,
    /// What its port speaks (`appProtocol`): what a virtual IP may read of it.
    pub app: AppProtocol,
    /// An opaque connection to an endpoint begins with this header.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How much it may carry at once, where that is bounded.
    pub bounded: Option<Arc<Bounded>>,
    /// Whether a replica of it was ever reached.
    pub reached: Reached,
    /// Ready endpoints, or serving ones that are terminating when none is ready (KEP-1669). In a stable order, without repeats, those that
    /// are near first.
    pub endpoints: Box<[Endpoint]>,
    /// How many of them are near, and so preferred (`spec.trafficDistribution`, or hints of slices); 0: none is nearer than others.
    pub near: usize,
    /// What the endpoints are called by those who hash.
    pub named: Named,
    /// Who of its endpoints is left out, on trial, or new. `None` for most services at most times, and then nothing of it costs a pick.
    pub unsettled: Option<Box<Unsettled>>,
}

impl Service {
    /// A service port without endpoints.
    pub fn unreachable(name: PortName, slot: u32) -> Service {
        Service {
            name,
            slot,
            affinity_s: None,
            balance: None,
            seed: Seed::default(),
            host: None,
            app: AppProtocol::Opaque,
            proxy_protocol: None,
            bounded: None,
            reached: Reached::default(),
            endpoints: Box::default(),
            near: 0,
            named: Named::default(),
            unsettled: None,
        }
    }

    /// The same with other endpoints, the first `near` of them preferred.
    pub fn with(&self, endpoints: Box<[Endpoint]>, near: usize, unsettled: Option<Box<Unsettled>>) -> Service {
        let (name, balance, seed, host) = (self.name.clone(), self.balance.clone(), self.seed.clone(), self.host.clone());
        let (bounded, reached) = (self.bounded.clone(), self.reached.clone());
        Service { name, balance, seed, host, bounded, reached, endpoints, near, named: Named::default(), unsettled, ..*self }
    }

    /// Endpoints that are preferred, and all others: there are none of these where none is nearer than others.
    pub fn by_nearness(&self) -> (&[Endpoint], &[Endpoint]) {
        match self.near {
            0 => (&self.endpoints, &[]),
            near => self.endpoints.split_at(near.min(self.endpoints.len())),
        }
    }

    /// By what endpoints rank for a key, in their order: the same in every process.
    pub fn ranks(&self) -> &[u64] {
        self.named.ranks(&self.endpoints)
    }

    /// By what a cookie names each endpoint, in their order.
    pub fn marks(&self) -> &[u64] {
        self.named.marks(&self.endpoints, &self.seed)
    }

    /// Every endpoint that requests may be at by a decision of this picture or one before: those that are picked from, and those that are
    /// left out for what their requests came to. The latter have not left.
    pub fn members(&self) -> impl Iterator<Item = &Endpoint> {
        let aside = self.unsettled.iter().flat_map(|unsettled| &unsettled.aside);
        self.endpoints.iter().chain(aside.map(|aside| &aside.endpoint))
    }

    /// Whether everything but the endpoints is the same.
    pub fn same_terms(&self, other: &Service) -> bool {
        let terms = |service: &Service| (service.slot, service.affinity_s, service.app, service.proxy_protocol);
        let bounded = Bounded::same(self.bounded.as_ref(), other.bounded.as_ref());
        let picked = self.balance == other.balance && self.seed == other.seed;
        terms(self) == terms(other) && self.host == other.host && picked && bounded
    }
}

/// `NAMESPACE/NAME:PORT`, the port as the Service writes it, and `/UDP` when it is not TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct PortName {
    /// The Service.
    pub service: ServiceKey,
    /// `spec.ports[].port`
    pub port: u16,
    /// `spec.ports[].protocol`
    pub protocol: Protocol,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)?;
        if self.protocol == Protocol::Tcp { Ok(()) } else { write!(f, "/{}", self.protocol.as_str()) }
    }
}

/// A protocol and an address to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Socket {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
}

impl Socket {
    /// Of this protocol, there.
    pub fn new(protocol: Protocol, address: SocketAddr) -> Socket {
        Socket { protocol, address }
    }
}

/// The way that a Service is reached by its own listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// Its virtual IP, inside.
    Vip,
    /// A node port, outside.
    NodePort,
    /// Its own port at a load balancer's address, outside.
    LoadBalancer,
}

impl Way {
    /// The word of `get listeners`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Way::Vip => "vip",
            Way::NodePort => "node-port",
            Way::LoadBalancer => "load-balancer",
        }
    }
}

/// A listener that a Service asks for. Its exposure is that of the plane that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceListener {
    /// Which way it is.
    pub way: Way,
    /// Who answers, in the same plane.
    pub service: ServiceIndex,
    /// The service port's name, for logs and `get listeners`.
    pub name: PortName,
    /// Peers that may connect; empty: as the exposure says.
    pub sources: Arc<[IpNet]>,
}

impl ServiceListener {
    /// Whether `spec.loadBalancerSourceRanges` let this peer in.
    pub fn lets_in(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.sources.is_empty() || self.sources.iter().any(|network| network.contains(&peer))
    }

    /// `vip NAMESPACE/NAME:PORT` and the like.
    pub fn shown(&self) -> String {
        format!("{} {}", self.way.as_str(), self.name)
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

/// One process that answers at one (pod uid, IP, port), spoken to in one way. Shared by every service that it is in.
#[derive(Debug)]
pub struct Replica {
    /// Never used twice, even when the address is.
    pub id: ReplicaId,
    /// Where it answers.
    pub address: SocketAddr,
    /// `NAMESPACE/NAME` of its pod when known.
    pub pod: Option<Name>,
    /// How it is spoken to.
    pub speaks: Speech,
    /// How busy it is.
    pub load: CachePadded<Load>,
}

/// A listener's or VIP's address, for the ban on forwarding to ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Every address that a listener of this process is bound to.
    pub listeners: Vec<SocketAddr>,
    /// Addresses of this machine's interfaces: what a wildcard bind answers on. Loopback is always meant too.
    pub local: Vec<IpAddr>,
}
