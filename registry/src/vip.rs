//! Which virtual IP a service has.
//!
//! Invariant: one address has one holder, and a holder keeps it: through restarts (saved), and for the life of the process even
//! when the service is deleted, so that one that returns finds its address again. Only two things take an address away: a
//! `clusterIP` that asks for it, and an exhausted range, which takes from services that are gone.
//! The outcome of one update does not depend on the order of its services.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::object::{ClusterIp, Service, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};
use ipnet::IpNet;

use crate::state::SavedVip;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Orders two claims: the older service first.
type Claim = (i64, ServiceKey);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Want {
    Any,
    Exactly(IpAddr, Claim),
}

/// The table of virtual IPs.
#[derive(Debug)]
pub(crate) struct Vips {
    cidr: IpNet,
    wants: Map<ServiceKey, Want>,
    given: Map<ServiceKey, IpAddr>,
    holders: Map<IpAddr, ServiceKey>,
    asked: Map<IpAddr, BTreeSet<Claim>>,
    problems: BTreeMap<ServiceKey, Problem>,
    next: u128,
    unsaved: bool,
}

impl Vips {
    /// Allocates from `cidr`; `saved` addresses that are still in it are kept for their services.
    pub(crate) fn new(cidr: IpNet, saved: Vec<SavedVip>) -> Vips {
        let mut vips = Vips {
            cidr: cidr.trunc(),
            wants: Map::default(),
            given: Map::default(),
            holders: Map::default(),
            asked: Map::default(),
            problems: BTreeMap::new(),
            next: 0,
            unsaved: false,
        };
        let many = saved.len();
        for SavedVip { service, ip } in saved {
            if vips.usable(ip) && !vips.holders.contains_key(&ip) && !vips.given.contains_key(&service) {
                vips.give(service, ip);
            }
        }
        vips.unsaved = vips.given.len() < many;
        vips
    }

