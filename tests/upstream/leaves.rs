//! A replica that speaks HTTP/2 and leaves: what is under way on its connections ends once its time is over.

use tidegate_tests::frames::End;
use tidegate_tests::{Does, Http2Replica, await_until};

use super::*;

#[test]
fn what_is_under_way_ends_after_the_deadline() {
    let net = Net::take();
    let [old, new] = [("old", Does::Begins), ("new", Does::Echo)].map(|(name, does)| Http2Replica::start(&net, name, does, 100));
    let site = |replica: &Http2Replica| shop(&net, "kubernetes.io/h2c", "", &[replica.ip()]);
    let gate = Setup::new(&net).config("limits: {replicaDrainMs: 500}\n").manifest("shop.yaml", site(&old)).start();
    let mut client = Frames::connect(gate.http());
    let begun = [client.get("shop.example", "/begun"), call(&mut client)];
    client.until("the beginnings", |client| begun.iter().all(|&stream| client.on(stream).body == b"begun"));
    old.now(Does::Held);
    let held = [client.get("shop.example", "/held"), client.post("shop.example", "/held"), call(&mut client)];
    client.data(held[1], b"hello", true);
    await_until("all to be there", || old.requests() == 5);
    gate.write("shop.yaml", &site(&new));
    client.until("their ends", |client| begun.iter().chain(&held).all(|&stream| client.on(stream).end.is_some()));

    let [plain, called] = begun.map(|stream| client.on(stream));
    assert!(matches!(plain.end, Some(End::Reset(_))), "it cannot look whole: {plain:?}");
    assert_eq!((called.heads, called.end), (2, Some(End::Whole)), "a status ends it: {called:?}");
    let [safe, unsafe_one, called] = held.map(|stream| client.on(stream));
    assert_eq!(safe.status, 200, "what may be sent twice is answered by another");
    assert_eq!(unsafe_one.status, 502, "what may have been processed is not sent again");
    assert_eq!((called.status, called.heads, called.end), (200, 1, Some(End::Whole)), "{called:?}");
    assert_eq!((new.requests(), refusals(&gate, "upstream-reset")), (1, 4.0));
    await_until("its connection to be gone", || old.open() == 0);
    assert_eq!(gate.sum("tidegate_requests_in_flight", &["shop"]), 0.0);
}

/// Its client takes nothing, so that nobody looks at what comes from the replica.
#[test]
fn an_answer_that_nobody_takes_ends_as_well() {
    let net = Net::take();
    let [old, new] = [("old", Does::Pours), ("new", Does::Echo)].map(|(name, does)| Http2Replica::start(&net, name, does, 100));
    let site = |replica: &Http2Replica| shop(&net, "kubernetes.io/h2c", "", &[replica.ip()]);
    let gate = Setup::new(&net).config("limits: {replicaDrainMs: 500}\n").manifest("shop.yaml", site(&old)).start();
    let mut client = Frames::connect(gate.http());
    client.greedy = false;
    let stream = client.get("shop.example", "/");
    client.until("what fits", |client| client.on(stream).body.len() == 65_535);
    let mut lazy = Client::connect(gate.http());
    lazy.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    await_until("both to be there", || old.requests() == 2);
    gate.write("shop.yaml", &site(&new));
    client.until("its end", |client| client.on(stream).end.is_some());
    assert!(matches!(client.on(stream).end, Some(End::Reset(_))), "{:?}", client.on(stream).end);
    await_until("its connection to be gone", || old.open() == 0);
    await_until("nothing of it to be left", || gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
}
