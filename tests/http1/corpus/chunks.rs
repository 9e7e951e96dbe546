//! Chunked bodies of requests: sizes, extensions, line ends, trailers.

use super::case::{Case, as_sent, filled, forwarded, refused, silent};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const LONG_EXTENSION: &[u8] =
    &filled::<{ HEAD.len() + 600 }>(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x", b"\r\nhello\r\n0\r\n\r\n");
const MANY_EXTENSIONS: &[u8] = &filled::<{ HEAD.len() + 5 + 30 * 1000 }>(HEAD, b"1;xxxxxxxxxxxxxxxxxxxxxxxxx\r\ny\r\n", b"0\r\n\r\n");
const LONG_TRAILER: &[u8] =
    &filled::<{ HEAD.len() + 20_000 }>(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x", b"\r\n\r\n");
const MANY_CHUNKS: &[u8] = &filled::<{ HEAD.len() + 5 + 6 * 2000 }>(HEAD, b"1\r\nx\r\n", b"0\r\n\r\n");

/// A request with this chunked body.
macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

pub(super) const CASES: &[Case] = &[
    as_sent("chunks", "RFC 9112 7.1", "chunks go on as they came", chunked!("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")),
    as_sent("chunks-none", "RFC 9112 7.1", "an empty body", chunked!("0\r\n\r\n")),
    as_sent("chunks-many", "RFC 9112 7.1", "two thousand of one byte", MANY_CHUNKS),
    as_sent(
        "chunk-hex",
        "RFC 9112 7.1",
        "sizes are hexadecimal, in either case",
        chunked!("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    ),
    as_sent("chunk-zeros", "RFC 9112 7.1", "leading zeros change no number", chunked!("0005\r\nhello\r\n000\r\n\r\n")),
    as_sent("chunk-lines", "RFC 9112 7.1", "what looks like chunks is content", chunked!("9\r\n0\r\n\r\n0\r\n\r\r\n0\r\n\r\n")),
    as_sent(
        "chunk-extension",
        "RFC 9112 7.1.1",
        "an extension that nobody knows is ignored",
        chunked!("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
    ),
    as_sent("chunk-extension-empty", "RFC 9112 7.1.1", "nothing behind the semicolon", chunked!("5;\r\nhello\r\n0\r\n\r\n")),
    as_sent("trailers", "RFC 9112 7.1.2", "trailers go on", chunked!("5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n")),
    as_sent(
        "trailer-announced",
        "RFC 9110 6.6.2",
        "so does what announces them",
        b"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    forwarded(
        "trailer-announced-in-vain",
        "RFC 9110 6.6.2",
        "without chunks there are none",
        b"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nContent-Length: 1\r\n\r\nx",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"],
    ),
    forwarded(
        "chunks-then-request",
        "RFC 9112 6.3",
        "what is behind the last line is the next request",
        chunked!("5\r\nhello\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        &[chunked!("5\r\nhello\r\n0\r\n\r\n"), b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ),
    forwarded(
        "chunk-holds-request",
        "RFC 9112 7.1",
        "a request within a chunk is content",
        chunked!("1c\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n"),
        &[chunked!("1c\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n")],
    ),
    silent("chunk-size-16-digits", "RFC 9112 7.1", "2^64 - 1 is a size, and its chunk never ends", chunked!("ffffffffffffffff\r\nhello")),
    refused(
        "chunk-size-17-digits",
        "RFC 9112 7.1",
        "wraps around to 5 for some readers",
        chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    refused(
        "chunk-size-many-zeros",
        "RFC 9112 7.1",
        "more digits than any number needs",
        chunked!("00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    refused("chunk-size-prefix", "RFC 9112 7.1", "`0` and `x5`, or 5?", chunked!("0x5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-plus", "RFC 9112 7.1", "digits alone", chunked!("+5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-minus", "RFC 9112 7.1", "digits alone", chunked!("-1\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-none", "RFC 9112 7.1", "at least one digit", chunked!("\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-none-extension", "RFC 9112 7.1", "at least one digit", chunked!(";a\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-letters", "RFC 9112 7.1", "hexadecimal digits", chunked!("5g\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-quoted", "RFC 9112 7.1", "a size is not quoted", chunked!("\"5\"\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-space-before", "RFC 9112 7.1", "no white space before a size", chunked!(" 5\r\nhello\r\n0\r\n\r\n")),
    refused(
        "chunk-size-space-behind",
        "RFC 9112 7.1.1",
        "white space there is for who must be lenient",
        chunked!("5 \r\nhello\r\n0\r\n\r\n"),
    ),
    refused(
        "chunk-size-tab-behind",
        "RFC 9112 7.1.1",
        "white space there is for who must be lenient",
        chunked!("5\t\r\nhello\r\n0\r\n\r\n"),
    ),
    refused(
        "chunk-size-space-extension",
        "RFC 9112 7.1.1",
        "white space there is for who must be lenient",
        chunked!("5 ;a\r\nhello\r\n0\r\n\r\n"),
    ),
    refused("chunk-size-grouped", "RFC 9112 7.1", "digits alone", chunked!("1_0\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-two", "RFC 9112 7.1", "5 or 51?", chunked!("5 1\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-lf", "RFC 9112 7.1", "LF alone ends no size", chunked!("5\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-cr", "RFC 9112 7.1", "CR alone ends no size", chunked!("5\rhello\r\n0\r\n\r\n")),
    refused("chunk-size-cr-cr-lf", "RFC 9112 7.1", "CR CR LF is no line end", chunked!("5\r\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-size-nul", "RFC 9112 7.1", "NUL ends a number for some readers", chunked!("5\0\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-extension-lf", "RFC 9112 7.1.1", "the extension ends here for some readers", chunked!("5;a\nb\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-extension-cr", "RFC 9112 7.1.1", "the extension ends here for some readers", chunked!("5;a\rb\r\nhello\r\n0\r\n\r\n")),
    refused(
        "chunk-extension-quoted-lines",
        "RFC 9112 7.1.1",
        "a quoted string holds no lines",
        chunked!("5;a=\"\n\n\"\r\nhello\r\n0\r\n\r\n"),
    ),
    refused("chunk-extension-control", "RFC 9112 7.1.1", "no control byte", chunked!("5;a=\x01\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-extension-long", "RFC 9112 7.1.1", "what is ignored is limited", LONG_EXTENSION),
    refused("chunk-extensions-many", "RFC 9112 7.1.1", "all of what is ignored is limited", MANY_EXTENSIONS),
    refused("chunk-longer", "RFC 9112 7.1", "the data is longer than its size", chunked!("5\r\nhello!\r\n0\r\n\r\n")),
    refused("chunk-shorter", "RFC 9112 7.1", "the data is shorter than its size", chunked!("6\r\nhello\r\n0\r\n\r\n")),
    refused("chunk-no-end", "RFC 9112 7.1", "CR LF is missing behind the data", chunked!("5\r\nhello0\r\n\r\n")),
    refused("chunk-lf-end", "RFC 9112 7.1", "LF alone ends no data", chunked!("5\r\nhello\n0\r\n\r\n")),
    refused("chunk-cr-end", "RFC 9112 7.1", "CR alone ends no data", chunked!("5\r\nhello\r0\r\n\r\n")),
    refused("chunk-two-bytes-end", "RFC 9112 7.1", "two other bytes are no CR LF", chunked!("5\r\nhelloXX0\r\n\r\n")),
    refused("chunk-empty-line-between", "RFC 9112 7.1", "no empty line between chunks", chunked!("5\r\nhello\r\n\r\n0\r\n\r\n")),
    refused("last-lf", "RFC 9112 7.1", "LF alone ends no body", chunked!("0\r\n\n")),
    refused("last-cr", "RFC 9112 7.1", "CR alone ends no body", chunked!("0\r\n\rX")),
    refused("trailer-length", "RFC 9110 6.5.1", "too late to frame", chunked!("0\r\nContent-Length: 5\r\n\r\n")),
    refused("trailer-coding", "RFC 9110 6.5.1", "too late to frame", chunked!("0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    refused("trailer-host", "RFC 9110 6.5.1", "too late to route", chunked!("0\r\nHost: b\r\n\r\n")),
    refused("trailer-connection", "RFC 9110 6.5.1", "too late for the connection", chunked!("0\r\nConnection: close\r\n\r\n")),
    refused("trailer-te", "RFC 9110 6.5.1", "too late for the connection", chunked!("0\r\nTE: trailers\r\n\r\n")),
    refused("trailer-trailer", "RFC 9110 6.5.1", "too late to announce", chunked!("0\r\nTrailer: X\r\n\r\n")),
    refused("trailer-upgrade", "RFC 9110 6.5.1", "too late for the connection", chunked!("0\r\nUpgrade: h2c\r\n\r\n")),
    refused("trailer-forwarded", "RFC 9110 6.5.1", "too late to tell who asked", chunked!("0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")),
    refused(
        "trailer-forwarded-underscore",
        "RFC 9110 6.5.1",
        "too late to tell who asked",
        chunked!("0\r\nX_Forwarded_For: 10.0.0.1\r\n\r\n"),
    ),
    refused("trailer-fold", "RFC 9112 5.2", "no folding", chunked!("0\r\nX: y\r\n z\r\n\r\n")),
    refused("trailer-space-colon", "RFC 9112 5.1", "no white space before a colon", chunked!("0\r\nX : y\r\n\r\n")),
    refused("trailer-no-colon", "RFC 9112 5", "a line without a colon is no field", chunked!("0\r\nX\r\n\r\n")),
    refused("trailer-request", "RFC 9112 7.1.2", "a request line is no trailer", chunked!("0\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")),
    refused("trailer-lf", "RFC 9112 2.2", "LF alone ends no trailer", chunked!("0\r\nX: y\nY: z\r\n\r\n")),
    refused("trailer-nul", "RFC 9110 5.5", "no NUL", chunked!("0\r\nX: \0\r\n\r\n")),
    refused("trailer-empty-name", "RFC 9110 5.1", "a name is not empty", chunked!("0\r\n: y\r\n\r\n")),
    refused("trailers-long", "RFC 9110 6.5.1", "trailers have their limit", LONG_TRAILER),
];
