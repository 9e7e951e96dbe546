//! What an HTTP/2 client can say, written for HTTP/1 and read back by our own strict reader: exactly one request, the same one. Whoever
//! finds a second request in it has smuggled ("h2 downgrade").

use hyper::http::request::Parts;
use hyper::{Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::http::head::{HeadLimits, RequestHead};

const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 20, fields: 300 };

/// A field as HTTP/2's reader lets it through: a token in lower case, and any bytes but controls.
fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let own = "[a-z0-9!#$%&'*+.^_`|~-]{1,24}";
    let known = prop::sample::select(vec![
        "cookie",
        "te",
        "trailer",
        "expect",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x_forwarded_for",
        "x-real-ip",
        "x-request-id",
        "proxy-authorization",
        "content-type",
        "user-agent",
        "range",
        "priority",
        "http2-settings",
        "host_",
        "content_length",
        "transfer_encoding",
        "transfer-encodin",
        "content-lengt",
        "x-http-method-override",
    ]);
    let names = prop_oneof![own.prop_map(String::from), known.prop_map(str::to_owned)];
    let wild = prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7fu8, 0x80..=0xffu8], 0..40);
    let sly = prop::sample::select(vec![
        &b"chunked"[..],
        b"0",
        b"5",
        b"close",
        b"trailers",
        b"trailers, gzip",
        b"100-continue",
        b"GET /in HTTP/1.1",
        b": x",
        b"a=1; b=2",
        b"",
        b" ",
        b"\t x \t",
        b"content-length: 5",
        b"\\r\\nhost: in",
        b"%0d%0a",
        b"\xe5\x98\x8a\xe5\x98\x8d",
        b"1, 2",
        b"h2c",
    ]);
    (names, prop_oneof![wild, sly.prop_map(<[u8]>::to_vec)])
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        "/[!$-~]{0,40}".prop_map(String::from),
        prop::sample::select(vec!["/", "//x", "/?a", "/a%0d%0aHost:%20x", "/%20HTTP/1.1", "/a?b=http://in/", "/..;/", "/a//b"])
            .prop_map(str::to_owned),
    ]
}

#[derive(Debug)]
struct Said {
    method: Method,
    target: String,
    host: String,
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
    trusted: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let method = "[A-Z!#$%&'*+.^_`|~a-z0-9-]{1,12}".prop_filter("CONNECT has no path", |method| method != "CONNECT");
    let host = prop_oneof![Just("shop.example".to_owned()), "[a-z0-9-]{1,10}\\.example(:[1-9][0-9]{0,3})?".prop_map(String::from)];
    let framing = prop_oneof![Just(Framing::None), Just(Framing::Chunked), any::<u64>().prop_map(Framing::Length)];
    (method, target(), host, prop::collection::vec(field(), 0..20), framing, any::<bool>()).prop_map(
        |(method, target, host, fields, framing, trusted)| Said {
            method: Method::from_bytes(method.as_bytes()).expect("a token"),
            target,
            host,
            fields,
            framing,
            trusted,
        },
    )
}

