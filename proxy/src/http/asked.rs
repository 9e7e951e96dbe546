//! A request over HTTP/1, as filters see it.

use std::borrow::Cow;

use registry::filter::Filters;
use registry::route::Route;

use super::client;
use super::desk::Message;
use super::head::{Framing, RequestHead};
use super::serve::Connection;
use crate::filter::{Asked, Down, FieldEdits, Fields};

/// The fields of a head, and its target with the slash that a URL may leave out.
pub(crate) struct HeadFields<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
    target: Cow<'a, str>,
}

impl<'a> HeadFields<'a> {
    pub(super) fn of(request: &'a Message<RequestHead>) -> HeadFields<'a> {
        HeadFields::new(&request.head, request.input.filled())
    }

    /// Of `head`, which was read from `bytes`.
    pub(crate) fn new(head: &'a RequestHead, bytes: &'a [u8]) -> HeadFields<'a> {
        // The reader let only visible ASCII pass.
        let target = std::str::from_utf8(head.target().of(bytes)).unwrap_or("/");
        let target = if target.starts_with('/') { Cow::Borrowed(target) } else { Cow::Owned(format!("/{target}")) };
        HeadFields { head, bytes, target }
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

impl Fields for HeadFields<'_> {
    fn one(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.head.fields().iter().filter(|field| field.name.of(self.bytes).eq_ignore_ascii_case(name.as_bytes()));
        match (found.next(), found.next()) {
            (Some(field), None) => Some(field.value.of(self.bytes)),
            _ => None,
        }
    }
}

/// The whole of it.
pub(super) fn of<'a>(connection: &Connection, request: &'a Message<RequestHead>, fields: &'a HeadFields<'a>) -> Asked<'a> {
    Asked {
        method: request.head.method(),
        host: request.head.host(),
        target: fields.target(),
        client: client::of(&connection.caller, request),
        https: connection.caller.asks_by_https(fields),
        length: length(request.head.framing()),
        fields,
    }
}

/// What is told of the content's length.
pub(crate) fn length(framing: Framing) -> Option<u64> {
    match framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    }
}

/// What filters make of the fields of the answer to it, with the mark of its endpoint where the client is told that.
pub(super) fn down<'f>(
    connection: &Connection,
    request: &Message<RequestHead>,
    (route, filters): (&Route, &'f Filters),
    mark: Option<u64>,
) -> FieldEdits<'f> {
    let fields = HeadFields::of(request);
    let asked = of(connection, request, &fields);
    Down::of(filters, &asked).marked(route, filters, &asked, mark).fields
}
