//! Small pictures for tests.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use config::exposure::Exposure;
use config::host::HostPattern;
use config::object::{PathType, Protocol, ServiceKey};
use registry::route::{Action, Route, RouteTableBuilder};
use registry::snapshot::{
    Endpoint, EndpointId, Plane, PortName, Replica, ReplicaId, Service, ServiceIndex, ServiceListener, Snapshot, Socket, Way,
};

/// A service `x/NAME:80` with this many endpoints.
pub(crate) fn service(name: &str, endpoints: u64) -> Arc<Service> {
    let endpoint = |id: u64| {
        let id = NonZeroU64::new(id + 1).unwrap();
        let address = SocketAddr::from(([127, 0, 1, id.get() as u8], 8080));
        let replica = Replica { id: ReplicaId(id), address, pod: None, speaks: Default::default(), load: Default::default() };
        Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
    };
    let name = PortName { service: ServiceKey { namespace: "x".into(), name: name.into() }, port: 80, protocol: Protocol::Tcp };
    Arc::new(Service { endpoints: (0..endpoints).map(endpoint).collect(), ..Service::unreachable(name, 0) })
}

/// A plane of these parts.
pub(crate) fn plane<const N: usize>(
    exposure: Exposure,
    routes: RouteTableBuilder,
    refused: RouteTableBuilder,
    services: [Arc<Service>; N],
) -> Plane {
    Plane {
        exposure,
        routes: Arc::new(routes.build()),
        refused: Arc::new(refused.build()),
        certificates: Arc::default(),
        services: Arc::from(services),
        listeners: Arc::default(),
        names: Arc::default(),
    }
}

/// `web` outside by `shop.example` (`/`, and `/empty` without endpoints), `db` refused there; inside `admin.example` and a VIP of `db`.
pub(crate) fn shop() -> Snapshot {
    let route = |host: &str, path: &str, action| Route {
        owner: "Ingress x/y".into(),
        host: HostPattern::parse_ingress(host).unwrap(),
        path_type: PathType::Prefix,
        path: path.into(),
        action,
        client: None,
        filters: None,
    };
    let (mut outside, mut inside, mut refused) = (RouteTableBuilder::default(), RouteTableBuilder::default(), RouteTableBuilder::default());
    outside.add(route("shop.example", "/cart", Action::Forward(ServiceIndex(0)))).unwrap();
    outside.add(route("shop.example", "/empty", Action::Forward(ServiceIndex(1)))).unwrap();
    refused.add(route("db.example", "/", Action::Refused("Service x/db is sealed by Namespace x".into()))).unwrap();
    inside.add(route("admin.example", "/", Action::Forward(ServiceIndex(0)))).unwrap();
    let external = plane(Exposure::External, outside, refused, [service("web", 2), service("empty", 0)]);
    let mut internal = plane(Exposure::Internal, inside, RouteTableBuilder::default(), [service("web", 2), service("db", 1)]);
    let name = internal.services[1].name.clone();
    let vip = ServiceListener { way: Way::Vip, service: ServiceIndex(1), name, sources: Arc::default() };
    let socket = Socket::new(Protocol::Tcp, SocketAddr::from(([127, 96, 0, 2], 5432)));
    internal.listeners = Arc::new([(socket, vip)].into_iter().collect());
    Snapshot { version: 1, external, internal }
}
