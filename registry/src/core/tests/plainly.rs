//! A slow reading of the objects, straight from the rules, that shares no code with what it judges.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

pub(super) type World = BTreeMap<ObjectKey, Object>;

/// What holds beside the objects: settings, and what DNS has said to whoever asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Law {
    pub(super) strict: bool,
    /// Names that `externalName.allow` lists, each by itself.
    pub(super) allowed: &'static [&'static str],
    /// Those of `externalName.allowInside`.
    pub(super) inside: &'static [&'static str],
    pub(super) heard: BTreeMap<Name, Vec<Answer>>,
}

/// An address that DNS may say: as it says it, as it is connected to if it ever is, and whether it leads inward.
pub(super) type Answer = (&'static str, Option<&'static str>, bool);

/// Every one of them. The pods of random worlds are at 10.0.0.1 to 10.0.0.6.
pub(super) const ANSWERS: [Answer; 22] = [
    ("198.51.100.1", Some("198.51.100.1"), false),
    ("2001:db8::1", Some("2001:db8::1"), false),
    ("10.0.0.1", Some("10.0.0.1"), false),
    ("10.0.0.2", Some("10.0.0.2"), false),
    ("::ffff:10.0.0.3", Some("10.0.0.3"), false),
    ("10.9.9.9", Some("10.9.9.9"), false),
    ("127.0.0.1", Some("127.0.0.1"), true),
    ("::1", Some("::1"), true),
    ("::ffff:127.0.0.1", Some("127.0.0.1"), true),
    ("64:ff9b::7f00:1", Some("64:ff9b::7f00:1"), true),
    ("2002:7f00:1::", Some("2002:7f00:1::"), true),
    ("169.254.169.254", Some("169.254.169.254"), true),
    ("64:ff9b::a9fe:a9fe", Some("64:ff9b::a9fe:a9fe"), true),
    ("fe80::1", Some("fe80::1"), true),
    ("fd00:ec2::254", Some("fd00:ec2::254"), true),
    ("100.100.100.200", Some("100.100.100.200"), true),
    ("10.96.7.7", Some("10.96.7.7"), true),
    ("10.96.9.9", Some("10.96.9.9"), true),
    ("192.0.2.7", Some("192.0.2.7"), true),
    ("0.0.0.0", None, true),
    ("224.0.0.1", None, true),
    ("::", None, true),
];

