//! The PROXY protocol, in and out: by exact bytes, by curl, and by HAProxy, whose protocol it is.

use std::net::SocketAddr;

use tidegate_tests::objects::{app, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until};

mod haproxy;
mod incoming;
mod outgoing;

const TRUSTING: &str = "trustedProxies: [127.0.0.1/32]\nproxyProtocol: [http, https, internalHttp]\n";

/// `app.example`, and a proxy at 127.0.0.1 that is trusted.
fn scene(behaviour: Behaviour, adjust: impl FnOnce(Setup) -> Setup) -> (Tidegate, Replica, Net) {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", behaviour);
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).config(TRUSTING);
    (adjust(setup).start(), replica, net)
}

/// A header of version 2 of a client on IPv4.
fn v2(client: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(client.into_iter().chain([192, 0, 2, 1]));
    bytes.extend(port.to_be_bytes().into_iter().chain([0, 80]));
    bytes
}

/// The VIP of a service, once it is bound.
fn vip(gate: &Tidegate, name: &str, port: u16) -> SocketAddr {
    let ip = gate.rows("services").iter().find(|row| row["name"] == name).and_then(|row| row["vip"].as_str()?.parse().ok());
    let address = SocketAddr::new(ip.expect("a virtual IP"), port);
    await_until("the VIP to be bound", || {
        gate.rows("listeners").iter().any(|row| row["address"] == address.to_string() && row["error"].is_null())
    });
    address
}
