//! What a service port says it speaks: `appProtocol`.
//!
//! Invariant: every text has a meaning; one that is not known means what no text does, as the API has it (Kubernetes, Service,
//! "Application protocol"; KEP-3726 for the names under `kubernetes.io/`).

/// What the replicas behind a service port speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum AppProtocol {
    /// Not said, or nothing that is known: bytes on a virtual IP, HTTP/1.1 behind a route.
    #[default]
    Opaque,
    /// HTTP/1.1, WebSocket included: `http`, `kubernetes.io/ws`.
    Http,
    /// HTTP/2 from its first byte, without TLS (RFC 9113 section 3.3): `kubernetes.io/h2c`, `h2c`.
    H2c,
    /// gRPC, which is HTTP/2 as above: `grpc`.
    Grpc,
    /// HTTP/2 or HTTP/1.1 in TLS, as the replica chooses, WebSocket included: `https`, `kubernetes.io/wss`.
    Https,
}

/// Names without a prefix are IANA's, which have no case (RFC 6335 section 5.1).
const NAMES: [(&str, AppProtocol); 4] =
    [("http", AppProtocol::Http), ("https", AppProtocol::Https), ("grpc", AppProtocol::Grpc), ("h2c", AppProtocol::H2c)];

impl AppProtocol {
    /// What the text of `appProtocol` means.
    pub fn of(text: Option<&str>) -> AppProtocol {
        match text {
            Some("kubernetes.io/h2c") => AppProtocol::H2c,
            Some("kubernetes.io/ws") => AppProtocol::Http,
            Some("kubernetes.io/wss") => AppProtocol::Https,
            Some(text) => NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, meant)| *meant).unwrap_or_default(),
            None => AppProtocol::Opaque,
        }
    }

    /// Whether its requests can be read on a virtual IP: HTTP that is not hidden in TLS.
    pub const fn is_plain_http(self) -> bool {
        matches!(self, AppProtocol::Http | AppProtocol::H2c | AppProtocol::Grpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_meaning_and_others_have_none() {
        for (text, meant) in [
            ("http", AppProtocol::Http),
            ("HTTP", AppProtocol::Http),
            ("kubernetes.io/ws", AppProtocol::Http),
            ("kubernetes.io/h2c", AppProtocol::H2c),
            ("h2c", AppProtocol::H2c),
            ("gRPC", AppProtocol::Grpc),
            ("https", AppProtocol::Https),
            ("kubernetes.io/wss", AppProtocol::Https),
            ("Kubernetes.io/h2c", AppProtocol::Opaque),
            ("example.org/http", AppProtocol::Opaque),
            ("redis", AppProtocol::Opaque),
            ("", AppProtocol::Opaque),
        ] {
            assert_eq!(AppProtocol::of(Some(text)), meant, "{text}");
        }
        assert_eq!(AppProtocol::of(None), AppProtocol::Opaque);
    }
}