    /// Takes in services that are new, changed or (`None`) gone. Whoever's address may have changed is in the answer.
    pub(crate) fn update<'a>(&mut self, changes: impl IntoIterator<Item = (&'a ServiceKey, Option<&'a Service>)>) -> BTreeSet<ServiceKey> {
        let (mut changed, mut contested) = (BTreeSet::new(), BTreeSet::new());
        for (key, service) in changes {
            let want = service.and_then(|service| want(key, service));
            if self.wants.get(key) == want.as_ref() {
                continue;
            }
            changed.insert(key.clone());
            self.problems.remove(key);
            if let Some(Want::Exactly(ip, claim)) = self.wants.remove(key) {
                contested.insert(ip);
                self.asked.entry(ip).or_default().remove(&claim);
            }
            if let Some(Want::Exactly(ip, claim)) = &want {
                contested.insert(*ip);
                self.asked.entry(*ip).or_default().insert(claim.clone());
            }
            self.wants.extend(want.map(|want| (key.clone(), want)));
        }
        for ip in contested {
            self.settle(ip, &mut changed);
        }
        self.allocate(&changed);
        changed
    }

    /// Gives a contested address to the oldest service that asks for it.
    fn settle(&mut self, ip: IpAddr, changed: &mut BTreeSet<ServiceKey>) {
        let claims = self.asked.remove(&ip).unwrap_or_default();
        let Some((_, winner)) = claims.first() else { return };
        let usable = self.usable(ip);
        if usable && self.holders.get(&ip) != Some(winner) {
            if let Some(holder) = self.holders.remove(&ip) {
                self.given.remove(&holder);
                self.unsaved = true;
                changed.insert(holder);
            }
            self.give(winner.clone(), ip);
        }
        for (index, (_, key)) in claims.iter().enumerate() {
            changed.insert(key.clone());
            if !usable {
                self.problems.insert(key.clone(), outside(ip, self.cidr));
            } else if index > 0 {
                self.problems.insert(key.clone(), taken(ip, winner));
            } else {
                self.problems.remove(key);
            }
        }
        self.asked.insert(ip, claims);
    }

    fn allocate(&mut self, changed: &BTreeSet<ServiceKey>) {
        for key in changed {
            if self.wants.get(key) != Some(&Want::Any) || self.given.contains_key(key) {
                continue;
            }
            match self.free().or_else(|| self.reclaim()) {
                Some(ip) => self.give(key.clone(), ip),
                None => _ = self.problems.insert(key.clone(), exhausted(self.cidr)),
            }
        }
    }

    /// The next address that nobody has: neither the network's own, nor its first (often a router's), nor the broadcast address.
    fn free(&mut self) -> Option<IpAddr> {
        let (first, last) = (number(self.cidr.network()).checked_add(2)?, number(self.cidr.broadcast()));
        let last = if self.cidr.network().is_ipv4() { last.checked_sub(1)? } else { last };
        for _ in 0..=self.holders.len() {
            let at = if (first..=last).contains(&self.next) { self.next } else { first };
            if at > last {
                return None;
            }
            self.next = at.wrapping_add(1);
            let ip = address(at, self.cidr.network().is_ipv4());
            if !self.holders.contains_key(&ip) {
                return Some(ip);
            }
        }
        None
    }

    /// The lowest address of a service that is gone.
    fn reclaim(&mut self) -> Option<IpAddr> {
        let gone = self.holders.iter().filter(|(_, key)| !self.wants.contains_key(*key)).map(|(ip, _)| *ip).min()?;
        let holder = self.holders.remove(&gone)?;
        self.given.remove(&holder);
        Some(gone)
    }

    fn give(&mut self, key: ServiceKey, ip: IpAddr) {
        if let Some(old) = self.given.insert(key.clone(), ip) {
            self.holders.remove(&old);
        }
        self.holders.insert(ip, key);
        self.unsaved = true;
    }

    fn usable(&self, ip: IpAddr) -> bool {
        let broadcast = self.cidr.network().is_ipv4() && ip == self.cidr.broadcast();
        self.cidr.contains(&ip) && ip != self.cidr.network() && !broadcast
    }

    /// The address that a living service has.
    pub(crate) fn of(&self, key: &ServiceKey) -> Option<IpAddr> {
        let given = self.given.get(key).copied()?;
        match self.wants.get(key)? {
            Want::Any => Some(given),
            Want::Exactly(ip, _) => (*ip == given).then_some(given),
        }
    }

    /// Services without the address that they want, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&ServiceKey, &Problem)> {
        self.problems.iter()
    }

    /// Every address and its holder, when that changed since the last call.
    pub(crate) fn unsaved(&mut self) -> Option<Vec<SavedVip>> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let mut all: Vec<SavedVip> = self.given.iter().map(|(service, &ip)| SavedVip { service: service.clone(), ip }).collect();
        all.sort_by(|a, b| a.service.cmp(&b.service));
        Some(all)
    }
}

/// `None`: headless and ExternalName services have no address.
fn want(key: &ServiceKey, service: &Service) -> Option<Want> {
    match (&service.service_type, service.cluster_ip) {
        (ServiceType::ExternalName(_), _) | (_, ClusterIp::Headless) => None,
        (_, ClusterIp::Allocate) => Some(Want::Any),
        (_, ClusterIp::Asked(ip)) => Some(Want::Exactly(ip, (service.meta.created.unwrap_or(i64::MAX), key.clone()))),
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    // A number inside an IPv4 range fits 32 bits.
    if v4 { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
}

fn outside(ip: IpAddr, cidr: IpNet) -> Problem {
    Problem::error(Reason::AddressRefused, format!("{ip} is not an address of the service CIDR"))
        .at("spec.clusterIP")
        .expected(format!("an address in {cidr}"))
        .fix("remove spec.clusterIP so that one is allocated, or set --service-cidr; all but its virtual IP works without")
}

fn taken(ip: IpAddr, winner: &ServiceKey) -> Problem {
    Problem::error(Reason::Conflict, format!("{ip} belongs to Service {winner}, which asked for it and is older"))
        .at("spec.clusterIP")
        .expected("an address that no other Service asks for")
        .fix("remove spec.clusterIP so that one is allocated, or ask for another")
}

fn exhausted(cidr: IpNet) -> Problem {
    Problem::error(Reason::Conflict, format!("no address is left in {cidr}")).at("spec.clusterIP").fix("set a larger --service-cidr")
}

#[cfg(test)]
mod tests;
