//! What the sidecar may do, and who reaches it: nothing, and its app alone.

use std::fs;
use std::net::SocketAddr;

use crate::project::QUIET;
use crate::{Project, engine};

#[test]
fn it_has_no_right_and_nobody_but_its_app_reaches_it() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "alone", &[QUIET]);
    let status = fs::read_to_string(format!("/proc/{}/status", shop.field("gate", ".State.Pid"))).expect("its process runs");
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t")).expect("a line of that name");
    for capabilities in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(line(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!([line("Uid"), line("NoNewPrivs")], ["65532\t65532\t65532\t65532", "1"]);
    assert_eq!(shop.field("gate", ".HostConfig.ReadonlyRootfs"), "true");
    shop.await_ready(2);
    let listeners = shop.rows("listeners");
    let bound: Vec<SocketAddr> =
        listeners.iter().map(|row| row["address"].as_str().and_then(|at| at.parse().ok()).expect("an address")).collect();
    assert!(bound.len() >= 4 && bound.iter().all(|at| at.ip().is_loopback()), "{listeners:?}");

    let vip = shop.told("orders").remove(0);
    let stranger = shop.containers("orders").remove(0);
    let connect = |address: &str, port: u16| format!("nc -w 5 {address} {port} </dev/null >/dev/null 2>&1; echo $?");
    let tries = |address: &str, port: u16| shop.docker(&["exec", &stranger, "sh", "-c", &connect(address, port)]);
    let network = format!(".NetworkSettings.Networks.{}_default.IPAddress", shop.name);
    let gate = shop.field("gate", &network);
    for port in bound.iter().map(SocketAddr::port).chain([80, 8080, 8443]) {
        assert_eq!(tries(&gate, port), "1", "{gate}:{port}");
    }
    assert_eq!(tries(&vip, 80), "1", "a virtual IP is the app's alone");
    let other = shop.containers("orders").remove(1);
    let other = shop.docker(&["inspect", "-f", &format!("{{{{{network}}}}}"), &other]);
    assert_eq!(tries(&other, 8080), "0", "what can be reached is seen to be");
    assert_eq!(shop.app(&connect(&vip, 80)), "0");
}
