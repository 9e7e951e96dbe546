//! The members of one service port: who is an endpoint, and in what condition.
//!
//! EndpointSlices win over the older Endpoints, and those over the selector. Invariant: sorted by address, each address once.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use config::object::{EndpointSlice, Name, Pod, PortRef, Service, ServiceKey, ServicePort, SliceEndpoint};

use super::covers;
use super::index::{Index, Known, pod_name};
use crate::lifecycle::Identity;

/// One address of a service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    pub(super) identity: Identity,
    /// `NAMESPACE/NAME`
    pub(super) pod: Option<Name>,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// The node that it is on, when that is known.
    pub(super) node: Option<Name>,
    /// Of two pods on one address the one met later is right.
    met: u64,
}

/// What the objects say of a service.
#[derive(Debug)]
pub(super) struct Reading {
    /// Who is a member of each port.
    pub(super) members: Vec<Vec<Member>>,
    /// Every address that a seal of it covers.
    pub(super) covered: BTreeSet<SocketAddr>,
}

/// Reads a service's slices and pods.
pub(super) fn read(key: &ServiceKey, service: &Service, index: &Index) -> Reading {
    let pods: Vec<&Known> = service.selector.iter().flat_map(|selector| index.select(&key.namespace, selector)).collect();
    let covered = covers::of_service(service, index.all_slices(key), pods.iter().map(|known| known.pod()));
    let by_slices = index.slices(key).next().is_some();
    let members = service.ports.iter().map(|port| {
        let mut named = Named::default();
        if by_slices {
            index.slices(key).for_each(|slice| named.add_slice(slice, port, index));
        } else {
            pods.iter().for_each(|known| named.add_pod(known, port));
        }
        if service.publish_not_ready {
            named.0.iter_mut().for_each(|member| member.ready = true);
        }
        named.settled()
    });
    Reading { members: members.collect(), covered }
}

impl Reading {
    /// The service is an outside name at these addresses, and whatever its selector finds is none of it (ExternalName).
    pub(super) fn lead_to(&mut self, service: &Service, addresses: &[IpAddr]) {
        let member = |ip: &IpAddr, port| Member {
            address: SocketAddr::new(*ip, port),
            identity: Identity::Address,
            pod: None,
            ready: true,
            serving: true,
            terminating: false,
            node: None,
            met: 0,
        };
        let of = |port: &ServicePort| addresses.iter().map(|ip| member(ip, number(port))).collect::<Vec<_>>();
        self.members = service.ports.iter().map(|port| Named(of(port)).settled()).collect();
        self.covered.extend(self.members.iter().flatten().map(|member| member.address));
    }
}

/// The port of an outside name: nobody there says what a named port is.
pub(super) fn number(port: &ServicePort) -> u16 {
    if let PortRef::Number(number) = port.target_port { number } else { port.port }
}

/// Members of one service port.
#[derive(Debug, Default)]
struct Named(Vec<Member>);

impl Named {
    fn add_slice(&mut self, slice: &EndpointSlice, port: &ServicePort, index: &Index) {
        for at in slice.ports.iter().filter(|at| at.name == port.name && at.protocol == port.protocol) {
            for endpoint in &slice.endpoints {
                let address = SocketAddr::new(endpoint.ip.to_canonical(), at.port);
                let (identity, pod, met) = who(endpoint, &slice.meta.namespace, index);
                let SliceEndpoint { ready, serving, terminating, .. } = *endpoint;
                let node = endpoint.node.clone();
                self.0.push(Member { address, identity, pod, ready, serving, terminating, node, met });
            }
        }
    }

    fn add_pod(&mut self, known: &Known, port: &ServicePort) {
        let pod = known.pod();
        let number = container_port(pod, port);
        let (false, Some(number), Some(ip)) = (pod.finished, number, pod.ips.first()) else { return };
        self.0.push(Member {
            address: SocketAddr::new(ip.to_canonical(), number),
            identity: known.identity(),
            pod: Some(pod_name(&pod.meta.namespace, &pod.meta.name)),
            ready: known.ready() && !pod.meta.deleting,
            serving: known.ready(),
            terminating: pod.meta.deleting,
            node: pod.node.clone(),
            met: known.met,
        });
    }

    /// Sorted, each address once: of several the most able, then the one that is known best and met last.
    fn settled(mut self) -> Vec<Member> {
        let rank = |member: &Member| (member.ready && !member.terminating, member.ready, !member.terminating, member.serving);
        self.0.sort_by(|a, b| {
            let by_address = a.address.cmp(&b.address);
            by_address.then_with(|| rank(b).cmp(&rank(a))).then_with(|| (b.met, &b.identity).cmp(&(a.met, &a.identity)))
        });
        self.0.dedup_by(|later, first| later.address == first.address);
        self.0
    }
}

/// What the service's `targetPort` is for this pod.
pub(super) fn container_port(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target_port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => pod.ports.iter().find(|at| at.name == *name && at.protocol == port.protocol).map(|at| at.port),
    }
}

/// The pod that a slice names, when that is who has the address; else nobody knows more than the address.
fn who(endpoint: &SliceEndpoint, namespace: &str, index: &Index) -> (Identity, Option<Name>, u64) {
    let Some((name, uid)) = &endpoint.pod else { return (Identity::Address, None, 0) };
    let shown = Some(pod_name(namespace, name));
    let has = |known: &&Known, ip: IpAddr| known.pod().ips.iter().any(|other| other.to_canonical() == ip);
    let known = index.pod(namespace, name).filter(|known| has(known, endpoint.ip.to_canonical()));
    match (uid, known) {
        (Some(uid), known) => (Identity::Uid(uid.clone()), shown, known.map_or(0, |known| known.met)),
        (None, Some(known)) => (known.identity(), shown, known.met),
        (None, None) => (Identity::Address, shown, 0),
    }
}
