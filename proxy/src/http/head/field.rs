//! Field lines: which of them we act on, and what they say about framing and the connection.
//!
//! Invariant: [`Fields::gather`] accepts at most one length, one transfer coding and (in a request) one host. Names are told apart by
//! length and first byte, then compared once. A field that `Connection` names is marked as hop-by-hop, except those that frame, route
//! or tell who sent the message: a client cannot make us drop these.

use super::scan::is_token;
use super::{Framing, HeadError, Span};

/// Most options in all `Connection` fields of a head.
pub(super) const MAX_OPTIONS: usize = 64;

/// The fields that a proxy acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FieldKind {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Te,
    Trailer,
    Upgrade,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    Expect,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    /// Another `X-Forwarded-` name, or a forwarding name spelt with `_`, which many replicas read as `-`.
    XForwardedOther,
    XRealIp,
    /// An `ssl-client-` name, in either spelling: what a client showed in its handshake.
    SslClient,
    XRequestId,
    MaxForwards,
    UserAgent,
    Referer,
    Date,
    Server,
    Via,
    Other,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as written.
    pub name: Span,
    /// Its value, without the white space around it.
    pub value: Span,
    /// Its name, understood.
    pub kind: FieldKind,
    /// `Connection` names it: it goes no further.
    pub hop: bool,
}

impl FieldKind {
    /// The kind of a field name.
    pub fn of(name: &[u8]) -> FieldKind {
        use FieldKind as K;
        let Some(first) = name.first() else { return K::Other };
        let (expected, kind): (&[u8], K) = match (name.len(), first | 0x20) {
            (2, b't') => (b"te", K::Te),
            (3, b'v') => (b"via", K::Via),
            (4, b'h') => (b"host", K::Host),
            (4, b'd') => (b"date", K::Date),
            (6, b'e') => (b"expect", K::Expect),
            (6, b's') => (b"server", K::Server),
            (7, b't') => (b"trailer", K::Trailer),
            (7, b'u') => (b"upgrade", K::Upgrade),
            (7, b'r') => (b"referer", K::Referer),
            (9, b'f') => (b"forwarded", K::Forwarded),
            (10, b'c') => (b"connection", K::Connection),
            (10, b'k') => (b"keep-alive", K::KeepAlive),
            (10, b'u') => (b"user-agent", K::UserAgent),
            (12, b'm') => (b"max-forwards", K::MaxForwards),
            (14, b'c') => (b"content-length", K::ContentLength),
            (16, b'p') => (b"proxy-connection", K::ProxyConnection),
            (17, b't') => (b"transfer-encoding", K::TransferEncoding),
            (18, b'p') => (b"proxy-authenticate", K::ProxyAuthenticate),
            (19, b'p') => (b"proxy-authorization", K::ProxyAuthorization),
            (_, b'x') => return FieldKind::of_x(name),
            (_, b's') if begins_like(name, b"ssl-client-") => return K::SslClient,
            _ => return K::Other,
        };
        if name.eq_ignore_ascii_case(expected) { kind } else { K::Other }
    }

    fn of_x(name: &[u8]) -> FieldKind {
        let known: [(&[u8], FieldKind); 6] = [
            (b"x-forwarded-for", FieldKind::XForwardedFor),
            (b"x-forwarded-proto", FieldKind::XForwardedProto),
            (b"x-forwarded-host", FieldKind::XForwardedHost),
            (b"x-forwarded-port", FieldKind::XForwardedPort),
            (b"x-real-ip", FieldKind::XRealIp),
            (b"x-request-id", FieldKind::XRequestId),
        ];
        for (expected, kind) in known {
            if name.eq_ignore_ascii_case(expected) {
                return kind;
            }
        }
        if begins_like(name, b"x-forwarded-") || (name.len() == 9 && begins_like(name, b"x-real-ip")) {
            return FieldKind::XForwardedOther;
        }
        FieldKind::Other
    }

    /// Says who sent the message: believed only from a trusted proxy.
    pub(crate) fn forwarding(self) -> bool {
        use FieldKind as K;
        matches!(
            self,
            K::Forwarded
                | K::XForwardedFor
                | K::XForwardedProto
                | K::XForwardedHost
                | K::XForwardedPort
                | K::XForwardedOther
                | K::XRealIp
                | K::SslClient
        )
    }

    /// Belongs to one connection, whatever `Connection` names (RFC 9110 section 7.6.1).
    pub(crate) fn hop_by_hop(self) -> bool {
        use FieldKind as K;
        matches!(
            self,
            K::Connection
                | K::KeepAlive
                | K::ProxyConnection
                | K::ProxyAuthenticate
                | K::ProxyAuthorization
                | K::Te
                | K::TransferEncoding
                | K::Upgrade
        )
    }

    /// Frames, routes or tells who sent the message: too late in a trailer (RFC 9110 section 6.5.1).
    pub(crate) fn forbidden_in_trailers(self) -> bool {
        use FieldKind as K;
        self.hop_by_hop() || self.forwarding() || matches!(self, K::Host | K::ContentLength | K::Trailer | K::Expect)
    }
}

