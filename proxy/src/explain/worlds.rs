//! Small pictures for tests.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use config::exposure::Exposure;
use config::host::HostPattern;
use config::object::{PathType, ServiceKey};
use registry::route::{Action, Route, RouteTableBuilder};
use registry::snapshot::{Endpoint, EndpointId, Plane, PortName, Replica, ReplicaId, Service, ServiceIndex, Snapshot, VipPort};

/// A service `x/NAME:80` with this many endpoints.
pub(crate) fn service(name: &str, endpoints: u64) -> Arc<Service> {
    let endpoint = |id: u64| {
        let id = NonZeroU64::new(id + 1).unwrap();
        let address = SocketAddr::from(([127, 0, 1, id.get() as u8], 8080));
        let replica = Replica { id: ReplicaId(id), address, pod: None, load: Default::default() };
        Endpoint { id: EndpointId(id), replica: Arc::new(replica) }
    };
    let name = PortName { service: ServiceKey { namespace: "x".into(), name: name.into() }, port: 80 };
    Arc::new(Service { name, slot: 0, affinity_s: None, proxy_protocol: None, endpoints: (0..endpoints).map(endpoint).collect() })
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
    };
    let (mut outside, mut inside, mut refused) = (RouteTableBuilder::default(), RouteTableBuilder::default(), RouteTableBuilder::default());
    outside.add(route("shop.example", "/cart", Action::Forward(ServiceIndex(0)))).unwrap();
    outside.add(route("shop.example", "/empty", Action::Forward(ServiceIndex(1)))).unwrap();
    refused.add(route("db.example", "/", Action::Refused("Service x/db is sealed by Namespace x".into()))).unwrap();
    inside.add(route("admin.example", "/", Action::Forward(ServiceIndex(0)))).unwrap();
    let external = plane(Exposure::External, outside, refused, [service("web", 2), service("empty", 0)]);
    let internal = plane(Exposure::Internal, inside, RouteTableBuilder::default(), [service("web", 2), service("db", 1)]);
    let vip = VipPort { service: ServiceIndex(1), name: internal.services[1].name.clone() };
    let vips = [(SocketAddr::from(([127, 96, 0, 2], 5432)), vip)].into_iter().collect();
    Snapshot { version: 1, external, internal, vips: Arc::new(vips) }
}
