//! Heads as they leave us: requests to replicas, answers to clients, and answers of our own.
//!
//! Invariant: a head that is written frames its body once, in the one way that was read; nothing that belongs to the connection it came
//! on goes further; who the client is is told by us, or by a trusted proxy and then by us. Fields that stay are copied as they lie in
//! the buffer, whole runs at once.

use super::head::{Field, FieldKind, Framing, RequestHead, ResponseHead};
use crate::digits;

/// The field that tells internal clients why Tidegate answered by itself.
pub const REASON_FIELD: &str = "X-Tidegate-Reason";
/// Longest `X-Request-Id` that is kept.
const MAX_REQUEST_ID: usize = 128;
/// Room for what is added to a head.
const ADDED: usize = 384;

/// What a replica is told about where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The address of the client's connection, as text.
    pub client: &'a [u8],
    /// The client's connection is TLS.
    pub https: bool,
    /// Host and port that were asked for, as received; empty when none was.
    pub host: &'a [u8],
    /// The client is a trusted proxy: what it says about where a request comes from is kept, and added to.
    pub trusted: bool,
    /// `X-Request-Id` for a request that has no good one.
    pub request_id: &'a [u8],
}

/// How an answer goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseForm<'a> {
    /// The connection stays open after it.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.1, not 1.0.
    pub client_11: bool,
    /// The body is written without its chunk framing, up to the end of the connection.
    pub decoded: bool,
    /// The value of `Date` for an answer that has none (RFC 9110 section 6.6.1).
    pub date: &'a [u8],
}

