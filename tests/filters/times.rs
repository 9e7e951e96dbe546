//! How long is waited, how often it is tried, and who is picked.

use std::time::{Duration, Instant};

use tidegate_tests::await_until;
use tidegate_tests::frames::{Answer, End, Frames};

use super::*;

#[test]
fn a_silent_replica_is_a_504_and_a_half_answer_a_cut() {
    let scene = Scene::new(Behaviour::Held);
    let gate = scene.gate(&[("read-timeout", "300ms")]);
    let began = Instant::now();
    assert_eq!(verdict(&gate, "/", &[]), "504");
    assert!(began.elapsed() >= Duration::from_millis(300), "never early");
    let pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec(), b"cd".to_vec()];
    scene.app.now(Behaviour::Pieces(pieces.to_vec()));
    let cut = curl_with(&gate, HOST, "/", &[], b"");
    assert_ne!(cut.code, 0, "a half answer must not look whole: {}", cut.stdout);
    scene.app.now(Behaviour::After(Duration::from_millis(50)));
    assert_eq!(verdict(&gate, "/", &[]), "200");
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"timeout-request\""]), 2.0);
}

#[test]
fn over_http_2_silence_counts_from_the_end_of_the_request_and_between_pieces() {
    let scene = Scene::new(Behaviour::Held);
    let gate = scene.gate(&[("read-timeout", "300ms")]);
    let mut client = Frames::connect(gate.http());
    let stream = client.post(HOST, "/");
    let began = Instant::now();
    client.data(stream, b"first", false);
    await_until("the replica to have it", || scene.app.requests() == 1);
    // Longer than the route lets a replica be silent; but it is the client who is.
    while began.elapsed() < Duration::from_millis(700) {
        client.settle();
    }
    assert_eq!(client.on(stream), Answer::default());
    client.data(stream, b"last", true);
    assert_eq!(client.answer(stream).status, 504);
    let pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec(), b"cd".to_vec()];
    scene.app.now(Behaviour::Pieces(pieces.to_vec()));
    let stream = client.get(HOST, "/");
    let cut = client.answer(stream);
    assert!(cut.status == 200 && matches!(cut.end, Some(End::Reset(_))), "a half answer must not look whole: {cut:?}");
    scene.app.now(Behaviour::After(Duration::from_millis(50)));
    assert_eq!(client.fetch(HOST, "/").status, 200);
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"timeout-request\""]), 2.0);
}

#[test]
fn the_whole_exchange_has_a_time_of_its_own() {
    let scene = Scene::new(Behaviour::Held);
    let gate = scene.gate(&[("request-timeout", "300ms")]);
    assert_eq!(verdict(&gate, "/", &[]), "504");
    scene.app.now(Behaviour::Named);
    assert_eq!(verdict(&gate, "/", &[]), "200");
    // The connection that was given up is closed, so that the replica can stop.
    tidegate_tests::await_until("the replica's connection to end", || scene.app.open() < scene.app.connections());
}

/// Four addresses where nobody answers, then the replica.
fn mostly_dead(scene: &Scene) -> String {
    let dead: Vec<String> = (0..4).map(|at| objects::pod(&format!("dead-{at}"), "app", scene.net.pod_ip(220 + at))).collect();
    file(&dead)
}

#[test]
fn as_many_endpoints_are_tried_as_the_route_allows() {
    let scene = Scene::new(Behaviour::Named);
    let rule = |retries| site(&[("balance", "round-robin"), ("retries", retries)]);
    let gate = scene.setup().manifest("dead.yaml", mostly_dead(&scene)).manifest("rule.yaml", rule("0")).start();
    let ok = || (0..10).filter(|_| gate.get(HOST, "/").status == 200).count();
    assert_eq!(ok(), 2, "one endpoint in five, each in its turn, and nobody else is tried");
    gate.write("rule.yaml", &rule("4"));
    assert_eq!(ok(), 10);
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"upstream-connect\""]), 8.0);
}

#[test]
fn each_way_to_pick_picks_so() {
    let net = Net::take();
    let replicas: Vec<Replica> = ["one", "two", "three"].iter().map(|name| Replica::start(&net, name, Behaviour::Named)).collect();
    let all: Vec<&Replica> = replicas.iter().collect();
    let gate = Setup::new(&net)
        .manifest("app.yaml", objects::tcp(&net, "app", 80, &all))
        .manifest("rule.yaml", site(&[("balance", "round-robin")]))
        .start();
    let served = || replicas.iter().map(Replica::requests).collect::<Vec<_>>();
    let twelve = || {
        let before = served();
        (0..12).for_each(|_| assert_eq!(gate.get(HOST, "/").status, 200));
        served().iter().zip(before).map(|(now, then)| now - then).collect::<Vec<_>>()
    };
    assert_eq!(twelve(), [4, 4, 4]);
    gate.write("rule.yaml", &site(&[(&nginx("upstream-hash-by"), "$remote_addr")]));
    let mut kept = twelve();
    kept.sort_unstable();
    assert_eq!(kept, [0, 0, 12]);
    for balance in ["random", "least-request", "least-busy"] {
        gate.write("rule.yaml", &site(&[("balance", balance)]));
        assert_eq!(twelve().iter().sum::<u64>(), 12, "{balance}");
    }
}
