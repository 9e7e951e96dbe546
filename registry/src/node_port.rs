//! Which node port a port of a NodePort or LoadBalancer service has (Kubernetes Service, "type: NodePort").
//!
//! Invariant: that of the [`Ledger`], for each protocol on its own. Whether a port is bound is decided elsewhere: a sealed service keeps
//! its number, and nothing listens on it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use config::object::{Protocol, Service, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};

use crate::ledger::{Ledger, Pool, Want};
use crate::snapshot::PortName;
use crate::state::Grant;

/// The range of the API server's default.
const RANGE: RangeInclusive<u16> = 30_000..=32_767;

/// A number of one protocol.
type Number = (Protocol, u16);

/// The table of node ports.
#[derive(Debug)]
pub(crate) struct NodePorts {
    ledger: Ledger<Range>,
    /// The ports that want one, by service.
    wanting: BTreeMap<ServiceKey, Vec<PortName>>,
}

#[derive(Debug)]
struct Range;

impl NodePorts {
    /// Saved numbers are kept for their ports.
    pub(crate) fn new(saved: &[Grant]) -> NodePorts {
        let saved = saved.iter().filter_map(|grant| match grant {
            Grant::NodePort { port, number } => Some((port.clone(), (port.protocol, *number))),
            Grant::Vip { .. } => None,
        });
        NodePorts { ledger: Ledger::new(Range, saved.collect()), wanting: BTreeMap::new() }
    }

    /// Takes in services that are new, changed or (`None`) gone. True when any number may have another holder.
    pub(crate) fn update<'a>(&mut self, changes: impl IntoIterator<Item = (&'a ServiceKey, Option<&'a Service>)>) -> bool {
        let mut all = BTreeMap::new();
        for (key, service) in changes {
            for name in self.wanting.remove(key).unwrap_or_default() {
                all.insert(name, None);
            }
            let wants: BTreeMap<PortName, Want<PortName, Number>> = service.map(|service| wants(key, service)).unwrap_or_default();
            if !wants.is_empty() {
                self.wanting.insert(key.clone(), wants.keys().cloned().collect());
            }
            all.extend(wants.into_iter().map(|(name, want)| (name, Some(want))));
        }
        !self.ledger.update(all).is_empty()
    }

    /// The number of a port that wants one.
    pub(crate) fn of(&self, name: &PortName) -> Option<u16> {
        self.ledger.of(name).map(|(_, number)| number)
    }

    /// Ports without the number that they want, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&PortName, &Problem)> {
        self.ledger.problems()
    }

    /// Whether a number has another holder since the last call.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        self.ledger.take_unsaved()
    }

    /// Every number and its holder.
    pub(crate) fn given(&self) -> impl Iterator<Item = Grant> {
        self.ledger.given().into_iter().map(|(port, (_, number))| Grant::NodePort { port: port.clone(), number })
    }
}

/// What the ports of a service want.
fn wants(key: &ServiceKey, service: &Service) -> BTreeMap<PortName, Want<PortName, Number>> {
    let allocates = match service.service_type {
        ServiceType::NodePort => true,
        ServiceType::LoadBalancer => service.carrier.node_ports,
        ServiceType::ClusterIp | ServiceType::ExternalName(_) => return BTreeMap::new(),
    };
    let age = service.meta.created.unwrap_or(i64::MAX);
    let served = service.ports.iter().filter(|port| port.protocol != Protocol::Sctp);
    let want = served.filter_map(|port| {
        let name = PortName { service: key.clone(), port: port.port, protocol: port.protocol };
        match port.node_port {
            Some(number) => Some((name.clone(), Want::Exactly((port.protocol, number), (age, name)))),
            None => allocates.then_some((name, Want::Any)),
        }
    });
    want.collect()
}

impl Pool for Range {
    type Key = PortName;
    type Value = Number;

    fn holds(&self, key: &PortName, (protocol, number): Number) -> bool {
        protocol == key.protocol && RANGE.contains(&number)
    }

    fn numbers(&self) -> Option<RangeInclusive<u128>> {
        Some(u128::from(*RANGE.start())..=u128::from(*RANGE.end()))
    }

    fn value(&self, key: &PortName, number: u128) -> Number {
        // Within the range, which is of 16 bits.
        (key.protocol, number as u16)
    }

    fn outside(&self, (_, number): Number) -> Problem {
        Problem::error(Reason::AddressRefused, format!("{number} is not a node port: it is not bound"))
            .at("spec.ports[].nodePort")
            .expected(format!("a number from {} to {}", RANGE.start(), RANGE.end()))
            .fix("correct it, or remove it so that one is allocated")
    }

    fn taken(&self, (_, number): Number, winner: &PortName) -> Problem {
        Problem::error(Reason::Conflict, format!("node port {number} belongs to Service {winner}, which asked for it and is older"))
            .at("spec.ports[].nodePort")
            .expected("a number that no other Service asks for")
            .fix("remove it so that one is allocated, or ask for another")
    }

