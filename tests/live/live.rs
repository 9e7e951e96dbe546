//! Pods come and go while traffic flows: nothing that did not change notices, and nobody asks the dead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidegate_tests::objects::{app, file, pod, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until};

mod retries;

fn post(gate: &Tidegate, body: &str) -> tidegate_tests::Response {
    let mut client = Client::connect(gate.http());
    client.send(format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    client.response()
}

/// Ends the clients also when the test fails, so that it fails instead of hanging.
struct EndsOnDrop<'a>(&'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn edits_leave_connections_of_unchanged_routes_alone() {
    let net = Net::take();
    let kept = Replica::start(&net, "kept-0", Behaviour::Named);
    let echo = Replica::start(&net, "echo-0", Behaviour::TcpEcho);
    let other = Replica::start(&net, "other-0", Behaviour::Named);
    let gate = Setup::new(&net)
        .manifest("kept.yaml", app(&net, "kept", "kept.example", &[&kept]))
        .manifest("echo.yaml", tcp(&net, "echo", net.port(), &[&echo]))
        .manifest("other.yaml", app(&net, "other", "other.example", &[&other]))
        .flag("--workers", "2")
        .start();
    let vip = gate.rows("services").iter().find(|row| row["name"] == "echo").and_then(|row| row["vip"].as_str()?.parse().ok());
    let vip = std::net::SocketAddr::new(vip.expect("a VIP"), net.port());
    await_until("the VIP to be bound", || Client::try_connect(vip).is_ok());
    let mut http = Client::connect(gate.http());
    let mut tcp_client = Client::connect(vip);
    for turn in 0..10 {
        gate.write("other.yaml", &app(&net, "other", &format!("other-{turn}.example"), &[&other]));
        assert_eq!(gate.get(&format!("other-{turn}.example"), "/").replica(), "other-0");
        assert_eq!(http.get("kept.example", "/").replica(), "kept-0", "the client's connection lives");
        tcp_client.send("ping");
        assert_eq!(tcp_client.exactly(4).expect("the VIP connection lives"), b"ping");
    }
    assert_eq!(kept.connections(), 1, "and so does the replica's");
}

#[test]
fn after_the_workers_acknowledged_nobody_asks_the_removed_replica() {
    let net = Net::take();
    let replicas = ["app-0", "app-1", "app-2"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &replicas.each_ref())).flag("--workers", "2").start();
    let done = AtomicBool::new(false);
    let address = gate.http();
    let answered: [AtomicU64; 8] = Default::default();
    // What was on its way when this is called is answered when it returns.
    let each_client_goes_on = |more: u64| {
        let before = answered.each_ref().map(|count| count.load(Ordering::Relaxed));
        await_until("more answers for each client", || {
            answered.iter().zip(before).all(|(count, before)| count.load(Ordering::Relaxed) >= before + more)
        });
    };
    std::thread::scope(|scope| {
        let _ends = EndsOnDrop(&done);
        let done = &done;
        let clients: Vec<_> = answered
            .iter()
            .map(|answered| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let mut failed = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let response = client.get("app.example", "/");
                        answered.fetch_add(1, Ordering::Relaxed);
                        if response.status != 200 {
                            failed.push(response.status);
                        }
                    }
                    failed
                })
            })
            .collect();
        for round in 0..6 {
            let removed = &replicas[round % 3];
            let rest: Vec<_> = replicas.iter().filter(|replica| replica.name() != removed.name()).collect();
            gate.write("app.yaml", &app(&net, "app", "app.example", &rest));
            // A request that was sent before the acknowledgement may still be on its way: one for each client at most.
            let before = removed.requests();
            each_client_goes_on(1);
            let settled = removed.requests();
            let late = settled - before;
            assert!(late <= 8, "{late} requests reached {} after its removal", removed.name());
            each_client_goes_on(25);
            assert_eq!(removed.requests(), settled, "requests still reach {}", removed.name());
            gate.write("app.yaml", &app(&net, "app", "app.example", &replicas.each_ref()));
        }
        done.store(true, Ordering::Relaxed);
        for client in clients {
            let failed = client.join().expect("a client panicked");
            assert!(failed.is_empty(), "failures while replicas came and went: {failed:?}");
        }
    });
}

#[test]
fn a_replica_that_returns_on_a_new_ip_is_right_from_its_first_request() {
    let net = Net::take();
    let mut old = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&old])).start();
    for turn in 0..5 {
        assert_eq!(gate.get("app.example", "/").replica(), "app-0");
        let new = Replica::start(&net, "app-0", Behaviour::Named);
        gate.write("app.yaml", &app(&net, "app", "app.example", &[&new]));
        old.die();
        let response = gate.get("app.example", "/");
        assert_eq!((response.status, new.requests()), (200, 1), "turn {turn}");
        old = new;
    }
}

