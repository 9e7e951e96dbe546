//! `dns`: where names are answered, which, and who is asked for the others.
//!
//! Invariant: the zone and the namespaces are lower-case host names without a dot at their end.

use std::net::SocketAddr;

/// How names are answered (docs/dns.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// `dns.listen`: addresses that answer, over UDP and TCP each. Default none.
    pub listen: Vec<SocketAddr>,
    /// `dns.zone`: what the names of Services end in. Default `cluster.local`.
    pub zone: String,
    /// `dns.search`: namespaces in which a name of one label is looked for, the first that has it first. Default none.
    pub search: Vec<String>,
    /// `dns.ttlS`: how long a client may keep an answer from the picture, in seconds. Default 5 s.
    pub ttl_s: u32,
    /// `dns.forward`: names that are not ours are asked for. Default true.
    pub forward: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Dns { listen: Vec::new(), zone: "cluster.local".to_owned(), search: Vec::new(), ttl_s: 5, forward: true }
    }
}
