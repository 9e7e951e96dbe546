//! Where it is bound, and who is answered.

use tidegate_tests::command;

use super::*;

/// Rows of `get listeners` that are called `dns`.
fn rows(gate: &Tidegate) -> Vec<(String, bool)> {
    let rows = gate.rows("listeners").into_iter().filter(|row| row["name"] == "dns");
    let mut all: Vec<_> = rows.map(|row| (row["protocol"].as_str().unwrap_or_default().to_owned(), row["error"].is_null())).collect();
    all.sort();
    all
}

#[test]
fn whoever_is_outside_is_refused_whatever_the_question() {
    let net = Net::take();
    let upstream = Datagrams::start(&net, |query| dns(query, 60, |_, _| Some(vec![IpAddr::from([192, 0, 2, 1])])));
    let gate = Setup::new(&net)
        .flag("--dns", "127.0.0.1:0")
        .flag("--internal-cidr", "127.0.0.1/32")
        .config(&format!("dns: {{servers: ['{}']}}\n", upstream.address()))
        .manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080))
        .start();
    let at = at(&gate);
    let questions = ["web.shop.svc.cluster.local A", "cluster.local SOA", "nobody A", "example.com A", "1.0.0.127.in-addr.arpa PTR"];
    for question in questions {
        for tcp in ["", " +tcp"] {
            let dug = dig(at, &format!("-b 127.9.9.9 {question}{tcp}"));
            let empty = dug.answer.is_empty() && dug.authority.is_empty() && dug.additional.is_empty();
            assert!(dug.status == "REFUSED" && empty, "{question}: {}", dug.text);
        }
        assert_ne!(dig(at, question).status, "REFUSED", "{question}");
    }
    assert_eq!((counted(&gate, "refused"), upstream.received()), (10, 1));
}

#[test]
fn who_may_ask_is_renewed_live() {
    let net = Net::take();
    let gate = setup(&net).manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let at = at(&gate);
    assert_eq!(dig(at, "-b 127.9.9.9 web.shop A").status, "NOERROR");
    gate.say("dns: {forward: false}\ninternalCidrs: [127.0.0.1/32]\n");
    await_until("the new rule", || dig(at, "-b 127.9.9.9 web.shop A").status == "REFUSED");
    assert_eq!(dig(at, "-b 127.0.0.1 web.shop A").status, "NOERROR");
}

#[test]
fn it_is_listed_over_both_protocols_and_what_is_not_bound_says_why() {
    let net = Net::take();
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let taken = stranger.local_addr().expect("it is bound").to_string();
    let gate = setup(&net).without("--dns").environment("TIDEGATE_DNS", &format!("127.0.0.1:0,{taken},192.0.2.1:53")).start();
    let both = |bound| [("TCP".to_owned(), bound), ("UDP".to_owned(), bound)];
    let mut expected = [both(true), both(false), both(false)].concat();
    expected.sort();
    assert_eq!(rows(&gate), expected);
    gate.await_problem(&["dns", &taken, "cannot bind"]);
    gate.await_problem(&["dns", "192.0.2.1:53", "internalCidrs"]);
    assert_eq!(dig(at(&gate), "cluster.local A").status, "NOERROR", "the rest answers");
}

#[test]
fn without_it_nothing_listens_and_nothing_is_counted() {
    let net = Net::take();
    let gate = setup(&net).flag("--dns", "none").start();
    assert_eq!((rows(&gate).len(), gate.metric("tidegate_dns_queries_total").len()), (0, 0));
}

#[test]
fn nobodys_endpoint_may_be_the_listener() {
    let net = Net::take();
    let endpoint = file(&[service("shop/web", 80, net.port()), pod("shop/web-1", "web", net.pod_ip(1))]);
    let setup = setup(&net).flag("--dns", &format!("{}:{}", net.pod_ip(1), net.port())).manifest("web.yaml", endpoint);
    let (folder, listen) = (setup.folder(), format!("{}:{}", net.pod_ip(1), net.port()));
    let checked =
        command(["check", "--manifests", folder.to_str().expect("a text"), "--http", "none", "--https", "none", "--dns", &listen]);
    assert!(checked.stdout.contains("our own listener") || checked.stderr.contains("our own listener"), "{checked:?}");
    let gate = setup.start();
    gate.await_problem(&["Service shop/web", "our own listener", &listen]);
}

