//! Makes the range of virtual IPs this machine's own, by a route of type `local`: any address of it can be bound then, and whoever is on
//! the network that contains the range is answered when it asks for one (ARP, neighbour discovery).
//!
//! Needs CAP_NET_ADMIN, and raises it for the call alone, on the control thread alone. Invariant: the route goes to the interface on whose
//! network the range is, else to loopback, so that no other network is answered for it; the kernel takes it away with the interface, and
//! then it is laid again on the one that has the network now.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use config::problem::{Problem, Reason};
use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Error, RouteMessageBuilder};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// The table of what is local (rt_tables(5)).
const LOCAL: u32 = 255;
/// Between two looks at the interfaces.
const LOOK: Duration = Duration::from_secs(2);

/// A range that was claimed.
pub(crate) struct Claim {
    range: IpNet,
    interface: Interface,
}

/// Where the range is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    index: u32,
    name: String,
}

impl Claim {
    /// Claims the range.
    ///
    /// # Errors
    /// The system does not let us, or the interfaces cannot be listed.
    pub(crate) async fn lay(range: IpNet) -> Result<Claim, Problem> {
        let interface = interface(range).map_err(|error| refused(range, &error))?;
        route(range, interface.index).await.map_err(|error| refused(range, &error))?;
        tracing::info!(%range, interface = %interface.name, "claimed the range of virtual IPs");
        Ok(Claim { range, interface })
    }

    /// Lays the route again whenever its interface is another one. Ends with the process.
    pub(crate) async fn keep(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let found = interface(self.range);
            let Ok(now) = found else { continue };
            if now == self.interface {
                continue;
            }
            match Claim::lay(self.range).await {
                Ok(claim) => self = claim,
                Err(problem) => tracing::error!("{problem}"),
            }
        }
    }
}

/// The interface on whose network the range is, else loopback.
fn interface(range: IpNet) -> io::Result<Interface> {
    let all = if_addrs::get_if_addrs()?;
    let of = |found: &if_addrs::Interface| found.index.map(|index| Interface { index, name: found.name.clone() });
    let on = all.iter().filter(|found| network(&found.addr).is_some_and(|network| network.contains(&range) && network.prefix_len() > 0));
    let loopback = all.iter().filter(|found| found.is_loopback());
    on.chain(loopback).find_map(of).ok_or_else(|| io::Error::other("there is no interface that is up, not even loopback"))
}

fn network(address: &if_addrs::IfAddr) -> Option<IpNet> {
    let (ip, length): (IpAddr, u8) = match address {
        if_addrs::IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen),
        if_addrs::IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen),
    };
    IpNet::new(ip, length).ok().map(|net| net.trunc())
}

async fn route(range: IpNet, interface: u32) -> Result<(), Error> {
    let _raised = Raised::new();
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| Error::NamespaceError(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let message = match range {
        IpNet::V4(range) => {
            local(RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(range.network(), range.prefix_len()), interface)
        }
        IpNet::V6(range) => {
            local(RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(range.network(), range.prefix_len()), interface)
        }
    };
    let done = handle.route().add(message).replace().execute().await;
    connection.abort();
    done
}

fn local<T>(route: RouteMessageBuilder<T>, interface: u32) -> rtnetlink::packet_route::route::RouteMessage {
    route.output_interface(interface).table_id(LOCAL).kind(RouteType::Local).scope(RouteScope::Host).build()
}

/// CAP_NET_ADMIN is in effect while this is there, if this process may have it at all.
struct Raised;

impl Raised {
    fn new() -> Raised {
        set(|effective, permitted| effective | (permitted & CapabilitySet::NET_ADMIN));
        Raised
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // Whoever runs with all rights keeps them.
        if !rustix::process::geteuid().is_root() {
            set(|effective, _| effective - CapabilitySet::NET_ADMIN);
        }
    }
}

/// What cannot be had is told by the call that needs it.
fn set(change: impl FnOnce(CapabilitySet, CapabilitySet) -> CapabilitySet) {
    if let Ok(mut sets) = capabilities(None) {
        sets.effective = change(sets.effective, sets.permitted);
        let _ = set_capabilities(None, sets);
    }
}

fn refused(range: IpNet, error: &dyn std::fmt::Display) -> Problem {
    let problem = Problem::error(Reason::AddressRefused, format!("`{range}` cannot be claimed: {error}")).at("claimServiceCidr");
    let problem = problem.expected("CAP_NET_ADMIN");
    problem.fix(
        "give it to this container alone (`cap_add: [NET_ADMIN]`), or to the binary (`setcap cap_net_admin+p`); or do not claim the range",
    )
}
