//! Names: what the app is told, by the sidecar itself and where the engine's resolver is asked first.

use crate::project::QUIET;
use crate::{Project, engine};

/// A container that is no Service, with another name on the network.
const CACHE: &str = r#"
services:
  cache:
    image: busybox:1.36
    command: [sh, -c, 'exec httpd -f -p 6379']
    stop_signal: SIGKILL
    networks: {default: {aliases: [cache.test]}}
"#;
/// The engine's resolver first, and the sidecar for what that does not know.
const ENGINE_FIRST: &str = "services: {gate: {dns: [127.0.0.1]}}\n";

#[test]
fn what_is_no_service_is_asked_of_the_engine() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "foreign", &[QUIET, ("docker-compose.override.yml", CACHE)]);
    let address = shop.field("cache", ".NetworkSettings.Networks.foreign_default.IPAddress");
    assert_eq!(shop.told("cache.test"), std::slice::from_ref(&address));
    assert_eq!(shop.told("cache.foreign_default"), [address]);
    let none = shop.app("nslookup cache 2>&1 || true");
    assert!(none.contains("NXDOMAIN"), "a name of one label is a Service's or nobody's: {none}");
}

#[test]
fn where_the_engine_is_asked_first_a_service_is_known_by_its_longer_name() {
    let Some(engine) = engine() else { return };
    let changes = [
        QUIET,
        ("docker-compose.override.yml", ENGINE_FIRST),
        ("resolv.conf", "nameserver 127.0.0.11\n"), // as the engine writes it
        ("tidegate.yaml", "dns: {servers: [192.0.2.53]}\n"),
    ];
    let shop = Project::up(engine, "second", &changes);
    let vip = shop.told("orders.second");
    assert!(vip.len() == 1 && vip[0].starts_with("127.96."), "{vip:?}");
    let (direct, mut replicas) = (shop.told("orders"), Vec::new());
    for id in shop.containers("orders") {
        replicas.push(shop.docker(&["inspect", "-f", "{{.NetworkSettings.Networks.second_default.IPAddress}}", &id]));
    }
    assert_eq!(direct.len(), 2);
    assert!(direct.iter().all(|address| replicas.contains(address)), "past the sidecar: {direct:?}");
}