/// Appends the head of `head`, which was read from `bytes`, as a replica gets it.
pub fn write_request(head: &RequestHead, bytes: &[u8], forward: &Forward<'_>, out: &mut Vec<u8>) {
    out.reserve(head.length() + forward.host.len() * 2 + ADDED);
    out.extend_from_slice(head.method_span().of(bytes));
    out.push(b' ');
    let target = head.target().of(bytes);
    if target.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(out, b"Host", forward.host);
    copy(head.fields(), bytes, head.length(), out, |field| goes_up(field, head, forward.trusted));
    upgrade_lines(out, head.upgrade(bytes).map(|span| span.of(bytes)));
    if head.takes_trailers() {
        // It must not go further than to the replica, and says so (RFC 9110 section 10.1.4).
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    write_forwarding(head, bytes, forward, out);
    line(out, b"X-Request-Id", request_id(head, bytes, forward.request_id));
    match head.framing() {
        Framing::Length(length) => length_line(out, length),
        Framing::Chunked => line(out, b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// The request's own `X-Request-Id` when it has exactly one and that is fit for a log line, else `made`.
pub fn request_id<'a>(head: &RequestHead, bytes: &'a [u8], made: &'a [u8]) -> &'a [u8] {
    let mut found = head.fields().iter().filter(|field| field.kind == FieldKind::XRequestId);
    match (found.next(), found.next()) {
        (Some(field), None) => {
            let id = field.value.of(bytes);
            let good = !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic);
            if good { id } else { made }
        }
        _ => made,
    }
}

/// Whether a request's field is copied. Those that are written anew are not.
fn goes_up(field: &Field, head: &RequestHead, trusted: bool) -> bool {
    match field.kind {
        FieldKind::Other => !field.hop,
        FieldKind::Host | FieldKind::ContentLength | FieldKind::XRequestId => false,
        FieldKind::Forwarded | FieldKind::XForwardedFor => false,
        FieldKind::Expect => head.version_11(),
        FieldKind::Trailer => head.framing() == Framing::Chunked,
        kind if kind.forwarding() => trusted,
        kind => !kind.hop_by_hop(),
    }
}

/// Whether an answer's field is copied.
fn goes_down(field: &Field, how: ResponseForm<'_>) -> bool {
    match field.kind {
        FieldKind::ContentLength => false,
        FieldKind::Trailer => !how.decoded,
        kind => !field.hop && !kind.hop_by_hop(),
    }
}

/// Copies the lines of the fields that `keep` wants, neighbours together.
fn copy(fields: &[Field], bytes: &[u8], length: usize, out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
    let mut run = None;
    for field in fields {
        let start = field.name.start();
        match (keep(field), run) {
            (true, None) => run = Some(start),
            (false, Some(from)) => {
                out.extend_from_slice(bytes.get(from..start).unwrap_or_default());
                run = None;
            }
            _ => {}
        }
    }
    if let Some(from) = run {
        out.extend_from_slice(bytes.get(from..length - 2).unwrap_or_default()); // up to the empty line
    }
}

fn write_forwarding(head: &RequestHead, bytes: &[u8], forward: &Forward<'_>, out: &mut Vec<u8>) {
    let scheme: &[u8] = if forward.https { b"https" } else { b"http" };
    let told = |kind| forward.trusted && head.value(kind).is_some();
    out.extend_from_slice(b"X-Forwarded-For: ");
    before(head, bytes, forward, FieldKind::XForwardedFor, out);
    out.extend_from_slice(forward.client);
    out.extend_from_slice(b"\r\n");
    if !told(FieldKind::XForwardedProto) {
        line(out, b"X-Forwarded-Proto", scheme);
    }
    if !told(FieldKind::XForwardedHost) && !forward.host.is_empty() {
        line(out, b"X-Forwarded-Host", forward.host);
    }
    let ipv6 = forward.client.contains(&b':');
    out.extend_from_slice(b"Forwarded: ");
    before(head, bytes, forward, FieldKind::Forwarded, out);
    out.extend_from_slice(if ipv6 { b"for=\"[" } else { b"for=" });
    out.extend_from_slice(forward.client);
    out.extend_from_slice(if ipv6 { b"]\"" } else { b"" });
    if !forward.host.is_empty() {
        // Of the bytes that a host and port may hold, these are no token (RFC 7239 section 4).
        let quote: &[u8] = if forward.host.iter().any(|byte| matches!(byte, b':' | b'[')) { b"\"" } else { b"" };
        for part in [b";host=".as_slice(), quote, forward.host, quote] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(scheme);
    out.extend_from_slice(b"\r\n");
}

/// What a trusted proxy said in fields of this kind, for us to add to.
fn before(head: &RequestHead, bytes: &[u8], forward: &Forward<'_>, kind: FieldKind, out: &mut Vec<u8>) {
    if !forward.trusted {
        return;
    }
    for field in head.fields().iter().filter(|field| field.kind == kind && !field.value.is_empty()) {
        out.extend_from_slice(field.value.of(bytes));
        out.extend_from_slice(b", ");
    }
}

/// Appends the head of `head`, which was read from `bytes`, as the client gets it.
pub fn write_response(head: &ResponseHead, bytes: &[u8], how: ResponseForm<'_>, out: &mut Vec<u8>) {
    out.reserve(head.length() + ADDED);
    out.extend_from_slice(b"HTTP/1.1 ");
    digits::number(out, u64::from(head.status()));
    out.push(b' ');
    out.extend_from_slice(head.reason().of(bytes));
    out.extend_from_slice(b"\r\n");
    copy(head.fields(), bytes, head.length(), out, |field| goes_down(field, how));
    let interim = head.status() < 200;
    if !interim && head.value(FieldKind::Date).is_none() {
        line(out, b"Date", how.date);
    }
    match (head.framing(), head.length_field()) {
        (Framing::Length(length), _) => length_line(out, length),
        (Framing::Chunked, _) if !how.decoded => line(out, b"Transfer-Encoding", b"chunked"),
        // A 1xx or 204 must not hold a length (RFC 9110 section 8.6); an answer to HEAD and a 304 tell that of the content.
        (Framing::None, Some(length)) if !interim && head.status() != 204 => length_line(out, length),
        _ => {}
    }
    upgrade_lines(out, head.upgrade(bytes).map(|span| span.of(bytes)));
    let unframed = head.framing() == Framing::UntilClose || how.decoded;
    if !interim && (!how.keep_alive || unframed) {
        line(out, b"Connection", b"close");
    } else if !interim && !how.client_11 {
        line(out, b"Connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an answer of our own: `phrase` is its reason phrase (see [`phrase`]), `header` goes to internal clients as
/// [`REASON_FIELD`], `head_only` leaves the body out as for HEAD, and `date` is the value of `Date`.
pub fn write_own(status: u16, phrase: &str, header: Option<&str>, close: bool, head_only: bool, date: &[u8], out: &mut Vec<u8>) {
    out.reserve(ADDED);
    out.extend_from_slice(b"HTTP/1.1 ");
    let text = out.len();
    digits::number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase.as_bytes());
    let text = text..out.len();
    out.extend_from_slice(b"\r\n");
    line(out, b"Date", date);
    line(out, b"Content-Type", b"text/plain; charset=utf-8");
    length_line(out, text.len() as u64 + 1);
    if let Some(reason) = header {
        line(out, REASON_FIELD.as_bytes(), reason.as_bytes());
    }
    line(out, b"Connection", if close { b"close" } else { b"keep-alive" });
    out.extend_from_slice(b"\r\n");
    if !head_only {
        out.extend_from_within(text); // "404 Not Found" is the body, too
        out.push(b'\n');
    }
}

/// The reason phrase of the statuses that we answer with (RFC 9110 section 15).
pub const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What asks for another protocol, or says that it is spoken from here on.
fn upgrade_lines(out: &mut Vec<u8>, protocol: Option<&[u8]>) {
    if let Some(protocol) = protocol {
        line(out, b"Connection", b"upgrade");
        line(out, b"Upgrade", protocol);
    }
}

fn length_line(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    digits::number(out, length);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
