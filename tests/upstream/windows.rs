//! What one connection of HTTP/2 may hold while nobody takes it: a replica accepts and never shakes hands, so that each byte that is
//! counted is the gate's own.

use tidegate_tests::frames::{End, INITIAL_WINDOW, MAX_STREAMS};

use super::*;

const STREAMS: usize = 128;
const WINDOW: usize = 256 * 1024;
const CONNECTION_WINDOW: usize = 1024 * 1024;
/// Before anything is said (RFC 9113 section 6.9.2).
const FIRST_WINDOW: u64 = 65_535;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;

/// A gate whose replica never says a word, and a client that has read the gate's settings.
fn scene() -> (Tidegate, Frames, TcpListener, Net) {
    let net = Net::take();
    let silent = TcpListener::bind((net.replica_ip(), net.port())).expect("the net's addresses are free");
    let ip = silent.local_addr().expect("a bound listener has an address").ip();
    let setup = Setup::new(&net).config("limits: {connectTimeoutMs: 60000, idleTimeoutMs: 60000}\n");
    let secret = Authority::new().secret("inner");
    let gate = setup.manifest("shop.yaml", shop(&net, "https", BY_INNER, &[ip])).manifest("inner.yaml", secret).start();
    let mut client = Frames::connect(gate.http());
    client.until("the connection's window", |client| client.windows.contains_key(&0));
    (gate, client, silent, net)
}

/// All that was sent has been dealt with. What a frame leads to may stand behind the answer to the first ping.
fn dealt_with(client: &mut Frames) {
    client.settle();
    client.settle();
}

/// A body of this size begins, in frames of the usual size.
fn pour(client: &mut Frames, size: usize) -> u32 {
    let stream = client.post("shop.example", "/");
    for piece in vec![b'x'; size].chunks(16_384) {
        client.data(stream, piece, false);
    }
    stream
}

#[test]
fn so_many_requests_are_taken_at_a_time() {
    let (_gate, mut client, _silent, _net) = scene();
    assert_eq!(client.settings.get(&MAX_STREAMS), Some(&(STREAMS as u32)));
    let streams: Vec<u32> = (0..STREAMS).map(|_| client.get("shop.example", "/")).collect();
    dealt_with(&mut client);
    assert!(streams.iter().all(|&stream| client.on(stream).end.is_none()), "all of them wait");
    let more = client.get("shop.example", "/");
    assert_eq!(client.answer(more).end, Some(End::Reset(REFUSED_STREAM)), "it may be sent again");
    assert_eq!(client.left(), None, "the connection goes on");
    client.reset(streams[0]);
    let instead = client.get("shop.example", "/");
    dealt_with(&mut client);
    assert_eq!(client.on(instead).end, None, "there is room for one again");
}

#[test]
fn so_much_of_a_body_is_taken_that_nobody_wants_yet() {
    let (_gate, mut client, _silent, _net) = scene();
    assert_eq!(client.settings.get(&INITIAL_WINDOW), Some(&(WINDOW as u32)));
    let stream = pour(&mut client, WINDOW);
    dealt_with(&mut client);
    assert_eq!((client.windows.get(&stream), client.on(stream).end), (None, None), "all of it was taken, and no more is asked for");
    client.data(stream, b"x", false);
    client.until("a word about it", |client| client.on(stream).end.is_some() || client.left().is_some());
    let told = client.left().map(|left| left.code);
    assert!(client.on(stream).end == Some(End::Reset(FLOW_CONTROL_ERROR)) || told == Some(FLOW_CONTROL_ERROR), "{client:?}");
}

#[test]
fn so_much_of_all_bodies_of_a_connection_is_taken() {
    let (_gate, mut client, _silent, _net) = scene();
    let room = |client: &Frames| client.windows.get(&0).copied().unwrap_or_default() + FIRST_WINDOW;
    assert_eq!(room(&client), CONNECTION_WINDOW as u64);
    let streams: Vec<u32> = (0..CONNECTION_WINDOW / WINDOW).map(|_| pour(&mut client, WINDOW)).collect();
    dealt_with(&mut client);
    assert!(streams.iter().all(|&stream| client.on(stream).end.is_none()), "all of it was taken");
    assert_eq!(room(&client), CONNECTION_WINDOW as u64, "and no more is asked for");
    let stream = client.get("shop.example", "/");
    dealt_with(&mut client);
    assert_eq!(client.on(stream).end, None, "a request without content is taken");
    pour(&mut client, 1);
    assert_eq!(client.goodbye().code, FLOW_CONTROL_ERROR);
}

#[test]
fn the_limits_of_heads_are_those_that_are_set() {
    let net = Net::take();
    let replica = tidegate_tests::Replica::start(&net, "one", Behaviour::Named);
    let setup = Setup::new(&net).config("limits: {headBytes: 4096, headers: 10}\n");
    let gate = setup.manifest("shop.yaml", objects::app(&net, "shop", "shop.example", &[&replica])).start();
    let ask = |more: &[(&str, &str)]| {
        let mut client = Frames::connect(gate.http());
        let stream = client.ask(&[&request("GET", "shop.example", "/")[..], more].concat(), true);
        let answer = client.answer(stream);
        assert_eq!(client.fetch("shop.example", "/").status, 200, "the connection goes on");
        answer
    };
    assert_eq!(ask(&[("x", "y"); 10]).status, 200);
    assert_eq!(ask(&[("x", "y"); 11]).status, 431);
    // A field counts with 32 bytes more than its own (RFC 9113 section 6.5.2). What is as large as the limit is above it for h2.
    let own = request("GET", "shop.example", "/").iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
    let (fits, above) = ("x".repeat(4096 - own - 34), "x".repeat(4096 - own - 32));
    assert_eq!(ask(&[("x", &fits)]).status, 200);
    let answer = ask(&[("x", &above)]);
    assert!(answer.status == 431 || matches!(answer.end, Some(End::Reset(_))), "{answer:?}");
}
