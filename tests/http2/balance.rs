//! Which replica and which worker gets what one connection brings. Shares are measured where nothing else is (tests/balance).

use std::time::Duration;

use tidegate_tests::await_until;

use super::*;

#[test]
fn a_busy_replica_is_left_alone_also_within_one_connection() {
    let net = Net::take();
    let replicas = [
        Replica::start(&net, "held", Behaviour::Held),
        Replica::start(&net, "one", Behaviour::Named),
        Replica::start(&net, "two", Behaviour::Named),
    ];
    let gate = Setup::new(&net).manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &replicas.each_ref())).start();
    let mut client = Frames::connect(gate.http());
    let mut open = Vec::new();
    while replicas[0].requests() == 0 {
        open.push(client.get("shop.example", "/"));
        client.settle();
        client.until_quiet(Duration::from_millis(20));
        assert!(open.len() < 100, "the held replica was never asked");
    }
    for _ in 0..60 {
        open.push(client.get("shop.example", "/"));
        client.settle();
        client.until_quiet(Duration::from_millis(5));
    }
    let waiting = open.iter().filter(|&&stream| client.on(stream).end.is_none()).count();
    assert!(waiting <= 4, "{waiting} requests wait at the replica that one was waiting at");
    (0..waiting).for_each(|_| replicas[0].release());
}

#[test]
fn four_long_connections_leave_no_worker_idle() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let setup = Setup::new(&net).manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &[&replica]));
    let gate = setup.flag("--workers", "2").start();
    for turn in 0..10 {
        let mut clients: Vec<Frames> = (0..4).map(|_| Frames::connect(gate.http())).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.fetch("shop.example", "/").status, 200));
        let open = gate.metric("tidegate_worker_connections_open");
        assert!(open.len() == 2 && open.iter().all(|(_, connections)| *connections >= 1.0), "turn {turn}: {open:?}");
        drop(clients);
        await_until("all to be gone", || gate.sum("tidegate_worker_connections_open", &[]) == 0.0);
    }
}
