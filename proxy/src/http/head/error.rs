//! Why a head was refused, in words for the operator who reads the log.
//!
//! Each cause is its own variant, so that tests and the log tell one from another. None holds bytes that the client sent.

use config::host::HostError;

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line end without its CR.
    #[error("a line ends with LF alone; expected CR LF")]
    BareLf,
    /// A CR that ends no line.
    #[error("a CR stands outside a line end")]
    BareCr,
    /// A zero byte.
    #[error("the head holds a NUL byte")]
    Nul,
    /// A field value that goes on in the next line.
    #[error("a field is folded over two lines; expected one line per field (RFC 9112 section 5.2)")]
    ObsFold,
    /// An empty line where the first line should be.
    #[error("an empty line stands where the first line should")]
    EmptyLine,
    /// The first bytes begin no method.
    #[error("the method is not a token; the client may be speaking TLS or another protocol")]
    Method,
    /// A request line that is not method, target, version with one space between.
    #[error("the request line is not `METHOD TARGET HTTP/1.1` with single spaces")]
    RequestLine,
    /// A tunnel was asked for.
    #[error("CONNECT is not served")]
    Connect,
    /// A byte that no target may hold.
    #[error("the target holds a byte outside visible ASCII, or `#`")]
    TargetByte,
    /// `*`, `host:port`, or a scheme that is not served.
    #[error("the target is neither a path nor an http or https URL")]
    TargetForm,
    /// `user@host`
    #[error("the target holds user information")]
    UserInfo,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// The answer's status is not three digits from 100 on.
    #[error("the status line is not `HTTP/1.1 STATUS REASON` with a status from 100 to 999")]
    Status,
    /// A field name that is empty or not a token.
    #[error("a field name is empty or not a token")]
    FieldName,
    /// Space between a field's name and its colon.
    #[error("space stands between a field name and its colon")]
    SpaceBeforeColon,
    /// A control byte in a field value.
    #[error("a field value holds a control byte")]
    FieldValue,
    /// HTTP/1.1 without `Host`.
    #[error("the Host field is missing; HTTP/1.1 requires one")]
    MissingHost,
    /// More than one `Host`.
    #[error("the head holds several Host fields")]
    SeveralHosts,
    /// `Host`, or the target's authority, is no host.
    #[error("the Host field or the target names no host: {0}")]
    Host(HostError),
    /// A length that is not digits up to 2^64 - 1.
    #[error("Content-Length is not one plain number below 2^64")]
    ContentLength,
    /// More than one `Content-Length`.
    #[error("the head holds several Content-Length fields")]
    SeveralLengths,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("the head holds both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A transfer coding other than one `chunked`.
    #[error("Transfer-Encoding is not exactly `chunked`, once")]
    TransferEncoding,
    /// `Transfer-Encoding` in HTTP/1.0, which does not know it.
    #[error("an HTTP/1.0 message holds Transfer-Encoding")]
    EncodingInHttp10,
    /// More options in `Connection` than anyone needs.
    #[error("Connection names more than {max} options", max = super::field::MAX_OPTIONS)]
    ConnectionOptions,
    /// A count of hops that is not one number, where hops are counted.
    #[error("Max-Forwards of OPTIONS or TRACE is not one plain number")]
    MaxForwards,
    /// More bytes than the limit.
    #[error("the head is larger than limits.headBytes")]
    TooLarge,
    /// More fields than the limit.
    #[error("the head holds more fields than limits.headers")]
    TooManyFields,
}

impl HeadError {
    /// The status of the answer to a client that sent such a head.
    pub const fn status(&self) -> u16 {
        match self {
            HeadError::TooLarge | HeadError::TooManyFields => 431,
            _ => 400,
        }
    }
}
