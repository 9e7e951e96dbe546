//! What NodePort and LoadBalancer services ask to be bound outside, and what of it they get.
//!
//! Invariant: fail closed. A sealed service, or one with a field that nobody knows, gets no listener: its ports are closed. Each socket has
//! one owner; a clash costs that socket alone. On one machine a load balancer's address is the node's, so that its source ranges hold for
//! its node ports too: else they would be the way around.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::object::{Protocol, Service, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};
use ipnet::IpNet;

use super::places::Only;
use super::{Entry, Port, World};
use crate::node_port::NodePorts;
use crate::snapshot::{PortName, Socket, Way};

/// `spec.loadBalancerClass` of load balancers that are ours, besides none.
pub(crate) const LOAD_BALANCER_CLASS: &str = "tidegate.dev/load-balancer";

/// All that is bound outside for Services.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    pub(crate) sockets: BTreeMap<Socket, Carried>,
    pub(crate) problems: Vec<(ServiceKey, Problem)>,
}

/// Whom a socket leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) way: Way,
    pub(crate) name: PortName,
    /// Which of its endpoints `externalTrafficPolicy` lets be used.
    pub(crate) only: Only,
    pub(crate) sources: Arc<[IpNet]>,
}

/// A service that may be carried.
struct Owner<'w> {
    key: &'w ServiceKey,
    entry: &'w Entry,
    sources: Arc<[IpNet]>,
}

impl Owner<'_> {
    fn service(&self) -> &Service {
        self.entry.service()
    }

    fn carried(&self, way: Way, port: &Port) -> Carried {
        let only = if self.service().local_only.outside { Only::Local } else { Only::Not };
        Carried { way, name: port.name(self.key), only, sources: self.sources.clone() }
    }
}

impl World {
    /// Compiles what is to be bound outside. Node ports come first, since their numbers are nobody else's; of two load balancers on one
    /// socket the older has it.
    pub(crate) fn carriers(&self, node_ports: &NodePorts) -> Carriers {
        let mut out = Carriers::default();
        let owners = self.owners();
        for owner in &owners {
            self.node_ports_of(owner, node_ports, &mut out);
        }
        for owner in owners.iter().filter(|owner| owner.service().service_type == ServiceType::LoadBalancer) {
            self.load_balancer_of(owner, &mut out);
        }
        out
    }

    /// Who may be carried outside by a listener of its own, the oldest first.
    fn owners(&self) -> Vec<Owner<'_>> {
        let may = |entry: &Entry| entry.carries() && entry.seal.is_none() && entry.service().unknown_fields.is_empty();
        let open = self.services.iter().filter(|(_, entry)| may(entry));
        let owner = open.map(|(key, entry)| Owner { key, entry, sources: entry.service().carrier.sources.as_slice().into() });
        let mut owners: Vec<Owner<'_>> = owner.collect();
        owners.sort_by_key(|owner| (owner.service().meta.created.unwrap_or(i64::MAX), owner.key));
        owners
    }

    fn node_ports_of(&self, owner: &Owner<'_>, node_ports: &NodePorts, out: &mut Carriers) {
        for (index, port) in owner.entry.ports.iter().enumerate().filter(|(_, port)| port.place.is_some()) {
            let Some(number) = node_ports.of(&port.name(owner.key)) else { continue };
            for socket in self.sockets(&self.ground.external, port.spec.protocol, number) {
                self.bind(owner, socket, owner.carried(Way::NodePort, port), format!("spec.ports[{index}].nodePort"), out);
            }
        }
    }

    fn load_balancer_of(&self, owner: &Owner<'_>, out: &mut Carriers) {
        let carrier = &owner.service().carrier;
        if let Some(class) = carrier.class.as_deref().filter(|class| *class != LOAD_BALANCER_CLASS) {
            let problem = Problem::note(Reason::NotServed, format!("another load balancer's: its class is `{class}`"));
            return out.problems.push((owner.key.clone(), problem.at("spec.loadBalancerClass")));
        }
        let addresses = match carrier.ip {
            Some(ip) if self.ground.service_cidr.contains(&ip) => {
                let found = format!("{ip} is of the service CIDR, which is for the inside: the load balancer is refused");
                let problem = Problem::error(Reason::AddressRefused, found).at("spec.loadBalancerIP");
                return out.problems.push((owner.key.clone(), problem.expected("an address that the outside may reach")));
            }
            Some(ip) if self.is_here(ip) => vec![ip],
            Some(ip) => {
                let problem = Problem::note(Reason::NotServed, format!("{ip} is no address of this machine: external.addresses are used"));
                out.problems.push((owner.key.clone(), problem.at("spec.loadBalancerIP")));
                self.ground.external.clone()
            }
            None => self.ground.external.clone(),
        };
        for (index, port) in owner.entry.ports.iter().enumerate().filter(|(_, port)| port.place.is_some()) {
            for socket in self.sockets(&addresses, port.spec.protocol, port.spec.port) {
                self.bind(owner, socket, owner.carried(Way::LoadBalancer, port), format!("spec.ports[{index}].port"), out);
            }
        }
    }

    /// Where a port is bound. An answer over UDP leaves from the address that its socket is bound to, which must be the one that was asked:
    /// so a wildcard is all of this machine's addresses, one by one.
    fn sockets(&self, addresses: &[IpAddr], protocol: Protocol, port: u16) -> Vec<Socket> {
        let mut all = Vec::new();
        for &address in addresses {
            if protocol == Protocol::Udp && address.is_unspecified() {
                let same = |ip: &&IpAddr| ip.is_ipv4() == address.is_ipv4() && !is_link_local(**ip);
                all.extend(self.own.local.iter().filter(same).copied());
            } else {
                all.push(address);
            }
        }
        all.into_iter().map(|ip| Socket::new(protocol, SocketAddr::new(ip, port))).collect()
    }

    fn bind(&self, owner: &Owner<'_>, socket: Socket, carried: Carried, field: String, out: &mut Carriers) {
        let way = carried.way.as_str();
        let holder = match out.sockets.get(&socket) {
            Some(other) => Some(format!("the {} of Service {}", other.way.as_str(), other.name)),
            None => self.holder(socket),
        };
        let Some(holder) = holder else {
            out.sockets.insert(socket, carried);
            return;
        };
        let found = format!("{} is {holder}: the {way} is not bound there", socket.address);
        let problem = Problem::error(Reason::Conflict, found).at(field).expected("a port that nobody else has");
        out.problems.push((owner.key.clone(), problem.fix("choose another port, or an address of its own (spec.loadBalancerIP)")));
    }

    /// Who has a socket already: one of our own listeners, or a virtual IP.
    fn holder(&self, socket: Socket) -> Option<String> {
        if let Some(vip) = self.vips.get(&socket) {
            return Some(format!("the virtual IP of Service {}", vip.name));
        }
        let clash = |own: &&SocketAddr| socket.protocol == Protocol::Tcp && overlap(**own, socket.address);
        self.own.listeners.iter().find(clash).map(|own| format!("our own listener {own}"))
    }

    fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.local.contains(&ip)
    }
}

/// Whether one socket would take what is meant for the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let wild = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && (wild || one.ip() == other.ip())
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