/// `_` counts as `-`.
fn begins_like(name: &[u8], pattern: &[u8]) -> bool {
    name.len() >= pattern.len()
        && name.iter().zip(pattern).all(|(&byte, &wanted)| byte.to_ascii_lowercase() == wanted || (byte == b'_' && wanted == b'-'))
}

/// The fields of one head, and what they say together.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) list: Vec<Field>,
    pub(super) host: Option<Span>,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) expect_continue: bool,
    /// `TE: trailers`
    pub(super) trailers: bool,
    /// There is a `Max-Forwards`.
    pub(super) counts_hops: bool,
    close: bool,
    keep_alive: bool,
    options: usize,
    /// `Connection` names fields.
    nominates: bool,
    /// `Connection` names `Upgrade`.
    upgrades: bool,
}

impl Fields {
    /// Forgets the head before, and keeps the room. Makes room for `count` fields.
    pub(super) fn reset(&mut self, count: usize) {
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        list.reserve(count);
        *self = Fields { list, ..Fields::default() };
    }

    /// Takes in what the reader found in `bytes`.
    pub(super) fn gather(&mut self, found: &[httparse::Header<'_>], bytes: &[u8], version_11: bool) -> Result<(), HeadError> {
        for header in found {
            let name = Span::within(header.name.as_bytes(), bytes);
            let value = Span::within(header.value, bytes);
            let kind = FieldKind::of(header.name.as_bytes());
            self.list.push(Field { name, value, kind, hop: false });
            match kind {
                FieldKind::Other => {}
                FieldKind::Host if self.host.is_some() => return Err(HeadError::SeveralHosts),
                FieldKind::Host => self.host = Some(value),
                FieldKind::ContentLength if self.length.is_some() => return Err(HeadError::SeveralLengths),
                FieldKind::ContentLength => self.length = Some(length(header.value)?),
                FieldKind::TransferEncoding => self.encoding(header.value)?,
                FieldKind::Connection => self.connection(header.value)?,
                FieldKind::Te => self.trailers |= options(header.value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
                FieldKind::MaxForwards => self.counts_hops = true,
                FieldKind::Expect => self.expect_continue |= header.value.eq_ignore_ascii_case(b"100-continue"),
                _ => {}
            }
        }
        if self.chunked && self.length.is_some() {
            return Err(HeadError::LengthAndEncoding);
        }
        if self.chunked && !version_11 {
            return Err(HeadError::EncodingInHttp10);
        }
        if self.nominates {
            self.mark_hops(bytes);
        }
        Ok(())
    }

    fn encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in options(value) {
            self.options += 1;
            if self.options > MAX_OPTIONS {
                return Err(HeadError::ConnectionOptions);
            }
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else {
                self.nominates = true;
            }
        }
        Ok(())
    }

    /// Only fields that mean nothing to us can be named: the others are kept or dropped for reasons of their own.
    fn mark_hops(&mut self, bytes: &[u8]) {
        for at in 0..self.list.len() {
            if self.list[at].kind != FieldKind::Connection {
                continue;
            }
            for option in options(self.list[at].value.of(bytes)) {
                for field in &mut self.list {
                    field.hop |= matches!(field.kind, FieldKind::Other | FieldKind::MaxForwards)
                        && field.name.of(bytes).eq_ignore_ascii_case(option);
                }
            }
        }
    }

    /// Whether another message may follow on the connection.
    pub(super) fn keep_alive(&self, version_11: bool) -> bool {
        !self.close && (version_11 || self.keep_alive)
    }

    /// The protocol that the connection is to go on with (RFC 9110 section 7.8), when it is one and no list of them, and none of HTTP:
    /// that would lead past our routes.
    pub(super) fn upgrade(&self, bytes: &[u8]) -> Option<Span> {
        if !self.upgrades {
            return None;
        }
        let mut offers = self.list.iter().filter(|field| field.kind == FieldKind::Upgrade);
        let (Some(offer), None) = (offers.next(), offers.next()) else { return None };
        let protocol = offer.value.of(bytes);
        let ours = [b"http".as_slice(), b"h2", b"h3", b"tls"].iter().any(|ours| begins_like(protocol, ours));
        let whole = !protocol.is_empty() && protocol.iter().all(|&byte| byte == b'/' || is_token(byte));
        (whole && !ours).then_some(offer.value)
    }

    /// What length or coding say; `otherwise` when there is neither.
    pub(super) fn framing(&self, otherwise: Framing) -> Framing {
        match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => otherwise,
        }
    }
}

/// Digits alone: no sign, no list, no white space inside, no number that does not fit.
fn length(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() {
        return Err(HeadError::ContentLength);
    }
    let mut length = 0u64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(HeadError::ContentLength);
        }
        length = length.checked_mul(10).and_then(|length| length.checked_add(u64::from(digit))).ok_or(HeadError::ContentLength)?;
    }
    Ok(length)
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1); empty ones do not count.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}