    fn exhausted(&self) -> Problem {
        Problem::error(Reason::Conflict, "no node port is left").at("spec.ports[].nodePort").fix("remove node ports that nobody uses")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use config::object::{Meta, PortRef, ServicePort};

    fn key(name: &str) -> ServiceKey {
        ServiceKey { namespace: "a".into(), name: name.into() }
    }

    fn port(port: u16, protocol: Protocol, node_port: Option<u16>) -> ServicePort {
        ServicePort { name: format!("p{port}").into(), port, target_port: PortRef::Number(1), protocol, app_protocol: None, node_port }
    }

    fn service(created: i64, ports: Vec<ServicePort>) -> Service {
        Service {
            meta: Meta { created: Some(created), ..Meta::default() },
            service_type: ServiceType::NodePort,
            ports,
            ..Service::default()
        }
    }

    fn name(service: &str, port: u16, protocol: Protocol) -> PortName {
        PortName { service: key(service), port, protocol }
    }

    #[test]
    fn a_number_is_kept_through_deletion_and_restart_and_each_protocol_has_its_own() {
        use Protocol::{Tcp, Udp};
        let dns = service(1, vec![port(53, Tcp, None), port(53, Udp, None), port(80, Protocol::Sctp, None)]);
        let mut first = NodePorts::new(&[]);
        assert!(first.update([(&key("dns"), Some(&dns))]));
        let of = |ports: &NodePorts| [Tcp, Udp].map(|protocol| ports.of(&name("dns", 53, protocol)));
        let before = of(&first);
        assert!(before.iter().flatten().all(|number| RANGE.contains(number)) && before[0].is_some());
        assert_eq!(first.of(&name("dns", 80, Protocol::Sctp)), None);
        first.update([(&key("dns"), None)]);
        assert_eq!(of(&first), [None, None]);
        assert!(first.take_unsaved());
        let mut second = NodePorts::new(&first.given().collect::<Vec<_>>());
        second.update([(&key("web"), Some(&service(2, vec![port(80, Tcp, None)]))), (&key("dns"), Some(&dns))]);
        assert_eq!(of(&second), before);
        assert_ne!(second.of(&name("web", 80, Tcp)), before[0]);
    }

    #[test]
    fn the_oldest_that_asks_has_it_and_a_port_that_leaves_the_service_gives_it_back() {
        let asks = |created| service(created, vec![port(80, Protocol::Tcp, Some(30_080))]);
        let mut ports = NodePorts::new(&[]);
        ports.update([(&key("young"), Some(&asks(2)))]);
        ports.update([(&key("old"), Some(&asks(1)))]);
        let of = |ports: &NodePorts, who| ports.of(&name(who, 80, Protocol::Tcp));
        assert_eq!((of(&ports, "old"), of(&ports, "young")), (Some(30_080), None));
        assert!(
            ports.problems().next().is_some_and(|(name, problem)| &*name.service.name == "young" && problem.found.contains("a/old:80"))
        );
        ports.update([(&key("old"), Some(&service(1, vec![port(81, Protocol::Tcp, None)])))]);
        assert_eq!(of(&ports, "young"), Some(30_080));
        assert_eq!(ports.problems().count(), 0);
    }

    #[test]
    fn what_is_no_node_port_costs_only_itself() {
        for number in [80, 29_999, 32_768] {
            let mut ports = NodePorts::new(&[]);
            ports.update([(&key("a"), Some(&service(1, vec![port(80, Protocol::Tcp, Some(number)), port(81, Protocol::Tcp, None)])))]);
            assert_eq!((ports.of(&name("a", 80, Protocol::Tcp)), ports.problems().count()), (None, 1), "{number}");
            assert!(ports.of(&name("a", 81, Protocol::Tcp)).is_some());
        }
    }

    #[test]
    fn only_those_that_are_for_the_outside_want_one() {
        let with = |service_type, node_ports, node_port| {
            let plain = service(1, vec![port(80, Protocol::Tcp, node_port)]);
            let carrier = config::object::Carrier { node_ports, ..Default::default() };
            let mut ports = NodePorts::new(&[]);
            ports.update([(&key("a"), Some(&Service { service_type, carrier, ..plain }))]);
            ports.of(&name("a", 80, Protocol::Tcp))
        };
        assert_eq!(with(ServiceType::ClusterIp, true, Some(30_001)), None);
        assert_eq!(with(ServiceType::LoadBalancer, true, None), Some(30_000));
        assert_eq!(with(ServiceType::LoadBalancer, false, None), None, "allocateLoadBalancerNodePorts: false");
        assert_eq!(with(ServiceType::LoadBalancer, false, Some(30_005)), Some(30_005), "as asked all the same");
    }

    #[test]
    fn all_numbers_can_be_given() {
        let mut ports = NodePorts::new(&[]);
        let keys: Vec<ServiceKey> = (0..2_769).map(|n| key(&format!("{n:04}"))).collect();
        let one = service(1, vec![port(80, Protocol::Tcp, None)]);
        ports.update(keys.iter().map(|key| (key, Some(&one))));
        let numbers: BTreeSet<u16> = keys.iter().filter_map(|key| ports.of(&name(&key.name, 80, Protocol::Tcp))).collect();
        assert_eq!((numbers.len(), ports.problems().count()), (2_768, 1));
    }
}
