//! Heads: what is accepted means what it should, what is refused is refused for its own reason, in whatever pieces it arrives.

use proptest::prelude::*;

use super::*;
use config::host::HostError;

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 20 };

/// What a request head says, apart from where it lies.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    method: Vec<u8>,
    target: Vec<u8>,
    path: Vec<u8>,
    host: String,
    framing: Framing,
    keep_alive: bool,
    fields: Vec<(Vec<u8>, Vec<u8>, bool)>,
    length: usize,
}

fn said(head: &RequestHead, bytes: &[u8]) -> Said {
    Said {
        method: head.method_span().of(bytes).to_vec(),
        target: head.target().of(bytes).to_vec(),
        path: head.path().of(bytes).to_vec(),
        host: head.host().to_owned(),
        framing: head.framing(),
        keep_alive: head.keep_alive(),
        fields: head.fields().iter().map(|f| (f.name.of(bytes).to_vec(), f.value.of(bytes).to_vec(), f.hop)).collect(),
        length: head.length(),
    }
}

fn read(bytes: &[u8]) -> Result<Option<Said>, HeadError> {
    let mut head = RequestHead::new(LIMITS);
    Ok(head.read(bytes)?.map(|_| said(&head, bytes)))
}

fn good(text: &str) -> Said {
    read(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}")).unwrap_or_else(|| panic!("{text:?} is not whole"))
}

fn bad(text: &str) -> HeadError {
    read(text.as_bytes()).err().unwrap_or_else(|| panic!("{text:?} must be refused"))
}

/// A request for `/` on `a` with these further lines.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_head_says_what_it_says() {
    let text = "POST /p/q?x=1&y HTTP/1.1\r\nhOsT:  A.example:8080 \t\r\nContent-Length: 12\r\nX-Empty:\r\nX-Text: a b\t\u{e9}\r\n\r\nbody";
    let said = good(text);
    assert_eq!(said.method, b"POST");
    assert_eq!(said.target, b"/p/q?x=1&y");
    assert_eq!(said.path, b"/p/q");
    assert_eq!(said.host, "a.example");
    assert_eq!(said.framing, Framing::Length(12));
    assert!(said.keep_alive);
    assert_eq!(said.length, text.len() - 4);
    let values: Vec<&[u8]> = said.fields.iter().map(|field| &field.1[..]).collect();
    assert_eq!(values, [b"A.example:8080".as_slice(), b"12", b"", "a b\t\u{e9}".as_bytes()]);
}

#[test]
fn framing_comes_from_the_fields_alone() {
    assert_eq!(good(&with("")).framing, Framing::None);
    assert_eq!(good(&with("Content-Length: 0\r\n")).framing, Framing::Length(0));
    assert_eq!(good(&with("Content-Length: 18446744073709551615\r\n")).framing, Framing::Length(u64::MAX));
    assert_eq!(good(&with("Transfer-Encoding: chunked\r\n")).framing, Framing::Chunked);
    assert_eq!(good(&with("tRANSFER-eNCODING: CHUNKED\r\n")).framing, Framing::Chunked);
}

