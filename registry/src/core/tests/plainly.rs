//! A slow reading of the objects, straight from the rules, that shares no code with what it judges.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

pub(super) type World = BTreeMap<ObjectKey, Object>;

/// The address that random worlds count as our own listener.
pub(super) fn own() -> OwnAddresses {
    OwnAddresses { listeners: vec!["10.9.9.9:8080".parse().unwrap()], local: Vec::new() }
}

/// One address of a service.
struct Member {
    address: SocketAddr,
    ready: bool,
    leaving: bool,
}

/// Whether anything under our prefix says something else than `external`.
fn seals(meta: &Meta) -> bool {
    let all = meta.labels.iter().chain(&meta.annotations).map(|(key, value)| (&**key, &**value));
    all.filter(|(key, _)| key.starts_with("tidegate.dev/")).any(|pair| pair != OPEN)
}

/// The number of a service's port at this pod.
fn number(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => pod.ports.iter().find(|at| at.name == *name).map(|at| at.port),
    }
}

/// Whether a pod may be behind an address: it has its IPs alone, unless they are its node's.
fn holds(pod: &Pod, address: SocketAddr) -> bool {
    pod.ips.contains(&address.ip()) && (!pod.host_network || pod.ports.iter().any(|at| at.port == address.port()))
}

fn lists(slice: &EndpointSlice, address: SocketAddr, any_port: bool) -> bool {
    slice.endpoints.iter().any(|at| at.ip == address.ip()) && (any_port || slice.ports.iter().any(|at| at.port == address.port()))
}

fn find_port<'s>(snapshot: &'s Snapshot, name: &crate::snapshot::PortName) -> Option<&'s Arc<Served>> {
    snapshot.internal.services.iter().find(|service| service.name == *name)
}

pub(super) struct Plainly<'w>(pub(super) &'w World);

