//! What is written: nothing of the connection leaks, nobody lies about who they are, and it reads back as what was meant.

use proptest::prelude::*;

use super::super::head::{HeadLimits, Method};
use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 60 };
const MADE: &[u8] = b"made";

fn request(text: &str) -> RequestHead {
    let mut head = RequestHead::new(LIMITS);
    assert_eq!(head.read(text.as_bytes()), Ok(Some(text.len())), "{text:?}");
    head
}

fn forward_from(text: &str, client: &str, trusted: bool) -> String {
    forward_shown(text, client, trusted, Shown::Unasked)
}

fn forward_shown(text: &str, client: &str, trusted: bool, shown: Shown<'_>) -> String {
    let head = request(text);
    let host = head.authority().map_or(&[][..], |span| span.of(text.as_bytes()));
    let forward = Forward { client: client.as_bytes(), https: false, host, trusted, request_id: MADE, shown, up: None };
    let mut out = Vec::new();
    write_request(&head, text.as_bytes(), &forward, &mut out);
    String::from_utf8(out).unwrap()
}

fn forwarded(text: &str, trusted: bool) -> String {
    forward_from(text, "192.0.2.17", trusted)
}

const OURS: &str = "X-Forwarded-For: 192.0.2.17\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: A.b:8\r\n\
                    Forwarded: for=192.0.2.17;host=\"A.b:8\";proto=http\r\nX-Request-Id: made\r\n";

#[test]
fn a_request_keeps_what_is_meant_for_the_replica() {
    let text = "POST /p?q HTTP/1.1\r\nAccept: a\r\nConnection: close, x-hop\r\nCookie: 1=2\r\nX-Hop: gone\r\nHost: A.b:8\r\nCOOKIE: 3\r\n\
                Keep-Alive: 5\r\nUpgrade: websocket\r\nProxy-Connection: x\r\nProxy-Authorization: secret\r\nTE: gzip\r\ncontent-length: 007\r\n\
                Via: 1.1 x\r\nUser-Agent: u\r\n\r\n";
    let expected = format!(
        "POST /p?q HTTP/1.1\r\nHost: A.b:8\r\nAccept: a\r\nCookie: 1=2\r\nCOOKIE: 3\r\nVia: 1.1 x\r\nUser-Agent: u\r\n{OURS}Content-Length: 7\r\n\r\n"
    );
    assert_eq!(forwarded(text, false), expected);
}

