//! Whether a connection goes on: `Connection`, versions, requests that do not wait for answers.

use super::case::{Case, as_sent, forwarded, then_refused};

const A: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const B: &[u8] = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    as_sent("keep-1.1", "RFC 9112 9.3", "HTTP/1.1 goes on", A),
    forwarded("keep-1.1-said", "RFC 9112 9.3", "and may say so", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", &[A]),
    forwarded("close-1.1", "RFC 9112 9.6", "unless it says that it ends", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &[A])
        .closes(),
    forwarded("close-case", "RFC 9110 7.6.1", "options know no case", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", &[A])
        .closes(),
    forwarded(
        "close-in-list",
        "RFC 9110 7.6.1",
        "one of several options",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x ,\tclose,\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "close-second-field",
        "RFC 9110 5.3",
        "several fields are one list",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "close-wins",
        "RFC 9112 9.3",
        "close comes before keep-alive",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded("close-not-whole", "RFC 9110 7.6.1", "another option", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", &[A]),
    forwarded("close-1.0", "RFC 9112 9.3", "HTTP/1.0 ends", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", &[A]).closes(),
    forwarded(
        "keep-1.0",
        "RFC 9112 9.3",
        "unless it says that it goes on",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        &[A],
    ),
    forwarded(
        "keep-1.0-case",
        "RFC 9110 7.6.1",
        "options know no case",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
        &[A],
    ),
    forwarded(
        "keep-1.0-close",
        "RFC 9112 9.3",
        "close comes before keep-alive",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "keep-1.0-proxy",
        "RFC 9112 C.2.2",
        "Proxy-Connection means nothing",
        b"GET / HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "close-proxy",
        "RFC 9112 C.2.2",
        "Proxy-Connection means nothing",
        b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n",
        &[A],
    ),
    forwarded(
        "body-1.0",
        "RFC 9112 6.3",
        "a length frames a body in HTTP/1.0, too",
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"],
    )
    .closes(),
    forwarded(
        "no-length-1.0",
        "RFC 9112 6.3",
        "a request does not end with its connection: this one has no body",
        b"POST / HTTP/1.0\r\nHost: a\r\n\r\nhello",
        &[b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"],
    )
    .closes(),
    forwarded(
        "pipelined",
        "RFC 9112 9.3.2",
        "answered in their order",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[A, B, A],
    ),
    forwarded(
        "pipelined-hosts",
        "RFC 9110 7.2",
        "each request names its own host",
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: c\r\n\r\n",
        &[b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: c\r\n\r\n"],
    ),
    forwarded(
        "pipelined-versions",
        "RFC 9112 9.3",
        "each request has its own version",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[A, B],
    ),
    forwarded(
        "pipelined-empty-line",
        "RFC 9112 2.2",
        "an old client's line end behind its body",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", B],
    ),
    forwarded(
        "behind-close",
        "RFC 9112 9.6",
        "what is sent behind close is not served",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "behind-1.0",
        "RFC 9112 9.3",
        "what is sent behind HTTP/1.0 is not served",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[A],
    )
    .closes(),
    then_refused(
        "then-garbage",
        "RFC 9112 2.2",
        "the first is answered, the garbage refused",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02",
        A,
    ),
    then_refused(
        "then-two-empty-lines",
        "RFC 9112 2.2",
        "one is forgiven between requests",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n",
        A,
    ),
    then_refused(
        "then-no-host",
        "RFC 9112 3.2",
        "no request inherits a host",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
        A,
    ),
    then_refused(
        "then-body-too-long",
        "RFC 9112 6.3",
        "bytes beyond a body are no request",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello, world\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ),
    then_refused(
        "then-body-unframed",
        "RFC 9112 6.3",
        "content without a length is no request",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n{\"a\": 1}\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    then_refused(
        "then-both",
        "RFC 9112 6.1",
        "each request is judged like the first",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        A,
    ),
];
