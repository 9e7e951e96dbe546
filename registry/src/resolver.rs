//! Who is asked by DNS: the servers of the settings, else those that the system names.
//!
//! Invariant: whoever needs a name from outside asks the same servers, the source of ExternalName addresses and the DNS listener that
//! forwards. It asks nobody itself, and decides nothing.

use std::net::SocketAddr;

use config::problem::{Problem, Reason};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf;

/// The servers and how they are asked; none in the settings means as the system says.
///
/// # Errors
/// The system's configuration cannot be read.
pub fn servers(settings: &[SocketAddr]) -> Result<(ResolverConfig, ResolverOpts), Problem> {
    if settings.is_empty() {
        return system_conf::read_system_conf().map_err(|error| unusable(&error));
    }
    let mut config = ResolverConfig::default();
    config.name_servers = settings.iter().map(server).collect();
    Ok((config, ResolverOpts::default()))
}

/// Why nobody can be asked.
pub fn unusable(error: &dyn std::fmt::Display) -> Problem {
    let problem = Problem::error(Reason::Unreadable, format!("DNS cannot be asked: {error}")).at("dns.servers");
    problem.expected("a system with /etc/resolv.conf").fix("name servers in dns.servers")
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}