/// The addresses that random worlds count as our own: a listener, and the machine.
pub(super) fn own() -> OwnAddresses {
    OwnAddresses { listeners: vec!["10.9.9.9:8080".parse().unwrap()], local: vec!["192.0.2.7".parse().unwrap()] }
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

/// Whether it says `external`.
fn opens(meta: &Meta) -> bool {
    meta.labels.get(OPEN.0).is_some_and(|word| **word == *OPEN.1)
}

/// Whether a workload means a pod with these labels.
fn means(workload: &Workload, labels: &Labels) -> bool {
    let has = |key: &str, values: &BTreeSet<Box<str>>| labels.get(key).is_some_and(|value| values.contains(value));
    let Selector { labels: wanted, expressions } = &workload.selector;
    wanted.iter().all(|pair| labels.iter().any(|other| other == pair))
        && expressions.iter().all(|Expression { key, test }| match test {
            Test::In(values) => has(key, values),
            Test::NotIn(values) => !has(key, values),
            Test::Exists => labels.contains_key(key),
            Test::DoesNotExist => !labels.contains_key(key),
        })
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

pub(super) struct Plainly<'w> {
    pub(super) objects: &'w World,
    pub(super) law: &'w Law,
}

impl Plainly<'_> {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&ObjectKey { kind, namespace: namespace.into(), name: name.into() })
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.objects.values().filter_map(|object| if let Object::Service(service) = object { Some(service) } else { None })
    }

    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.objects.values().filter_map(|object| if let Object::Pod(pod) = object { Some(pod) } else { None })
    }

    fn all_slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.objects.values().filter_map(|object| if let Object::EndpointSlice(slice) = object { Some(slice) } else { None })
    }

    pub(super) fn slices<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s EndpointSlice> {
        let of =
            |slice: &&EndpointSlice| slice.meta.namespace == service.meta.namespace && slice.service.as_ref() == Some(&service.meta.name);
        self.all_slices().filter(of)
    }

    /// A pod: by itself, by its Namespace, or by a workload that means it.
    fn seals_pod(&self, pod: &Pod) -> bool {
        let workloads = self.objects.values().filter_map(|object| if let Object::Workload(found) = object { Some(found) } else { None });
        let here = |workload: &Workload| workload.meta.namespace == pod.meta.namespace && seals(&workload.meta);
        self.seals(&pod.meta) || workloads.into_iter().any(|workload| here(workload) && means(workload, &pod.meta.labels))
    }

    /// By itself, or by its Namespace.
    fn seals(&self, meta: &Meta) -> bool {
        seals(meta) || self.get(Kind::Namespace, "", &meta.namespace).is_some_and(|namespace| seals(namespace.meta()))
    }

    fn sealed(&self, service: &Service) -> bool {
        let namespace = self.get(Kind::Namespace, "", &service.meta.namespace);
        let open = opens(&service.meta) || namespace.is_some_and(|namespace| opens(namespace.meta()));
        self.seals(&service.meta) || self.slices(service).any(|slice| seals(&slice.meta)) || (self.law.strict && !open)
    }

    /// Where DNS leads this port of a service that is an outside name.
    fn led_to(&self, name: &Name, port: &ServicePort) -> impl Iterator<Item = SocketAddr> {
        let number = if let PortRef::Number(number) = port.target_port { number } else { port.port };
        let heard = self.law.heard.get(name).into_iter().flatten().filter_map(|(_, connected, _)| *connected);
        heard.map(move |ip| SocketAddr::new(ip.parse().unwrap(), number))
    }

    /// The pods that the selector finds.
    pub(super) fn selected<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s Pod> {
        self.pods().filter(|pod| pod.meta.namespace == service.meta.namespace && !pod.finished).filter(|pod| {
            let mut pairs = service.selector.iter().flatten();
            service.selector.is_some() && pairs.all(|(key, value)| pod.meta.labels.get(key) == Some(value))
        })
    }

    /// All members of the first port, in any order and repeated.
    fn members(&self, service: &Service) -> Vec<Member> {
        if let ServiceType::ExternalName(name) = &service.service_type {
            let there = |address| Member { address, ready: true, leaving: false };
            return self.led_to(name, &service.ports[0]).map(there).collect();
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
        let pods = self.pods().any(|pod| !pod.finished && self.seals_pod(pod) && holds(pod, address));
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
        let led = match &service.service_type {
            ServiceType::ExternalName(name) => service.ports.iter().any(|port| self.led_to(name, port).any(|at| at == address)),
            _ => false,
        };
        led || self.slices(service).any(|slice| lists(slice, address, strange(slice))) || self.selected(service).any(by_pod)
    }

    /// Whether clients outside may not be led there by this service's name.
    fn leads_inward(&self, service: &Service, address: SocketAddr) -> bool {
        let ServiceType::ExternalName(name) = &service.service_type else { return false };
        let inward = |(_, connected, inward): &&Answer| *inward && connected.is_some_and(|ip| address.ip().to_string() == ip);
        !self.law.inside.contains(&&**name) && ANSWERS.iter().any(|answer| inward(&answer))
    }

    /// Services that an external Ingress names, sealed or not.
    fn named_outside(&self) -> BTreeSet<String> {
        self.named(|ingress| !seals(&ingress.meta) && self.is_outside(ingress.class.as_deref()))
    }

    /// Services that such an Ingress names.
    fn named(&self, such: impl Fn(&Ingress) -> bool) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for object in self.objects.values() {
            let Object::Ingress(ingress) = object else { continue };
            if !such(ingress) {
                continue;
            }
            let backends = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend).chain(&ingress.default_backend);
            named.extend(backends.map(|backend| format!("{}/{}", ingress.meta.namespace, backend.service)));
        }
        named
    }

    fn is_outside(&self, class: Option<&str>) -> bool {
        let classes =
            || self.objects.values().filter_map(|object| if let Object::IngressClass(class) = object { Some(class) } else { None });
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
            let barred =
                |address: &SocketAddr| self.covered(*address) || service.is_some_and(|service| self.leads_inward(service, *address));
            let expected: BTreeSet<SocketAddr> = all(inside).into_iter().filter(|address| !barred(address)).collect();
            prop_assert_eq!(all(served), expected, "{} carries all that no seal covers, and nothing else", name);
            if let Some(Service { service_type: ServiceType::ExternalName(to), .. }) = service {
                prop_assert!(self.law.allowed.contains(&&**to), "{} leads to {}, which is not allowed", name, to);
            }
        }
        for route in snapshot.external.routes.routes() {
            prop_assert!(!matches!(route.action, Action::Refused(_)));
            prop_assert!(!matches!(route.action, Action::Forward(index) if index.0 as usize >= snapshot.external.services.len()));
        }
        self.services().try_for_each(|service| self.judge_inside(service, snapshot))
    }

    /// DNS is asked for names that an Ingress leads to, and only where that is allowed.
    pub(super) fn judge_names(&self, asked: &BTreeSet<Name>) -> Result<(), TestCaseError> {
        let led = |routed: &dyn Fn(&str) -> bool| {
            let names = self.services().filter_map(|service| match &service.service_type {
                ServiceType::ExternalName(name) => Some((format!("{}/{}", service.meta.namespace, service.meta.name), name.clone())),
                _ => None,
            });
            let allowed = names.filter(|(_, name)| self.law.allowed.contains(&&**name));
            allowed.filter(|(service, _)| routed(service)).map(|(_, name)| name).collect::<BTreeSet<Name>>()
        };
        let (named, any) = (self.named_outside(), self.named(|_| true));
        prop_assert!(asked.is_subset(&led(&|service| any.contains(service))), "{:?} are asked for", asked);
        prop_assert!(led(&|service| named.contains(service)).is_subset(asked), "{:?} are all that is asked for", asked);
        Ok(())
    }

    /// Inside, every service has the endpoints that a plain reading gives.
    fn judge_inside(&self, service: &Service, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        let name = format!("{}/{}", service.meta.namespace, service.meta.name);
        let vip = |address: &SocketAddr| snapshot.internal.listeners.keys().any(|socket| socket.address == *address);
        // What a load balancer listens on everywhere is ours at every address of this machine.
        let outward = |address: &SocketAddr| {
            let machine = address.ip().is_loopback() || own().local.contains(&address.ip());
            let here = |at: IpAddr| at == address.ip() || (at.is_unspecified() && machine);
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
