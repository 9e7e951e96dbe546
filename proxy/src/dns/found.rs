//! What a name leads to, by the table of names and the rules alone.
//!
//! Follows the Kubernetes specification "DNS-Based Service Discovery" 1.1.0. Invariant: a name of the zone, of `svc`, of one label, and a reverse
//! name of a private range are ours whatever the table says, so that nobody outside is ever asked about them. No wire, no records.

use std::net::IpAddr;

use config::object::{Name as Text, Protocol};
use hickory_server::proto::rr::Name;
use ipnet::IpNet;
use registry::snapshot::{Called, NameTable, NamedHost, NamedPort};

use super::reverse::{self, Reverse};
use super::rules::Rules;

/// Version of the specification, as `dns-version` tells it (section 2.2).
const VERSION: &str = "1.1.0";

/// What to answer by.
#[derive(Clone, Copy, Debug)]
pub struct Book<'b> {
    /// The names of the picture.
    pub names: &'b NameTable,
    /// The picture's version: the serial of the zone.
    pub version: u64,
    /// The rules.
    pub rules: &'b Rules,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not ours.
    Foreign,
    /// It is ours, and there is no such name.
    Nothing,
    /// It is there, and has no records: others are below it.
    Empty,
    /// The zone itself.
    Zone,
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// It is another name for this one.
    Alias(Name),
    /// Who listens on the port.
    Places(Vec<Place>),
    /// An address has these names.
    Names(Vec<Name>),
    /// A text.
    Text(&'static str),
}

/// A host and a port (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The host.
    pub(super) host: Name,
    /// The port.
    pub(super) port: u16,
    /// Where the host is.
    pub(super) ip: Option<IpAddr>,
}

