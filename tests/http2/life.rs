//! Streams that break on either side, connections to replicas that die, and changes under way.

use tidegate_tests::await_until;
use tidegate_tests::frames::End;

use super::*;

fn in_flight(scene: &Scene) -> f64 {
    scene.gate.sum("tidegate_requests_in_flight", &["shop"])
}

#[test]
fn a_client_that_breaks_off_frees_the_replica() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.frames();
    let stream = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    assert_eq!(in_flight(&scene), 1.0);
    client.reset(stream);
    await_until("the replica's connection to end", || scene.replica.open() == 0);
    await_until("nothing in flight", || in_flight(&scene) == 0.0);
    scene.replica.now(Behaviour::Named);
    assert_eq!(client.fetch("shop.example", "/").status, 200, "the client's connection goes on");
}

#[test]
fn a_client_that_breaks_off_a_long_answer_or_a_body_frees_the_replica() {
    for behaviour in [Behaviour::Body(200_000_000), Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_vec())] {
        let scene = Scene::new(behaviour.clone());
        let mut client = scene.frames();
        let stream = client.get("shop.example", "/");
        client.until("the answer to begin", |client| client.on(stream).body.len() >= 5);
        assert_eq!(in_flight(&scene), 1.0, "an answer that has begun is not over");
        client.reset(stream);
        await_until(&format!("{behaviour:?}: the replica's connection to end"), || scene.replica.open() == 0);
        await_until("nothing in flight", || in_flight(&scene) == 0.0);
    }
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    client.data(stream, b"half", false);
    await_until("the head to reach the replica", || scene.replica.requests() == 1);
    client.reset(stream);
    await_until("the replica's connection to end", || scene.replica.open() == 0);
    assert!(scene.replica.received().is_empty(), "half a body looked whole");
}

#[test]
fn a_client_whose_connection_ends_frees_all_that_it_asked() {
    for abort in [false, true] {
        let scene = Scene::new(Behaviour::Held);
        let mut client = scene.frames();
        for _ in 0..5 {
            client.get("shop.example", "/");
        }
        await_until("the requests to reach the replica", || scene.replica.requests() == 5);
        if abort {
            client.abort()
        } else {
            drop(client)
        }
        await_until("the replica's connections to end", || scene.replica.open() == 0);
        await_until("nothing in flight", || in_flight(&scene) == 0.0);
        await_until("the client to be gone", || scene.gate.sum("tidegate_connections_open", &["external"]) == 0.0);
    }
}

#[test]
fn h2load_that_is_killed_leaves_nothing_behind() {
    let scene = Scene::new(Behaviour::Held);
    let url = format!("http://{}/", scene.gate.http());
    let flags = ["-n", "40", "-c", "4", "-m", "10", "-H", ":authority: shop.example", &url];
    let mut load = Command::new("h2load").args(flags).stdout(std::process::Stdio::null()).spawn().expect("h2load is installed");
    await_until("all of it to wait at the replica", || scene.replica.requests() == 40);
    load.kill().expect("it runs");
    load.wait().expect("it ends");
    await_until("the replica's connections to end", || scene.replica.open() == 0);
    await_until("nothing in flight", || in_flight(&scene) == 0.0);
}

#[test]
fn a_reset_of_a_replica_resets_its_stream_and_no_other() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.frames();
    let held = client.get("shop.example", "/");
    await_until("the request to reach the replica", || scene.replica.requests() == 1);
    scene.replica.now(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()));
    let broken = client.fetch("shop.example", "/");
    assert!(matches!(broken.end, Some(End::Reset(_))) || broken.status == 502, "{broken:?}");
    assert_eq!(client.on(held).end, None, "the other one goes on");
    scene.replica.release();
    let answer = client.answer(held);
    assert_eq!((answer.status, answer.end), (200, Some(End::Whole)));
    await_until("nothing in flight", || in_flight(&scene) == 0.0);
}

#[test]
fn a_get_on_a_reused_connection_that_died_is_sent_again() {
    let scene = Scene::new(Behaviour::OnceThenClose);
    let mut client = scene.frames();
    for turn in 0..20 {
        assert_eq!(client.fetch("shop.example", "/").status, 200, "turn {turn}");
    }
    assert!(scene.gate.sum("tidegate_retries_total", &["shop"]) >= 10.0, "each second one found a dead connection");
}

