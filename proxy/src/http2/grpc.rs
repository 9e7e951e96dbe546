//! What gRPC needs of a proxy: its time limit, and answers of our own that its clients understand.
//!
//! Invariant: a gRPC client gets 200 with a status of its own protocol in place of an HTTP error, so that it knows whether to try again
//! ("gRPC over HTTP2" and "HTTP to gRPC Status Code Mapping" of the gRPC project).

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::reason::Reason;

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether a request is one of gRPC: `application/grpc`, or that with a suffix or parameters.
pub(super) fn is(fields: &HeaderMap) -> bool {
    let Some(kind) = fields.get(CONTENT_TYPE) else { return false };
    let rest = kind.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the client waits: up to eight digits and a unit.
pub(super) fn timeout(fields: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = fields.get(&TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// What a reason of ours is in gRPC: by its status, as that page has it, and `UNAVAILABLE` where another try may help.
const fn status(reason: Reason) -> u16 {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match reason.status() {
        400 | 431 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        504 => DEADLINE_EXCEEDED,
        421 | 429 | 502 | 503 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// The fields of an answer that is all there is.
pub(super) fn refusal(reason: Reason, fields: &mut HeaderMap) {
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    say(reason, fields);
}

/// What ends an answer that had begun.
pub(super) fn trailers(reason: Reason) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    say(reason, &mut trailers);
    trailers
}

fn say(reason: Reason, fields: &mut HeaderMap) {
    fields.insert(STATUS.clone(), status(reason).into());
    fields.insert(MESSAGE.clone(), HeaderValue::from_static(reason.as_str()));
}

/// Whether a replica says that it cannot serve: `UNAVAILABLE` with nothing before it.
pub(super) fn unavailable(fields: &HeaderMap) -> bool {
    fields.get(&STATUS).is_some_and(|status| status == "14")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_time_limit_has_up_to_eight_digits_and_a_unit() {
        let read = |text| timeout(&fields("grpc-timeout", text));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for wrong in ["", "S", "1", "123456789S", "-1S", "1.5S", "1s", "1 S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn grpc_is_known_by_its_type() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is(&fields("content-type", text)), expected, "{text}");
        }
        assert!(!is(&HeaderMap::new()));
    }

    #[test]
    fn each_reason_is_told_by_a_status_and_its_word() {
        for (reason, status) in [
            (Reason::NoRoute, "12"),
            (Reason::BadRequest, "13"),
            (Reason::HeadTooLarge, "13"),
            (Reason::NoEndpoint, "14"),
            (Reason::UpstreamConnect, "14"),
            (Reason::UpstreamReset, "14"),
            (Reason::Misdirected, "14"),
            (Reason::Overload, "14"),
            (Reason::RateLimited, "14"),
            (Reason::TimeoutRequest, "4"),
            (Reason::TimeoutDownstream, "2"),
            (Reason::ClientCertificate, "7"),
        ] {
            let mut said = HeaderMap::new();
            refusal(reason, &mut said);
            assert_eq!((said[&STATUS].to_str().unwrap(), said[&MESSAGE].to_str().unwrap()), (status, reason.as_str()));
        }
    }
}
