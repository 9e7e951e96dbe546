//! The kinds of probes, and the ways in which they fail.

use std::net::SocketAddr;

use tidegate_tests::peers::HealthService;
use tidegate_tests::{Authority, Shows, TlsReplica};

use super::*;

#[test]
fn tcp_is_whether_somebody_listens() {
    let net = Net::take();
    let mut replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "failureThreshold: 1, tcpSocket: {port: web}")]);
    await_state(&gate, "app-0", "Ready", "");
    replica.die();
    await_state(&gate, "app-0", "Ejected", "probe: connection refused");
    assert!(gate.sum("tidegate_probes_total", &["refused"]) >= 1.0);
    let _again = Replica::at(replica.address(), "app-0", Behaviour::Named);
    await_state(&gate, "app-0", "Ready", "");
}

#[test]
fn grpc_is_what_the_health_service_says() {
    let net = Net::take();
    let mut health = HealthService::start(SocketAddr::new(net.replica_ip(), net.port()));
    let ip = health.address().ip();
    let pods = [
        probed(&net, "app-0", ip, &format!("failureThreshold: 1, grpc: {{port: {}}}", net.port())),
        probed(&net, "app-1", ip, &format!("failureThreshold: 1, grpc: {{port: {}, service: shop}}", net.port())),
        probed(&net, "app-2", ip, &format!("grpc: {{port: {}, service: nobody}}", net.port())),
    ];
    // One address in pods of three services, so that each has an endpoint of its own.
    let pods = pods.iter().enumerate().map(|(n, pod)| pod.replace("{app: app}", &format!("{{app: app-{n}}}")));
    let services = (0..3).map(|n| service(&format!("app-{n}"), 80, net.port()));
    let gate = setup(&net).manifest("app.yaml", file(&services.chain(pods).collect::<Vec<_>>())).start();
    await_state(&gate, "app-0", "Ready", "");
    await_state(&gate, "app-1", "Ready", "");
    await_state(&gate, "app-2", "Pending", "probe: gRPC NOT_FOUND");
    health.set("shop", 2);
    await_state(&gate, "app-1", "Ejected", "probe: health NOT_SERVING");
    assert_eq!(state(&gate, "app-0").0, "Ready", "the server as a whole serves");
    health.set("shop", 1);
    await_state(&gate, "app-1", "Ready", "");
    assert!(gate.sum("tidegate_probes_total", &["grpc"]) >= 2.0);
}

#[test]
fn https_is_asked_without_looking_at_the_certificate() {
    let net = Net::take();
    let shows = Shows::new(Authority::new().ecdsa(&["elsewhere.example"])).speaking(&["http/1.1"]);
    let replica = TlsReplica::start(&net, "app-0", Behaviour::Named, &shows);
    let plain = Replica::start(&net, "app-1", Behaviour::Named);
    let probe = "httpGet: {port: web, scheme: HTTPS}";
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), probe), probed(&net, "app-1", plain.ip(), probe)]);
    await_state(&gate, "app-0", "Ready", "");
    let handshake = replica.handshakes().remove(0);
    assert_eq!((handshake.failed, handshake.name), (None, None), "of an address nothing is said");
    await_until("why the other is not ready", || state(&gate, "app-1").1.starts_with("probe: "));
    assert_eq!(state(&gate, "app-1").0, "Pending", "it does not speak TLS");
}

#[test]
fn a_stall_is_a_failure_after_its_time() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Held);
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "timeoutSeconds: 1, httpGet: {port: web}")]);
    await_state(&gate, "app-0", "Pending", "probe: no answer within 1 s");
    assert!(gate.sum("tidegate_probes_total", &["timeout"]) >= 1.0);
    replica.now(Behaviour::Named);
    await_state(&gate, "app-0", "Ready", "");
    await_until("the connections of all probes to be closed", || replica.open() == 0);
}

#[test]
fn a_redirect_is_followed_at_the_same_place_and_passes_when_it_leads_elsewhere() {
    let net = Net::take();
    let elsewhere = Replica::start(&net, "elsewhere", Behaviour::Named);
    let to = |place: &str| Behaviour::RawThenClose(format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into());
    let replica = Replica::start(&net, "app-0", to("/again"));
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "failureThreshold: 1, httpGet: {path: /first, port: web}")]);
    await_state(&gate, "app-0", "Pending", "probe: too many redirects");
    assert!(replica.received().iter().any(|request| request.head.starts_with("GET /again ")));
    replica.now(to(&format!("http://{}/", elsewhere.address())));
    await_state(&gate, "app-0", "Ready", "");
    assert_eq!(elsewhere.connections(), 0, "nobody but the pod is asked");
}

#[test]
fn nobody_who_comes_is_asked_before_the_initial_delay_and_who_was_there_is_asked_at_once() {
    let net = Net::take();
    let [there, new] = ["app-0", "app-1"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let slow = |replica: &Replica, delay_s: u32| {
        probed(&net, replica.name(), replica.ip(), &format!("initialDelaySeconds: {delay_s}, httpGet: {{port: web}}"))
    };
    let gate = started(&net, &[slow(&there, 3600)]);
    assert_eq!(gate.get("app.example", "/").replica(), "app-0", "a restart of Tidegate is no start of the pod");
    let began = Instant::now();
    gate.swap("app.yaml", &app(&net, &[slow(&there, 3600), slow(&new, 3)]));
    await_state(&gate, "app-1", "Pending", "probe: has not passed yet");
    if began.elapsed() < Duration::from_secs(3) {
        assert_eq!(new.requests(), 0);
    }
    await_state(&gate, "app-1", "Ready", "");
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn successes_must_come_in_a_row() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = started(&net, &[probed(&net, "app-0", replica.ip(), "successThreshold: 3, httpGet: {port: web}")]);
    await_state(&gate, "app-0", "Ready", "");
    assert!(replica.requests() >= 3, "{}", replica.requests());
}
