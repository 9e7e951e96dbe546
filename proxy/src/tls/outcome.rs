//! How a handshake ended, in the words of the metrics.
//!
//! Invariant: few outcomes, each with a place of its own, so that counting one is a store into an array. Why it failed is told from the
//! error's type, never from its text.

use std::io;

use rustls::{Error, HandshakeKind, ProtocolVersion};

/// How a handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a connection.
    Done {
        /// It went on with an earlier session.
        resumed: bool,
        /// TLS 1.3, not 1.2.
        newest: bool,
    },
    /// Without.
    Failed(Cause),
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no certificate for the name that the client asked for.
    NoCertificate,
    /// The client has to show a certificate, and showed none, or one that is not good.
    ClientCertificate,
    /// The client said that it does not want to go on: most often it does not believe our certificate.
    Alert,
    /// What the client sent is not TLS, or no version, cipher or protocol of it that we speak.
    Protocol,
    /// The client went away.
    Gone,
    /// It was not done in time (`limits.headTimeoutMs`).
    Timeout,
}

impl Outcome {
    /// All of them, in the order of [`Outcome::index`].
    pub const ALL: [Outcome; 10] = [
        Outcome::Done { resumed: false, newest: false },
        Outcome::Done { resumed: false, newest: true },
        Outcome::Done { resumed: true, newest: false },
        Outcome::Done { resumed: true, newest: true },
        Outcome::Failed(Cause::NoCertificate),
        Outcome::Failed(Cause::ClientCertificate),
        Outcome::Failed(Cause::Alert),
        Outcome::Failed(Cause::Protocol),
        Outcome::Failed(Cause::Gone),
        Outcome::Failed(Cause::Timeout),
    ];

    /// Its place in arrays.
    pub const fn index(self) -> usize {
        match self {
            Outcome::Done { resumed, newest } => 2 * resumed as usize + newest as usize,
            Outcome::Failed(cause) => 4 + cause as usize,
        }
    }

    /// Labels `result` and `version`; what failed has no version.
    pub const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Outcome::Done { resumed, newest } => (if resumed { "resumed" } else { "full" }, if newest { "1.3" } else { "1.2" }),
            Outcome::Failed(Cause::NoCertificate) => ("no-certificate", ""),
            Outcome::Failed(Cause::ClientCertificate) => ("client-certificate", ""),
            Outcome::Failed(Cause::Alert) => ("alert", ""),
            Outcome::Failed(Cause::Protocol) => ("protocol", ""),
            Outcome::Failed(Cause::Gone) => ("gone", ""),
            Outcome::Failed(Cause::Timeout) => ("timeout", ""),
        }
    }

    /// Of a handshake that is done.
    pub(super) fn of(session: &rustls::ServerConnection) -> Outcome {
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        Outcome::Done { resumed, newest: session.protocol_version() == Some(ProtocolVersion::TLSv1_3) }
    }
}

impl Cause {
    /// Of an error while shaking hands.
    pub(super) fn of(error: &io::Error) -> Cause {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            None => Cause::Gone,
            Some(Error::AlertReceived(_)) => Cause::Alert,
            // The only certificates that we are shown here are clients'.
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Cause::ClientCertificate,
            Some(_) => Cause::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn each_outcome_has_a_place_and_labels_of_its_own() {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), at);
            assert_eq!(Outcome::ALL.iter().filter(|other| other.labels() == outcome.labels()).count(), 1);
        }
    }

    #[test]
    fn an_error_is_told_by_its_type() {
        let of = |error: Error| Cause::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(of(Error::NoCertificatesPresented), Cause::ClientCertificate);
        assert_eq!(of(Error::InvalidCertificate(CertificateError::UnknownIssuer)), Cause::ClientCertificate);
        assert_eq!(of(Error::AlertReceived(rustls::AlertDescription::UnknownCA)), Cause::Alert);
        assert_eq!(of(Error::DecryptError), Cause::Protocol);
        assert_eq!(Cause::of(&io::ErrorKind::UnexpectedEof.into()), Cause::Gone);
    }
}
