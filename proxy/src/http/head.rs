//! HTTP/1 heads, read once and in place: what a request or an answer says, as spans into the bytes it was read from.
//!
//! Invariant: a head that is accepted has one meaning for every reader of RFC 9110 and RFC 9112: one host, one framing, one end.
//! Where the RFCs permit repair, the head is refused instead. Nothing here reads a socket or allocates per message: a reader is made
//! once for a connection and keeps its room.

mod error;
mod field;
mod parse;
mod request;
mod response;
mod scan;
mod target;

pub use error::HeadError;
pub use field::{Field, FieldKind};
pub use request::RequestHead;
pub use response::ResponseHead;
pub(crate) use scan::is_token;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes, the empty line at its end included.
    pub bytes: usize,
    /// Most field lines.
    pub fields: usize,
}

/// A piece of the bytes that a head was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Offsets fit: [`scan`] bounds every head below 4 GiB.
    fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// Where `piece`, which must lie in `whole`, stands.
    fn within(piece: &[u8], whole: &[u8]) -> Span {
        let start = (piece.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(start + piece.len() <= whole.len());
        Span::new(start, start + piece.len())
    }

    /// The bytes. Empty when `bytes` are not those that the head was read from and are too short.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Length, in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Offset of its first byte.
    pub(super) fn start(self) -> usize {
        self.start as usize
    }
}

/// A request's method (RFC 9110 section 9, and PATCH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
    Connect,
    /// Any other token.
    Other,
}

impl Method {
    /// Methods are case-sensitive: `get` is [`Method::Other`].
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// It asks for nothing to change (RFC 9110 section 9.2.1).
    pub fn safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Twice means the same as once (RFC 9110 section 9.2.2).
    pub fn idempotent(self) -> bool {
        self.safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// Where a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// Where its last chunk and trailers end.
    Chunked,
    /// Where the connection does. Answers only.
    UntilClose,
}

#[cfg(test)]
mod tests;
