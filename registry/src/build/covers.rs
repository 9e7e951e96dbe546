//! Which addresses a seal covers, and who names or seals an address.
//!
//! Invariant: what cannot be told is covered. A seal that does not know the port of a pod covers all ports of its IPs, except on a
//! node's address, which a pod with `hostNetwork` shares with others: there only its own ports are covered.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use config::object::{EndpointSlice, Kind, Object, Pod, Service, SlicePort};

use super::members::container_port;
use crate::exposure::{self, Said};

/// Stands for every port of an IP.
const EVERY_PORT: u16 = 0;

/// Who is at an address, `(IP, port)` or `(IP, EVERY_PORT)`.
#[derive(Debug)]
pub(super) struct Addresses<K> {
    /// Sorted by port, then by who it is.
    at: HashMap<IpAddr, Vec<(u16, K)>, foldhash::fast::RandomState>,
}

impl<K> Default for Addresses<K> {
    fn default() -> Addresses<K> {
        Addresses { at: HashMap::default() }
    }
}

impl<K: Ord + Clone> Addresses<K> {
    pub(super) fn add(&mut self, address: SocketAddr, who: &K) {
        let all = self.at.entry(address.ip()).or_default();
        if let Err(place) = find(all, address.port(), who) {
            all.insert(place, (address.port(), who.clone()));
        }
    }

    pub(super) fn remove(&mut self, address: SocketAddr, who: &K) {
        let Some(all) = self.at.get_mut(&address.ip()) else { return };
        if let Ok(place) = find(all, address.port(), who) {
            all.remove(place);
        }
        if all.is_empty() {
            self.at.remove(&address.ip());
        }
    }

    /// Who has this address, by its port or by all ports of its IP.
    pub(super) fn having(&self, address: SocketAddr) -> impl Iterator<Item = &K> {
        let exact = (address.port() != EVERY_PORT).then(|| self.ports(address.ip(), address.port()));
        let every = self.ports(address.ip(), EVERY_PORT);
        exact.into_iter().flatten().chain(every).map(|(_, who)| who)
    }

    /// Who has any address that this one stands for.
    pub(super) fn touched_by(&self, address: SocketAddr) -> impl Iterator<Item = &K> {
        let all = (address.port() == EVERY_PORT).then(|| self.at.get(&address.ip()).into_iter().flatten().map(|(_, who)| who));
        let some = (address.port() != EVERY_PORT).then(|| self.having(address));
        all.into_iter().flatten().chain(some.into_iter().flatten())
    }

    /// Who has any address on one of these ports.
    pub(super) fn on_ports(&self, ports: &BTreeSet<u16>) -> impl Iterator<Item = &K> {
        let on = |(port, _): &&(u16, K)| *port == EVERY_PORT || ports.contains(port);
        self.at.values().flat_map(move |all| all.iter().filter(on)).map(|(_, who)| who)
    }

    fn ports(&self, ip: IpAddr, port: u16) -> &[(u16, K)] {
        let all = self.at.get(&ip).map_or(&[][..], |all| all);
        let from = all.partition_point(|(other, _)| *other < port);
        let length = all[from..].partition_point(|(other, _)| *other == port);
        &all[from..from + length]
    }
}

fn find<K: Ord>(all: &[(u16, K)], port: u16, who: &K) -> Result<usize, usize> {
    all.binary_search_by(|(at, other)| (*at, other).cmp(&(port, who)))
}

/// What a pod or slice seals by its own label, or because its Namespace is sealed.
pub(super) fn of_object(object: &Object, namespace: Said) -> Vec<SocketAddr> {
    let sealed = |kind| namespace.seals() || exposure::said(kind, object.meta()).seals();
    match object {
        Object::Pod(pod) if !pod.finished && sealed(Kind::Pod) => of_pod(pod).collect(),
        Object::EndpointSlice(slice) if sealed(object.kind()) => of_slice(slice, !slice.ports.is_empty()).collect(),
        _ => Vec::new(),
    }
}

/// What a seal of `service` covers, given its slices and the pods that its selector finds, whatever their condition.
pub(super) fn of_service<'a>(
    service: &Service,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    pods: impl Iterator<Item = &'a Pod>,
) -> BTreeSet<SocketAddr> {
    let named = |at: &SlicePort| service.ports.iter().any(|port| port.name == at.name && port.protocol == at.protocol);
    let mut covered: BTreeSet<SocketAddr> = slices.flat_map(|slice| of_slice(slice, slice.ports.iter().any(named))).collect();
    for pod in pods.filter(|pod| !pod.finished) {
        let known: Vec<u16> = service.ports.iter().filter_map(|port| container_port(pod, port)).collect();
        if known.is_empty() || known.len() < service.ports.len() {
            covered.extend(of_pod(pod));
        }
        covered.extend(at(&pod.ips, known)); // of a pod on its node's address the rest need not be all
    }
    covered
}

fn of_pod(pod: &Pod) -> impl Iterator<Item = SocketAddr> {
    let ports = if pod.host_network { pod.ports.iter().map(|port| port.port).collect() } else { vec![EVERY_PORT] };
    at(&pod.ips, ports)
}

/// `known`: its ports are those that its endpoints answer on.
fn of_slice(slice: &EndpointSlice, known: bool) -> impl Iterator<Item = SocketAddr> {
    let ports: Vec<u16> = if known { slice.ports.iter().map(|port| port.port).collect() } else { vec![EVERY_PORT] };
    slice.endpoints.iter().flat_map(move |endpoint| at(std::slice::from_ref(&endpoint.ip), ports.clone()))
}

fn at(ips: &[IpAddr], ports: Vec<u16>) -> impl Iterator<Item = SocketAddr> {
    ips.iter().flat_map(move |ip| ports.clone().into_iter().map(|port| SocketAddr::new(ip.to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([10, 0, 0, 1]), port)
    }

    #[test]
    fn every_port_is_had_by_all_and_touches_all() {
        let mut addresses = Addresses::default();
        for (port, who) in [(80, 'b'), (81, 'c'), (EVERY_PORT, 'd'), (80, 'a'), (80, 'a')] {
            addresses.add(address(port), &who);
        }
        let having = |addresses: &Addresses<char>, port| addresses.having(address(port)).collect::<String>();
        let touched = |addresses: &Addresses<char>, port| addresses.touched_by(address(port)).collect::<String>();
        assert_eq!((having(&addresses, 80), having(&addresses, 9), having(&addresses, EVERY_PORT)), ("abd".into(), "d".into(), "d".into()));
        assert_eq!((touched(&addresses, 81), touched(&addresses, EVERY_PORT)), ("cd".into(), "dabc".into()));
        for (port, who) in [(80, 'a'), (80, 'x'), (EVERY_PORT, 'd'), (80, 'b'), (81, 'c')] {
            addresses.remove(address(port), &who);
        }
        assert!(addresses.at.is_empty());
    }
}
