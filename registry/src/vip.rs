//! Which virtual IP a service has.
//!
//! Invariant: that of the [`Ledger`]. Only a `clusterIP` that asks for an address takes it from another Service. Headless and
//! ExternalName services have none.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use config::object::{ClusterIp, Service, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};
use ipnet::IpNet;

use crate::ledger::{Ledger, Pool, Want};
use crate::state::Grant;

/// The table of virtual IPs.
#[derive(Debug)]
pub(crate) struct Vips(Ledger<Cidr>);

/// The range that they come from.
#[derive(Debug)]
struct Cidr(IpNet);

impl Vips {
    /// Allocates from `cidr`; saved addresses that are still in it are kept for their services.
    pub(crate) fn new(cidr: IpNet, saved: &[Grant]) -> Vips {
        let saved =
            saved.iter().filter_map(|grant| if let Grant::Vip { service, ip } = grant { Some((service.clone(), *ip)) } else { None });
        Vips(Ledger::new(Cidr(cidr.trunc()), saved.collect()))
    }

    /// Takes in services that are new, changed or (`None`) gone. Whoever's address may have changed is in the answer.
    pub(crate) fn update<'a>(&mut self, changes: impl IntoIterator<Item = (&'a ServiceKey, Option<&'a Service>)>) -> BTreeSet<ServiceKey> {
        self.0.update(changes.into_iter().map(|(key, service)| (key.clone(), service.and_then(|service| want(key, service)))))
    }

    /// The address that a living service has.
    pub(crate) fn of(&self, key: &ServiceKey) -> Option<IpAddr> {
        self.0.of(key)
    }

    /// Services without the address that they want, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&ServiceKey, &Problem)> {
        self.0.problems()
    }

    /// Whether an address has another holder since the last call.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        self.0.take_unsaved()
    }

    /// Every address and its holder.
    pub(crate) fn given(&self) -> Vec<Grant> {
        self.0.given().into_iter().map(|(service, ip)| Grant::Vip { service: service.clone(), ip }).collect()
    }
}

/// `None`: headless and ExternalName services have no address.
fn want(key: &ServiceKey, service: &Service) -> Option<Want<ServiceKey, IpAddr>> {
    match (&service.service_type, service.cluster_ip) {
        (ServiceType::ExternalName(_), _) | (_, ClusterIp::Headless) => None,
        (_, ClusterIp::Allocate) => Some(Want::Any),
        (_, ClusterIp::Asked(ip)) => Some(Want::Exactly(ip, (service.meta.created.unwrap_or(i64::MAX), key.clone()))),
    }
}

impl Pool for Cidr {
    type Key = ServiceKey;
    type Value = IpAddr;

    fn holds(&self, _: &ServiceKey, ip: IpAddr) -> bool {
        let broadcast = self.0.network().is_ipv4() && ip == self.0.broadcast();
        self.0.contains(&ip) && ip != self.0.network() && !broadcast
    }

    /// Neither the network's own address, nor its first (often a router's), nor the broadcast address.
    fn numbers(&self) -> Option<RangeInclusive<u128>> {
        let (first, last) = (number(self.0.network()).checked_add(2)?, number(self.0.broadcast()));
        let last = if self.0.network().is_ipv4() { last.checked_sub(1)? } else { last };
        (first <= last).then_some(first..=last)
    }

    fn value(&self, _: &ServiceKey, number: u128) -> IpAddr {
        // A number inside an IPv4 range fits 32 bits.
        if self.0.network().is_ipv4() { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
    }

    fn outside(&self, ip: IpAddr) -> Problem {
        Problem::error(Reason::AddressRefused, format!("{ip} is not an address of the service CIDR"))
            .at("spec.clusterIP")
            .expected(format!("an address in {}", self.0))
            .fix("remove spec.clusterIP so that one is allocated, or set --service-cidr; all but its virtual IP works without")
    }

    fn taken(&self, ip: IpAddr, winner: &ServiceKey) -> Problem {
        Problem::error(Reason::Conflict, format!("{ip} belongs to Service {winner}, which asked for it and is older"))
            .at("spec.clusterIP")
            .expected("an address that no other Service asks for")
            .fix("remove spec.clusterIP so that one is allocated, or ask for another")
    }

    fn exhausted(&self) -> Problem {
        Problem::error(Reason::Conflict, format!("no address is left in {}", self.0))
            .at("spec.clusterIP")
            .fix("set a larger --service-cidr")
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

#[cfg(test)]
mod tests;
