//! Hostile clients: documented limits, and a clear 4xx or a close.

use std::time::{Duration, Instant};

use super::*;

fn scene(limits: &str) -> (tidegate_tests::Tidegate, Replica, Net) {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let setup = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica]));
    (setup.config(&format!("limits: {{{limits}}}\n")).start(), replica, net)
}

#[test]
fn a_head_that_is_too_large_is_a_431() {
    let (gate, replica, _net) = scene("headBytes: 4096");
    let mut client = Client::connect(gate.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\nX: {}\r\n\r\n", "a".repeat(3_000)));
    assert_eq!(client.response().status, 200, "below the limit");
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\nX: {}\r\n\r\n", "a".repeat(5_000)));
    assert_eq!(client.response().status, 431);
    assert!(client.closed());
    let mut endless = Client::connect(gate.http());
    endless.send(format!("GET /{}", "a".repeat(5_000)));
    assert!([414, 431].contains(&endless.response().status), "a head without an end is not waited for");
    assert_eq!(replica.requests(), 1);
}

#[test]
fn the_default_limits_are_the_documented_ones() {
    let (gate, replica, _net) = scene("");
    let status = |fields: String| {
        let mut client = Client::connect(gate.http());
        client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"));
        client.response().status
    };
    assert_eq!(status("X: 1\r\n".repeat(99)), 200, "100 fields");
    assert_eq!(status("X: 1\r\n".repeat(100)), 431, "101 fields");
    assert_eq!(status(format!("X: {}\r\n", "a".repeat(60_000))), 200);
    assert_eq!(status(format!("X: {}\r\n", "a".repeat(66_000))), 431);
    assert_eq!(replica.requests(), 2);
}

#[test]
fn a_slow_head_is_a_408_however_it_dribbles() {
    let (gate, replica, _net) = scene("headTimeoutMs: 400");
    let start = Instant::now();
    let mut client = Client::connect(gate.http());
    let mut writer = client.stream.try_clone().expect("a socket can be cloned");
    let dribble = std::thread::spawn(move || {
        use std::io::Write;
        let head = b"GET / HTTP/1.1\r\nHost: shop.example\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a'));
        for byte in head.take(400) {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert_eq!(client.response().status, 408);
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    assert!(client.closed());
    dribble.join().expect("the writer panicked");
    assert_eq!(replica.requests(), 0);
}

#[test]
fn a_body_that_stops_ends_the_request_and_frees_the_replica() {
    let (gate, replica, _net) = scene("idleTimeoutMs: 400");
    let mut client = Client::connect(gate.http());
    client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100\r\n\r\nonly this");
    let answer = client.try_response(false);
    assert!(answer.as_ref().map_or(true, |response| response.status == 408), "{answer:?}");
    assert!(replica.received().is_empty(), "half a body is no request");
    await_until("its reason in the metrics", || gate.sum("tidegate_refusals_total", &["timeout-downstream"]) >= 1.0);
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (gate, _replica, _net) = scene("idleTimeoutMs: 1500");
    let mut silent = Client::connect(gate.http());
    let mut served = Client::connect(gate.http());
    assert_eq!(served.get("shop.example", "/").status, 200);
    assert!(served.closed());
    assert!(silent.rest().is_ok_and(|bytes| bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408")));
}

#[test]
fn an_answer_with_an_endless_head_is_a_502() {
    let (gate, replica, _net) = scene("headBytes: 4096");
    replica.now(Behaviour::RawThenClose([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 50_000], b"\r\n\r\n".to_vec()].concat()));
    assert_eq!(gate.get("shop.example", "/").status, 502);
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_block_nobody() {
    const IDLE: u64 = 10_000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("the soft limit can be raised to the hard one");
    let idle = match limit.maximum {
        Some(most) if most < IDLE + 2_000 => {
            eprintln!("NOTE: at most {most} open files here: fewer idle connections are tried");
            most.saturating_sub(2_000)
        }
        _ => IDLE,
    };
    let (gate, _replica, _net) = scene("");
    let address = gate.http();
    assert_eq!(gate.get("shop.example", "/").status, 200);
    let before = gate.memory();
    let mut connections: Vec<Client> = (0..idle).map(|_| Client::connect(address)).collect();
    await_until("all to be accepted", || gate.sum("tidegate_connections_open", &["external"]) >= idle as f64);
    let grown = gate.memory().saturating_sub(before);
    assert!(grown < idle * 16_384, "{grown} bytes for {idle} idle connections: {} each", grown / idle);
    let start = Instant::now();
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for at in (0..connections.len()).step_by(997) {
        assert_eq!(connections[at].get("shop.example", "/").status, 200, "connection {at}");
    }
}

#[test]
fn fields_that_repeat_and_bytes_beyond_ascii_go_through_or_are_refused_but_never_hang() {
    let (gate, _replica, _net) = scene("");
    for head in [
        &b"GET / HTTP/1.1\r\nHost: shop.example\r\nX: \xff\xfe\r\n\r\n"[..],
        b"GET /\xff HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop.example\r\n\xff: 1\r\n\r\n",
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut client = Client::connect(gate.http());
        client.send(head);
        let status = client.try_response(false).map(|response| response.status);
        assert!(matches!(status, Ok(200 | 400) | Err(_)), "{:?}: {status:?}", String::from_utf8_lossy(head));
    }
    assert_eq!(gate.get("shop.example", "/").replica(), "web-0");
}
