//! Answers and where they end: by status, method, length, chunks, or the connection.

use super::super::case::{Case, answered};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNTIL_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_10: &[u8] = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n";
const KEEP_10: &[u8] = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

pub(in super::super) const CASES: &[Case] = &[
    answered("answer-length", "RFC 9112 6.3", "so many bytes", OK, &[OK]),
    answered("answer-length-zero", "RFC 9112 6.3", "none", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
    answered("answer-length-zeros", "RFC 9110 8.6", "leading zeros change no number", b"HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok", &[OK]),
    answered("answer-chunks", "RFC 9112 7.1", "chunks come back as they are", CHUNKED, &[CHUNKED]),
    answered(
        "answer-chunks-case",
        "RFC 9112 7",
        "codings know no case",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &[CHUNKED],
    ),
    answered(
        "answer-trailers",
        "RFC 9112 7.1.2",
        "so do extensions and trailers",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"],
    ),
    answered("answer-until-close", "RFC 9112 6.3", "it ends with both connections", b"HTTP/1.1 200 OK\r\n\r\nhello", &[UNTIL_CLOSE]).then_ends().closes(),
    answered("answer-until-close-1.0", "RFC 9112 6.3", "an old server's answer", b"HTTP/1.0 200 OK\r\n\r\nhello", &[UNTIL_CLOSE]).then_ends().closes(),
    answered("answer-empty-until-close", "RFC 9112 6.3", "an empty one ends so, too", b"HTTP/1.1 200 OK\r\n\r\n", &[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]).then_ends().closes(),
    answered("answer-1.0", "RFC 9110 2.5", "we answer by our own version", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", &[OK]).then_ends(),
    answered("answer-1.0-keep-alive", "RFC 9112 9.3", "its connection is its own matter", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", &[OK]),
    answered("answer-close", "RFC 9112 9.6", "the replica's close is not the client's", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", &[OK]).then_ends(),
    answered("answer-to-close", "RFC 9112 9.6", "the client's close is answered", OK, &[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"]).to(CLOSE).closes(),
    answered("answer-to-1.0", "RFC 9112 9.3", "HTTP/1.0 ends, and is told so", OK, &[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"]).to(GET_10).closes(),
    answered("answer-to-1.0-keep", "RFC 9112 9.3", "unless it asked, and is told so", OK, &[b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"]).to(KEEP_10),
    answered("answer-chunks-to-1.0", "RFC 9112 6.1", "HTTP/1.0 knows no chunks", CHUNKED, &[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"]).to(GET_10).closes(),
    answered("answer-chunks-to-1.0-keep", "RFC 9112 6.1", "then only the end can end it", CHUNKED, &[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"]).to(KEEP_10).closes(),
    answered(
        "answer-trailers-to-1.0",
        "RFC 9110 6.5",
        "nor trailers",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"],
    )
    .to(GET_10)
    .closes(),
    answered("answer-head", "RFC 9110 9.3.2", "a length without its content", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]).to(HEAD),
    answered("answer-head-none", "RFC 9110 9.3.2", "nor need there be a length", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", &[b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"]).to(HEAD),
    answered("answer-head-chunked", "RFC 9112 6.3", "a coding without its chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &[b"HTTP/1.1 200 OK\r\n\r\n"]).to(HEAD),
    answered("answer-head-body", "RFC 9110 9.3.2", "content that must not be there is nobody's", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"]).to(HEAD),
    answered("answer-204", "RFC 9110 15.3.5", "no content", b"HTTP/1.1 204 No Content\r\n\r\n", &[b"HTTP/1.1 204 No Content\r\n\r\n"]),
    answered("answer-204-length", "RFC 9110 8.6", "204 must not say a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", &[b"HTTP/1.1 204 No Content\r\n\r\n"]),
    answered("answer-204-chunked", "RFC 9112 6.1", "204 must not have a coding", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[b"HTTP/1.1 204 No\r\n\r\n"]),
    answered("answer-204-body", "RFC 9112 6.3", "what follows is nobody's", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", &[b"HTTP/1.1 204 No\r\n\r\n"]),
    answered("answer-304", "RFC 9110 15.4.5", "no content", b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", &[b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"]),
    answered("answer-304-length", "RFC 9110 8.6", "the length that a 200 would have", b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", &[b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"]),
    answered("answer-205", "RFC 9110 15.3.6", "framed like any", b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", &[b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"]),
    answered("answer-more", "RFC 9112 6.3", "a second answer that nobody asked for goes to nobody", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", &[OK]),
    answered("answer-more-bytes", "RFC 9112 6.3", "bytes beyond the length go to nobody", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", &[OK]),
    answered("answer-more-chunks", "RFC 9112 7.1", "bytes beyond the last chunk go to nobody", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &[CHUNKED]),
    answered("answer-100", "RFC 9110 15.2.1", "an interim answer is passed on", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &[b"HTTP/1.1 100 Continue\r\n\r\n", OK]),
    answered(
        "answer-102-103",
        "RFC 9110 15.2",
        "each of them is",
        b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: </x>\r\n\r\nHTTP/1.1 103 E\r\nLink: </y>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        &[b"HTTP/1.1 102 P\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: </y>\r\n\r\n", OK],
    ),
    answered("answer-199", "RFC 9110 15", "an unknown 1xx is interim", b"HTTP/1.1 199 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &[b"HTTP/1.1 199 X\r\n\r\n", OK]),
    answered(
        "answer-100-length",
        "RFC 9110 8.6",
        "1xx must not say a length",
        b"HTTP/1.1 100 C\r\nContent-Length: 2\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        &[b"HTTP/1.1 100 C\r\n\r\n", OK],
    ),
    answered("answer-100-to-1.0", "RFC 9110 15.2", "HTTP/1.0 knows none", b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"]).to(GET_10).closes(),
];
