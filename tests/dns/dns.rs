//! Names, asked for by real clients: `dig`, and the C library.

use std::net::{IpAddr, SocketAddr};

use tidegate_tests::objects::{file, pod, service, service_at, unready_pod};
use tidegate_tests::{Datagrams, Net, Setup, Tidegate, await_until, dns};

mod dig;
mod inside;
mod libc;
mod listeners;
mod outside;

use dig::dig;

/// One that answers on a free port, and whom nobody outside would answer for it.
fn setup(net: &Net) -> Setup {
    Setup::new(net).flag("--dns", "127.0.0.1:0").config("dns: {forward: false}\n")
}

/// Where it answers.
fn at(gate: &Tidegate) -> SocketAddr {
    gate.listener("dns")
}

/// A headless Service over `app: NAME`, whose port is called `sql`.
fn headless(name: &str, port: u16) -> String {
    service_at(name, "None", port, port).replace("{port:", "{name: sql, port:")
}

/// A Pod that has a host name below a headless Service.
fn named_pod(name: &str, app: &str, ip: IpAddr) -> String {
    let (_, short) = name.split_once('/').expect("NAMESPACE/NAME");
    format!("{}spec: {{hostname: {short}, subdomain: {app}, containers: [{{name: a}}]}}\n", pod(name, app, ip))
}

/// How many questions were answered so.
fn counted(gate: &Tidegate, answer: &str) -> u64 {
    gate.sum("tidegate_dns_queries_total", &[&format!("answer=\"{answer}\"")]) as u64
}
