//! Why a check failed, in a few words for people and one for a metric.
//!
//! Invariant: nothing of what a pod sent is in it but numbers, and nothing of what it was sent.

use std::fmt;
use std::io;

/// How a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// It was not through within so many seconds.
    Timeout(u32),
    /// The connection ended before the answer did.
    Cut,
    /// No agreement in TLS.
    Tls,
    /// Another status than 200 to 399.
    Status(u16),
    /// More redirects than a browser would follow.
    Redirects,
    /// The status of the call (gRPC), other than OK.
    Call(u32),
    /// What the health service says (`ServingStatus` of grpc.health.v1), other than SERVING.
    Serving(u32),
    /// Something else than the protocol that was asked for.
    Protocol,
    /// A mistake of ours.
    Ours,
}

/// Statuses of gRPC by their numbers.
const CALL: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// `ServingStatus` by its numbers.
const SERVING: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

impl Failure {
    /// Every value of [`Failure::label`].
    pub const LABELS: [&str; 8] = ["refused", "unreachable", "timeout", "cut", "tls", "status", "grpc", "protocol"];

    /// Its word in the metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Unreachable => "unreachable",
            Failure::Timeout(_) => "timeout",
            Failure::Cut => "cut",
            Failure::Tls => "tls",
            Failure::Status(_) | Failure::Redirects => "status",
            Failure::Call(_) | Failure::Serving(_) => "grpc",
            Failure::Protocol | Failure::Ours => "protocol",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        error.kind().into()
    }
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Failure {
        match kind {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe => Failure::Cut,
            io::ErrorKind::InvalidData => Failure::Protocol,
            _ => Failure::Unreachable,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |names: &[&'static str], number: u32| names.get(number as usize).copied();
        match self {
            Failure::Refused => f.write_str("connection refused"),
            Failure::Unreachable => f.write_str("cannot be reached"),
            Failure::Timeout(seconds) => write!(f, "no answer within {seconds} s"),
            Failure::Cut => f.write_str("connection ended without an answer"),
            Failure::Tls => f.write_str("no TLS"),
            Failure::Status(status) => write!(f, "HTTP {status}"),
            Failure::Redirects => f.write_str("too many redirects"),
            Failure::Call(status) => match named(&CALL, *status) {
                Some(name) => write!(f, "gRPC {name}"),
                None => write!(f, "gRPC status {status}"),
            },
            Failure::Serving(status) => match named(&SERVING, *status) {
                Some(name) => write!(f, "health {name}"),
                None => write!(f, "health {status}"),
            },
            Failure::Protocol => f.write_str("another protocol"),
            Failure::Ours => f.write_str("the check stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_words_and_metrics_get_few() {
        let all = [
            (Failure::Refused, "connection refused"),
            (Failure::Unreachable, "cannot be reached"),
            (Failure::Timeout(3), "no answer within 3 s"),
            (Failure::Cut, "connection ended without an answer"),
            (Failure::Tls, "no TLS"),
            (Failure::Status(503), "HTTP 503"),
            (Failure::Redirects, "too many redirects"),
            (Failure::Call(12), "gRPC UNIMPLEMENTED"),
            (Failure::Call(99), "gRPC status 99"),
            (Failure::Serving(2), "health NOT_SERVING"),
            (Failure::Serving(9), "health 9"),
            (Failure::Protocol, "another protocol"),
            (Failure::Ours, "the check stopped"),
        ];
        for (failure, words) in all {
            assert_eq!(failure.to_string(), words);
            assert!(Failure::LABELS.contains(&failure.label()), "{failure:?}");
        }
    }
}