impl Plainly<'_> {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.0.get(&ObjectKey { kind, namespace: namespace.into(), name: name.into() })
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        self.0.values().filter_map(|object| if let Object::Service(service) = object { Some(service) } else { None })
    }

    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.0.values().filter_map(|object| if let Object::Pod(pod) = object { Some(pod) } else { None })
    }

    fn all_slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.0.values().filter_map(|object| if let Object::EndpointSlice(slice) = object { Some(slice) } else { None })
    }

    fn slices<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s EndpointSlice> {
        let of =
            |slice: &&EndpointSlice| slice.meta.namespace == service.meta.namespace && slice.service.as_ref() == Some(&service.meta.name);
        self.all_slices().filter(of)
    }

    /// By itself, or by its Namespace.
    fn seals(&self, meta: &Meta) -> bool {
        seals(meta) || self.get(Kind::Namespace, "", &meta.namespace).is_some_and(|namespace| seals(namespace.meta()))
    }

    fn sealed(&self, service: &Service) -> bool {
        self.seals(&service.meta) || self.slices(service).any(|slice| seals(&slice.meta))
    }

    /// The pods that the selector finds.
    fn selected<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s Pod> {
        self.pods().filter(|pod| pod.meta.namespace == service.meta.namespace && !pod.finished).filter(|pod| {
            let mut pairs = service.selector.iter().flatten();
            service.selector.is_some() && pairs.all(|(key, value)| pod.meta.labels.get(key) == Some(value))
        })
    }

    /// All members of the first port, in any order and repeated.
    fn members(&self, service: &Service) -> Vec<Member> {
        if let ServiceType::ExternalName(_) = service.service_type {
            return Vec::new(); // nobody asked DNS
        }
        if self.slices(service).next().is_some() {
            let any_new = self.slices(service).any(|slice| !slice.legacy);
            let counted = self.slices(service).filter(|slice| slice.legacy != any_new);
            let ports =
                counted.flat_map(|slice| slice.ports.iter().filter(|port| &*port.name == "http").map(move |port| (slice, port.port)));
            let all = ports.flat_map(|(slice, port)| slice.endpoints.iter().map(move |at| (SocketAddr::new(at.ip, port), at)));
            return all.map(|(address, at)| Member { address, ready: at.ready, leaving: at.serving && at.terminating }).collect();
        }
        let mut found = Vec::new();
        for pod in self.selected(service) {
            if let (Some(port), Some(ip)) = (number(&service.ports[0], pod), pod.ips.first()) {
                let address = SocketAddr::new(*ip, port);
                found.push(Member { address, ready: pod.ready && !pod.meta.deleting, leaving: pod.ready && pod.meta.deleting });
            }
        }
        found
    }

    /// Whether some seal covers an address.
    fn covered(&self, address: SocketAddr) -> bool {
        let pods = self.pods().any(|pod| !pod.finished && self.seals(&pod.meta) && holds(pod, address));
        let slices = self.all_slices().any(|slice| self.seals(&slice.meta) && lists(slice, address, slice.ports.is_empty()));
        pods || slices || self.services().any(|service| self.sealed(service) && self.names(service, address))
    }

    /// Whether a service is behind an address, as far as anybody can tell.
    fn names(&self, service: &Service, address: SocketAddr) -> bool {
        let strange = |slice: &EndpointSlice| !slice.ports.iter().any(|at| service.ports.iter().any(|port| port.name == at.name));
        let by_pod = |pod: &Pod| {
            service.ports.iter().any(|port| match number(port, pod) {
                Some(number) => number == address.port() && pod.ips.contains(&address.ip()),
                None => holds(pod, address),
            })
        };
        self.slices(service).any(|slice| lists(slice, address, strange(slice))) || self.selected(service).any(by_pod)
    }

    /// Services that an external Ingress names, sealed or not.
    fn named_outside(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for object in self.0.values() {
            let Object::Ingress(ingress) = object else { continue };
            if seals(&ingress.meta) || !self.is_outside(ingress.class.as_deref()) {
                continue;
            }
            let backends = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend).chain(&ingress.default_backend);
            named.extend(backends.map(|backend| format!("{}/{}", ingress.meta.namespace, backend.service)));
        }
        named
    }

    fn is_outside(&self, class: Option<&str>) -> bool {
        let classes = || self.0.values().filter_map(|object| if let Object::IngressClass(class) = object { Some(class) } else { None });
        let default = classes().filter(|class| class.default).map(|class| &*class.meta.name).min();
        match class.or(default) {
            None => true,
            Some("tidegate-internal") => false,
            Some(name) => match classes().find(|class| &*class.meta.name == name) {
                None => name == "tidegate",
                Some(class) => &*class.controller == "tidegate.dev/ingress-controller" && !seals(&class.meta),
            },
        }
    }

    /// Services that are for the outside by themselves, sealed or not.
    fn carried_outside(&self) -> BTreeSet<String> {
        let carried = |service: &&Service| matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer);
        let known = self.services().filter(carried).filter(|service| service.unknown_fields.is_empty());
        known.map(|service| format!("{}/{}", service.meta.namespace, service.meta.name)).collect()
    }

    /// Each listener outside is that of an open service, leads to it, and lets in whom it says; and a node port of each is there.
    fn judge_listeners(&self, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        for (socket, listener) in snapshot.external.listeners.iter() {
            let name = &listener.name;
            prop_assert_eq!(&snapshot.external.service(listener.service).name, name);
            let Some(Object::Service(service)) = self.get(Kind::Service, &name.service.namespace, &name.service.name) else {
                return Err(TestCaseError::fail(format!("{name} is bound and gone")));
            };
            prop_assert!(self.carried_outside().contains(&name.service.to_string()), "{} is bound outside and does not ask for it", name);
            prop_assert!(!self.sealed(service), "{} is bound outside and sealed", name);
            prop_assert_eq!(&*listener.sources, &service.carrier.sources[..], "{}", name);
            prop_assert_eq!(socket.protocol, name.protocol);
        }
        for service in self.services().filter(|service| service.service_type == ServiceType::NodePort && !self.sealed(service)) {
            let of = |name: &crate::snapshot::PortName| {
                *name.service.name == *service.meta.name && *name.service.namespace == *service.meta.namespace
            };
            let bound = snapshot.external.listeners.values().filter(|listener| of(&listener.name)).count();
            let expected = if service.unknown_fields.is_empty() { service.ports.len() } else { 0 };
            prop_assert_eq!(bound, expected, "{} has its node ports", service.meta.name);
        }
        Ok(())
    }

    /// What may never be: a way out that no external rule names, or that a seal covers.
    pub(super) fn judge(&self, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        self.judge_listeners(snapshot)?;
        let mut named = self.named_outside();
        named.extend(self.carried_outside());
        for served in snapshot.external.services.iter() {
            let name = served.name.service.to_string();
            prop_assert!(named.contains(&name), "{} is outside and no external rule names it", name);
            let service = self.services().find(|service| format!("{}/{}", service.meta.namespace, service.meta.name) == name);
            prop_assert!(service.is_some_and(|service| !self.sealed(service)), "{} is sealed or gone", name);
            let Some(inside) = find_port(snapshot, &served.name) else { return Err(TestCaseError::fail(format!("{name} is not inside"))) };
            let all = |served: &Served| served.endpoints.iter().map(|endpoint| endpoint.replica.address).collect::<BTreeSet<_>>();
            let expected: BTreeSet<SocketAddr> = all(inside).into_iter().filter(|address| !self.covered(*address)).collect();
            prop_assert_eq!(all(served), expected, "{} carries all that no seal covers, and nothing else", name);
        }
        for route in snapshot.external.routes.routes() {
            prop_assert!(!matches!(route.action, Action::Refused(_)));
            prop_assert!(!matches!(route.action, Action::Forward(index) if index.0 as usize >= snapshot.external.services.len()));
        }
        self.services().try_for_each(|service| self.judge_inside(service, snapshot))
    }

    /// Inside, every service has the endpoints that a plain reading gives.
    fn judge_inside(&self, service: &Service, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        let name = format!("{}/{}", service.meta.namespace, service.meta.name);
        let vip = |address: &SocketAddr| snapshot.internal.listeners.keys().any(|socket| socket.address == *address);
        // What a load balancer listens on everywhere is ours at every loopback address.
        let outward = |address: &SocketAddr| {
            let here = |at: IpAddr| at == address.ip() || (at.is_unspecified() && address.ip().is_loopback());
            snapshot.external.listeners.keys().any(|socket| socket.address.port() == address.port() && here(socket.address.ip()))
        };
        let ours = |address: &SocketAddr| vip(address) || outward(address) || own().listeners.contains(address);
        let members: Vec<Member> = self.members(service).into_iter().filter(|member| !ours(&member.address)).collect();
        let some =
            |test: fn(&Member) -> bool| members.iter().filter(|member| test(member)).map(|member| member.address).collect::<BTreeSet<_>>();
        let ready = some(|member| member.ready);
        let expected = if ready.is_empty() { some(|member| member.leaving) } else { ready };
        let Some(served) = find(snapshot, Exposure::Internal, &name) else {
            return Err(TestCaseError::fail(format!("{name} is not inside")));
        };
        let found: BTreeSet<SocketAddr> = served.endpoints.iter().map(|endpoint| endpoint.replica.address).collect();
        let repeated = members.iter().map(|member| member.address).collect::<BTreeSet<_>>().len() < members.len();
        if repeated && !members.iter().any(|member| member.ready) {
            // A pod that starts on the address of one that ends has it: what the one that ends could still serve does not count.
            prop_assert!(found.is_subset(&expected), "{}: {:?} and not {:?}", name, found, expected);
        } else {
            prop_assert_eq!(found, expected, "{}", name);
        }
        Ok(())
    }
}
