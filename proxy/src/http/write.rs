//! Heads as they leave us: requests to replicas, answers to clients, and answers of our own.
//!
//! Invariant: a head that is written frames its body once, in the one way that was read; nothing that belongs to the connection it came
//! on goes further; who the client is is told by us, or by a trusted proxy and then by us. Fields that stay are copied as they lie in
//! the buffer, whole runs at once.

use std::borrow::Cow;

use super::head::{Field, FieldKind, Framing, RequestHead, ResponseHead};
use crate::digits;
use crate::filter::{FieldEdits, Up};

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
    /// What the client showed in its handshake.
    pub shown: Shown<'a>,
    /// What filters make of it.
    pub up: Option<&'a Up<'a>>,
}

/// What a client showed in its handshake, where it was asked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown<'a> {
    /// It was not asked: nothing is told.
    #[default]
    Unasked,
    /// It need not show a certificate, and did not.
    Nothing,
    /// A certificate of this subject, which was verified.
    Certificate(&'a [u8]),
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
    /// What filters make of its fields.
    pub edits: Option<&'a FieldEdits<'a>>,
}

/// An answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its status.
    pub status: u16,
    /// Fields that only this one has.
    pub fields: &'a [(&'static str, Cow<'static, str>)],
    /// Goes to internal clients as [`REASON_FIELD`].
    pub reason: Option<&'a str>,
    /// The connection ends after it.
    pub close: bool,
    /// Without its body, as for HEAD.
    pub head_only: bool,
    /// The value of `Date`.
    pub date: &'a [u8],
}

