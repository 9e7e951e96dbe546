//! Heads between HTTP/2 and the rest: what of them goes on, and how it is written for a replica that speaks HTTP/1.
//!
//! Invariant: the same fields go on as from an HTTP/1 client (`http/write.rs`): none that belongs to a connection, none that tells where
//! a request comes from unless a trusted proxy wrote it. Framing is written anew. A name or value that HTTP/1 could misread never comes
//! here: h2 and http refuse CR, LF and NUL, upper case, and the fields of a connection (RFC 9113 section 8.2).

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, COOKIE, DATE, Entry, FORWARDED, HOST, HeaderName, HeaderValue, TE};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method};

use super::connect::Switch;
use crate::digits;
use crate::filter::{self, FieldEdits};
use crate::http::head::{FieldKind, Framing, ResponseHead};
use crate::http::write::{self, Forward, Shown, line};

/// Fields that are told of a request, at most.
const ADDED: usize = 8;
/// Room for one of them.
const TOLD: usize = 96;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The fields of a request, as they go to a replica.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    /// The client's, with what we tell of it.
    Told(&'a HeaderMap, &'a Forward<'a>),
    /// What filters made of these.
    Made(&'a HeaderMap),
}

/// The value of a field that goes up.
enum Value<'a> {
    Same(&'a HeaderValue),
    New(&'a [u8]),
}

impl Value<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Value::Same(value) => value.as_bytes(),
            Value::New(bytes) => bytes,
        }
    }

    fn owned(&self) -> Option<HeaderValue> {
        match self {
            Value::Same(value) => Some((*value).clone()),
            // All of it was read as a field's value, or made from digits and words.
            Value::New(bytes) => HeaderValue::from_bytes(bytes).ok(),
        }
    }
}

impl Fields<'_> {
    /// Calls `put` with each. `Content-Length` is among them.
    fn each(self, mut put: impl FnMut(&HeaderName, Value<'_>)) {
        let (fields, how) = match self {
            Fields::Told(fields, how) => (fields, how),
            Fields::Made(made) => return made.iter().for_each(|(name, value)| put(name, Value::Same(value))),
        };
        let (mut trailers, mut proto, mut host) = (false, false, how.host.is_empty());
        for (name, value) in fields {
            let kind = FieldKind::of(name.as_str().as_bytes());
            trailers |= kind == FieldKind::Te && value.as_bytes().eq_ignore_ascii_case(b"trailers");
            if goes_up(kind, how) {
                proto |= kind == FieldKind::XForwardedProto;
                host |= kind == FieldKind::XForwardedHost;
                put(name, Value::Same(value));
            }
        }
        let mut put = |name: &HeaderName, value: &[u8]| put(name, Value::New(value));
        if trailers {
            put(&TE, b"trailers");
        }
        let mut told = Vec::with_capacity(TOLD);
        before(fields, &X_FORWARDED_FOR, how.trusted, &mut told);
        told.extend_from_slice(how.client);
        put(&X_FORWARDED_FOR, &told);
        if !proto {
            put(&X_FORWARDED_PROTO, how.scheme().as_bytes());
        }
        if !host {
            put(&X_FORWARDED_HOST, how.host);
        }
        told.clear();
        before(fields, &FORWARDED, how.trusted, &mut told);
        how.write_element(&mut told);
        put(&FORWARDED, &told);
        put(&X_REQUEST_ID, how.request_id);
        how.shown.fields().for_each(|(name, value)| put(&HeaderName::from_static(name), value));
    }

    /// All of them.
    pub(super) fn map(self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(match self {
            Fields::Told(fields, _) => fields.len() + ADDED,
            Fields::Made(made) => made.len(),
        });
        self.each(|name, value| {
            if let Some(value) = value.owned() {
                map.append(name.clone(), value);
            }
        });
        map
    }
}

/// Appends what a trusted proxy said, for us to add to.
fn before(fields: &HeaderMap, name: &HeaderName, trusted: bool, told: &mut Vec<u8>) {
    if !trusted {
        return;
    }
    for value in fields.get_all(name).iter().filter(|value| !value.is_empty()) {
        told.extend_from_slice(value.as_bytes());
        told.extend_from_slice(b", ");
    }
}

fn goes_up(kind: FieldKind, how: &Forward<'_>) -> bool {
    match kind {
        FieldKind::Other | FieldKind::ContentLength => true,
        // Whether content is wanted is said by us, to both sides (RFC 9110 section 10.1.1).
        FieldKind::Host | FieldKind::XRequestId | FieldKind::Forwarded | FieldKind::XForwardedFor | FieldKind::Expect => false,
        FieldKind::SslClient => how.trusted && how.shown == Shown::Unasked,
        kind if kind.forwarding() => how.trusted,
        kind => !kind.hop_by_hop(),
    }
}

