//! The addresses of outside names (ExternalName), as DNS says, and which of them clients outside may be led to.
//!
//! Invariant: fail closed. A name that `externalName.allow` does not list is not even asked for. An answer may be anybody's (DNS rebinding):
//! outside, it never leads to this machine, to link-local or metadata addresses or to the service CIDR, unless
//! `externalName.allowInside` lists the name; and nowhere to an address that no host has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use config::object::{Name, Object, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};

use super::World;
use crate::view::SourceView;

/// Addresses at which clouds tell a machine its secrets, beside the link-local ones.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// A name is asked for every five minutes at least: one that nobody told anything of for longer is not followed any more.
const SILENT: Duration = Duration::from_secs(400);

/// What DNS said.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: BTreeMap<Name, Known>,
    /// Who leads to each name.
    leading: BTreeMap<Name, BTreeSet<ServiceKey>>,
}

/// One name.
#[derive(Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// When there was an answer last.
    heard: Duration,
    /// Why there is none now.
    stale: Option<Problem>,
}

impl Names {
    /// The last good answer.
    pub(super) fn of(&self, name: &Name) -> &[IpAddr] {
        self.known.get(name).map_or(&[], |known| &known.addresses)
    }

    /// Keeps track of who leads where.
    pub(super) fn set_service(&mut self, key: &ServiceKey, before: Option<&Object>, after: Option<&Object>) {
        if let Some(name) = before.and_then(leads_to)
            && let Some(keys) = self.leading.get_mut(name)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.leading.remove(name);
            }
        }
        if let Some(name) = after.and_then(leads_to) {
            self.leading.entry(name.clone()).or_default().insert(key.clone());
        }
    }

    /// Names that nobody answers for, with those who lead there.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&ServiceKey, &Problem)> {
        let stale = self.known.iter().filter_map(|(name, known)| Some((self.leading.get(name)?, known.stale.as_ref()?)));
        stale.flat_map(|(keys, problem)| keys.iter().map(move |key| (key, problem)))
    }

    /// Marks names that nothing was heard of for too long as stale. True when there is one.
    pub(crate) fn miss_silent(&mut self, now: Duration) -> bool {
        let mut missed = false;
        for (name, known) in &mut self.known {
            if known.stale.is_none() && now.saturating_sub(known.heard) > SILENT {
                let found = format!("nothing was heard of {name} for {} s; its last addresses serve", SILENT.as_secs());
                let problem = Problem::warning(Reason::Unreadable, found).expected("an answer of DNS every 300 s");
                known.stale = Some(problem.fix("look at the DNS servers, or restart the process"));
                missed = true;
            }
        }
        missed
    }

    /// Each name as a source.
    pub(crate) fn views(&self, now: Duration) -> impl Iterator<Item = SourceView> {
        self.known.iter().map(move |(name, known)| SourceView {
            name: format!("dns:{name}"),
            state: if known.stale.is_some() { "stale" } else { "ok" }.to_owned(),
            age_s: now.saturating_sub(known.heard).as_secs_f64(),
            objects: known.addresses.len(),
            skipped: BTreeMap::new(),
            problems: usize::from(known.stale.is_some()),
        })
    }
}

/// The name that a Service leads to.
fn leads_to(object: &Object) -> Option<&Name> {
    let Object::Service(service) = object else { return None };
    if let ServiceType::ExternalName(name) = &service.service_type { Some(name) } else { None }
}

impl World {
    /// Takes in what DNS says of a name.
    pub(crate) fn set_name(&mut self, name: Name, answer: Result<Vec<IpAddr>, Problem>, now: Duration) {
        let known = self.names.known.entry(name.clone()).or_default();
        match answer {
            Ok(addresses) => {
                let mut addresses: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).filter(|ip| is_a_hosts(*ip)).collect();
                addresses.sort();
                addresses.dedup();
                *known = Known { addresses, heard: now, stale: None };
            }
            Err(problem) => known.stale = Some(problem),
        }
        self.dirty.extend(self.names.leading.get(&name).into_iter().flatten().cloned());
    }

    /// Forgets what nobody wants any more. True when there was something: whoever leads there has no endpoint then.
    pub(crate) fn keep_names(&mut self, wanted: &BTreeSet<Name>) -> bool {
        let unwanted = self.names.known.keys().filter(|name| !wanted.contains(*name));
        let gone: Vec<Name> = unwanted.cloned().collect();
        for name in &gone {
            self.names.known.remove(name);
            self.dirty.extend(self.names.leading.get(name).into_iter().flatten().cloned());
        }
        !gone.is_empty()
    }

    /// Whether an ExternalName service may lead there at all.
    pub(crate) fn may_lead_to(&self, name: &str) -> bool {
        self.ground.names.iter().any(|pattern| pattern.takes(name))
    }

    /// The names whose addresses are wanted: those of these services that may lead there.
    pub(crate) fn wanted_names<'a>(&'a self, services: impl Iterator<Item = &'a ServiceKey>) -> BTreeSet<Name> {
        let entries = services.filter_map(|key| self.services.get(key));
        let names = entries.filter_map(|entry| leads_to(&entry.object));
        names.filter(|name| self.may_lead_to(name)).cloned().collect()
    }

    /// Why a client outside may not be led to this address of the name.
    pub(super) fn is_inside(&self, name: &str, address: IpAddr) -> Option<&'static str> {
        if self.ground.names_inside.iter().any(|pattern| pattern.takes(name)) {
            return None;
        }
        let ip = carried_in(address.to_canonical());
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        match ip {
            ip if ip.is_loopback() || self.own.local.contains(&ip) => Some("an address of this machine"),
            _ if link_local => Some("a link-local address"),
            ip if METADATA.contains(&ip) => Some("an address of a cloud's metadata"),
            ip if self.ground.service_cidr.contains(&ip) => Some("an address of the service CIDR"),
            _ => None,
        }
    }
}

/// The IPv4 address that some IPv6 addresses lead to: by NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn carried_in(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => ip,
    }
}

/// Whether a host may have it. Connecting to some others reaches this machine.
fn is_a_hosts(address: IpAddr) -> bool {
    let nobodys = match address {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    !nobodys
}
