//! What belongs to one connection and goes no further: `Connection` and what it names, `TE`, `Expect`, `Proxy-*`.

use super::case::{Case, as_sent, filled, forwarded, refused};

const A: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const TE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n";
const OPTIONS: &[u8] = &filled::<{ 37 + 2 * 65 + 4 }>(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ", b"x,", b"\r\n\r\n");

pub(super) const CASES: &[Case] = &[
    forwarded(
        "hop-named",
        "RFC 9110 7.6.1",
        "what Connection names stays",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X\r\nX: y\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-named-later",
        "RFC 9110 7.6.1",
        "also what stood before it, and all of that name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nConnection: x\r\nx: z\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-named-absent",
        "RFC 9110 7.6.1",
        "it may name what is not there",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, y\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-named-near",
        "RFC 9110 7.6.1",
        "and nothing that only begins like it",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X\r\nX-Y: z\r\n\r\n",
        &[b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n"],
    ),
    forwarded(
        "hop-host",
        "RFC 9110 7.6.1",
        "a client cannot take the host away",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-length",
        "RFC 9110 7.6.1",
        "nor the length of a body that is sent",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"],
    ),
    forwarded(
        "hop-coding",
        "RFC 9110 7.6.1",
        "nor its coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ),
    forwarded(
        "hop-forwarding",
        "RFC 7239 8.1",
        "nor who it is",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, Forwarded\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-request-id",
        "RFC 9110 7.6.1",
        "nor the id in the log",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Request-Id\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-keep-alive",
        "RFC 9112 C.2.2",
        "Keep-Alive is about this connection",
        b"GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=9\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-proxy-connection",
        "RFC 9112 C.2.2",
        "so was this meant",
        b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-proxy-authorization",
        "RFC 9110 11.7.2",
        "credentials for a proxy are not the origin's",
        b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic eA==\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-upgrade-alone",
        "RFC 9110 7.8",
        "without `Connection: upgrade` it asks nothing",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-connection-upgrade-alone",
        "RFC 9110 7.8",
        "nor without `Upgrade`",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-http2-settings",
        "RFC 9113 3.1",
        "named by Connection as it must be",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        &[A],
    ),
    forwarded(
        "hop-empty",
        "RFC 9110 5.6.1",
        "an empty list names nothing",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\nConnection: ,,\r\n\r\n",
        &[A],
    ),
    refused("hop-too-many", "RFC 9110 7.6.1", "each option is work; nobody needs so many", OPTIONS),
    forwarded(
        "te-trailers",
        "RFC 9110 10.1.4",
        "trailers are taken, and Connection names TE",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
        &[TE],
    ),
    forwarded(
        "te-list",
        "RFC 9110 10.1.4",
        "no other coding is promised for the client",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip;q=0.5, Trailers\r\n\r\n",
        &[TE],
    ),
    forwarded(
        "te-other",
        "RFC 9110 10.1.4",
        "no other coding is promised for the client",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip\r\n\r\n",
        &[A],
    ),
    forwarded(
        "te-empty",
        "RFC 9110 10.1.4",
        "an empty list promises nothing",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE:\r\n\r\n",
        &[A],
    ),
    forwarded("te-1.0", "RFC 9110 10.1.4", "HTTP/1.0 knows no trailers", b"GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n", &[A])
        .closes(),
    as_sent(
        "expect",
        "RFC 9110 10.1.1",
        "it goes on to who can answer it",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    ),
    as_sent(
        "expect-chunked",
        "RFC 9110 10.1.1",
        "it goes on to who can answer it",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    as_sent("expect-other", "RFC 9110 10.1.1", "417 is the origin's to say", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
    forwarded(
        "expect-1.0",
        "RFC 9110 10.1.1",
        "HTTP/1.0 cannot ask for it",
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"],
    )
    .closes(),
    forwarded(
        "max-forwards",
        "RFC 9110 7.6.2",
        "one hop less for whoever comes next",
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n",
        &[b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 4\r\n\r\n"],
    ),
    as_sent(
        "max-forwards-get",
        "RFC 9110 7.6.2",
        "only TRACE and OPTIONS count hops",
        b"GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n",
    ),
];
