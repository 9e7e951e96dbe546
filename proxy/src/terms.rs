//! The settings that workers go by, which may change while they run.
//!
//! Invariant: a look costs a load, no count and no lock. For that, terms live as long as the process: an edit of the settings file
//! leaks the few hundred bytes of those before it.

use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Deref;

use config::settings::{Limits, Outlier, ProxiedListener, Settings};
use ipnet::IpNet;

use crate::listener::contains;

/// What workers go by.
#[derive(Debug)]
pub struct Terms {
    /// Limits and time-outs.
    pub limits: Limits,
    /// When a replica's failures are told.
    pub outlier: Outlier,
    /// Peers whose forwarding headers are believed.
    pub trusted: Vec<IpNet>,
    /// Peers that internal listeners accept.
    pub internal: Vec<IpNet>,
    /// Names of listeners on which trusted peers send a PROXY protocol header.
    pub proxied: Vec<&'static str>,
}

impl Terms {
    /// Those of the settings, for the rest of the process.
    pub fn of(settings: &Settings) -> &'static Terms {
        let name = |listener: &ProxiedListener| match listener {
            ProxiedListener::Http => "http",
            ProxiedListener::Https => "https",
            ProxiedListener::InternalHttp => "internal-http",
        };
        Box::leak(Box::new(Terms {
            limits: settings.limits,
            outlier: settings.outlier,
            trusted: settings.trusted_proxies.clone(),
            internal: settings.internal_cidrs.clone(),
            proxied: settings.proxy_protocol.iter().map(name).collect(),
        }))
    }

    /// Whether a connection of this peer to this listener begins with a header that says whom it speaks for.
    pub fn expect_header(&self, listener: &str, peer: IpAddr) -> bool {
        self.proxied.contains(&listener) && contains(&self.trusted, peer)
    }
}

/// A value that one thread reads and now and then replaces.
pub struct Live<T: 'static>(Cell<&'static T>);

impl<T> Live<T> {
    /// Beginning with this one.
    pub fn new(first: &'static T) -> Live<T> {
        Live(Cell::new(first))
    }

    /// From now on another one.
    pub fn renew(&self, next: &'static T) {
        self.0.set(next);
    }
}

impl<T> Deref for Live<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_expected_of_trusted_peers_on_named_listeners_alone() {
        let settings = Settings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            proxy_protocol: vec![ProxiedListener::Https, ProxiedListener::InternalHttp],
            ..Settings::default()
        };
        let terms = Terms::of(&settings);
        let expected = |listener, ip: &str| terms.expect_header(listener, ip.parse().unwrap());
        assert!(expected("https", "10.1.1.1") && expected("internal-http", "::ffff:10.1.1.1"));
        assert!(!expected("https", "192.0.2.1") && !expected("http", "10.1.1.1") && !expected("vip shop/web:80", "10.1.1.1"));
    }
}
