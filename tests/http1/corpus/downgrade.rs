//! Requests of HTTP/2, and what they must become on HTTP/1: never a message with another meaning.
//!
//! Invariant: every case is played frame by frame against the real binary (`downgrade/played.rs`); before that its form is checked here,
//! and what it becomes by our own HTTP/1 reader.

use proxy::http::body::BodyReader;
use proxy::http::head::{HeadLimits, RequestHead};

mod played;

/// Names and values as HPACK carries them, any bytes.
type Fields = &'static [(&'static [u8], &'static [u8])];

/// One case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Downgrade {
    /// Its name, unique in the corpus.
    pub(super) id: &'static str,
    /// Document and section that decide it.
    pub(super) rfc: &'static str,
    /// Why, in one line.
    pub(super) why: &'static str,
    /// The fields of the HEADERS frame.
    pub(super) fields: Fields,
    /// The content of DATA frames; `None` when HEADERS ends the stream.
    pub(super) body: Option<&'static [u8]>,
    /// The fields of a second HEADERS frame, if not empty.
    pub(super) trailers: Fields,
    /// What a replica that speaks HTTP/1 gets, Tidegate's own fields apart; `None` when it gets nothing: the stream is reset or
    /// answered with 400.
    pub(super) becomes: Option<&'static [u8]>,
}

const fn never(id: &'static str, rfc: &'static str, why: &'static str, fields: Fields) -> Downgrade {
    Downgrade { id, rfc, why, fields, body: None, trailers: &[], becomes: None }
}

const fn becomes(id: &'static str, rfc: &'static str, why: &'static str, fields: Fields, up: &'static [u8]) -> Downgrade {
    Downgrade { becomes: Some(up), ..never(id, rfc, why, fields) }
}

impl Downgrade {
    const fn with(self, body: &'static [u8]) -> Downgrade {
        Downgrade { body: Some(body), ..self }
    }

    const fn trailing(self, trailers: Fields) -> Downgrade {
        Downgrade { trailers, ..self }
    }
}

/// A GET of `/` on `a` with these fields behind.
macro_rules! get {
    ($(($name:literal, $value:literal)),*) => {
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/") $(, ($name, $value))*]
    };
}