impl Book<'_> {
    /// Looks a name up.
    pub(super) fn find(&self, name: &Name) -> Found {
        let lower = name.to_lowercase();
        // A label that is no text is no label of ours: no name of the table is empty.
        let labels: Vec<&str> = lower.iter().rev().map(|label| std::str::from_utf8(label).unwrap_or("")).collect();
        let zone = &self.rules.zone_labels;
        if labels.len() >= zone.len() && zone.iter().eq(&labels[..zone.len()]) {
            return self.in_zone(&labels[zone.len()..]);
        }
        if let Some(reverse) = reverse::read(&labels) {
            return self.address(reverse);
        }
        match labels[..] {
            [] => Found::Foreign,
            // `NAME.NAMESPACE.svc`, as certificates and many manifests have it. There is no such domain outside.
            ["svc", ..] => self.below_svc(&labels[1..]),
            ["localhost", ..] => localhost(),
            [name] => self.searched(name),
            [namespace, name] if self.names.service(namespace, name).is_some() => self.service(namespace, name, &[]),
            _ => Found::Foreign,
        }
    }

    /// Labels below the zone, from the top.
    fn in_zone(&self, labels: &[&str]) -> Found {
        match labels {
            [] => Found::Zone,
            ["dns-version"] => Found::Text(VERSION),
            ["dns"] => Found::Empty,
            ["dns", "ns"] => Found::Addresses(self.rules.own.clone()),
            ["svc", rest @ ..] => self.below_svc(rest),
            _ => Found::Nothing,
        }
    }

    fn below_svc(&self, labels: &[&str]) -> Found {
        match labels {
            [] => Found::Empty,
            [namespace] if self.names.has_namespace(namespace) => Found::Empty,
            [_] => Found::Nothing,
            [namespace, name, rest @ ..] => self.service(namespace, name, rest),
        }
    }

    /// A name of one label: in the first namespace of `dns.search` that has it.
    fn searched(&self, name: &str) -> Found {
        let namespace = self.rules.search.iter().find(|namespace| self.names.service(namespace, name).is_some());
        namespace.map_or(Found::Nothing, |namespace| self.service(namespace, name, &[]))
    }

    /// A Service, or what is below it.
    fn service(&self, namespace: &str, name: &str, below: &[&str]) -> Found {
        let Some(called) = self.names.service(namespace, name) else { return Found::Nothing };
        match (called, below) {
            (Called::Elsewhere(other), []) => Name::from_ascii(format!("{other}.")).map_or(Found::Empty, Found::Alias),
            (Called::Elsewhere(_), _) => Found::Nothing,
            (Called::Vip { ip, .. }, []) => Found::Addresses(ip.iter().copied().collect()),
            (Called::Headless(hosts), []) => Found::Addresses(unique(hosts.iter())),
            (Called::Vip { ports, .. }, [label]) if speaks(ports, label) => Found::Empty,
            (Called::Headless(hosts), [label]) if hosts.iter().any(|host| speaks(&host.ports, label)) => Found::Empty,
            (Called::Headless(hosts), [label]) => some(unique(hosts.iter().filter(|host| *host.name == **label)), Found::Addresses),
            (Called::Vip { ip, ports }, [protocol, port]) => {
                let port = ports.iter().find(|at| is(at, protocol, port));
                let host = self.own(&[name, namespace, "svc"]);
                some(port.zip(host).map(|(at, host)| Place { host, port: at.port, ip: *ip }).into_iter().collect(), Found::Places)
            }
            (Called::Headless(hosts), [protocol, port]) => {
                let at = hosts.iter().flat_map(|host| host.ports.iter().filter(|at| is(at, protocol, port)).map(move |at| (host, at)));
                let place = |(named, at): (&NamedHost, &NamedPort)| {
                    let host = self.own(&[&*named.name, name, namespace, "svc"])?;
                    Some(Place { host, port: at.port, ip: Some(named.ip) })
                };
                some(at.filter_map(place).collect(), Found::Places)
            }
            _ => Found::Nothing,
        }
    }

    fn address(&self, reverse: Reverse) -> Found {
        let (network, private) = match reverse {
            Reverse::Address(ip) => {
                let names = self.names_of(ip);
                if !names.is_empty() {
                    return Found::Names(names);
                }
                (IpNet::from(ip), Found::Nothing)
            }
            // What is below is not looked for; that a name is there is the answer that hides none.
            Reverse::Network(network) => (network, Found::Empty),
            Reverse::Below(network) => (network, Found::Nothing),
        };
        if reverse::is_private(network, self.rules.service_cidr) { private } else { Found::Foreign }
    }

    fn names_of(&self, ip: IpAddr) -> Vec<Name> {
        let mut names = Vec::new();
        for (namespace, name, called) in self.names.at(ip) {
            match called {
                Called::Headless(hosts) => {
                    let there = hosts.iter().filter(|host| host.ip == ip);
                    names.extend(there.filter_map(|host| self.own(&[&*host.name, &**name, &**namespace, "svc"])));
                }
                Called::Vip { .. } => names.extend(self.own(&[&**name, &**namespace, "svc"])),
                Called::Elsewhere(_) => {}
            }
        }
        names.sort();
        names
    }

    /// A name of the zone; `None` when it would be too long.
    pub(super) fn own(&self, labels: &[&str]) -> Option<Name> {
        Name::from_labels(labels.iter().map(|label| label.as_bytes())).ok()?.append_domain(&self.rules.zone).ok()
    }
}

/// RFC 6761, section 6.3: nobody is asked about it.
fn localhost() -> Found {
    Found::Addresses(vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()])
}

/// Addresses in their order, each once.
fn unique<'h>(hosts: impl Iterator<Item = &'h NamedHost>) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = hosts.map(|host| host.ip).collect();
    ips.dedup(); // hosts are sorted by address
    ips
}

fn some<T>(all: Vec<T>, found: impl FnOnce(Vec<T>) -> Found) -> Found {
    if all.is_empty() { Found::Nothing } else { found(all) }
}

/// Whether a port speaks the protocol of a label such as `_tcp`.
fn speaks(ports: &[NamedPort], label: &str) -> bool {
    ports.iter().any(|port| label == protocol(port.protocol))
}

/// Whether these labels, `_tcp` and `_http`, are the port's.
fn is(port: &NamedPort, of: &str, label: &str) -> bool {
    of == protocol(port.protocol) && label.strip_prefix('_').is_some_and(|name| name == text(&port.name))
}

fn text(name: &Text) -> &str {
    name
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "_tcp",
        Protocol::Udp => "_udp",
        Protocol::Sctp => "_sctp",
    }
}