#[test]
fn a_stranger_cannot_say_where_a_request_comes_from() {
    let text = "GET / HTTP/1.1\r\nHost: A.b:8\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n\
                x_real_ip: 6.6.6.6\r\nConnection: x-forwarded-for, forwarded, host, x-request-id\r\n\r\n";
    assert_eq!(forwarded(text, false), format!("GET / HTTP/1.1\r\nHost: A.b:8\r\n{OURS}\r\n"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let text = "GET / HTTP/1.1\r\nHost: A.b:8\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For:\r\n\
                X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\nX-Real-IP: 6.6.6.6\r\n\r\n";
    let expected = "GET / HTTP/1.1\r\nHost: A.b:8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\nX-Real-IP: 6.6.6.6\r\n\
                    X-Forwarded-For: 6.6.6.6, 7.7.7.7, 8.8.8.8, 192.0.2.17\r\n\
                    Forwarded: for=6.6.6.6, for=192.0.2.17;host=\"A.b:8\";proto=http\r\nX-Request-Id: made\r\n\r\n";
    assert_eq!(forwarded(text, true), expected);
}

#[test]
fn what_a_client_showed_is_told_by_us_or_by_a_trusted_proxy() {
    let text = "GET / HTTP/1.1\r\nHost: a.b\r\nssl-client-verify: SUCCESS\r\nSSL_Client_Subject_DN: CN=root\r\nssl-client-x: 1\r\n\r\n";
    let told = |trusted, shown| {
        let out = forward_shown(text, "192.0.2.17", trusted, shown);
        let lines = out.lines().filter(|line| line.to_ascii_lowercase().starts_with("ssl"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(false, Shown::Unasked), Vec::<String>::new());
    assert_eq!(told(true, Shown::Unasked).len(), 3, "a proxy in front that asks for us");
    for trusted in [false, true] {
        assert_eq!(told(trusted, Shown::Nothing), ["ssl-client-verify: NONE"]);
        let ours = ["ssl-client-verify: SUCCESS", "ssl-client-subject-dn: CN=ann"];
        assert_eq!(told(trusted, Shown::Certificate(b"CN=ann")), ours);
    }
}

#[test]
fn an_ipv6_client_and_a_plain_host_are_told_as_rfc_7239_says() {
    let out = forward_from("GET / HTTP/1.1\r\nHost: a.b\r\n\r\n", "::1", false);
    assert!(out.contains("X-Forwarded-For: ::1\r\n"), "{out}");
    assert!(out.contains("Forwarded: for=\"[::1]\";host=a.b;proto=http\r\n"), "{out}");
    let none = forwarded("GET / HTTP/1.0\r\n\r\n", false);
    assert!(none.starts_with("GET / HTTP/1.1\r\nHost: \r\n") && none.contains("Forwarded: for=192.0.2.17;proto=http\r\n"), "{none}");
    assert!(!none.contains("X-Forwarded-Host"), "{none}");
}

#[test]
fn a_url_names_the_host_and_leaves_a_path() {
    for (target, line) in [
        ("http://x.y:1/p?q", "GET /p?q HTTP/1.1\r\nHost: x.y:1\r\n"),
        ("http://x.y", "GET / HTTP/1.1\r\nHost: x.y\r\n"),
        ("http://x.y?q", "GET /?q HTTP/1.1\r\nHost: x.y\r\n"),
    ] {
        let out = forwarded(&format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n"), false);
        assert!(out.starts_with(line) && !out.contains("other"), "{out}");
    }
}

#[test]
fn a_request_id_is_kept_when_it_is_one() {
    let id = |lines: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let out = forwarded(&text, false);
        let line = out.split("X-Request-Id: ").nth(1).unwrap();
        assert_eq!(out.to_lowercase().matches("x-request-id:").count(), 1);
        line.split("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(id("x-request-id: abc-1\r\n"), "abc-1");
    for lines in ["", "X-Request-Id:\r\n", "X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n", "X-Request-Id: \u{e9}\r\n"] {
        assert_eq!(id(lines), "made", "{lines:?}");
    }
    assert_eq!(id(&format!("X-Request-Id: {}\r\n", "x".repeat(129))), "made");
}

#[test]
fn trailers_and_expectations_go_up_where_they_mean_something() {
    let out = forwarded(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nExpect: 100-continue\r\n\r\n",
        false,
    );
    for line in [
        "\r\nConnection: TE\r\nTE: trailers\r\n",
        "\r\nTrailer: X\r\n",
        "\r\nExpect: 100-continue\r\n",
        "\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(out.contains(line), "{line:?} in {out}");
    }
    let old = forwarded("POST / HTTP/1.0\r\nTE: trailers\r\nContent-Length: 1\r\nTrailer: X\r\nExpect: 100-continue\r\n\r\n", false);
    assert!(!old.contains("TE:") && !old.contains("Trailer") && !old.contains("Expect"), "{old}");
}

fn answered(text: &str, to: Method, how: ResponseForm<'_>) -> String {
    let mut head = ResponseHead::new(LIMITS);
    assert_eq!(head.read(text.as_bytes(), to), Ok(Some(text.len())));
    let mut out = Vec::new();
    write_response(&head, text.as_bytes(), how, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn filters_change_the_line_the_host_and_fields_and_nothing_else() {
    let text = "POST /p?q HTTP/1.1\r\nHost: A.b:8\r\nX-Env: test\r\nAccept: a\r\nx-env: again\r\nContent-Length: 7\r\n\r\n";
    let head = request(text);
    let labels = [("tidegate.dev/request-headers-set", "X-Env: live"), ("tidegate.dev/response-headers-remove", "server")];
    let reading = config::annotations::read(&"a".into(), &labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
    let filters = registry::filter::Filters::new(reading.filters, None);
    let asked = |fields| crate::filter::Asked {
        method: Method::Post,
        host: "a.b",
        target: "/p?q",
        client: [192, 0, 2, 17].into(),
        https: false,
        length: Some(7),
        fields,
    };
    let fields = super::super::HeadFields::new(&head, text.as_bytes());
    let edits = crate::filter::Down::of(&filters, &asked(&fields)).fields;
    let up = Up { target: Some("/new?q".to_owned()), host: Some("in.b"), fields: FieldEdits::of(&filters.request) };
    let forward = Forward {
        client: b"192.0.2.17",
        https: false,
        host: b"A.b:8",
        trusted: false,
        request_id: MADE,
        shown: Shown::Unasked,
        up: Some(&up),
    };
    let mut out = Vec::new();
    write_request(&head, text.as_bytes(), &forward, &mut out);
    let expected = format!("POST /new?q HTTP/1.1\r\nHost: in.b\r\nAccept: a\r\nX-Env: live\r\n{OURS}Content-Length: 7\r\n\r\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let answer = "HTTP/1.1 200 OK\r\nServer: s\r\nX-A: 1\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    let form = ResponseForm { edits: Some(&edits), ..KEEP };
    assert_eq!(answered(answer, Method::Get, form), "HTTP/1.1 200 OK\r\nX-A: 1\r\nDate: d\r\nContent-Length: 0\r\n\r\n");
}

const KEEP: ResponseForm<'_> = ResponseForm { keep_alive: true, client_11: true, decoded: false, date: b"now", edits: None };

#[test]
fn an_answer_keeps_what_is_meant_for_the_client() {
    let text = "HTTP/1.0 200 Very OK\r\nServer: s\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: 1\r\n\
                Upgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 03\r\nDate: d\r\n\r\n";
    let kept = "HTTP/1.1 200 Very OK\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: d\r\nContent-Length: 3\r\n";
    assert_eq!(answered(text, Method::Get, KEEP), format!("{kept}\r\n"));
    assert_eq!(answered(text, Method::Head, KEEP), format!("{kept}\r\n"));
    assert_eq!(answered(text, Method::Get, ResponseForm { keep_alive: false, ..KEEP }), format!("{kept}Connection: close\r\n\r\n"));
    assert_eq!(answered(text, Method::Get, ResponseForm { client_11: false, ..KEEP }), format!("{kept}Connection: keep-alive\r\n\r\n"));
}

#[test]
fn an_answer_is_framed_once_as_its_client_can_read_it() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    assert_eq!(answered(chunked, Method::Get, KEEP), "HTTP/1.1 200 OK\r\nTrailer: X\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n");
    let decoded = ResponseForm { client_11: false, decoded: true, ..KEEP };
    assert_eq!(answered(chunked, Method::Get, decoded), "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n");
    for (text, to, out) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n"),
        ("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", Method::Get, "HTTP/1.1 204 No\r\nDate: now\r\n\r\n"),
        ("HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", Method::Get, "HTTP/1.1 304 \r\nDate: now\r\nContent-Length: 9\r\n\r\n"),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Method::Get, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Head, "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n"),
    ] {
        assert_eq!(answered(text, to, KEEP), out, "{text:?}");
    }
}

#[test]
fn our_own_answers_are_whole() {
    let own = |header, close, head_only| {
        let mut out = b"before".to_vec();
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        write_own(&Own { status: 404, fields: &[], reason: header, close, head_only, date }, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    };
    let head = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n";
    assert_eq!(own(None, true, false), format!("{head}Connection: close\r\n\r\n404 Not Found\n"));
    assert_eq!(own(Some("no-route"), false, true), format!("{head}X-Tidegate-Reason: no-route\r\nConnection: keep-alive\r\n\r\n"));
    let text = own(None, false, false);
    let mut read = ResponseHead::new(LIMITS);
    let length = read.read(text.as_bytes(), Method::Get).unwrap().unwrap();
    assert_eq!(read.framing(), Framing::Length((text.len() - length) as u64));
}

fn head_text() -> impl Strategy<Value = String> {
    let target = prop_oneof!["/[a-z/%.]{0,12}(\\?[a-z=&/?]{0,8})?", "https?://[a-z]{1,5}(:[0-9]{0,4})?(/[a-z]{0,5})?(\\?[a-z]{0,5})?"];
    let framing = prop::sample::select(vec!["", "Content-Length: 0\r\n", "Content-Length: 0042\r\n", "Transfer-Encoding: Chunked\r\n"]);
    let field = prop_oneof![
        3 => "[A-Za-z][A-Za-z0-9_-]{0,12}: ?[ -~]{0,12}\r\n",
        1 => prop::sample::select(vec![
            "Connection: close\r\n", "Connection: x-a, host, content-length, transfer-encoding\r\n", "X-A: b\r\n", "TE: trailers\r\n",
            "X-Forwarded-For: 1\r\n", "Upgrade: h2c\r\n", "Forwarded: for=_x\r\n", "X-Request-Id: 7\r\n", "Keep-Alive: 1\r\n",
        ]).prop_map(str::to_owned),
    ];
    (
        "(GET|PUT|POST|HEAD|get|PURGE)",
        target,
        "[A-Za-z0-9.-]{0,3}[a-z](:[0-9]{0,4})?",
        framing,
        prop::collection::vec(field, 0..9),
        0..9usize,
    )
        .prop_map(|(method, target, host, framing, fields, at)| {
            let mut lines: Vec<String> = fields;
            lines.insert(at.min(lines.len()), framing.to_owned());
            lines.insert(0, format!("Host: {host}\r\n"));
            format!("{method} {target} HTTP/1.1\r\n{}\r\n", lines.concat())
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_what_was_read(text in head_text(), trusted in any::<bool>()) {
        let mut head = RequestHead::new(LIMITS);
        let Ok(Some(_)) = head.read(text.as_bytes()) else { return Ok(()) };
        let out = forwarded(&text, trusted);
        let mut again = RequestHead::new(LIMITS);
        prop_assert_eq!(again.read(out.as_bytes()), Ok(Some(out.len())), "{}", &out);
        prop_assert_eq!(again.method_span().of(out.as_bytes()), head.method_span().of(text.as_bytes()));
        prop_assert_eq!(again.host(), head.host());
        prop_assert_eq!(again.path().of(out.as_bytes()), head.path().of(text.as_bytes()));
        prop_assert!(again.target().of(out.as_bytes()).ends_with(head.target().of(text.as_bytes())));
        prop_assert_eq!(again.framing(), head.framing());
        prop_assert!(again.keep_alive());
        let count = |head: &RequestHead| head.fields().iter().filter(|field| field.kind == FieldKind::Other && !field.hop).count();
        prop_assert_eq!(count(&again), count(&head), "{}", out);
    }
}

#[test]
fn another_host_takes_the_place_of_the_first() {
    let mut out = b"GET / HTTP/1.1\r\nHost: a.example:80\r\nX-Host: b\r\n\r\nHost: body".to_vec();
    for (host, head) in [("shop.partner.example", "Host: shop.partner.example"), ("b", "Host: b"), ("", "Host: ")] {
        set_host(&mut out, host.as_bytes());
        assert_eq!(String::from_utf8_lossy(&out), format!("GET / HTTP/1.1\r\n{head}\r\nX-Host: b\r\n\r\nHost: body"));
    }
}
