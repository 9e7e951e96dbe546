//! Answers of a replica that speaks HTTP/1, on their way down.

use tidegate_tests::await_until;
use tidegate_tests::frames::End;

use super::*;

#[test]
fn answers_of_every_framing_arrive_whole() {
    for (answer, closes, status, body, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", Some("5")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, "", Some("0")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n", false, 200, "hello", None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 200, "", None),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", true, 200, "hello", None),
        ("HTTP/1.0 200 OK\r\n\r\nhello", true, 200, "hello", None),
        ("HTTP/1.1 204 No Content\r\nX-Empty: yes\r\n\r\n", false, 204, "", None),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", false, 304, "", Some("1000")),
        ("HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\n\r\nno", false, 404, "no", Some("2")),
        ("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", false, 299, "", Some("0")),
    ] {
        let scene = Scene::new(if closes { Behaviour::RawThenClose(answer.into()) } else { Behaviour::Raw(answer.into()) });
        let said = scene.curl(&["--include", "--write-out", "%{http_code}"], b"");
        let text = said.exited(0).to_ascii_lowercase();
        let (head, content) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}: {text}"));
        assert!(head.starts_with(&format!("http/2 {status}")), "{answer:?}: {head}");
        assert_eq!(content, format!("{body}{status}"), "{answer:?}");
        let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(str::trim);
        // What has come whole may be told its length.
        assert!(told == length || told == Some(body.len().to_string().as_str()), "{answer:?}: {head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("connection:"), "{answer:?}: {head}");
        assert_eq!(head.matches("date: ").count(), 1, "{answer:?}: {head}");
    }
}

#[test]
fn head_has_the_fields_and_no_body() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Replica: one\r\n\r\n".to_vec()));
    for _ in 0..2 {
        let said = scene.curl(&[&["--head"], &SAY[..]].concat(), b"");
        let text = said.exited(0).to_ascii_lowercase();
        assert!(text.contains("content-length: 1000\r\n") && text.contains("x-replica: one\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n 200 2 1"), "{text}");
    }
    assert_eq!(scene.replica.connections(), 1, "no body was waited for on the replica's side");
}

#[test]
fn a_long_answer_arrives_whole() {
    let scene = Scene::new(Behaviour::Body(20_000_000));
    let flags = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"];
    assert_eq!(scene.curl(&flags, b"").exited(0), "200 20000000");
    assert_eq!(scene.curl_in_tls("safe.example", &[&["--http2"], &flags[..]].concat()).exited(0), "200 20000000");
}

#[test]
fn interim_answers_do_not_disturb() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    for interim in [hints.to_owned(), "HTTP/1.1 102 Processing\r\n\r\n".repeat(5), format!("HTTP/1.1 100 Continue\r\n\r\n{hints}")] {
        let scene = Scene::new(Behaviour::Raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into()));
        let mut client = scene.frames();
        for _ in 0..2 {
            let answer = client.fetch("shop.example", "/");
            assert_eq!((answer.status, answer.body.as_slice(), answer.heads), (200, &b"ok"[..], 1), "{interim:?}");
        }
        assert_eq!(scene.replica.connections(), 1, "{interim:?}");
    }
}

#[test]
fn an_answer_that_breaks_the_protocol_is_a_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "NONSENSE\r\n\r\n",
        "",
    ] {
        let scene = Scene::new(Behaviour::RawThenClose(answer.into()));
        let mut client = scene.frames();
        assert_eq!(client.fetch("shop.example", "/").status, 502, "{answer:?}");
        assert_eq!(scene.refusals("upstream-reset"), 1.0, "{answer:?}");
        scene.replica.now(Behaviour::Named);
        assert_eq!(client.fetch("shop.example", "/").status, 200, "{answer:?}: the connection goes on");
    }
}

#[test]
fn an_answer_that_is_cut_looks_cut_and_harms_no_other() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
    ] {
        for reset in [false, true] {
            let behaviour = if reset { Behaviour::RawThenReset(answer.into()) } else { Behaviour::RawThenClose(answer.into()) };
            let scene = Scene::new(behaviour);
            assert_ne!(scene.curl(&["--fail"], b"").code, 0, "{answer:?}");
            let mut client = scene.frames();
            let answered = client.fetch("shop.example", "/");
            // A reset may overtake what came before it, and nonsense behind a head is seen with it.
            let unheard = reset || answer.ends_with("x\r\n");
            let begun = (answered.status, answered.heads) == (200, 1) && matches!(answered.end, Some(End::Reset(_)));
            assert!(begun || (unheard && answered.status == 502), "{answer:?}: {answered:?}");
            scene.replica.now(Behaviour::Named);
            assert_eq!(client.fetch("shop.example", "/").status, 200, "{answer:?}: the connection goes on");
            await_until("both to be counted", || scene.refusals("upstream-reset") == 2.0);
        }
    }
}

/// The end of its connection would be its own; a reset is not.
#[test]
fn an_answer_without_a_length_that_is_reset_looks_cut() {
    let scene = Scene::new(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\n\r\nhalf".to_vec()));
    let answered = scene.frames().fetch("shop.example", "/");
    assert!(matches!(answered.end, Some(End::Reset(_))) || answered.status == 502, "{answered:?}");
    await_until("it to be counted", || scene.refusals("upstream-reset") == 1.0);
}

#[test]
fn an_answer_is_passed_on_as_it_comes() {
    let pieces: Vec<Vec<u8>> =
        vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n".to_vec(), b"1\r\nb\r\n".to_vec(), b"0\r\n\r\n".to_vec()];
    let scene = Scene::new(Behaviour::Pieces(pieces));
    let mut client = scene.frames();
    let stream = client.get("shop.example", "/");
    for so_far in [&b"a"[..], b"ab"] {
        client.until("a piece that does not wait for the next", |client| client.on(stream).body == so_far);
        assert_eq!(client.on(stream).end, None);
        scene.replica.release();
    }
    let answer = client.answer(stream);
    assert_eq!((answer.body.as_slice(), answer.end), (&b"ab"[..], Some(End::Whole)));
}

#[test]
fn a_slow_answer_holds_up_no_other() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.frames();
    let slow = client.get("shop.example", "/slow");
    await_until("the slow request to reach the replica", || scene.replica.requests() == 1);
    scene.replica.now(Behaviour::Named);
    for _ in 0..10 {
        assert_eq!(client.fetch("shop.example", "/quick").status, 200);
    }
    assert_eq!(client.on(slow).end, None);
    scene.replica.release();
    assert_eq!(client.answer(slow).status, 200);
}
