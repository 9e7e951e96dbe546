//! Headers that a trusted proxy sends us, or does not.

use std::fs;
use std::process::Command;

use super::*;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// What the replica was told of the client.
fn told(replica: &Replica) -> String {
    replica.last().field("x-forwarded-for").expect("the field is always set")
}

#[test]
fn the_client_that_the_header_names_is_the_client_everywhere() {
    let (mut gate, replica, _net) = scene(Behaviour::Named, |setup| setup.flag("--access-log", "access.log"));
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::7"),
        (v2([192, 0, 2, 8], 4711), "192.0.2.8"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), "127.0.0.1"),
    ] {
        let mut proxy = Client::connect(gate.http());
        proxy.send(&header);
        for _ in 0..2 {
            proxy.send(REQUEST);
            assert_eq!(proxy.response().status, 200, "{client}");
            assert_eq!(told(&replica), client);
        }
    }
    let mut proxy = Client::connect(gate.http());
    proxy.send(v2([192, 0, 2, 9], 1));
    proxy.send("GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n");
    assert_eq!(proxy.response().status, 200);
    assert_eq!(told(&replica), "192.0.2.9", "the client is no trusted proxy: what it forwards is not believed");
    let path = gate.home().join("access.log");
    assert_eq!(gate.stop().code(), Some(0));
    let log = fs::read_to_string(path).expect("the access log is written");
    for client in ["192.0.2.7", "2001:db8::7", "192.0.2.8", "192.0.2.9", "127.0.0.1"] {
        assert!(log.contains(&format!("client={client} ")), "{client} in:\n{log}");
    }
}

#[test]
fn a_header_of_anybody_else_is_a_bad_request() {
    let (gate, replica, _net) = scene(Behaviour::Named, |setup| setup);
    for header in [b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n".to_vec(), v2([192, 0, 2, 7], 1)] {
        let mut stranger = Client::connect_from([127, 0, 8, 1].into(), gate.http());
        stranger.send(&header);
        stranger.send(REQUEST);
        assert_eq!(stranger.response().status, 400);
    }
    assert_eq!(replica.requests(), 0);
    let mut stranger = Client::connect_from([127, 0, 8, 1].into(), gate.http());
    assert_eq!(stranger.get("app.example", "/").status, 200, "without one it is a client as any other");
    assert_eq!(told(&replica), "127.0.8.1");
}

#[test]
fn a_trusted_proxy_must_send_one_in_time() {
    let (gate, replica, _net) = scene(Behaviour::Named, |setup| setup.config(&format!("{TRUSTING}limits: {{headTimeoutMs: 300}}\n")));
    for wrong in [REQUEST.as_bytes(), b"PROXY TCP4 192.0.2.7 192.0.2.1 04711 80\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"] {
        let mut proxy = Client::connect(gate.http());
        proxy.send(wrong);
        assert!(proxy.closed(), "nothing is answered to what may be anything");
    }
    await_until("they are counted", || gate.sum("tidegate_refusals_total", &["external", "bad-request"]) == 3.0);
    let mut slow = Client::connect(gate.http());
    slow.send("PROXY TCP4 192.0");
    assert!(slow.closed(), "after limits.headTimeoutMs");
    drop(Client::connect(gate.http())); // one that only looks whether somebody listens
    assert_eq!(replica.requests(), 0);
    assert_eq!(gate.sum("tidegate_refusals_total", &["external", "bad-request"]), 3.0);
}

#[test]
fn a_header_opens_no_way_inside() {
    let (gate, _replica, _net) = scene(Behaviour::Named, |setup| {
        let text = "trustedProxies: [127.0.8.0/24, 127.0.0.1/32]\nproxyProtocol: [internalHttp]\ninternalCidrs: [127.0.0.1/32]\n";
        setup.config(text).flag("--internal-http", "127.0.0.1:0")
    });
    let internal = gate.listener("internal-http");
    // The reset may be here before connecting has returned.
    let served = Client::try_connect_from([127, 0, 8, 1].into(), internal).is_ok_and(|mut outsider| {
        let _ = std::io::Write::write_all(&mut outsider.stream, format!("PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n{REQUEST}").as_bytes());
        outsider.try_response(false).is_ok()
    });
    assert!(!served, "who connects is what counts");
    let mut insider = Client::connect(internal);
    insider.send(format!("PROXY TCP4 192.0.2.7 127.0.0.1 1 1\r\n{REQUEST}"));
    assert_eq!(insider.response().status, 404, "the same for one inside that speaks for the outside");
}

#[test]
fn a_client_keeps_its_endpoint_by_the_address_that_is_named() {
    let net = Net::take();
    let replicas = ["a", "b", "c"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let text =
        app(&net, "app", "app.example", &replicas.each_ref()).replacen("spec: {selector", "spec: {sessionAffinity: ClientIP, selector", 1);
    let gate = Setup::new(&net).manifest("app.yaml", text).config(TRUSTING).start();
    let served = |last: u8| {
        let mut proxy = Client::connect(gate.http());
        proxy.send(v2([192, 0, 2, last], 1));
        proxy.get("app.example", "/").replica().to_owned()
    };
    let all: std::collections::BTreeSet<String> = (0..40)
        .map(|last| {
            let first = served(last);
            assert_eq!((served(last), served(last)), (first.clone(), first.clone()), "{last}");
            first
        })
        .collect();
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn curl_is_understood() {
    let (gate, replica, _net) = scene(Behaviour::Named, |setup| setup);
    let (at, url) = (gate.http(), format!("http://app.example:{}/", gate.http().port()));
    let resolve = format!("app.example:{}:{}", at.port(), at.ip());
    let curl = |flags: &[&str]| {
        let usual = ["-q", "--silent", "--noproxy", "*", "--max-time", "20", "--resolve", &resolve];
        let output = Command::new("curl").args(usual).args(flags).arg(&url).output().expect("curl is installed (`make test` does it)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(curl(&["--haproxy-protocol"]), "app-0");
    assert_eq!(told(&replica), "127.0.0.1");
    assert_eq!(curl(&[]), "", "without it there is no answer");
}

#[test]
fn it_can_be_asked_for_while_it_runs() {
    let (gate, replica, _net) = scene(Behaviour::Named, |setup| setup.config("trustedProxies: [127.0.0.1/32]\n"));
    let ask = |header: &str| {
        let mut proxy = Client::connect(gate.http());
        proxy.send(format!("{header}{REQUEST}"));
        proxy.try_response(false).map_or(0, |answer| answer.status)
    };
    assert_eq!(ask(""), 200);
    fs::write(gate.home().join("tidegate.yaml"), TRUSTING).expect("the temporary folder can be written");
    await_until("a header to be understood", || ask("PROXY TCP4 192.0.2.7 192.0.2.1 1 1\r\n") == 200);
    assert_eq!(told(&replica), "192.0.2.7");
}
