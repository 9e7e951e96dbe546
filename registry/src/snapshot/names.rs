//! What Services are called by DNS: the table that names inside are answered from.
//!
//! Invariant: what is not in here has no name inside, whoever asks. Names are lower case, as the API has them. A change of one Service copies
//! the names of its own namespace and shares those of all others; endpoints of a Service with a virtual IP are not in here, so that
//! they come and go without it. It knows nothing of the wire, of zones, or of who may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::object::{Name, Protocol, ServiceKey};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Every Service that has a name, by namespace.
#[derive(Clone, Debug, Default)]
pub struct NameTable {
    namespaces: Map<Name, Arc<Space>>,
}

/// The names of one namespace.
#[derive(Clone, Debug, Default)]
struct Space {
    services: Map<Name, Arc<Called>>,
    /// The Services that an address is an answer for.
    by_address: Map<IpAddr, Vec<Name>>,
}

/// What the name of a Service leads to (Kubernetes DNS-Based Service Discovery 1.1.0, section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// Its virtual IP; `None` while it has none.
    Vip {
        /// The address.
        ip: Option<IpAddr>,
        /// Its ports that have a name.
        ports: Box<[NamedPort]>,
    },
    /// It is headless: whoever is ready, in the order of their addresses, each address and name once.
    Headless(Box<[NamedHost]>),
    /// Another name (ExternalName).
    Elsewhere(Name),
}

/// A port with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPort {
    /// `spec.ports[].name`
    pub name: Name,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where whoever is named listens: the Service's own port at a virtual IP, else the endpoint's.
    pub port: u16,
}

/// An endpoint of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHost {
    /// Where it is.
    pub ip: IpAddr,
    /// Its own label below the Service: its host name, else its address with dashes.
    pub name: Name,
    /// Its ports that have a name.
    pub ports: Arc<[NamedPort]>,
}

impl Called {
    /// Every address that it is an answer with.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let (vip, hosts) = match self {
            Called::Vip { ip, .. } => (*ip, &[][..]),
            Called::Headless(hosts) => (None, &**hosts),
            Called::Elsewhere(_) => (None, &[][..]),
        };
        vip.into_iter().chain(hosts.iter().map(|host| host.ip))
    }
}

impl NameTable {
    /// The Service of this name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Called> {
        self.namespaces.get(namespace)?.services.get(name).map(|called| &**called)
    }

    /// Whether some Service is in the namespace.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// The Services that the address is an answer for: namespace, name, and what it leads to. Looks once into each namespace.
    pub fn at(&self, ip: IpAddr) -> impl Iterator<Item = (&Name, &Name, &Called)> {
        self.namespaces.iter().flat_map(move |(namespace, space)| {
            let names = space.by_address.get(&ip).into_iter().flatten();
            names.filter_map(move |name| Some((namespace, name, &**space.services.get(name)?)))
        })
    }

    /// What a Service is called now; `None` when it is gone.
    pub(crate) fn set(table: &mut Arc<NameTable>, key: &ServiceKey, called: Option<Called>) {
        if table.service(&key.namespace, &key.name) == called.as_ref() {
            return; // nothing is copied for nothing
        }
        let namespaces = &mut Arc::make_mut(table).namespaces;
        let space = Arc::make_mut(namespaces.entry(key.namespace.clone()).or_default());
        space.set(&key.name, called);
        if space.services.is_empty() {
            namespaces.remove(&key.namespace);
        }
    }
}

impl Space {
    fn set(&mut self, name: &Name, called: Option<Called>) {
        let old = self.services.remove(name);
        for ip in old.iter().flat_map(|old| old.addresses()) {
            if let Some(names) = self.by_address.get_mut(&ip) {
                names.retain(|other| other != name);
                if names.is_empty() {
                    self.by_address.remove(&ip);
                }
            }
        }
        let Some(called) = called else { return };
        for ip in called.addresses() {
            let names = self.by_address.entry(ip).or_default();
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        self.services.insert(name.clone(), Arc::new(called));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        let (namespace, name) = name.split_once('/').unwrap();
        ServiceKey { namespace: namespace.into(), name: name.into() }
    }

    fn vip(ip: &str) -> Option<Called> {
        Some(Called::Vip { ip: Some(ip.parse().unwrap()), ports: Box::default() })
    }

    fn hosts(ips: &[&str]) -> Option<Called> {
        let host = |ip: &&str| NamedHost { ip: ip.parse().unwrap(), name: (*ip).into(), ports: Arc::default() };
        Some(Called::Headless(ips.iter().map(host).collect()))
    }

    fn at(table: &NameTable, ip: &str) -> Vec<String> {
        let mut all: Vec<String> = table.at(ip.parse().unwrap()).map(|(namespace, name, _)| format!("{namespace}/{name}")).collect();
        all.sort();
        all
    }

    #[test]
    fn a_service_is_found_by_its_name_and_by_its_addresses_until_it_goes() {
        let mut table = Arc::default();
        NameTable::set(&mut table, &key("a/web"), vip("10.0.0.1"));
        NameTable::set(&mut table, &key("a/db"), hosts(&["10.1.0.1", "10.1.0.2"]));
        NameTable::set(&mut table, &key("b/db"), hosts(&["10.1.0.2"]));
        assert_eq!(table.service("a", "web"), vip("10.0.0.1").as_ref());
        assert_eq!((at(&table, "10.0.0.1"), at(&table, "10.1.0.2")), (vec!["a/web".into()], vec!["a/db".into(), "b/db".into()]));
        NameTable::set(&mut table, &key("a/db"), hosts(&["10.1.0.1"]));
        assert_eq!((at(&table, "10.1.0.1"), at(&table, "10.1.0.2")), (vec!["a/db".into()], vec!["b/db".into()]));
        NameTable::set(&mut table, &key("b/db"), None);
        assert!(at(&table, "10.1.0.2").is_empty() && !table.has_namespace("b") && table.has_namespace("a"));
    }

    #[test]
    fn a_change_copies_its_own_namespace_alone_and_no_change_copies_nothing() {
        let mut table = Arc::default();
        NameTable::set(&mut table, &key("a/web"), vip("10.0.0.1"));
        NameTable::set(&mut table, &key("b/web"), vip("10.0.0.2"));
        let before = table.clone();
        NameTable::set(&mut table, &key("a/web"), vip("10.0.0.1"));
        assert!(Arc::ptr_eq(&before, &table));
        NameTable::set(&mut table, &key("a/web"), vip("10.0.0.3"));
        let same = |namespace| Arc::ptr_eq(&before.namespaces[namespace], &table.namespaces[namespace]);
        assert!(!same("a") && same("b"));
        assert_eq!(before.service("a", "web"), vip("10.0.0.1").as_ref(), "an older picture is as it was");
    }
}
