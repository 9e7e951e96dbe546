//! How a replica is spoken to, and the terms of TLS where that is how.
//!
//! Invariant: a replica in TLS is always verified, by a name and by authorities that somebody named, else by the system's; there is no
//! word that turns this off. Terms are made on the control thread, once for each service port, and are equal when their content is.
//! Nothing of a certificate or key is ever printed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use config::tls::{Authorities, Certificate};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

/// What is said first on a connection to a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speech {
    /// HTTP/1.1, or on a virtual IP whatever its clients say.
    #[default]
    Http1,
    /// HTTP/2 from the first byte (RFC 9113 section 3.3).
    H2c,
    /// TLS, and in it HTTP/2 or HTTP/1.1, as the replica chooses (ALPN). On a virtual IP the client's own bytes, as before.
    Tls(Arc<UpstreamTls>),
}

impl Speech {
    /// The word of `get endpoints`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Speech::Http1 => "http/1.1",
            Speech::H2c => "h2c",
            Speech::Tls(_) => "tls",
        }
    }
}

/// The terms of TLS to the replicas of a service port.
pub struct UpstreamTls {
    /// What their certificate must name; a host name is also the SNI.
    pub name: ServerName<'static>,
    /// Offers `h2` and `http/1.1`.
    pub config: Arc<ClientConfig>,
    /// The same offering `http/1.1` alone: for what HTTP/2 does not carry, as an upgrade.
    pub http1: Arc<ClientConfig>,
    /// `None`: the system's.
    authorities: Option<Authorities>,
    certificate: Option<Certificate>,
}

impl UpstreamTls {
    /// Terms by which replicas must be `name`, vouched for by `authorities` (`None`: the system's), and are shown `certificate`.
    ///
    /// # Errors
    /// The cryptography has no version of TLS that we speak, which would be a mistake of ours.
    pub fn new(
        name: ServerName<'static>,
        authorities: Option<Authorities>,
        certificate: Option<Certificate>,
    ) -> Result<UpstreamTls, rustls::Error> {
        let roots = authorities.as_ref().map_or_else(|| SYSTEM.clone(), |authorities| authorities.roots().clone());
        let versions = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let verifying = versions.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut config = match &certificate {
            Some(pair) => verifying.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified().clone()))),
            None => verifying.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(UpstreamTls { name, config: Arc::new(config), http1, authorities, certificate })
    }
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &UpstreamTls) -> bool {
        self.name == other.name && self.authorities == other.authorities && self.certificate == other.certificate
    }
}

impl Eq for UpstreamTls {}

impl Hash for UpstreamTls {
    /// Of many terms few have one name.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS to {}", self.name.to_str())
    }
}

/// Whom the system believes: read from its files once, when the first Service speaks TLS and names no authorities. Unreadable ones are
/// left out; without any, no replica can be verified.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// Whether the system believes anybody.
pub(crate) fn system_has_authorities() -> bool {
    !SYSTEM.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorities() -> Authorities {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        Authorities::from_pem(certificate.pem().as_bytes()).unwrap()
    }

    #[test]
    fn terms_are_equal_when_their_content_is() {
        let (one, two) = (authorities(), authorities());
        let terms = |name: &str, by: &Authorities| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            Speech::Tls(Arc::new(UpstreamTls::new(name, Some(by.clone()), None).unwrap()))
        };
        assert_eq!(terms("a.example", &one), terms("a.example", &one));
        assert_ne!(terms("a.example", &one), terms("b.example", &one));
        assert_ne!(terms("a.example", &one), terms("a.example", &two));
        assert_ne!(terms("a.example", &one), Speech::Http1);
    }

    #[test]
    fn both_protocols_are_offered_and_one_where_only_that_will_do() {
        let terms = UpstreamTls::new(ServerName::try_from("a.example").unwrap(), Some(authorities()), None).unwrap();
        assert_eq!(terms.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(terms.http1.alpn_protocols, [b"http/1.1".to_vec()]);
        assert_eq!(format!("{:?}", Speech::Tls(Arc::new(terms))), "Tls(TLS to a.example)");
    }
}
