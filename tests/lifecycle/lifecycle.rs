//! Services that have nobody for a moment, replicas that fail, and replicas that leave: what becomes of requests and connections.

use std::net::SocketAddr;
use std::thread::{JoinHandle, spawn};

use tidegate_tests::objects::{app, file, ingress, path, pod, service};
use tidegate_tests::{Behaviour, Client, Net, Replica, Response, Setup, Tidegate, await_until};

mod again;
mod leaving;
mod waiting;

/// A request on its way, by a client of its own.
fn ask(at: SocketAddr, method: &str, path: &str) -> JoinHandle<Response> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n");
    spawn(move || {
        let mut client = Client::connect(at);
        client.send(head);
        client.response()
    })
}

fn answer(request: JoinHandle<Response>) -> Response {
    request.join().expect("the client panicked")
}

/// The address of a Service's VIP, once it is bound.
fn vip(gate: &Tidegate, name: &str) -> SocketAddr {
    let rows = gate.rows("services");
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no service {name} in {rows:?}"));
    let ip = row["vip"].as_str().and_then(|ip| ip.parse().ok()).unwrap_or_else(|| panic!("no VIP: {row}"));
    let port = row["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_else(|| panic!("no port: {row}"));
    let address = SocketAddr::new(ip, port);
    await_until(&format!("{address} to be bound"), || {
        gate.rows("listeners").iter().any(|row| row["address"] == address.to_string() && row["error"].is_null())
    });
    address
}

/// A Pod that was told to end and is not Ready any more.
fn terminating(pod: &str) -> String {
    let ends = "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', ";
    pod.replace("metadata: {", ends).replace("status: 'True'", "status: 'False'")
}
