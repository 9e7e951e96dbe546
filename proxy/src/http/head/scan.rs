//! Finds where a head ends, line by line, while it is still arriving.
//!
//! Invariant: each byte is looked at once, however small the pieces are that it arrives in; the verdict does not depend on them. What
//! can be refused from the lines alone (bare LF, folding, too many, too large) is refused as soon as it is seen.

use super::{HeadError, HeadLimits};

/// Which kind of head is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// A head that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Offset of its first line.
    pub(super) start: usize,
    /// Offset behind the empty line.
    pub(super) end: usize,
    /// Field lines in it.
    pub(super) fields: usize,
}

/// Where the search stands.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes already looked at.
    at: usize,
    /// Start of the line that `at` is in.
    line: usize,
    /// Start of the first line.
    start: usize,
    /// Lines that are whole.
    lines: usize,
}

impl Scan {
    /// Goes on in `bytes`, which begin with the bytes of the call before unless that returned a head or an error.
    pub(super) fn find(&mut self, bytes: &[u8], limits: HeadLimits, side: Side) -> Result<Option<Whole>, HeadError> {
        let found = self.advance(bytes, limits, side);
        if !matches!(found, Ok(None)) {
            *self = Scan::default();
        }
        found
    }

    fn advance(&mut self, bytes: &[u8], limits: HeadLimits, side: Side) -> Result<Option<Whole>, HeadError> {
        let limit = limits.bytes.min(u32::MAX as usize);
        let window = &bytes[..bytes.len().min(limit)];
        self.check_opening(window, side)?;
        while let Some(offset) = memchr::memchr(b'\n', window.get(self.at..).unwrap_or_default()) {
            let line_feed = self.at + offset;
            let line = &window[self.line..line_feed];
            self.at = line_feed + 1;
            match line {
                [b'\r'] if self.lines > 0 => {
                    return Ok(Some(Whole { start: self.start, end: self.at, fields: self.lines - 1 }));
                }
                // One empty line before a request is forgiven: RFC 9112 section 2.2 asks for it, and it frames nothing.
                [b'\r'] if side == Side::Request && self.start == 0 => {
                    self.start = self.at;
                    self.line = self.at;
                    self.check_opening(window, side)?;
                    continue;
                }
                [b'\r'] => return Err(HeadError::EmptyLine),
                [b' ' | b'\t', ..] if self.lines > 0 => return Err(HeadError::ObsFold),
                [.., b'\r'] => {}
                _ => return Err(HeadError::BareLf),
            }
            self.line = self.at;
            self.lines += 1;
            if self.lines > limits.fields.saturating_add(1) {
                return Err(HeadError::TooManyFields);
            }
        }
        self.at = window.len();
        if bytes.len() >= limit { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// Whoever speaks another protocol (TLS, say) is told at once, not after the head's time-out.
    fn check_opening(&self, window: &[u8], side: Side) -> Result<(), HeadError> {
        if self.lines > 0 {
            return Ok(());
        }
        match (side, window.get(self.start)) {
            (_, None | Some(b'\r' | b'\n')) | (Side::Response, Some(b'H')) => Ok(()),
            (Side::Request, Some(&byte)) if is_token(byte) => Ok(()),
            (Side::Request, _) => Err(HeadError::Method),
            (Side::Response, _) => Err(HeadError::Status),
        }
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