/// Appends the head of `head`, which was read from `bytes`, as a replica gets it.
pub fn write_request(head: &RequestHead, bytes: &[u8], forward: &Forward<'_>, out: &mut Vec<u8>) {
    out.reserve(head.length() + forward.host.len() * 2 + ADDED);
    out.extend_from_slice(head.method_span().of(bytes));
    out.push(b' ');
    let made = forward.up.and_then(|up| up.target.as_deref());
    let target = made.map_or_else(|| head.target().of(bytes), str::as_bytes);
    if target.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(out, b"Host", forward.up.and_then(|up| up.host).map_or(forward.host, str::as_bytes));
    let up = |field: &Field| goes_up(field, head, forward);
    copy_by(forward.up.map(|up| &up.fields), (head.fields(), bytes, head.length()), out, up);
    upgrade_lines(out, head.upgrade(bytes).map(|span| span.of(bytes)));
    if let Some(hops) = head.hops() {
        out.extend_from_slice(b"Max-Forwards: ");
        digits::number(out, u64::from(hops.saturating_sub(1)));
        out.extend_from_slice(b"\r\n");
    }
    if head.takes_trailers() {
        // It must not go further than to the replica, and says so (RFC 9110 section 10.1.4).
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    write_forwarding(head, bytes, forward, out);
    forward.shown.fields().for_each(|(name, value)| line(out, name.as_bytes(), value));
    line(out, b"X-Request-Id", request_id(head, bytes, forward.request_id));
    match head.framing() {
        Framing::Length(length) => length_line(out, length),
        Framing::Chunked => line(out, b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Makes a written request say another `Host`, which is always the first field that is written.
pub fn set_host(out: &mut Vec<u8>, host: &[u8]) {
    let ends = |from: usize| out[from..].windows(2).position(|two| two == b"\r\n").map(|at| from + at);
    let Some(from) = ends(0).map(|end| end + 2 + b"Host: ".len()) else { return };
    let Some(to) = ends(from) else { return };
    out.splice(from..to, host.iter().copied());
}

/// The request's own `X-Request-Id` when it has exactly one and that is fit for a log line, else `made`.
pub fn request_id<'a>(head: &RequestHead, bytes: &'a [u8], made: &'a [u8]) -> &'a [u8] {
    let mut found = head.fields().iter().filter(|field| field.kind == FieldKind::XRequestId);
    match (found.next(), found.next()) {
        (Some(field), None) => {
            let id = field.value.of(bytes);
            if good_request_id(id) { id } else { made }
        }
        _ => made,
    }
}

/// Whether a client's `X-Request-Id` is fit for a log line.
pub(crate) fn good_request_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic)
}

/// Whether a request's field is copied. Those that are written anew are not.
fn goes_up(field: &Field, head: &RequestHead, forward: &Forward<'_>) -> bool {
    match field.kind {
        FieldKind::Other => !field.hop,
        FieldKind::MaxForwards => !field.hop && head.hops().is_none(),
        FieldKind::Host | FieldKind::ContentLength | FieldKind::XRequestId => false,
        FieldKind::Forwarded | FieldKind::XForwardedFor => false,
        FieldKind::Expect => head.version_11(),
        FieldKind::Trailer => head.framing() == Framing::Chunked,
        FieldKind::SslClient => forward.trusted && forward.shown == Shown::Unasked,
        kind if kind.forwarding() => forward.trusted,
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

/// As [`copy`], by what filters make of the fields. Without filters, which is nearly always, no field is looked at twice.
fn copy_by(
    edits: Option<&FieldEdits<'_>>,
    (fields, bytes, length): (&[Field], &[u8], usize),
    out: &mut Vec<u8>,
    keep: impl Fn(&Field) -> bool,
) {
    let Some(edits) = edits else { return copy(fields, bytes, length, out, keep) };
    copy(fields, bytes, length, out, |field| keep(field) && !edits.drops(field.name.of(bytes)));
    edits.new.iter().for_each(|(name, value)| line(out, name.as_bytes(), value.as_bytes()));
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
    let told = |kind| forward.trusted && head.value(kind).is_some();
    out.extend_from_slice(b"X-Forwarded-For: ");
    before(head, bytes, forward, FieldKind::XForwardedFor, out);
    out.extend_from_slice(forward.client);
    out.extend_from_slice(b"\r\n");
    if !told(FieldKind::XForwardedProto) {
        line(out, b"X-Forwarded-Proto", forward.scheme().as_bytes());
    }
    if !told(FieldKind::XForwardedHost) && !forward.host.is_empty() {
        line(out, b"X-Forwarded-Host", forward.host);
    }
    out.extend_from_slice(b"Forwarded: ");
    before(head, bytes, forward, FieldKind::Forwarded, out);
    forward.write_element(out);
    out.extend_from_slice(b"\r\n");
}

impl Forward<'_> {
    /// Appends what we say in `Forwarded` (RFC 7239 section 4).
    pub(crate) fn write_element(&self, out: &mut Vec<u8>) {
        let ipv6 = self.client.contains(&b':');
        out.extend_from_slice(if ipv6 { b"for=\"[" } else { b"for=" });
        out.extend_from_slice(self.client);
        out.extend_from_slice(if ipv6 { b"]\"" } else { b"" });
        if !self.host.is_empty() {
            // Of the bytes that a host and port may hold, these are no token.
            let quote: &[u8] = if self.host.iter().any(|byte| matches!(byte, b':' | b'[')) { b"\"" } else { b"" };
            for part in [b";host=".as_slice(), quote, self.host, quote] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.scheme().as_bytes());
    }

    /// What the client's connection is.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

impl<'a> Shown<'a> {
    /// The fields that tell it, by ingress-nginx' names.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let (verify, subject): (Option<&[u8]>, _) = match self {
            Shown::Unasked => (None, None),
            Shown::Nothing => (Some(b"NONE"), None),
            Shown::Certificate(subject) => (Some(b"SUCCESS"), Some(subject)),
        };
        [("ssl-client-verify", verify), ("ssl-client-subject-dn", subject)].into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
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
    copy_by(how.edits, (head.fields(), bytes, head.length()), out, |field| goes_down(field, how));
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

/// Appends an answer of our own.
pub fn write_own(own: &Own<'_>, out: &mut Vec<u8>) {
    out.reserve(ADDED);
    out.extend_from_slice(b"HTTP/1.1 ");
    let text = out.len();
    digits::number(out, u64::from(own.status));
    out.push(b' ');
    out.extend_from_slice(phrase(own.status).as_bytes());
    let text = text..out.len();
    out.extend_from_slice(b"\r\n");
    line(out, b"Date", own.date);
    own.fields.iter().for_each(|(name, value)| line(out, name.as_bytes(), value.as_bytes()));
    let bodiless = own.status == 204;
    if !bodiless {
        line(out, b"Content-Type", b"text/plain; charset=utf-8");
        length_line(out, text.len() as u64 + 1);
    }
    if let Some(reason) = own.reason {
        line(out, REASON_FIELD.as_bytes(), reason.as_bytes());
    }
    line(out, b"Connection", if own.close { b"close" } else { b"keep-alive" });
    out.extend_from_slice(b"\r\n");
    if !own.head_only && !bodiless {
        out.extend_from_within(text); // "404 Not Found" is the body, too
        out.push(b'\n');
    }
}

/// The reason phrase of the statuses that we answer with (RFC 9110 section 15).
pub const fn phrase(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

/// Appends one field line.
pub(crate) fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
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
