//! `Max-Forwards`: how many proxies an OPTIONS or TRACE may still go through (RFC 9110 section 7.6.2).
//!
//! Invariant: pure. A count goes down by one, or the request ends here: it is answered as its last recipient would, before any route is
//! looked for, and without a word of what it held. Other methods are not counted.

use super::head::Method;
use crate::filter::Answer;
use crate::reason::Reason;

/// It is not one plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCount;

/// What the fields of a request of this method say; `None` where hops are not counted.
///
/// # Errors
/// Several fields, or something else than digits: whoever comes next might read another number.
pub(crate) fn left<'f>(method: Method, mut values: impl Iterator<Item = &'f [u8]>) -> Result<Option<u32>, BadCount> {
    if !matches!(method, Method::Options | Method::Trace) {
        return Ok(None);
    }
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadCount);
    }
    // More than we can count is as much as we can count.
    Ok(Some(value.iter().fold(0, |count: u32, digit| count.saturating_mul(10).saturating_add(u32::from(digit - b'0')))))
}

/// The answer to a request that goes no further. Only a replica knows what may be done with its resource, so OPTIONS is told nothing; and
/// TRACE would send back fields that may hold secrets (RFC 9110 section 9.3.8).
pub(crate) fn answer(method: Method) -> Answer {
    let answer = Answer::new(Reason::MaxForwards);
    if method == Method::Trace { Answer { status: 501, ..answer } } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_alone_count_and_only_where_hops_are_counted() {
        let left = |method, values: &[&'static str]| left(method, values.iter().map(|value| value.as_bytes()));
        assert_eq!(left(Method::Options, &["0"]), Ok(Some(0)));
        assert_eq!(left(Method::Trace, &["007"]), Ok(Some(7)));
        assert_eq!(left(Method::Options, &["99999999999999999999"]), Ok(Some(u32::MAX)));
        assert_eq!(left(Method::Options, &[]), Ok(None));
        assert_eq!(left(Method::Get, &["0", "x"]), Ok(None));
        for bad in [&[""][..], &["+1"], &["-1"], &["1, 2"], &["1", "1"], &["x"], &["1 "]] {
            assert_eq!(left(Method::Options, bad), Err(BadCount), "{bad:?}");
        }
    }
}
