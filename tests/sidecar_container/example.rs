//! The example as it is written.

use std::collections::BTreeSet;

use tidegate_tests::await_until;

use crate::{Project, engine};

/// The value of a metric of the sidecar, as its app sees it.
fn metric(shop: &Project, name: &str) -> u64 {
    let all = shop.app("wget -q -O - http://127.0.0.1:9901/metrics");
    let line = all.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}:\n{all}"));
    line.trim().parse().expect("a number")
}

#[test]
fn an_app_reaches_a_service_by_its_name_through_its_own_sidecar_whatever_happens_to_replicas() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "kiosk", &[]);
    let vip = shop.told("orders");
    assert!(vip.len() == 1 && vip[0].starts_with("127.96."), "{vip:?}");
    shop.await_ready(2);
    for host in ["orders", "orders.kiosk.svc.cluster.local", &vip[0]] {
        let mut asking = shop.asking(&format!("http://{host}"));
        let mut seen = BTreeSet::new();
        await_until("both replicas to answer", || {
            seen.extend(asking.ask(1));
            seen.len() == 2
        });
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), shop.orders(), "{host}");
    }
    let counted = r#"tidegate_requests_total{exposure="internal",service="kiosk/orders:80",code="2xx"}"#;
    let before = metric(&shop, counted);
    let mut asking = shop.asking("http://orders");
    asking.ask(20);
    let gone = shop.containers("orders").remove(0);
    shop.docker(&["kill", &gone]);
    asking.ask(50);
    shop.await_ready(1);
    asking.ask(20);
    shop.docker(&["start", &gone]);
    shop.await_ready(2);
    asking.ask(50);
    assert!(metric(&shop, counted) - before >= asking.so_far, "the sidecar counts what its app asks: {}", asking.so_far);
    drop(asking);
    let row = shop.rows("services").into_iter().find(|row| row["namespace"] == "kiosk").expect("the Service");
    assert_eq!((&row["name"], &row["vip"]), (&"orders".into(), &vip[0].clone().into()));
    shop.compose(&["stop"]);
    assert_eq!([shop.ended("app"), shop.ended("gate")], ["0", "0"], "{}", shop.log("gate"));
    let log = shop.log("app");
    assert!(!log.is_empty() && !log.contains("failed"), "not once, from the app's first moment to its last:\n{log}");
    let gate = shop.log("gate");
    // Other cases' projects are out of reach, and it says so of them.
    let told = |line: &&str| line.contains(" kiosk/") && (line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(gate.lines().filter(told).collect::<Vec<_>>(), [""; 0]);
    assert!(gate.contains("drained"), "{gate}");
}
