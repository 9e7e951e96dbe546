//! The fields of answers: what stays on the replica's connection, what comes back, and how.

use super::super::case::{Case, answered};

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

pub(in super::super) const CASES: &[Case] = &[
    answered(
        "back-fields",
        "RFC 9110 5.3",
        "as they are, those of one name in their order",
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nX:y\r\nSet-Cookie: b=2\r\nServer: z\r\nContent-Length: 0\r\nVia: 1.1 b\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nX:y\r\nSet-Cookie: b=2\r\nServer: z\r\nContent-Length: 0\r\nVia: 1.1 b\r\n\r\n"],
    ),
    answered(
        "back-latin",
        "RFC 9110 5.5",
        "obs-text is opaque",
        b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-date",
        "RFC 9110 6.6.1",
        "a Date that is there stays",
        b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-hop",
        "RFC 9110 7.6.1",
        "what Connection names stays",
        b"HTTP/1.1 200 OK\r\nConnection: X\r\nX: y\r\nContent-Length: 0\r\n\r\n",
        &[EMPTY],
    ),
    answered(
        "back-hop-length",
        "RFC 9110 7.6.1",
        "it cannot take the length away",
        b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n",
        &[EMPTY],
    ),
    answered(
        "back-keep-alive",
        "RFC 9112 C.2.2",
        "Keep-Alive is about that connection",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        &[EMPTY],
    ),
    answered(
        "back-proxy-authenticate",
        "RFC 9110 11.7.1",
        "a replica is no proxy",
        b"HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        &[EMPTY],
    ),
    answered(
        "back-authenticate",
        "RFC 9110 11.6.1",
        "the origin's challenge comes back",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-trailer-in-vain",
        "RFC 9110 6.6.2",
        "what it announces may never come",
        b"HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered("back-te", "RFC 9110 10.1.4", "TE is a request's", b"HTTP/1.1 200 OK\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n", &[EMPTY]),
    answered(
        "back-no-reason",
        "RFC 9112 4",
        "a reason may be empty",
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-no-reason-space",
        "RFC 9112 4",
        "and its space forgotten; we write it",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-reason",
        "RFC 9112 4",
        "a reason may be anything",
        b"HTTP/1.1 200 Wh\xe9 not:\tx\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 Wh\xe9 not:\tx\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-unknown-status",
        "RFC 9110 15",
        "statuses are open",
        b"HTTP/1.1 799 X\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 799 X\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-error",
        "RFC 9110 15.6",
        "a replica's error is its own",
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
        &[b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"],
    ),
    answered(
        "back-redirect",
        "RFC 9110 15.4",
        "nothing is followed or rewritten",
        b"HTTP/1.1 302 F\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 302 F\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n"],
    ),
    answered(
        "back-host",
        "RFC 9110 5.1",
        "a request's field in an answer means nothing",
        b"HTTP/1.1 200 OK\r\nHost: b\r\nExpect: x\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nHost: b\r\nExpect: x\r\nContent-Length: 0\r\n\r\n"],
    ),
];
