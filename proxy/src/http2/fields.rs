//! Heads between HTTP/2 and the rest: what of them goes on, and how it is written for a replica that speaks HTTP/1.
//!
//! Invariant: the same fields go on as from an HTTP/1 client (`http/write.rs`): none that belongs to a connection, none that tells where
//! a request comes from unless a trusted proxy wrote it. Framing is written anew. A name or value that HTTP/1 could misread never comes
//! here: hyper refuses CR, LF and NUL, upper case, and the fields of a connection (RFC 9113 section 8.2).

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, COOKIE, DATE, Entry, FORWARDED, HOST, HeaderName, HeaderValue, TE};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method};

use crate::digits;
use crate::filter::{FieldEdits, Fields};
use crate::http::head::{FieldKind, Framing, ResponseHead};
use crate::http::write::{self, Forward, Shown, line};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the fields of a request those that a replica gets. `Content-Length` stays.
pub(super) fn forward(fields: &mut HeaderMap, how: &Forward<'_>) {
    let trailers = fields.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let told_for = before(fields, &X_FORWARDED_FOR, how.trusted);
    let mut told = before(fields, &FORWARDED, how.trusted);
    let gone: Vec<HeaderName> = fields.keys().filter(|name| !goes_up(name, how)).cloned().collect();
    for name in &gone {
        fields.remove(name);
    }
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    put(fields, &X_FORWARDED_FOR, [&told_for, how.client].concat());
    if let Entry::Vacant(room) = fields.entry(&X_FORWARDED_PROTO) {
        room.insert(HeaderValue::from_static(how.scheme()));
    }
    if !fields.contains_key(&X_FORWARDED_HOST) && !how.host.is_empty() {
        put(fields, &X_FORWARDED_HOST, how.host.to_vec());
    }
    how.write_element(&mut told);
    put(fields, &FORWARDED, told);
    put(fields, &X_REQUEST_ID, how.request_id.to_vec());
    for (name, value) in how.shown.fields() {
        put(fields, &HeaderName::from_static(name), value.to_vec());
    }
}

/// What a trusted proxy said, for us to add to.
fn before(fields: &HeaderMap, name: &HeaderName, trusted: bool) -> Vec<u8> {
    let mut told = Vec::new();
    for value in fields.get_all(name).iter().filter(|value| trusted && !value.is_empty()) {
        told.extend_from_slice(value.as_bytes());
        told.extend_from_slice(b", ");
    }
    told
}

fn put(fields: &mut HeaderMap, name: &HeaderName, value: Vec<u8>) {
    // All of it was read as a field's value, or made from digits and words.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        fields.insert(name.clone(), value);
    }
}

fn goes_up(name: &HeaderName, how: &Forward<'_>) -> bool {
    match FieldKind::of(name.as_str().as_bytes()) {
        FieldKind::Other | FieldKind::ContentLength => true,
        // The body's way up needs no leave: an answer in between would not reach the client.
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

/// Appends a request's head for a replica that speaks HTTP/1.1. `fields` went through [`forward`].
pub(super) fn write(method: &Method, target: Option<&PathAndQuery>, host: &[u8], fields: &HeaderMap, framing: Framing, out: &mut Vec<u8>) {
    for part in [method.as_str(), " ", target.map_or("/", PathAndQuery::as_str), " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    line(out, HOST.as_str().as_bytes(), host);
    for (name, value) in fields.iter().filter(|(name, _)| **name != CONTENT_LENGTH && **name != COOKIE) {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if fields.contains_key(TE) {
        line(out, b"connection", b"TE"); // it must not go further (RFC 9110 section 10.1.4)
    }
    let mut crumbs = fields.get_all(COOKIE).iter();
    if let Some(first) = crumbs.next() {
        // One field, as HTTP/1 wants it (RFC 9113 section 8.2.3).
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for crumb in crumbs {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(crumb.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    match framing {
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

impl Fields for Seen<'_> {
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