#[test]
fn a_connection_is_kept_as_its_version_and_options_say() {
    for (version, lines, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: , close ,\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let said = good(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(said.keep_alive, kept, "HTTP/{version} {lines:?}");
    }
}

#[test]
fn targets_are_paths_or_http_urls_and_the_url_names_the_host() {
    for (target, forwarded, path, host) in [
        ("/", "/", "/", "b"),
        ("//x/y", "//x/y", "//x/y", "b"),
        ("/?q", "/?q", "/", "b"),
        ("/a?b?c", "/a?b?c", "/a", "b"),
        ("/a|{b}\\", "/a|{b}\\", "/a|{b}\\", "b"),
        ("/http://x/", "/http://x/", "/http://x/", "b"),
        ("http://a", "/", "/", "a"),
        ("http://a/", "/", "/", "a"),
        ("HTTP://A.:80/x?y", "/x?y", "/x", "a"),
        ("https://[::1]:8/x", "/x", "/x", "[::1]"),
        ("http://a?x=1", "?x=1", "/", "a"),
        ("http://a?x=/1@2", "?x=/1@2", "/", "a"),
        ("http://a/x@y", "/x@y", "/x@y", "a"),
    ] {
        let said = good(&format!("GET {target} HTTP/1.1\r\nHost: B\r\n\r\n"));
        assert_eq!(
            (said.target.as_slice(), said.path.as_slice(), said.host.as_str()),
            (forwarded.as_bytes(), path.as_bytes(), host),
            "{target}"
        );
    }
}

#[test]
fn targets_of_other_forms_are_refused() {
    for (target, error) in [
        ("*", HeadError::TargetForm),
        ("a:80", HeadError::TargetForm),
        ("a", HeadError::TargetForm),
        ("?x", HeadError::TargetForm),
        ("ftp://a/", HeadError::TargetForm),
        ("http:/a", HeadError::TargetForm),
        ("ws://a/", HeadError::TargetForm),
        ("http://", HeadError::Host(HostError::Empty)),
        ("http:///x", HeadError::Host(HostError::Empty)),
        ("http://u@a/", HeadError::UserInfo),
        ("http://u:p@a", HeadError::UserInfo),
        ("http://a:x/", HeadError::Host(HostError::BadPort)),
        ("http://a\\b/", HeadError::Host(HostError::BadByte)),
        ("/#x", HeadError::TargetByte),
        ("/\u{e9}", HeadError::TargetByte),
        ("/\x7f", HeadError::TargetByte),
        ("/\x01", HeadError::TargetByte),
    ] {
        assert_eq!(bad(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), error, "{target:?}");
    }
    assert_eq!(bad("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), HeadError::Connect);
    assert_eq!(bad("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::Connect);
}

#[test]
fn request_lines_are_strict() {
    for (line, error) in [
        ("GET  / HTTP/1.1", HeadError::RequestLine),
        ("GET /  HTTP/1.1", HeadError::Version),
        ("GET /\tHTTP/1.1", HeadError::TargetByte),
        ("GET / HTTP/1.1 ", HeadError::RequestLine),
        ("GET / HTTP/2.0", HeadError::Version),
        ("GET / HTTP/1.2", HeadError::Version),
        ("GET / HTTP/0.9", HeadError::Version),
        ("GET / http/1.1", HeadError::Version),
        ("GET / HTTP/1.10", HeadError::RequestLine),
        ("GET /", HeadError::RequestLine),
        ("GET", HeadError::RequestLine),
        ("G(T / HTTP/1.1", HeadError::Method),
        (" GET / HTTP/1.1", HeadError::Method),
        ("\x16\x03\x01", HeadError::Method),
        ("GET / HTTP/1.1\rX: y", HeadError::BareCr),
        ("GET /\0 HTTP/1.1", HeadError::Nul),
    ] {
        assert_eq!(bad(&format!("{line}\r\nHost: a\r\n\r\n")), error, "{line:?}");
    }
    assert_eq!(bad("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HeadError::Version);
    assert_eq!(bad("\x16\x03\x01\x02"), HeadError::Method, "TLS is told without waiting for a line end");
}

#[test]
fn one_empty_line_before_a_request_is_forgiven_and_no_more() {
    let said = good("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((said.path.as_slice(), said.fields[0].1.as_slice(), said.length), (b"/x".as_slice(), b"a".as_slice(), 30));
    assert_eq!(bad("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::EmptyLine);
    assert_eq!(bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::BareLf);
    assert_eq!(bad("\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::BareCr);
}

#[test]
fn what_the_rfcs_permit_to_repair_is_refused() {
    for (lines, error) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", HeadError::LengthAndEncoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", HeadError::SeveralLengths),
        ("Content-Length: 5, 5\r\n", HeadError::ContentLength),
        ("Content-Length: +5\r\n", HeadError::ContentLength),
        ("Content-Length: -1\r\n", HeadError::ContentLength),
        ("Content-Length: 0x5\r\n", HeadError::ContentLength),
        ("Content-Length: 5 5\r\n", HeadError::ContentLength),
        ("Content-Length:\r\n", HeadError::ContentLength),
        ("Content-Length: 18446744073709551616\r\n", HeadError::ContentLength),
        ("Content-Length: \u{0661}\r\n", HeadError::ContentLength),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: chunked;a=b\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", HeadError::FieldValue),
        ("Transfer-Encoding:\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding : chunked\r\n", HeadError::SpaceBeforeColon),
        ("Transfer-Encoding\t: chunked\r\n", HeadError::SpaceBeforeColon),
        ("Transfer-Encoding\r\n", HeadError::FieldName),
        ("X: a\r\n b\r\n", HeadError::ObsFold),
        ("X: a\r\n\tb: c\r\n", HeadError::ObsFold),
        ("X: a\n", HeadError::BareLf),
        ("X: a\nY: b\r\n", HeadError::BareLf),
        ("X: a\rb\r\n", HeadError::BareCr),
        ("X: a\r\r\n", HeadError::BareCr),
        ("X: a\0b\r\n", HeadError::Nul),
        ("X\0: a\r\n", HeadError::Nul),
        ("X: \x7f\r\n", HeadError::FieldValue),
        (": a\r\n", HeadError::FieldName),
        ("X Y: a\r\n", HeadError::FieldName),
        ("X(: a\r\n", HeadError::FieldName),
        ("\u{e9}: a\r\n", HeadError::FieldName),
        ("Host: a\r\n", HeadError::SeveralHosts),
        ("host: b\r\n", HeadError::SeveralHosts),
    ] {
        assert_eq!(bad(&with(lines)), error, "{lines:?}");
    }
    assert_eq!(bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HeadError::ObsFold);
    assert_eq!(bad("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), HeadError::EncodingInHttp10);
}

#[test]
fn hosts_are_hosts() {
    assert_eq!(bad("GET / HTTP/1.1\r\n\r\n"), HeadError::MissingHost);
    assert_eq!(bad("GET http://a/ HTTP/1.1\r\n\r\n"), HeadError::MissingHost);
    assert_eq!(good("GET / HTTP/1.0\r\n\r\n").host, "");
    assert_eq!(good("GET http://a/ HTTP/1.0\r\n\r\n").host, "a");
    for host in ["", "a b", "a/b", "a,b", "u@a", "a:99999", "[::1", "a..b", "\u{e9}", "a\tb", "a#", "a?"] {
        let error = bad(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(error, HeadError::Host(_)), "{host:?}: {error}");
        let beside_a_url = bad(&format!("GET http://good/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(beside_a_url, HeadError::Host(_)), "{host:?}: {beside_a_url}");
    }
}

#[test]
fn limits_are_exact() {
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(good(&fields(LIMITS.fields)).fields.len(), LIMITS.fields);
    assert_eq!(bad(&fields(LIMITS.fields + 1)), HeadError::TooManyFields);
    let sized = |size: usize| {
        let frame = with("X: \r\n").len();
        with(&format!("X: {}\r\n", "y".repeat(size - frame)))
    };
    assert_eq!(good(&sized(LIMITS.bytes)).length, LIMITS.bytes);
    assert_eq!(bad(&sized(LIMITS.bytes + 1)), HeadError::TooLarge);
    assert_eq!(read(&sized(LIMITS.bytes).as_bytes()[..LIMITS.bytes - 1]), Ok(None));
    assert_eq!(bad(&"G".repeat(LIMITS.bytes)), HeadError::TooLarge);
    assert_eq!((HeadError::TooLarge.status(), HeadError::TooManyFields.status(), HeadError::Nul.status()), (431, 431, 400));
    let many = HeadLimits { bytes: 64 * 1024, fields: 1000 };
    let mut head = RequestHead::new(many);
    assert!(head.read(fields(1000).as_bytes()).unwrap().is_some(), "limits above what the stack holds");
    assert_eq!(head.fields().len(), 1000);
}

#[test]
fn connection_names_only_what_means_nothing_to_us() {
    let text = with(
        "Connection: x-a, HOST, content-length, x-forwarded-for, x-real-ip, user-agent\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 1\r\n\
         X-Forwarded-For: 9.9.9.9\r\nUser-Agent: u\r\n",
    );
    let hops: Vec<Vec<u8>> = good(&text).fields.into_iter().filter(|field| field.2).map(|field| field.0).collect();
    assert_eq!(hops, [b"X-A".to_vec()]);
    assert_eq!(bad(&with(&format!("Connection: {}\r\n", "x,".repeat(super::field::MAX_OPTIONS + 1)))), HeadError::ConnectionOptions);
}

#[test]
fn names_are_told_apart_whatever_their_case() {
    for (name, kind) in [
        ("HOST", FieldKind::Host),
        ("te", FieldKind::Te),
        ("Via", FieldKind::Via),
        ("Keep-Alive", FieldKind::KeepAlive),
        ("User-Agent", FieldKind::UserAgent),
        ("Proxy-Authorization", FieldKind::ProxyAuthorization),
        ("X-Request-ID", FieldKind::XRequestId),
        ("X-FORWARDED-FOR", FieldKind::XForwardedFor),
        ("x_forwarded_for", FieldKind::XForwardedOther),
        ("X-Forwarded-Prefix", FieldKind::XForwardedOther),
        ("X_Real-IP", FieldKind::XForwardedOther),
        ("X-Forwarded", FieldKind::Other),
        ("X-Real-IPs", FieldKind::Other),
        ("hos", FieldKind::Other),
        ("data", FieldKind::Other),
        ("", FieldKind::Other),
    ] {
        assert_eq!(FieldKind::of(name.as_bytes()), kind, "{name}");
    }
}

#[test]
fn a_reader_is_reused_and_remembers_nothing() {
    let mut head = RequestHead::new(LIMITS);
    let first = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n";
    let length = head.read(first).unwrap().unwrap();
    assert_eq!(length, first.len());
    assert!(head.expect_continue() && head.takes_trailers() && !head.keep_alive());
    let second = b"GET /2 HTTP/1.0\r\n\r\n";
    assert_eq!(head.read(second), Ok(Some(second.len())));
    assert_eq!((head.framing(), head.host(), head.fields().len()), (Framing::None, "", 0));
    assert!(!head.expect_continue() && !head.takes_trailers() && !head.keep_alive() && head.authority().is_none());
    assert!(head.read(b"\0").is_err());
    assert_eq!(head.read(second), Ok(Some(second.len())), "also after an error");
}

fn response(text: &str, to: Method) -> Result<(u16, Framing, bool), HeadError> {
    let mut head = ResponseHead::new(LIMITS);
    let length = head.read(text.as_bytes(), to)?.expect("a whole head");
    assert_eq!(length, text.len());
    Ok((head.status(), head.framing(), head.keep_alive()))
}

#[test]
fn answers_are_framed_by_status_method_and_fields() {
    for (text, to, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Get, (200, Framing::Length(3), true)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Head, (200, Framing::None, true)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Post, (200, Framing::Chunked, true)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Head, (200, Framing::None, true)),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, (200, Framing::UntilClose, false)),
        ("HTTP/1.1 200\r\n\r\n", Method::Get, (200, Framing::UntilClose, false)),
        ("HTTP/1.1 204 No Content\r\n\r\n", Method::Get, (204, Framing::None, true)),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Method::Get, (304, Framing::None, true)),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Post, (100, Framing::None, true)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Method::Get, (200, Framing::Length(0), false)),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, (200, Framing::Length(0), false)),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", Method::Get, (200, Framing::Length(0), true)),
        ("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", Method::Get, (999, Framing::Length(0), true)),
    ] {
        assert_eq!(response(text, to), Ok(expected), "{text:?}");
    }
}

#[test]
fn answers_with_two_meanings_are_refused() {
    for (text, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::LengthAndEncoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", HeadError::SeveralLengths),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3,3\r\n\r\n", HeadError::ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HeadError::TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::EncodingInHttp10),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", HeadError::ObsFold),
        ("HTTP/1.1 200 OK\nX: a\r\n\r\n", HeadError::BareLf),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", HeadError::SpaceBeforeColon),
        ("HTTP/1.1 099 Low\r\n\r\n", HeadError::Status),
        ("HTTP/1.1 2000 OK\r\n\r\n", HeadError::Status),
        ("HTTP/1.1 20 OK\r\n\r\n", HeadError::Status),
        ("HTTP/1.1  200 OK\r\n\r\n", HeadError::Status),
        ("HTTP/2.0 200 OK\r\n\r\n", HeadError::Version),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadError::EmptyLine),
        ("ICY 200 OK\r\n\r\n", HeadError::Status),
    ] {
        assert_eq!(response(text, Method::Get), Err(error), "{text:?}");
    }
}

/// Heads built from good and hostile parts.
fn head_text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => prop::sample::select(vec!["GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.1\r\n", "GET http://c/d HTTP/1.0\r\n", "\r\nGET / HTTP/1.1\r\n"]),
        1 => prop::sample::select(vec!["GET  / HTTP/1.1\r\n", "\n", "GET / HTTP/1.1\n", "PRI * HTTP/2.0\r\n", "\r\n\r\nGET / HTTP/1.1\r\n"]),
    ];
    let field = prop_oneof![
        6 => prop::sample::select(vec![
            "Host: a\r\n", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close, x-y\r\n", "X-Y: \t z \r\n",
            "X-Forwarded-For: 1.2.3.4\r\n", "Expect: 100-continue\r\n", "Empty:\r\n", "Connection: keep-alive\r\n",
        ]),
        1 => prop::sample::select(vec!["Host: b:x\r\n", " fold\r\n", "X: y\n", "X : y\r\n", "X: \0\r\n", "\r", "Content-Length: 7,7\r\n"]),
    ];
    (line, prop::collection::vec(field, 0..8), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(line, fields, rest)| {
        let mut bytes = line.as_bytes().to_vec();
        for field in fields {
            bytes.extend_from_slice(field.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&rest);
        bytes
    })
}

/// Feeds a growing prefix, as a connection does.
fn read_in_pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Result<Option<Said>, HeadError> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut head = RequestHead::new(LIMITS);
    for end in ends {
        if head.read(&bytes[..end])?.is_some() {
            return Ok(Some(said(&head, &bytes[..end])));
        }
    }
    Ok(None)
}

proptest! {
    #[test]
    fn pieces_do_not_change_the_verdict(bytes in head_text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        prop_assert_eq!(read_in_pieces(&bytes, &cuts), read(&bytes));
    }

    #[test]
    fn arbitrary_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = read(&bytes);
        let every: Result<Option<Said>, HeadError> = {
            let mut head = RequestHead::new(LIMITS);
            (0..=bytes.len()).find_map(|end| match head.read(&bytes[..end]) {
                Ok(None) => None,
                Ok(Some(_)) => Some(Ok(Some(said(&head, &bytes)))),
                Err(error) => Some(Err(error)),
            }).unwrap_or(Ok(None))
        };
        prop_assert_eq!(every, whole);
        let _ = ResponseHead::new(LIMITS).read(&bytes, Method::Get);
    }

    #[test]
    fn answers_of_arbitrary_bytes_are_judged_without_panic(rest in prop::collection::vec(any::<u8>(), 0..100)) {
        let bytes = [b"HTTP/1.1 200 OK\r\nX".as_slice(), &rest, b"\r\n\r\n"].concat();
        let mut head = ResponseHead::new(LIMITS);
        if let Ok(Some(length)) = head.read(&bytes, Method::Get) {
            prop_assert!(length <= bytes.len());
            prop_assert!(!bytes[..length].contains(&0));
        }
    }
}