/// Bytes that are no question are no harm.
#[test]
fn what_is_no_question_is_an_error_and_the_next_one_is_answered() {
    let net = Net::take();
    let gate = setup(&net).manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let at = at(&gate);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(at).expect("a datagram's address");
    socket.set_read_timeout(Some(tidegate_tests::wait::DEADLINE)).expect("a time");
    let ask = |bytes: &[u8]| {
        socket.send(bytes).expect("it is sent");
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("an answer");
        assert!(length >= 12 && answer[..2] == bytes[..2]);
        answer[3] & 15
    };
    assert_eq!(ask(b"\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 1, "no question: FORMERR");
    assert_eq!(ask(b"\x00\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff"), 1, "a name that never ends: FORMERR");
    assert_eq!(ask(b"\x00\x03\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01"), 4, "an update: NOTIMP");
    assert_eq!(ask(b"\x00\x04\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04shop\x00\x00\x01\x00\x03"), 5, "another class: REFUSED");
    for short in [&b""[..], b"x", &[0; 11]] {
        socket.send(short).expect("it is sent");
    }
    assert_eq!(dig(at, "+edns=1 +noednsneg web.shop A").status, "BADVERS");
    assert_eq!(dig(at, "web.shop A").data(), [net.vip(10).to_string()]);
}

/// More than any queue within the process holds.
#[test]
fn a_burst_is_answered() {
    let net = Net::take();
    let gate = setup(&net).manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(at(&gate)).expect("a datagram's address");
    socket.set_read_timeout(Some(tidegate_tests::wait::DEADLINE)).expect("a time");
    let question = |id: u8| [&[0, id], &b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04shop\x00\x00\x01\x00\x01"[..]].concat();
    (0..200).for_each(|id| _ = socket.send(&question(id)).expect("it is sent"));
    let mut ids: Vec<u8> = Vec::new();
    for _ in 0..200 {
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("an answer");
        assert_eq!(answer[length - 4..length], net.vip(10).octets());
        ids.push(answer[1]);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<u8>>());
}

/// A connection is no question by itself; whoever says nothing, or nonsense, keeps nobody else from asking.
#[test]
fn connections_are_bounded_and_several_questions_may_come_by_one() {
    use std::io::{Read, Write};
    let net = Net::take();
    let gate =
        setup(&net).flag("--internal-cidr", "127.0.0.1/32").manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let at = at(&gate);
    let question = b"\x00\x1a\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04shop\x00\x00\x01\x00\x01";
    let mut stream = std::net::TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(tidegate_tests::wait::DEADLINE)).expect("a time");
    stream.write_all(&[&question[..], question].concat()).expect("it is sent");
    for _ in 0..2 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("a whole answer");
        assert_eq!((&answer[..2], answer[3] & 15, &answer[answer.len() - 4..]), (&[0, 7][..], 0, &net.vip(10).octets()[..]));
    }
    stream.write_all(b"\x00\x02no").expect("it is sent");
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0, "nonsense ends it");
    let from = |ip: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(ip.parse().expect("an address"), 0).into()).expect("a loopback address");
        socket.connect(&at.into()).expect("it listens");
        std::net::TcpStream::from(socket)
    };
    let strangers: Vec<_> = (0..40).map(|_| from("127.9.9.9")).collect();
    let is_closed = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        matches!(stream.peek(&mut [0; 1]), Ok(0)) || stream.take_error().is_ok_and(|error| error.is_some())
    };
    await_until("the last strangers to be turned away", || strangers.iter().filter(|stream| is_closed(stream)).count() == 8);
    assert_eq!(dig(at, "+tcp web.shop A").data(), [net.vip(10).to_string()], "they take nobody's place");
}
