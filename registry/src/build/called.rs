//! What a Service is called by DNS, from the objects that say so.
//!
//! Follows the Kubernetes specification "DNS-Based Service Discovery" 1.1.0. Invariant: of a headless Service only who is ready has a name, unless
//! `publishNotReadyAddresses` says otherwise. Slices win over the selector, as for endpoints; but what requests came to, and whose port
//! has which number, takes nobody's name away.

use std::net::IpAddr;
use std::sync::Arc;

use config::object::{ClusterIp, EndpointSlice, Name, Pod, Service, ServiceKey, ServiceType};

use super::World;
use super::index::{Index, Known};
use super::members::container_port;
use crate::snapshot::{Called, NameTable, NamedHost, NamedPort};
use crate::vip::Vips;

impl World {
    /// Brings the names of every Service up to date that was written, moved to another virtual IP, or is headless and was built again.
    pub(super) fn settle_names(&mut self, vips: &Vips) {
        for key in std::mem::take(&mut self.uncalled) {
            let called = self.services.get(&key).map(|entry| called(&key, entry.service(), vips.of(&key), &self.index));
            NameTable::set(&mut self.called, &key, called);
        }
    }
}

/// Whether its names are those of its endpoints.
pub(super) fn is_headless(service: &Service) -> bool {
    service.cluster_ip == ClusterIp::Headless && !matches!(service.service_type, ServiceType::ExternalName(_))
}

fn called(key: &ServiceKey, service: &Service, ip: Option<IpAddr>, index: &Index) -> Called {
    if let ServiceType::ExternalName(name) = &service.service_type {
        return Called::Elsewhere(name.clone());
    }
    if !is_headless(service) {
        let ports = service.ports.iter().filter(|port| !port.name.is_empty());
        let ports = ports.map(|port| NamedPort { name: port.name.clone(), protocol: port.protocol, port: port.port });
        return Called::Vip { ip, ports: ports.collect() };
    }
    let mut hosts = Hosts::default();
    if index.slices(key).next().is_some() {
        index.slices(key).for_each(|slice| hosts.add_slice(slice, service));
    } else {
        let pods = service.selector.iter().flat_map(|selector| index.select(&key.namespace, selector));
        pods.for_each(|known| hosts.add_pod(known, service));
    }
    Called::Headless(hosts.settled())
}

/// Who is named below a headless Service.
#[derive(Default)]
struct Hosts(Vec<NamedHost>);

impl Hosts {
    fn add_slice(&mut self, slice: &EndpointSlice, service: &Service) {
        let named = slice.ports.iter().filter(|port| !port.name.is_empty());
        let ports: Arc<[NamedPort]> =
            named.map(|port| NamedPort { name: port.name.clone(), protocol: port.protocol, port: port.port }).collect();
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready || service.publish_not_ready) {
            let ip = endpoint.ip.to_canonical();
            self.0.push(NamedHost { ip, name: endpoint.hostname.clone().unwrap_or_else(|| dashed(ip)), ports: ports.clone() });
        }
    }

    fn add_pod(&mut self, known: &Known, service: &Service) {
        let pod = known.pod();
        let named = service.publish_not_ready || (known.ready() && !pod.meta.deleting);
        let (false, true, Some(ip)) = (pod.finished, named, pod.ips.first()) else { return };
        let ip = ip.to_canonical();
        let ports = ports_of(pod, service);
        // The pods of one Service nearly always have the same.
        let before = self.0.last().map(|host| host.ports.clone()).filter(|before| **before == *ports);
        self.0.push(NamedHost {
            ip,
            name: host_name(pod, service).unwrap_or_else(|| dashed(ip)),
            ports: before.unwrap_or_else(|| ports.into()),
        });
    }

    /// In order, each once; one that several slices hold has the ports of all.
    fn settled(mut self) -> Box<[NamedHost]> {
        self.0.sort_by(|a, b| (a.ip, &a.name).cmp(&(b.ip, &b.name)));
        self.0.dedup_by(|later, first| {
            let same = (later.ip, &later.name) == (first.ip, &first.name);
            if same && later.ports != first.ports {
                let mut all: Vec<NamedPort> = first.ports.iter().chain(later.ports.iter()).cloned().collect();
                all.sort();
                all.dedup();
                first.ports = all.into();
            }
            same
        });
        self.0.into()
    }
}

fn ports_of(pod: &Pod, service: &Service) -> Vec<NamedPort> {
    let named = service.ports.iter().filter(|port| !port.name.is_empty());
    let at =
        named.filter_map(|port| Some(NamedPort { name: port.name.clone(), protocol: port.protocol, port: container_port(pod, port)? }));
    at.collect()
}

/// The name that a pod asks for below this Service.
fn host_name(pod: &Pod, service: &Service) -> Option<Name> {
    pod.hostname.clone().filter(|_| pod.subdomain.as_deref() == Some(&*service.meta.name))
}

/// `10-1-2-3`, `2001-db8--1`: what has no host name is called by its address.
fn dashed(ip: IpAddr) -> Name {
    ip.to_string().replace(['.', ':'], "-").into()
}
