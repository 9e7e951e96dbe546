//! The head of a request.
//!
//! Invariant: after [`RequestHead::read`] returned a length, every accessor speaks of that head, and its spans are into the bytes that
//! were given. A reader is reused for each request of a connection.

use config::host::{self, HostBuf, MAX_HOST};

use super::field::Fields;
use super::parse::{self, Room};
use super::scan::{Scan, Side, Whole};
use super::target::{self, Target};
use super::{Field, FieldKind, Framing, HeadError, HeadLimits, Method, Span};
use crate::http::hops;

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    limits: HeadLimits,
    scan: Scan,
    method: Method,
    method_span: Span,
    target: Target,
    version_11: bool,
    fields: Fields,
    hops: Option<u32>,
    host: HostBuf,
    host_length: usize,
    end: usize,
}

impl RequestHead {
    /// A reader that refuses what is above `limits`.
    pub fn new(limits: HeadLimits) -> Self {
        RequestHead {
            limits,
            scan: Scan::default(),
            method: Method::Other,
            method_span: Span::default(),
            target: Target::default(),
            version_11: false,
            fields: Fields::default(),
            hops: None,
            host: [0; MAX_HOST],
            host_length: 0,
            end: 0,
        }
    }

    /// Reads a head from the start of `bytes`: its length when it is whole, `None` when more bytes are needed. The next call after
    /// `None` gets the same bytes and more; no byte is searched twice.
    ///
    /// # Errors
    /// [`HeadError`]: the connection cannot go on, since nothing says where the next request would begin.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let Some(whole) = self.scan.find(bytes, self.limits, Side::Request)? else { return Ok(None) };
        parse::with_room(whole.fields, |room| self.parse(&bytes[..whole.end], whole, room))?;
        self.end = whole.end;
        Ok(Some(whole.end))
    }

    /// Forgets a head that never became whole.
    pub(crate) fn restart(&mut self) {
        self.scan = Scan::default();
    }

    fn parse<'h>(&mut self, bytes: &'h [u8], whole: Whole, room: &mut Room<'h>) -> Result<(), HeadError> {
        let head = &bytes[whole.start..];
        let mut request = httparse::Request::new(&mut []);
        parse::check(request.parse_with_uninit_headers(head, room), head)?;
        let (Some(method), Some(path)) = (request.method, request.path) else { return Err(HeadError::RequestLine) };
        self.version_11 = request.version == Some(1);
        self.method = Method::of(method.as_bytes());
        if self.method == Method::Connect {
            return Err(HeadError::Connect);
        }
        self.method_span = Span::within(method.as_bytes(), bytes);
        self.target = target::parse(path.as_bytes(), Span::within(path.as_bytes(), bytes).start())?;
        self.fields.reset(whole.fields);
        self.fields.gather(request.headers, bytes, self.version_11)?;
        self.hops = if self.fields.counts_hops { self.count_hops(bytes)? } else { None };
        self.name_host(bytes)
    }

    /// Both `Host` and the authority of a URL must be hosts, even though the latter wins.
    fn name_host(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        self.host_length = 0;
        if self.fields.host.is_none() && self.version_11 {
            return Err(HeadError::MissingHost);
        }
        for authority in [self.fields.host, self.target.authority].into_iter().flatten() {
            let host = host::normalise(authority.of(bytes), &mut self.host).map_err(HeadError::Host)?;
            self.host_length = host.len();
        }
        Ok(())
    }

    fn count_hops(&self, bytes: &[u8]) -> Result<Option<u32>, HeadError> {
        let found = self.fields.list.iter().filter(|field| field.kind == FieldKind::MaxForwards);
        hops::left(self.method, found.map(|field| field.value.of(bytes))).map_err(|_| HeadError::MaxForwards)
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method, as written.
    pub fn method_span(&self) -> Span {
        self.method_span
    }

    /// Path and query, as they are to be forwarded. When a URL has a query and no path, its slash is missing and implied.
    pub fn target(&self) -> Span {
        self.target.target
    }

    /// Path, without query; never empty.
    pub fn path(&self) -> Span {
        self.target.path
    }

    /// Host and port that were asked for, as written: the target's authority if it has one, else `Host`. `None` only in HTTP/1.0.
    pub fn authority(&self) -> Option<Span> {
        self.target.authority.or(self.fields.host)
    }

    /// The host of [`RequestHead::authority`], normalised; empty when there is none.
    pub fn host(&self) -> &str {
        std::str::from_utf8(&self.host[..self.host_length]).unwrap_or_default() // it was made from a str
    }

    /// Where the body ends; never [`Framing::UntilClose`].
    pub fn framing(&self) -> Framing {
        self.fields.framing(Framing::None)
    }

    /// Whether the client may send another request after this one.
    pub fn keep_alive(&self) -> bool {
        self.fields.keep_alive(self.version_11)
    }

    /// HTTP/1.1, not 1.0.
    pub fn version_11(&self) -> bool {
        self.version_11
    }

    /// The client waits for `100 Continue` before it sends the body. HTTP/1.0 knows no such thing (RFC 9110 section 10.1.1).
    pub fn expect_continue(&self) -> bool {
        self.version_11 && self.fields.expect_continue && !matches!(self.framing(), Framing::None | Framing::Length(0))
    }

    /// The protocol that the client wants to go on with after this request (RFC 9110 section 7.8). A request with a body is not one to
    /// switch on: where its body ends, and the other protocol begins, is what smuggling is about.
    pub fn upgrade(&self, bytes: &[u8]) -> Option<Span> {
        self.fields.upgrade(bytes).filter(|_| self.version_11 && matches!(self.framing(), Framing::None | Framing::Length(0)))
    }

    /// The client takes trailers (`TE: trailers`).
    pub fn takes_trailers(&self) -> bool {
        self.version_11 && self.fields.trailers
    }

    /// Proxies that an OPTIONS or TRACE may still go through (`Max-Forwards`), where it says so.
    pub fn hops(&self) -> Option<u32> {
        self.hops
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