/// What hyper would hand us; `None` where it would not.
fn heard(said: &Said) -> Option<Parts> {
    let mut request = Request::new(());
    *request.method_mut() = said.method.clone();
    *request.uri_mut() = said.target.parse::<Uri>().ok()?;
    for (name, value) in &said.fields {
        request.headers_mut().append(HeaderName::from_lowercase(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    if let Framing::Length(length) = said.framing {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Some(request.into_parts().0)
}

fn trimmed(value: &[u8]) -> Vec<u8> {
    let start = value.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(start, |at| at + 1);
    value[start..end].to_vec()
}

/// Fields that go through untouched: of other kinds than those that a proxy acts on, cookies apart.
fn plain(name: &str) -> bool {
    !matches!(name, "cookie") && matches!(FieldKind::of(name.as_bytes()), FieldKind::Other | FieldKind::UserAgent | FieldKind::Via)
}

/// The lines of a head, in an order that tells heads apart that say different things. A map keeps one name's values together.
fn lines(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = head.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_as_the_same_one_request(said in said()) {
        let Some(parts) = heard(&said) else { return Ok(()) };
        let how = Forward { client: b"192.0.2.1", https: false, host: said.host.as_bytes(), trusted: said.trusted, request_id: b"id", shown: Shown::Unasked, up: None };
        let fields = Fields::Told(&parts.headers, &how);
        let request = Line { method: &parts.method, target: parts.uri.path_and_query(), host: how.host, framing: said.framing, switch: None };
        let mut out = Vec::new();
        write(&request, fields, &mut out);
        let mut made = Vec::new();
        write(&request, Fields::Made(&fields.map()), &mut made);
        prop_assert_eq!(lines(&out), lines(&made), "what filters begin with is what is sent without them");
        let length = out.len();
        // Whatever follows is content, not a head: a reader that stops early or late would show.
        out.extend_from_slice(b"GET /smuggled HTTP/1.1\r\nHost: in\r\n\r\n");

        let mut head = RequestHead::new(LIMITS);
        let read = head.read(&out);
        prop_assert_eq!(&read.as_ref().map(|end| *end), &Ok(Some(length)), "{}", String::from_utf8_lossy(&out));
        prop_assert_eq!(head.method_span().of(&out), said.method.as_str().as_bytes());
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        prop_assert_eq!(head.target().of(&out), target.as_bytes());
        prop_assert_eq!(head.authority().map(|span| span.of(&out)), Some(said.host.as_bytes()));
        prop_assert_eq!(head.framing(), said.framing);
        prop_assert!(head.keep_alive() && !head.expect_continue() && head.upgrade(&out).is_none());

        let got = |wanted: &dyn Fn(&str) -> bool| -> Vec<(String, Vec<u8>)> {
            let all = head.fields().iter().map(|field| (String::from_utf8_lossy(field.name.of(&out)).into_owned(), field.value.of(&out).to_vec()));
            let mut some: Vec<_> = all.filter(|(name, _)| wanted(name)).collect();
            some.sort_by(|one, two| one.0.cmp(&two.0)); // of one name, the order stays
            some
        };
        let mut sent: Vec<_> = said.fields.iter().filter(|(name, _)| plain(name)).map(|(name, value)| (name.clone(), trimmed(value))).collect();
        sent.sort_by(|one, two| one.0.cmp(&two.0));
        prop_assert_eq!(got(&plain), sent);
        let crumbs: Vec<&[u8]> = said.fields.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_slice()).collect();
        let cookies = got(&|name| name == "cookie");
        prop_assert_eq!(cookies.len(), usize::from(!crumbs.is_empty()));
        if let Some((_, cookie)) = cookies.first() {
            prop_assert_eq!(cookie, &trimmed(&crumbs.join(&b"; "[..])));
        }
        for once in ["x-forwarded-for", "forwarded", "x-request-id"] {
            prop_assert_eq!(got(&|name| name == once).len(), 1, "{}", once);
        }
        if !said.trusted {
            prop_assert_eq!(&got(&|name| name == "x-forwarded-for")[0].1, b"192.0.2.1");
            prop_assert!(got(&|name| matches!(name, "x-real-ip" | "x_forwarded_for")).is_empty());
        }
    }
}

/// The reader above is a stranger to nothing that HTTP/2 may carry: these would be two requests if they were ever written.
#[test]
fn what_could_split_a_head_never_becomes_a_field() {
    for value in [&b"a\r\nb"[..], b"a\nb", b"a\rb", b"a\0b", b"\x7f"] {
        assert!(HeaderValue::from_bytes(value).is_err(), "{value:?}");
    }
    for name in [&b"a\r\nb"[..], b"a b", b"a:b", b"", b"A", b"a\0", b"\xc3\xa9"] {
        assert!(HeaderName::from_lowercase(name).is_err(), "{name:?}");
    }
    for target in ["/a b", "/a\r\nb", "/a\0"] {
        assert!(target.parse::<Uri>().is_err(), "{target:?}");
    }
}
