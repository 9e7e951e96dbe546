//! Runs httparse over a head that is whole, and says more than it does about what is wrong.
//!
//! Invariant: httparse sees only heads whose lines all end with CR LF and are not folded, so its own tolerance for bare LF and folding
//! never shows. The room for its findings is on the stack for all usual limits.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use super::HeadError;
use super::scan::is_token;

/// Fields that fit on the stack.
const ON_STACK: usize = 128;

/// Room for httparse to leave fields in.
pub(super) type Room<'h> = [MaybeUninit<Header<'h>>];

/// Calls `parse` with room for `count` fields.
pub(super) fn with_room<'h, T>(count: usize, parse: impl FnOnce(&mut Room<'h>) -> T) -> T {
    if count <= ON_STACK {
        parse(&mut [const { MaybeUninit::uninit() }; ON_STACK][..count])
    } else {
        parse(&mut vec![MaybeUninit::uninit(); count])
    }
}

/// Whether httparse took all of `head`; otherwise what is wrong with it.
pub(super) fn check(result: httparse::Result<usize>, head: &[u8]) -> Result<(), HeadError> {
    match result {
        Ok(Status::Complete(length)) if length == head.len() => Ok(()),
        Ok(_) => Err(explain(httparse::Error::NewLine, head)),
        Err(error) => Err(explain(error, head)),
    }
}

/// The cold path: names the fault that made httparse stop.
#[cold]
fn explain(error: httparse::Error, head: &[u8]) -> HeadError {
    use httparse::Error;
    if memchr::memchr(0, head).is_some() {
        return HeadError::Nul;
    }
    if memchr::memchr_iter(b'\r', head).any(|at| head.get(at + 1) != Some(&b'\n')) {
        return HeadError::BareCr;
    }
    match error {
        Error::Version => HeadError::Version,
        Error::Status => HeadError::Status,
        Error::HeaderValue => HeadError::FieldValue,
        Error::TooManyHeaders => HeadError::TooManyFields,
        Error::HeaderName => explain_name(head),
        Error::Token | Error::NewLine => explain_first_line(head),
    }
}

fn explain_name(head: &[u8]) -> HeadError {
    let padded = head.split(|&byte| byte == b'\n').skip(1).any(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        line.len() > name.len() && name.ends_with(b" ") | name.ends_with(b"\t") && is_name(name.trim_ascii_end())
    });
    if padded { HeadError::SpaceBeforeColon } else { HeadError::FieldName }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token(byte))
}

fn explain_first_line(head: &[u8]) -> HeadError {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    if line.starts_with(b"HTTP/") {
        return HeadError::Status;
    }
    let mut words = line.split(|&byte| byte == b' ');
    if !words.next().is_some_and(is_name) {
        return HeadError::Method;
    }
    match words.next() {
        Some(target) if !target.is_empty() && !target.iter().all(u8::is_ascii_graphic) => HeadError::TargetByte,
        _ => HeadError::RequestLine,
    }
}
