//! Running it: ready, draining, logs, metrics, settings.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate_tests::objects::{app, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until, command};

mod logs;
mod reload;
mod signals;
mod start;

fn one_app(behaviour: Behaviour, adjust: impl FnOnce(Setup) -> Setup) -> (Tidegate, Replica, Net) {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", behaviour);
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica]));
    (adjust(setup).start(), replica, net)
}

#[test]
fn it_is_ready_only_after_the_first_whole_picture() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("app.yaml", app(&net, "app", "app.example", &[&replica]));
    let (folder, away) = (setup.folder(), setup.home().join("away"));
    std::fs::rename(&folder, &away).expect("a folder can be renamed");
    let gate = setup.launch();
    await_until("the admin to answer", || Client::try_connect(gate.admin()).is_ok() && gate.ask("/healthz").status == 200);
    let unready = gate.ask("/readyz");
    assert_eq!(unready.status, 503, "{}", unready.text());
    assert!(!unready.text().trim().is_empty(), "it says why");
    std::fs::rename(&away, &folder).expect("a folder can be renamed");
    await_until("ready", || gate.ask("/readyz").status == 200);
    assert_eq!(gate.get("app.example", "/").replica(), "app-0", "the first answer after ready is right");
}

#[test]
fn every_worker_serves() {
    let (gate, replica, _net) = one_app(Behaviour::Named, |setup| setup.flag("--workers", "3"));
    assert_eq!(gate.metric("tidegate_worker_acknowledged_version").len(), 3);
    for _ in 0..60 {
        assert_eq!(gate.get("app.example", "/").status, 200);
    }
    assert!(replica.connections() >= 2, "60 connections landed on one worker of three");
}

#[test]
fn the_metrics_that_the_documents_name_are_there() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let database = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let text = format!("{}---\n{}", app(&net, "app", "app.example", &[&replica]), tcp(&net, "db", net.port(), &[&database]));
    let gate = Setup::new(&net).manifest("app.yaml", text).flag("--metrics", "127.0.0.1:0").start();
    assert_eq!(gate.get("app.example", "/").status, 200);
    assert_eq!(gate.get("nobody.example", "/").status, 404);
    let vip = gate.rows("services").iter().find(|row| row["name"] == "db").and_then(|row| row["vip"].as_str()?.parse().ok());
    let vip = SocketAddr::new(vip.expect("a VIP"), net.port());
    await_until("the VIP to be bound", || Client::try_connect(vip).is_ok());
    Client::connect(vip).send("ping");
    await_until("the request to be counted", || gate.sum("tidegate_requests_total", &["app", "external", "2"]) == 1.0);
    for name in [
        "tidegate_requests_total",
        "tidegate_request_duration_seconds_bucket",
        "tidegate_request_duration_seconds_count",
        "tidegate_requests_in_flight",
        "tidegate_refusals_total",
        "tidegate_endpoints",
        "tidegate_snapshot_version",
        "tidegate_snapshot_age_seconds",
        "tidegate_worker_acknowledged_version",
        "tidegate_source_age_seconds",
        "tidegate_vip_connections_total",
        "tidegate_vip_bytes_total",
    ] {
        assert!(!gate.metric(name).is_empty(), "{name} is missing:\n{}", gate.ask("/metrics").text());
    }
    let ready: f64 =
        gate.metric("tidegate_endpoints").iter().filter(|(labels, _)| labels.to_lowercase().contains("ready")).map(|row| row.1).sum();
    assert_eq!(ready, 2.0);
    let metrics = gate.listener("metrics");
    let ask = |path: &str| Client::connect(metrics).get(&metrics.to_string(), path).status;
    assert_eq!((ask("/metrics"), ask("/healthz"), ask("/readyz"), ask("/api/v1/services")), (200, 200, 200, 404));
}

#[test]
fn in_flight_requests_are_counted() {
    let (gate, replica, _net) = one_app(Behaviour::Held, |setup| setup);
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await_until("one in flight", || gate.sum("tidegate_requests_in_flight", &["app"]) == 1.0);
    replica.release();
    assert_eq!(client.response().status, 200);
    await_until("none in flight", || gate.sum("tidegate_requests_in_flight", &["app"]) == 0.0);
}

#[test]
fn the_admin_refuses_other_hosts_and_other_methods() {
    let (gate, _replica, _net) = one_app(Behaviour::Named, |setup| setup);
    let admin = gate.admin();
    let status = |head: &str| {
        let mut client = Client::connect(admin);
        client.send(format!("{head}Connection: close\r\n\r\n"));
        client.response().status
    };
    assert_eq!(status(&format!("GET /api/v1/services HTTP/1.1\r\nHost: {admin}\r\n")), 200);
    assert!((400..500).contains(&status("GET /api/v1/services HTTP/1.1\r\nHost: evil.example\r\n")), "DNS rebinding");
    assert!((400..500).contains(&status(&format!("POST /api/v1/services HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n"))));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let net = Net::take();
    let configured = |setup: Setup| setup.config("workers: 1\nlimits: {headers: 7}\n");
    let workers = |setup: Setup| setup.start().metric("tidegate_worker_acknowledged_version").len();
    assert_eq!(workers(configured(Setup::new(&net).without("--workers"))), 1);
    assert_eq!(workers(configured(Setup::new(&net).without("--workers")).environment("TIDEGATE_WORKERS", "2")), 2);
    assert_eq!(workers(configured(Setup::new(&net).flag("--workers", "3")).environment("TIDEGATE_WORKERS", "2")), 3);
}

#[test]
fn wrong_settings_are_all_named_and_nothing_starts() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("tidegate.yaml");
    std::fs::write(&path, "htpp: 127.0.0.1:0\nworkers: many\nlimits: {headTimeout: 3}\nserviceCidr: 10.0.0.0/99\n")
        .expect("it can be written");
    let finished = command(["run", "--config", &path.display().to_string()]);
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    for word in ["tidegate.yaml", "htpp", "workers", "headTimeout", "serviceCidr"] {
        assert!(finished.stderr.contains(word), "{word} in:\n{}", finished.stderr);
    }
    for wrong in [["--http", "nonsense"], ["--workers", "-1"], ["--service-cidr", "x"], ["--unknown", "1"]] {
        assert_eq!(command(["run"].iter().chain(&wrong)).code, 2, "{wrong:?}");
    }
}

#[test]
fn an_occupied_port_is_named_and_the_rest_serves() {
    let net = Net::take();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let occupied = stranger.local_addr().expect("a bound listener has an address");
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let gate =
        Setup::new(&net).manifest("db.yaml", tcp(&net, "db", net.port(), &[&replica])).flag("--http", &occupied.to_string()).launch();
    await_until("the admin to answer", || Client::try_connect(gate.admin()).is_ok());
    await_until("the listener's error", || {
        gate.rows("listeners").iter().any(|row| row["name"] == "http" && row["error"].as_str().is_some_and(|error| !error.is_empty()))
    });
    gate.await_problem(&["BindFailed", &occupied.to_string()]);
    let ready = gate.ask("/readyz");
    assert_eq!(ready.status, 503, "without its listener it is not ready for traffic");
    assert!(ready.text().contains("listener http is not bound"), "{}", ready.text());
    await_until("the VIP to be bound", || {
        gate.rows("services").iter().filter_map(|row| row["vip"].as_str()?.parse().ok()).any(|ip: std::net::IpAddr| {
            let mut client = match Client::try_connect(SocketAddr::new(ip, net.port())) {
                Ok(client) => client,
                Err(_) => return false,
            };
            client.send("ping");
            client.exactly(4).is_ok_and(|echo| echo == b"ping")
        })
    });
}
