//! Services that are more than a virtual IP over TCP: UDP, node ports, load balancers.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tidegate_tests::objects::{file, pod, service};
use tidegate_tests::{Behaviour, Client, Datagrams, Net, Replica, Setup, Tidegate, await_until};

mod external_names;
mod node_ports;
mod requests;
mod udp;

/// Waits until a listener of this name is bound, and says where.
fn bound(gate: &Tidegate, name: &str) -> SocketAddr {
    gate.listener(name)
}

/// Where this net's node ports and load balancers are: nobody else's test has that address.
fn outside(net: &Net) -> IpAddr {
    net.pod_ip(250)
}

fn setup(net: &Net) -> Setup {
    Setup::new(net).config(&format!("external: {{addresses: ['{}']}}\n", outside(net)))
}