/// The request's own `X-Request-Id` when it has exactly one and that is fit for a log line.
pub(super) fn request_id(fields: &HeaderMap) -> Option<&HeaderValue> {
    let mut found = fields.get_all(&X_REQUEST_ID).iter();
    let (Some(only), None) = (found.next(), found.next()) else { return None };
    write::good_request_id(only.as_bytes()).then_some(only)
}

/// The values of `X-Forwarded-For`, the last first.
pub(super) fn forwarded_for(fields: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values: Vec<&[u8]> = fields.get_all(&X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    values.into_iter().rev()
}

/// A request for a replica that speaks HTTP/1.1, without its fields.
pub(super) struct Line<'a> {
    pub(super) method: &'a Method,
    pub(super) target: Option<&'a PathAndQuery>,
    pub(super) host: &'a [u8],
    pub(super) framing: Framing,
    /// What it is to go on with.
    pub(super) switch: Option<&'a Switch>,
}

/// Appends a request's head for a replica that speaks HTTP/1.1.
pub(super) fn write(request: &Line<'_>, fields: Fields<'_>, out: &mut Vec<u8>) {
    let method = request.switch.map_or(request.method, |switch| switch.method(request.method));
    for part in [method.as_str(), " ", request.target.map_or("/", PathAndQuery::as_str), " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    line(out, HOST.as_str().as_bytes(), request.host);
    let mut crumbs: Option<Vec<u8>> = None;
    fields.each(|name, value| match *name {
        CONTENT_LENGTH => {}
        // One field, as HTTP/1 wants it (RFC 9113 section 8.2.3).
        COOKIE => match &mut crumbs {
            None => crumbs = Some(value.bytes().to_vec()),
            Some(crumbs) => {
                crumbs.extend_from_slice(b"; ");
                crumbs.extend_from_slice(value.bytes());
            }
        },
        TE => {
            line(out, b"te", value.bytes());
            line(out, b"connection", b"TE"); // it must not go further (RFC 9110 section 10.1.4)
        }
        _ => line(out, name.as_str().as_bytes(), value.bytes()),
    });
    if let Some(crumbs) = crumbs {
        line(out, b"cookie", &crumbs);
    }
    if let Some(switch) = request.switch {
        switch.ask(|name, value| line(out, name.as_bytes(), value));
    }
    match request.framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            digits::number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => line(out, b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields of an answer of HTTP/1, whose head is `bytes`, as an HTTP/2 client gets them.
pub(super) fn from_one(head: &ResponseHead, bytes: &Bytes, date: &str) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(head.fields().len() + 1);
    for field in head.fields() {
        if field.hop || field.kind.hop_by_hop() || matches!(field.kind, FieldKind::ContentLength | FieldKind::Trailer) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value.of(bytes)));
        // The strict reader let nothing pass that this refuses.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name.of(bytes)), value) {
            fields.append(name, value);
        }
    }
    let length = match (head.framing(), head.length_field()) {
        (Framing::Length(length), _) => Some(length),
        (Framing::None, Some(length)) if head.status() != 204 => Some(length),
        _ => None,
    };
    if let Some(length) = length {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    dated(&mut fields, date);
    fields
}

/// Trailers of HTTP/1, whose lines were judged (`http/body.rs`), as HTTP/2 has them; `None` when there are none.
pub(crate) fn trailers_from_one(lines: &[u8]) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            trailers.append(name, value);
        }
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// Appends trailers as HTTP/1 writes them, without those that may only stand in a head (RFC 9110 section 6.5.1).
pub(crate) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        if !FieldKind::of(name.as_str().as_bytes()).forbidden_in_trailers() {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// Makes `fields` what filters want of them.
pub(super) fn edit(fields: &mut HeaderMap, edits: &FieldEdits<'_>) {
    let gone: Vec<HeaderName> = fields.keys().filter(|name| edits.drops(name.as_str().as_bytes())).cloned().collect();
    for name in &gone {
        fields.remove(name);
    }
    for (name, value) in &edits.new {
        add(fields, name, value);
    }
}

/// Adds a field. Names and values were judged where they were written.
pub(super) fn add(fields: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        fields.append(name, value);
    }
}

/// A head's fields, as filters see them.
pub(super) struct Seen<'a>(pub(super) &'a HeaderMap);

impl filter::Fields for Seen<'_> {
    fn one(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.0.get_all(name).iter();
        let (Some(only), None) = (found.next(), found.next()) else { return None };
        Some(only.as_bytes())
    }
}

/// Adds a `Date` where there is none (RFC 9110 section 6.6.1).
pub(super) fn dated(fields: &mut HeaderMap, date: &str) {
    if let Entry::Vacant(room) = fields.entry(DATE)
        && let Ok(date) = HeaderValue::from_str(date)
    {
        room.insert(date);
    }
}

#[cfg(test)]
mod tests;
