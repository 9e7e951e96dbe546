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

    fn slices<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s EndpointSlice> {
        let all = self.0.values().filter_map(|object| if let Object::EndpointSlice(slice) = object { Some(slice) } else { None });
        all.filter(|slice| slice.meta.namespace == service.meta.namespace && slice.service.as_ref() == Some(&service.meta.name))
    }

    fn sealed(&self, service: &Service) -> bool {
        let namespace = self.get(Kind::Namespace, "", &service.meta.namespace);
        seals(&service.meta) || namespace.is_some_and(|namespace| seals(namespace.meta()))
    }

    /// All members, in any order and repeated.
    fn members(&self, service: &Service) -> Vec<Member> {
        if self.slices(service).next().is_some() {
            let any_new = self.slices(service).any(|slice| !slice.legacy);
            let counted = self.slices(service).filter(|slice| slice.legacy != any_new);
            let all = counted.flat_map(|slice| slice.endpoints.iter().map(|at| (SocketAddr::new(at.ip, slice.ports[0].port), at)));
            return all.map(|(address, at)| Member { address, ready: at.ready, leaving: at.serving && at.terminating }).collect();
        }
        let Some(selector) = &service.selector else { return Vec::new() };
        let mut found = Vec::new();
        for pod in self.pods().filter(|pod| pod.meta.namespace == service.meta.namespace && !pod.finished) {
            let chosen = selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value));
            let port = if let PortRef::Number(number) = service.ports[0].target_port { number } else { pod.ports[0].port };
            if let (true, Some(ip)) = (chosen, pod.ips.first()) {
                let address = SocketAddr::new(*ip, port);
                found.push(Member { address, ready: pod.ready && !pod.meta.deleting, leaving: pod.ready && pod.meta.deleting });
            }
        }
        found
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

    /// What may never be: a way out that no external rule names, or that a seal covers.
    pub(super) fn judge(&self, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        let named = self.named_outside();
        let sealed: BTreeSet<SocketAddr> = self
            .services()
            .filter(|service| self.sealed(service))
            .flat_map(|service| self.members(service))
            .map(|member| member.address)
            .collect();
        let sealed_pods = self.pods().filter(|pod| !pod.finished && seals(&pod.meta));
        let sealed_ips: BTreeSet<IpAddr> = sealed_pods.flat_map(|pod| pod.ips.clone()).collect();
        for served in snapshot.external.services.iter() {
            let name = served.name.service.to_string();
            prop_assert!(named.contains(&name), "{} is outside and no external rule names it", name);
            let service = self.services().find(|service| format!("{}/{}", service.meta.namespace, service.meta.name) == name);
            prop_assert!(service.is_some_and(|service| !self.sealed(service)), "{} is sealed or gone", name);
            for address in served.endpoints.iter().map(|endpoint| endpoint.replica.address) {
                prop_assert!(!sealed.contains(&address), "{} carries {}, which is sealed", name, address);
                prop_assert!(!sealed_ips.contains(&address.ip()), "{} carries {}, a sealed pod", name, address);
            }
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
        let ours = |address: &SocketAddr| snapshot.vips.contains_key(address) || own().listeners.contains(address);
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
