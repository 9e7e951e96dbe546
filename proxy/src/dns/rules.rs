//! What the settings say of names: the zone, where short ones are looked for, who may ask.
//!
//! Invariant: the zone is a whole name in lower case. Renewed settings are new rules; nothing here changes.

use std::net::IpAddr;

use config::settings::Settings;
use hickory_server::proto::rr::Name;
use ipnet::IpNet;

/// The rules of one moment.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `dns.zone`
    pub zone: Name,
    /// Its labels from the root down.
    pub zone_labels: Vec<String>,
    /// `dns.search`
    pub search: Vec<String>,
    /// `dns.ttlS`, in seconds.
    pub ttl_s: u32,
    /// `dns.forward`
    pub forward: bool,
    /// `internalCidrs`: whose questions are answered.
    pub internal: Vec<IpNet>,
    /// `serviceCidr`: its reverse names are ours, used or not.
    pub service_cidr: IpNet,
    /// Where we listen: the addresses of the zone's name server.
    pub own: Vec<IpAddr>,
}

impl Rules {
    /// As the settings say, listening there.
    pub fn of(settings: &Settings, own: &[IpAddr]) -> Rules {
        // The settings hold host names alone; were it none, everything would be ours and nothing forwarded.
        let zone = Name::from_ascii(format!("{}.", settings.dns.zone)).unwrap_or_default();
        Rules {
            zone,
            zone_labels: settings.dns.zone.rsplit('.').map(str::to_owned).collect(),
            search: settings.dns.search.clone(),
            ttl_s: settings.dns.ttl_s,
            forward: settings.dns.forward,
            internal: settings.internal_cidrs.clone(),
            service_cidr: settings.service_cidr,
            own: own.iter().copied().filter(|ip| !ip.is_unspecified()).collect(),
        }
    }
}