/// The old process still holds its connections: whoever confuses address and identity talks to it.
#[test]
fn another_pod_on_the_old_address_is_right_from_its_first_request() {
    let net = Net::take();
    let old = Replica::start(&net, "old-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "old", "old.example", &[&old])).start();
    for _ in 0..3 {
        assert_eq!(gate.get("old.example", "/").replica(), "old-0");
    }
    let before = old.requests();
    old.stop_listening();
    let new = Replica::at(old.address(), "new-0", Behaviour::Named);
    gate.write("app.yaml", &app(&net, "new", "new.example", &[&new]));
    for _ in 0..3 {
        assert_eq!(gate.get("new.example", "/").replica(), "new-0");
    }
    assert_eq!(old.requests(), before, "a pooled connection to the pod that was there before was used");
}

#[test]
fn the_same_pod_name_and_address_with_a_new_uid_is_another_replica() {
    let net = Net::take();
    let old = Replica::start(&net, "app-0", Behaviour::Named);
    let with_uid = |replica: &Replica, uid: &str| {
        app(&net, "app", "app.example", &[replica]).replace("name: app-0,", &format!("name: app-0, uid: {uid},"))
    };
    let gate = Setup::new(&net).manifest("app.yaml", with_uid(&old, "first")).start();
    assert_eq!(gate.get("app.example", "/").replica(), "app-0");
    let before = old.requests();
    old.stop_listening();
    let new = Replica::at(old.address(), "app-0b", Behaviour::Named);
    gate.write("app.yaml", &with_uid(&old, "second"));
    assert_eq!(gate.get("app.example", "/").replica(), "app-0b");
    assert_eq!(old.requests(), before);
    assert_eq!(new.requests(), 1);
}

#[test]
fn a_late_delete_of_the_old_pod_does_not_harm_the_new_one_on_its_address() {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let with = |pods: &[String]| file(&[app(&net, "app", "app.example", &[]), file(pods)]);
    let first = pod("first", "app", replica.ip());
    let second = pod("second", "app", replica.ip());
    let gate = Setup::new(&net).manifest("app.yaml", with(std::slice::from_ref(&first))).start();
    assert_eq!(gate.get("app.example", "/").replica(), "one");
    gate.swap("app.yaml", &with(&[first, second.clone()]));
    await_until("both pods to be known", || gate.rows("services").iter().any(|row| row["name"] == "app"));
    assert_eq!(gate.get("app.example", "/").replica(), "one", "an address that is listed twice counts once");
    gate.swap("app.yaml", &with(&[second]));
    let version = gate.version();
    assert_eq!(gate.get("app.example", "/").replica(), "one", "at version {version}");
    await_until("the second pod to be the endpoint", || {
        let rows = gate.rows("endpoints");
        rows.iter().any(|row| row["pod"] == "default/second" && row["state"] == "Ready")
    });
    assert_eq!(gate.get("app.example", "/").replica(), "one");
}

#[test]
fn a_terminating_pod_finishes_what_it_has_and_gets_nothing_new() {
    let net = Net::take();
    let leaving = Replica::start(&net, "leaving", Behaviour::Held);
    let staying = Replica::start(&net, "staying", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&leaving])).start();
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await_until("the request to reach the replica", || leaving.requests() == 1);
    let terminating = app(&net, "app", "app.example", &[&staying, &leaving])
        .replace("name: leaving,", "name: leaving, deletionTimestamp: '2024-01-01T00:00:00Z',");
    gate.write("app.yaml", &terminating);
    for _ in 0..20 {
        assert_eq!(gate.get("app.example", "/").replica(), "staying");
    }
    leaving.release();
    assert_eq!(client.response().replica(), "leaving", "what was in flight is answered");
}

#[test]
fn a_file_that_breaks_keeps_its_last_good_objects_and_says_so() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let good = app(&net, "app", "app.example", &[&replica]);
    let gate = Setup::new(&net).manifest("app.yaml", &good).start();
    gate.swap("app.yaml", &good[..good.len() / 2 + 3]);
    gate.await_problem(&["app.yaml"]);
    assert_eq!(gate.get("app.example", "/").replica(), "app-0");
    gate.swap("app.yaml", &good);
    await_until("the problem to be gone", || gate.rows("problems").is_empty());
    gate.change(|folder| std::fs::remove_file(folder.join("app.yaml")).expect("the file is there"));
    assert_eq!(gate.get("app.example", "/").status, 404, "a file that is deleted is no broken file");
}

#[test]
fn a_folder_that_vanishes_keeps_the_last_good_state_and_is_stale() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica])).start();
    let away = gate.home().join("away");
    std::fs::rename(gate.folder(), &away).expect("a folder can be renamed");
    await_until("the source to be stale", || gate.rows("sources").iter().any(|row| row["state"] == "stale"));
    assert_eq!(gate.get("app.example", "/").replica(), "app-0");
    assert_eq!(gate.sum("tidegate_source_stale", &[]), 1.0);
    std::fs::rename(&away, gate.folder()).expect("a folder can be renamed");
    await_until("the source to be back", || gate.rows("sources").iter().all(|row| row["state"] == "ok"));
    gate.write("more.yaml", &app(&net, "more", "more.example", &[&replica]));
    assert_eq!(gate.get("app.example", "/").replica(), "app-0");
}
