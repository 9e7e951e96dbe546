//! What Secrets and ConfigMaps hold for TLS: a certificate chain with its private key, and the authorities that others' certificates are
//! verified by.
//!
//! Invariant: a key belongs to the first certificate, so that two with equal chains are equal. Nothing of either is ever printed, and an
//! error quotes nothing. Authorities are public, and can be saved; a key cannot. Whether a certificate has expired is not asked here: there
//! is no clock.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::ByteString;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore, SignatureAlgorithm};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub mod x509;

use x509::Validity;

/// What the other side of a handshake is shown, and what proves that it is ours. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Pair>);

struct Pair {
    key: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// Which part of a pair is wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCertificate {
    /// `tls.crt`, `tls.key` or `ca.crt`.
    pub part: &'static str,
    /// What was found, without quoting it.
    pub found: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// The part of a Secret that holds a chain.
pub const CHAIN: &str = "tls.crt";
/// The part that holds its key.
pub const KEY: &str = "tls.key";
/// The part that holds authorities.
pub const CA: &str = "ca.crt";

const A_CHAIN: &str = "the certificate, then its issuers, each as `-----BEGIN CERTIFICATE-----`";
const SOME_AUTHORITIES: &str = "the certificates of the authorities, each as `-----BEGIN CERTIFICATE-----`";
const A_KEY: &str = "one private key: RSA from 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519, as PKCS#8, PKCS#1 or SEC1";

impl Certificate {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Certificate, BadCertificate> {
        let chain = read_chain(chain)?;
        let key = read_key(key)?;
        let unfit = bad(KEY, "a private key that cannot be used", A_KEY, "make a key of one of these kinds, and a certificate for it");
        let pair = CertifiedKey::new(chain, any_supported_type(&key).map_err(|_| unfit)?);
        match pair.keys_match() {
            Ok(()) => Ok(Certificate(Arc::new(Pair { validity: validity(&pair.cert), key: Arc::new(pair) }))),
            Err(Error::InconsistentKeys(_)) => {
                let fix = "put the key that the certificate was made with, and the certificate itself before its issuers";
                Err(bad(KEY, "a private key that is not the certificate's", "the key of the first certificate in `tls.crt`", fix))
            }
            Err(_) if pair.cert.first().is_some_and(|first| x509::is_old(first)) => {
                let fix = "issue it anew with a subjectAltName, which is an extension";
                Err(bad(CHAIN, "a certificate of X.509 version 1 or 2", "one of version 3, which may have extensions", fix))
            }
            Err(_) => Err(bad(CHAIN, "a certificate that cannot be read", A_CHAIN, "put the certificate as it was issued")),
        }
    }

    /// What a handshake works with.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0.key
    }

    /// The time in which every certificate of its chain is valid; `None` when that cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        self.0.validity
    }

    /// Whether a client that asks for `host` would accept the name in it.
    pub fn names(&self, host: &str) -> bool {
        let Some(Ok(parsed)) = self.0.key.cert.first().map(ParsedCertificate::try_from) else { return false };
        ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    }

    /// The kind of its key.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.0.key.key.algorithm()
    }
}

/// Whom we believe when they vouch for another side's certificate. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<ByteString>", into = "Vec<ByteString>")]
pub struct Authorities(Arc<Bundle>);

struct Bundle {
    roots: Arc<RootCertStore>,
    /// As they were issued, to be saved.
    certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads one or more certificates.
    ///
    /// # Errors
    /// One cannot be read, or there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Authorities, BadCertificate> {
        Authorities::new(read_certificates(pem, CA, SOME_AUTHORITIES)?)
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Authorities, BadCertificate> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let broken = bad(CA, "a certificate that cannot be read", SOME_AUTHORITIES, "put the certificates as they were issued");
            roots.add(certificate.clone()).map_err(|_| broken)?;
        }
        Ok(Authorities(Arc::new(Bundle { roots: Arc::new(roots), certificates })))
    }

    /// What a handshake verifies by; never empty.
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.0.roots
    }
}

impl From<Authorities> for Vec<ByteString> {
    fn from(authorities: Authorities) -> Vec<ByteString> {
        authorities.0.certificates.iter().map(|certificate| ByteString(certificate.to_vec())).collect()
    }
}

impl TryFrom<Vec<ByteString>> for Authorities {
    type Error = &'static str;

    fn try_from(saved: Vec<ByteString>) -> Result<Authorities, &'static str> {
        if saved.is_empty() {
            return Err("no certificate");
        }
        Authorities::new(saved.into_iter().map(|bytes| CertificateDer::from(bytes.0)).collect()).map_err(|bad| bad.found)
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Authorities) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.roots.roots == other.0.roots.roots
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn validity(chain: &[CertificateDer<'_>]) -> Option<Validity> {
    chain.iter().filter_map(|certificate| Validity::of(certificate)).reduce(Validity::and)
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    read_certificates(pem, CHAIN, A_CHAIN)
}

fn read_certificates(pem: &[u8], part: &'static str, expected: &'static str) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let broken = bad(part, "text that is not PEM", expected, "put the text of the certificate's file as it is");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| broken)?;
    if chain.is_empty() {
        return Err(bad(part, "no certificate", expected, "put the text of the certificate's file, not its name"));
    }
    Ok(chain)
}

