//! The head of an answer.
//!
//! As strict as for requests: a replica whose answer has two meanings must not poison the connection of a client that was trusted to
//! us. An empty line before the status line is refused: no RFC asks to forgive it here.

use super::field::Fields;
use super::parse::{self, Room};
use super::scan::{Scan, Side, Whole};
use super::{Field, FieldKind, Framing, HeadError, HeadLimits, Method, Span};

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    limits: HeadLimits,
    scan: Scan,
    status: u16,
    reason: Span,
    version_11: bool,
    fields: Fields,
    framing: Framing,
    end: usize,
}

impl ResponseHead {
    /// A reader that refuses what is above `limits`.
    pub fn new(limits: HeadLimits) -> Self {
        ResponseHead {
            limits,
            scan: Scan::default(),
            status: 0,
            reason: Span::default(),
            version_11: false,
            fields: Fields::default(),
            framing: Framing::UntilClose,
            end: 0,
        }
    }

    /// Reads the head of an answer to a request of method `to`, as [`super::RequestHead::read`] does.
    ///
    /// # Errors
    /// [`HeadError`]: the connection to the replica cannot be used any more.
    pub fn read(&mut self, bytes: &[u8], to: Method) -> Result<Option<usize>, HeadError> {
        let Some(whole) = self.scan.find(bytes, self.limits, Side::Response)? else { return Ok(None) };
        parse::with_room(whole.fields, |room| self.parse(&bytes[..whole.end], whole, room))?;
        let bodiless = to == Method::Head || matches!(self.status, 100..=199 | 204 | 304);
        self.framing = if bodiless { Framing::None } else { self.fields.framing(Framing::UntilClose) };
        self.end = whole.end;
        Ok(Some(whole.end))
    }

    /// Forgets a head that never became whole.
    pub(crate) fn restart(&mut self) {
        self.scan = Scan::default();
    }

    fn parse<'h>(&mut self, bytes: &'h [u8], whole: Whole, room: &mut Room<'h>) -> Result<(), HeadError> {
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        parse::check(parser.parse_response_with_uninit_headers(&mut response, bytes, room), bytes)?;
        self.status = response.code.filter(|&code| code >= 100).ok_or(HeadError::Status)?;
        // httparse gives an empty reason that does not lie in `bytes` when there is none.
        let line_end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
        let reason_start = "HTTP/1.1 200 ".len().min(line_end);
        self.reason = Span::new(reason_start, line_end);
        self.version_11 = response.version == Some(1);
        self.fields.reset(whole.fields);
        self.fields.gather(response.headers, bytes, self.version_11)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, as written; often empty.
    pub fn reason(&self) -> Span {
        self.reason
    }

    /// Where the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// `Content-Length`, also where it frames nothing (answers to HEAD, and 304).
    pub fn length_field(&self) -> Option<u64> {
        self.fields.length
    }

    /// The protocol that a 101 switches to.
    pub fn upgrade(&self, bytes: &[u8]) -> Option<Span> {
        self.fields.upgrade(bytes).filter(|_| self.version_11 && self.status == 101)
    }

    /// Whether the replica would take another request after this answer.
    pub fn keep_alive(&self) -> bool {
        self.framing != Framing::UntilClose && self.fields.keep_alive(self.version_11)
    }

    /// HTTP/1.1, not 1.0.
    pub fn version_11(&self) -> bool {
        self.version_11
    }

    /// All fields, in their order.
    pub fn fields(&self) -> &[Field] {
        &self.fields.list
    }

    /// The value of the first field of this kind.
    pub fn value(&self, kind: FieldKind) -> Option<Span> {
        self.fields().iter().find(|field| field.kind == kind).map(|field| field.value)
    }

    /// Length of the head, in bytes.
    pub fn length(&self) -> usize {
        self.end
    }
}
