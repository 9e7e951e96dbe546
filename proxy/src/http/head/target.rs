//! The target of a request: a path, or an http URL whose authority wins over `Host` (RFC 9112 section 3.2).
//!
//! Refuses asterisk-form and authority-form, other schemes, user information, fragments, and every byte outside visible ASCII.

use config::host::HostError;

use super::{HeadError, Span};

/// A target, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Path and query. Without its slash when a URL has a query and no path.
    pub(super) target: Span,
    /// Path alone; never empty.
    pub(super) path: Span,
    /// The authority of a URL.
    pub(super) authority: Option<Span>,
}

/// Takes apart `target`, which starts at `offset` of the bytes that the head was read from.
pub(super) fn parse(target: &[u8], offset: usize) -> Result<Target, HeadError> {
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(HeadError::TargetByte);
    }
    if target.first() == Some(&b'/') {
        return Ok(split_query(target, 0, offset));
    }
    let authority = scheme_length(target).ok_or(HeadError::TargetForm)?;
    let rest = &target[authority..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if length == 0 {
        return Err(HeadError::Host(HostError::Empty));
    }
    if memchr::memchr(b'@', &rest[..length]).is_some() {
        return Err(HeadError::UserInfo);
    }
    let mut parsed = split_query(target, authority + length, offset);
    if parsed.path.is_empty() {
        // An empty path means `/` (RFC 9110 section 4.2.3): the last slash of `http://` stands for it.
        parsed.path = Span::new(offset + authority - 1, offset + authority);
        if parsed.target.is_empty() {
            parsed.target = parsed.path;
        }
    }
    parsed.authority = Some(Span::new(offset + authority, offset + authority + length));
    Ok(parsed)
}

fn split_query(target: &[u8], start: usize, offset: usize) -> Target {
    let query = memchr::memchr(b'?', &target[start..]).map_or(target.len(), |at| start + at);
    Target { target: Span::new(offset + start, offset + target.len()), path: Span::new(offset + start, offset + query), authority: None }
}

/// Length of `http://` or `https://` at the start, whatever its case.
fn scheme_length(target: &[u8]) -> Option<usize> {
    let begins = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if begins(b"http://") {
        Some(7)
    } else if begins(b"https://") {
        Some(8)
    } else {
        None
    }
}