#[test]
fn a_post_is_not_sent_twice() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let mut post = |body: &[u8]| {
        let stream = client.post("shop.example", "/");
        client.data(stream, body, true);
        client.answer(stream).status
    };
    assert_eq!(post(b"first"), 200);
    scene.replica.now(Behaviour::RawThenClose(Vec::new()));
    assert_eq!(post(b"order"), 502);
    let orders = scene.replica.received().iter().filter(|request| request.body.windows(5).any(|part| part == b"order")).count();
    assert_eq!(orders, 1, "a POST that a replica has read may have been processed");
}

#[test]
fn a_get_that_died_is_sent_three_times_more_and_a_post_never() {
    let net = Net::take();
    let replicas = ["one", "two", "three"].map(|name| Replica::start(&net, name, Behaviour::RawThenClose(Vec::new())));
    let gate = Setup::new(&net).manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &replicas.each_ref())).start();
    let asked = || replicas.iter().map(Replica::requests).sum::<u64>();
    let mut client = Frames::connect(gate.http());
    assert_eq!(client.fetch("shop.example", "/").status, 502);
    assert_eq!(asked(), 4, "a GET is sent three times more");
    assert!(replicas.iter().all(|replica| replica.requests() >= 1), "to each other one before the same again");
    for fields in [&[][..], &[("content-length", "5")]] {
        let before = asked();
        let stream = client.ask(&[&tidegate_tests::frames::request("POST", "shop.example", "/")[..], fields].concat(), false);
        client.data(stream, b"order", true);
        assert_eq!(client.answer(stream).status, 502);
        assert_eq!(asked(), before + 1, "a POST may have been processed");
    }
}

#[test]
fn a_post_whose_connection_never_stood_goes_elsewhere() {
    let net = Net::take();
    let good = Replica::start(&net, "good", Behaviour::Named);
    let mut dead = Replica::start(&net, "dead", Behaviour::Named);
    dead.die();
    let gate = Setup::new(&net).manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &[&good, &dead])).start();
    let mut client = Frames::connect(gate.http());
    for turn in 0..40 {
        let stream = client.post("shop.example", "/");
        client.data(stream, b"order", true);
        assert_eq!(client.answer(stream).status, 200, "turn {turn}: nothing of it had been sent");
    }
    assert_eq!(good.received().len(), 40);
}

#[test]
fn a_connection_follows_every_change_of_the_routes() {
    let scene = Scene::new(Behaviour::Named);
    let two = Replica::start(&scene.net, "two", Behaviour::Named);
    let mut client = scene.frames();
    let held = {
        scene.replica.now(Behaviour::Held);
        let held = client.get("shop.example", "/");
        await_until("the request to reach the replica", || scene.replica.requests() == 1);
        scene.replica.now(Behaviour::Named);
        held
    };
    for turn in 0..5 {
        let host = format!("turn-{turn}.example");
        scene.gate.write("more.yaml", &objects::app(&scene.net, "more", &host, &[&two]));
        let answer = client.fetch(&host, "/");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"two"[..]), "turn {turn}");
        assert_eq!(client.fetch(&format!("turn-{}.example", turn + 1), "/").status, 404, "turn {turn}");
        if turn > 0 {
            assert_eq!(client.fetch(&format!("turn-{}.example", turn - 1), "/").status, 404, "turn {turn}");
        }
        assert_eq!(client.fetch("shop.example", "/").body, b"one", "turn {turn}");
    }
    // Its route is gone, but it was sent before.
    scene.gate.change(|folder| std::fs::remove_file(folder.join("shop.yaml")).expect("it is there"));
    assert_eq!(client.fetch("shop.example", "/").status, 404);
    scene.replica.release();
    assert_eq!(client.answer(held).status, 200);
}

#[test]
fn a_removed_replica_gets_nothing_new_from_an_open_connection() {
    let net = Net::take();
    let replicas = ["one", "two"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let gate = Setup::new(&net).manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &replicas.each_ref())).start();
    let mut client = Frames::connect(gate.http());
    for _ in 0..20 {
        assert_eq!(client.fetch("shop.example", "/").status, 200);
    }
    gate.write("shop.yaml", &objects::app(&net, "shop", "shop.example", &[&replicas[1]]));
    let before = replicas[0].requests();
    for _ in 0..40 {
        assert_eq!(client.fetch("shop.example", "/").body, b"two");
    }
    assert_eq!(replicas[0].requests(), before);
}