/// A POST likewise.
macro_rules! post {
    ($(($name:literal, $value:literal)),*) => {
        &[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/") $(, ($name, $value))*]
    };
}

const A: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Downgrade] = &[
    becomes("h2-plain", "RFC 9113 8.3.1", "pseudo-fields become a request line and a Host", get!(), A),
    becomes(
        "h2-fields",
        "RFC 9113 8.2",
        "fields go on",
        get!((b"x", b"y"), (b"x", b"z"), (b"accept", b"*/*")),
        b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\nx: z\r\naccept: */*\r\n\r\n",
    ),
    becomes(
        "h2-cookies",
        "RFC 9113 8.2.3",
        "crumbs of a cookie are joined before HTTP/1",
        get!((b"cookie", b"a=1"), (b"cookie", b"b=2")),
        b"GET / HTTP/1.1\r\nHost: a\r\ncookie: a=1; b=2\r\n\r\n",
    ),
    becomes(
        "h2-te",
        "RFC 9113 8.2.2",
        "`trailers` is the one TE that may be sent",
        get!((b"te", b"trailers")),
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
    ),
    becomes(
        "h2-host-alone",
        "RFC 9113 8.3.1",
        "a request may have been HTTP/1 before",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"a")],
        A,
    ),
    becomes("h2-host-equal", "RFC 9113 8.3.1", "both may be there when they agree", get!((b"host", b"a")), A),
    becomes(
        "h2-forged-forwarding",
        "RFC 7239 8.1",
        "a stranger's word on who asked is not believed",
        get!((b"x-forwarded-for", b"10.0.0.1"), (b"forwarded", b"for=b")),
        A,
    ),
    becomes(
        "h2-proxy-authorization",
        "RFC 9110 11.7.2",
        "credentials for a proxy are not the origin's",
        get!((b"proxy-authorization", b"Basic eA==")),
        A,
    ),
    becomes(
        "h2-length",
        "RFC 9113 8.1.1",
        "a length that is true goes on",
        post!((b"content-length", b"5")),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    )
    .with(b"hello"),
    becomes(
        "h2-length-zero",
        "RFC 9113 8.1.1",
        "also where it is none",
        post!((b"content-length", b"0")),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ),
    becomes(
        "h2-no-length",
        "RFC 9113 8.1",
        "content without a length needs chunks",
        post!(),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .with(b"hello"),
    becomes(
        "h2-trailers",
        "RFC 9113 8.1",
        "trailers need chunks",
        post!(),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    )
    .with(b"hello")
    .trailing(&[(b"x-sum", b"1")]),
    becomes(
        "h2-body-holds-request",
        "RFC 9113 10.3",
        "what looks like a request is content",
        post!((b"content-length", b"27")),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .with(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    becomes(
        "h2-body-holds-chunks",
        "RFC 9113 10.3",
        "what looks like chunks is content",
        post!((b"content-length", b"5")),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    )
    .with(b"0\r\n\r\n"),
    never(
        "h2-value-crlf",
        "RFC 9113 8.2.1",
        "a value with a line end is two fields on HTTP/1",
        get!((b"x", b"y\r\ntransfer-encoding: chunked")),
    ),
    never("h2-value-request", "RFC 9113 10.3", "or a whole request", get!((b"x", b"y\r\n\r\nGET /admin HTTP/1.1\r\nHost: a"))),
    never("h2-value-lf", "RFC 9113 8.2.1", "LF ends a line for some readers", get!((b"x", b"y\nz: 1"))),
    never("h2-value-cr", "RFC 9113 8.2.1", "CR ends a line for some readers", get!((b"x", b"y\rz: 1"))),
    never("h2-value-nul", "RFC 9113 8.2.1", "NUL ends a value for some readers", get!((b"x", b"y\0z"))),
    never("h2-value-space-first", "RFC 9113 8.2.1", "white space around a value is malformed", get!((b"x", b" y"))),
    never("h2-value-tab-last", "RFC 9113 8.2.1", "white space around a value is malformed", get!((b"x", b"y\t"))),
    never("h2-name-upper", "RFC 9113 8.2.1", "names are lower case", get!((b"X", b"y"))),
    never(
        "h2-name-crlf",
        "RFC 9113 8.2.1",
        "a name with a line end is two fields on HTTP/1",
        get!((b"x: y\r\ntransfer-encoding", b"chunked")),
    ),
    never("h2-name-colon", "RFC 9113 8.2.1", "on HTTP/1 the name would end there", get!((b"transfer-encoding: chunked", b"y"))),
    never("h2-name-colon-last", "RFC 9113 8.2.1", "on HTTP/1 the name would end there", get!((b"host:", b"b"))),
    never("h2-name-space", "RFC 9113 8.2.1", "no space in a name", get!((b"content-length ", b"5"))),
    never("h2-name-empty", "RFC 9110 5.1", "a name is not empty", get!((b"", b"y"))),
    never("h2-name-nul", "RFC 9113 8.2.1", "no control byte in a name", get!((b"x\0", b"y"))),
    never("h2-name-high", "RFC 9113 8.2.1", "no byte above ASCII in a name", get!((b"\xe9", b"y"))),
    never("h2-coding", "RFC 9113 8.2.2", "HTTP/2 frames by itself", post!((b"transfer-encoding", b"chunked")))
        .with(b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
    never(
        "h2-coding-and-length",
        "RFC 9113 8.2.2",
        "HTTP/2 frames by itself",
        post!((b"content-length", b"5"), (b"transfer-encoding", b"chunked")),
    )
    .with(b"0\r\n\r\n"),
    never("h2-connection", "RFC 9113 8.2.2", "no field is about the connection", get!((b"connection", b"close"))),
    never("h2-connection-names", "RFC 9113 8.2.2", "no field is about the connection", get!((b"connection", b"x"), (b"x", b"y"))),
    never("h2-keep-alive", "RFC 9113 8.2.2", "no field is about the connection", get!((b"keep-alive", b"timeout=5"))),
    never("h2-proxy-connection", "RFC 9113 8.2.2", "no field is about the connection", get!((b"proxy-connection", b"keep-alive"))),
    never("h2-upgrade", "RFC 9113 8.2.2", "HTTP/2 does not upgrade like this", get!((b"upgrade", b"websocket"))),
    never("h2-te-other", "RFC 9113 8.2.2", "TE is `trailers` or nothing", get!((b"te", b"gzip"))),
    never("h2-te-list", "RFC 9113 8.2.2", "TE is `trailers` or nothing", get!((b"te", b"trailers, gzip"))),
    never(
        "h2-length-short",
        "RFC 9113 8.1.1",
        "more content than length: the rest would be the next request",
        post!((b"content-length", b"0")),
    )
    .with(b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
    never(
        "h2-length-long",
        "RFC 9113 8.1.1",
        "less content than length: the next request would be content",
        post!((b"content-length", b"50")),
    )
    .with(b"hello"),
    never("h2-length-without-body", "RFC 9113 8.1.1", "less content than length", post!((b"content-length", b"5"))),
    never("h2-length-two", "RFC 9110 8.6", "which one would count?", post!((b"content-length", b"5"), (b"content-length", b"6")))
        .with(b"hello"),
    never("h2-length-sign", "RFC 9110 8.6", "digits alone", post!((b"content-length", b"+5"))).with(b"hello"),
    never("h2-length-list", "RFC 9110 8.6", "one number", post!((b"content-length", b"5, 5"))).with(b"hello"),
    never(
        "h2-method-line",
        "RFC 9113 8.3.1",
        "a method is a token, or it is a request line",
        &[(b":method", b"GET /admin HTTP/1.1\r\nX: y\r\n\r\nGET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never(
        "h2-method-space",
        "RFC 9113 8.3.1",
        "a method is a token",
        &[(b":method", b"GET /admin?"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never(
        "h2-method-empty",
        "RFC 9113 8.3.1",
        "a method is a token",
        &[(b":method", b""), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never(
        "h2-method-none",
        "RFC 9113 8.3.1",
        "a method is not optional",
        &[(b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never(
        "h2-method-two",
        "RFC 9113 8.3.1",
        "one of each",
        &[(b":method", b"GET"), (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never("h2-connect", "RFC 9113 8.5", "a gateway is no tunnel", &[(b":method", b"CONNECT"), (b":authority", b"a:80")]),
    never(
        "h2-path-line",
        "RFC 9113 10.3",
        "a path with a space ends the request line's target",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/ HTTP/1.1\r\nX: y")],
    ),
    never(
        "h2-path-space",
        "RFC 9113 8.3.1",
        "a path with a space has two ends",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/admin HTTP/1.1")],
    ),
    never(
        "h2-path-empty",
        "RFC 9113 8.3.1",
        "a path is not empty",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"")],
    ),
    never(
        "h2-path-none",
        "RFC 9113 8.3.1",
        "a path is not optional",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a")],
    ),
    never(
        "h2-path-two",
        "RFC 9113 8.3.1",
        "one of each",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"), (b":path", b"/admin")],
    ),
    never(
        "h2-path-relative",
        "RFC 9113 8.3.1",
        "a path begins with a slash",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"admin")],
    ),
    never(
        "h2-path-url",
        "RFC 9113 8.3.1",
        "on HTTP/1 it would name another host",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"http://b/")],
    ),
    never(
        "h2-path-fragment",
        "RFC 9113 8.3.1",
        "a fragment stays with the client",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/#x")],
    ),
    never(
        "h2-path-star",
        "RFC 9113 8.3.1",
        "it names no path to route by",
        &[(b":method", b"OPTIONS"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"*")],
    ),
    never("h2-scheme-none", "RFC 9113 8.3.1", "a scheme is not optional", &[(b":method", b"GET"), (b":authority", b"a"), (b":path", b"/")]),
    never(
        "h2-scheme-url",
        "RFC 9113 8.3.1",
        "a scheme is a word: some proxies wrote a URL of it",
        &[(b":method", b"GET"), (b":scheme", b"http://b/?"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never(
        "h2-authority-none",
        "RFC 9113 8.3.1",
        "HTTP/1.1 demands a host",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")],
    ),
    never(
        "h2-authority-empty",
        "RFC 9113 8.3.1",
        "HTTP/1.1 demands a host",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b""), (b":path", b"/")],
    ),
    never(
        "h2-authority-two",
        "RFC 9113 8.3.1",
        "one of each",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":authority", b"b"), (b":path", b"/")],
    ),
    never(
        "h2-authority-user",
        "RFC 9113 8.3.1",
        "no user information",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"u@a"), (b":path", b"/")],
    ),
    never(
        "h2-authority-crlf",
        "RFC 9113 10.3",
        "a Host with a line end is two fields on HTTP/1",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a\r\nX: y"), (b":path", b"/")],
    ),
    never(
        "h2-authority-path",
        "RFC 9113 8.3.1",
        "a slash ends an authority",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a/admin"), (b":path", b"/")],
    ),
    never("h2-host-differs", "RFC 9113 8.3.1", "which one would count?", get!((b"host", b"b"))),
    never("h2-host-two", "RFC 9112 3.2", "which one would count?", get!((b"host", b"a"), (b"host", b"b"))),
    never(
        "h2-pseudo-late",
        "RFC 9113 8.3",
        "pseudo-fields come first",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b"x", b"y"), (b":path", b"/")],
    ),
    never("h2-pseudo-unknown", "RFC 9113 8.3", "no others", get!((b":x", b"y"))),
    never(
        "h2-pseudo-answer",
        "RFC 9113 8.3",
        "an answer's pseudo-field in a request",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"), (b":status", b"200")],
    ),
    never(
        "h2-protocol-without-connect",
        "RFC 8441 4",
        ":protocol belongs to CONNECT",
        &[(b":method", b"GET"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
    ),
    never("h2-trailer-pseudo", "RFC 9113 8.1", "no pseudo-field in trailers", post!()).with(b"hello").trailing(&[(b":path", b"/admin")]),
    never("h2-trailer-crlf", "RFC 9113 8.2.1", "a trailer with a line end is two on HTTP/1", post!())
        .with(b"hello")
        .trailing(&[(b"x", b"y\r\n\r\nGET /admin HTTP/1.1\r\nHost: a")]),
    never("h2-trailer-coding", "RFC 9113 8.2.2", "HTTP/2 frames by itself", post!())
        .with(b"hello")
        .trailing(&[(b"transfer-encoding", b"chunked")]),
];

/// Cases that fail, each with the reason why that is not mended.
const OPEN: &[(&str, &str)] = &[
    ("h2-trailer-pseudo", "the h2 crate takes it away unseen; nothing of such trailers goes on"),
    ("h2-path-fragment", "the http crate takes it away unseen; the request goes on without it"),
];

#[test]
fn what_a_request_of_http_2_becomes_is_one_whole_message() {
    let ids: std::collections::BTreeSet<_> = CASES.iter().map(|case| case.id).collect();
    assert_eq!(ids.len(), CASES.len(), "each id once");
    for case in CASES {
        assert!(case.id.starts_with("h2-") && case.rfc.starts_with("RFC ") && !case.why.is_empty(), "{}", case.id);
        let size = |fields: Fields| fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
        let size = size(case.fields) + case.body.map_or(0, <[u8]>::len) + size(case.trailers);
        assert!(size < 16_384, "{}: each part is to fit one frame", case.id);
        if let Some(up) = case.becomes {
            let mut head = RequestHead::new(HeadLimits { bytes: 65_536, fields: 100 });
            let length = head.read(up).unwrap_or_else(|error| panic!("{}: {error}", case.id)).unwrap_or_else(|| panic!("{}", case.id));
            let mut body = BodyReader::new(head.framing());
            assert_eq!(body.advance(&up[length..]), Ok(up.len() - length), "{}", case.id);
            assert!(body.done(), "{}", case.id);
        }
    }
}