fn read_key(pem: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, BadCertificate> {
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        let fix = "take the passphrase off with `openssl pkey -in FILE`";
        return Err(bad(KEY, "a private key with a passphrase", "a private key without one", fix));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem);
    match keys.next() {
        Some(Ok(key)) => Ok(Zeroizing::new(key)),
        Some(Err(_)) => Err(bad(KEY, "text that is not PEM", A_KEY, "put the text of the key's file as it is")),
        None => Err(bad(KEY, "no private key", A_KEY, "put the text of the key's file, not its name")),
    }
}

fn bad(part: &'static str, found: &'static str, expected: &'static str, fix: &'static str) -> BadCertificate {
    BadCertificate { part, found, expected, fix }
}

impl PartialEq for Certificate {
    /// Equal chains have equal keys: each key was found to belong to its first certificate.
    fn eq(&self, other: &Certificate) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.key.cert == other.0.key.cert
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm as Kind};

    fn pair(kind: &'static Kind, hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate_for(kind).unwrap();
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let certificate = CertificateParams::new(hosts).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, BadCertificate> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn each_kind_of_key_is_read_and_names_its_hosts() {
        for (kind, algorithm) in [
            (&PKCS_ECDSA_P256_SHA256, SignatureAlgorithm::ECDSA),
            (&PKCS_RSA_SHA256, SignatureAlgorithm::RSA),
            (&PKCS_ED25519, SignatureAlgorithm::ED25519),
        ] {
            let (chain, key) = pair(kind, &["a.example", "*.b.example"]);
            let certificate = read(&chain, &key).unwrap();
            assert_eq!(certificate.algorithm(), algorithm);
            for (host, named) in [("a.example", true), ("x.b.example", true), ("b.example", false), ("x.y.b.example", false), ("", false)] {
                assert_eq!(certificate.names(host), named, "{host}");
            }
            assert_eq!(certificate, read(&format!("text around it\n{chain}"), &format!("{key}\n")).unwrap());
            assert_ne!(certificate, read(&pair(kind, &["a.example"]).0, &key).err().map_or(certificate.clone(), |_| other(kind)));
        }
    }

    fn other(kind: &'static Kind) -> Certificate {
        let (chain, key) = pair(kind, &["a.example"]);
        read(&chain, &key).unwrap()
    }

    #[test]
    fn what_is_no_pair_says_which_part_and_quotes_nothing() {
        let (chain, key) = pair(&PKCS_ECDSA_P256_SHA256, &["a.example"]);
        let (_, another) = pair(&PKCS_ECDSA_P256_SHA256, &["a.example"]);
        let (cut, no_base64) = (&key[..key.len() / 2], key.replace("\nM", "\n!"));
        let locked = key.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE");
        for (chain, key, part, found) in [
            (&*chain, &*another, KEY, "not the certificate's"),
            (&chain, &chain, KEY, "no private key"),
            (&key, &key, CHAIN, "no certificate"),
            (&chain, cut, KEY, "not PEM"),
            (&chain, &no_base64, KEY, "not PEM"),
            (&chain, &locked, KEY, "passphrase"),
            (&chain, "", KEY, "no private key"),
            ("/etc/tls/tls.crt", &key, CHAIN, "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, CHAIN, "cannot be read"),
            (&chain, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KEY, "cannot be used"),
        ] {
            let bad = read(chain, key).unwrap_err();
            assert_eq!(bad.part, part, "{bad:?}");
            assert!(bad.found.contains(found), "{bad:?}");
        }
    }

    #[test]
    fn authorities_are_read_and_compared_by_what_they_are() {
        let (one, two) = (pair(&PKCS_ECDSA_P256_SHA256, &["a.example"]).0, pair(&PKCS_RSA_SHA256, &["b.example"]).0);
        let read = |pem: &str| Authorities::from_pem(pem.as_bytes());
        let both = read(&format!("{one}and\n{two}")).unwrap();
        assert_eq!(both.roots().len(), 2);
        assert_eq!(both, read(&format!("{one}{two}")).unwrap());
        assert_ne!(both, read(&one).unwrap());
        for (pem, found) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read")] {
            let bad = read(pem).unwrap_err();
            assert!(bad.part == CA && bad.found.contains(found), "{bad:?}");
        }
        assert_eq!(format!("{both:?}"), "[redacted]");
        let saved = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Authorities>(&saved).unwrap(), both);
        for wrong in ["[]", "[\"AAAA\"]", "7"] {
            assert!(serde_json::from_str::<Authorities>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", other(&PKCS_RSA_SHA256)), "[redacted]");
    }
}
