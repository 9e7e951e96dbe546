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
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Error, Handle, RouteMessageBuilder};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::task::JoinHandle;

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
        let all = if_addrs::get_if_addrs().map_err(|error| refused(range, &error))?;
        let gateways = gateways().await.map_err(|error| refused(range, &error))?;
        let taken = all.iter().map(|found| (found.ip(), format!("the address of {}", found.name)));
        free(range, taken.chain(gateways.into_iter().map(|gateway| (gateway, "the gateway".to_owned()))))?;
        let interface = interface(range, &all).map_err(|error| refused(range, &error))?;
        route(range, interface.index).await.map_err(|error| refused(range, &error))?;
        tracing::info!(%range, interface = %interface.name, "claimed the range of virtual IPs");
        Ok(Claim { range, interface })
    }

    /// Lays the route again whenever its interface is another one. Ends with the process.
    pub(crate) async fn keep(mut self) {
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let found = if_addrs::get_if_addrs().and_then(|all| interface(self.range, &all));
            let Ok(now) = found else { continue };
            if now == self.interface {
                continue;
            }
            match Claim::lay(self.range).await {
                Ok(claim) => (self, told) = (claim, None),
                Err(problem) if told.as_ref() == Some(&problem) => {}
                Err(problem) => {
                    tracing::error!("{problem}");
                    told = Some(problem);
                }
            }
        }
    }
}

/// Nobody whose address it is may be in the range: what is sent to him would come here.
fn free(range: IpNet, taken: impl Iterator<Item = (IpAddr, String)>) -> Result<(), Problem> {
    let Some((address, whose)) = taken.into_iter().find(|(address, _)| range.contains(address)) else { return Ok(()) };
    let problem = Problem::error(Reason::AddressRefused, format!("`{range}` holds {address}, {whose}")).at("claimServiceCidr");
    let problem = problem.expected("a range of virtual IPs with addresses that are given to nobody");
    Err(problem.fix("choose a part of the network outside of its `ip_range`, without the gateway and without Tidegate's own address"))
}

/// The interface on whose network the range is, else loopback.
fn interface(range: IpNet, all: &[if_addrs::Interface]) -> io::Result<Interface> {
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

fn connect() -> Result<(JoinHandle<()>, Handle), Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| Error::NamespaceError(error.to_string()))?;
    Ok((tokio::spawn(connection), handle))
}

/// Through whom what is elsewhere is sent.
async fn gateways() -> Result<Vec<IpAddr>, Error> {
    let (connection, handle) = connect()?;
    // One after the other: a socket that lists is busy (EBUSY).
    let mut routes: Vec<RouteMessage> = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute().try_collect().await?;
    let v6: Vec<RouteMessage> = handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute().try_collect().await?;
    routes.extend(v6);
    connection.abort();
    let gateway = |attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(ip.into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => Some(ip.into()),
        _ => None,
    };
    Ok(routes.into_iter().flat_map(|route| route.attributes).filter_map(gateway).collect())
}

async fn route(range: IpNet, interface: u32) -> Result<(), Error> {
    let _raised = Raised::new();
    let (connection, handle) = connect()?;
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

fn local<T>(route: RouteMessageBuilder<T>, interface: u32) -> RouteMessage {
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
        "give it to this container alone (`cap_add: [NET_ADMIN]`, without `no-new-privileges`, which takes it from whoever is not root), \
         or to the binary (`setcap cap_net_admin+p`); or do not claim the range",
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_range_that_holds_somebodys_address_is_refused() {
        let free = |range: &str| {
            let taken = [("127.0.0.1", "lo"), ("172.31.244.2", "eth0"), ("172.31.240.1", "the gateway")];
            let taken = taken.map(|(address, whose)| (address.parse().unwrap(), whose.to_owned()));
            super::free(range.parse().unwrap(), taken.into_iter()).map_err(|problem| problem.to_string())
        };
        for good in ["172.31.248.0/21", "127.96.0.0/16", "fd00::/64"] {
            assert_eq!(free(good), Ok(()), "{good}");
        }
        for (bad, whose) in [("172.31.240.0/30", "the gateway"), ("172.31.244.0/24", "eth0"), ("0.0.0.0/0", "lo"), ("127.0.0.0/8", "lo")] {
            let said = free(bad).unwrap_err();
            assert!(said.contains(bad) && said.contains(whose) && said.contains("fix:"), "{said}");
        }
    }
}
