//! What is read of an X.509 certificate (RFC 5280) besides its key: how long it is valid, and whose it is.
//!
//! Invariant: the text of a subject is printable ASCII, whatever the certificate holds, so that it can be a header field's value. What
//! cannot be read is nothing; whether a certificate is good is decided elsewhere.

use std::fmt::Write;

use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Version};
use x509_parser::time::ASN1Time;

/// The time in which a certificate may be used, in seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub from_s: i64,
    /// `notAfter`
    pub until_s: i64,
}

impl Validity {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Option<Validity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let written = certificate.validity();
        Some(Validity { from_s: written.not_before.timestamp(), until_s: written.not_after.timestamp() })
    }

    /// The time in which both may be used.
    #[must_use]
    pub fn and(self, other: Validity) -> Validity {
        Validity { from_s: self.from_s.max(other.from_s), until_s: self.until_s.min(other.until_s) }
    }
}

/// Whether a certificate in DER is of a version that knows no extensions, and so names no host (RFC 5280 section 4.1.2.1).
pub(super) fn is_old(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.version() != X509Version::V3)
}

/// A moment in seconds since 1970 as `2026-12-31`, in UTC.
pub fn date(unix_s: i64) -> String {
    ASN1Time::from_timestamp(unix_s).map_or_else(|_| unix_s.to_string(), |time| time.to_datetime().date().to_string())
}

/// Types of attributes that have a short name (RFC 4514 section 3; the last ones as OpenSSL names them).
const NAMES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
];

/// Whose a certificate in DER is, as RFC 4514 writes it: `CN=ann,O=example`.
pub fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let sets: Vec<_> = certificate.subject().iter().collect();
    let mut out = String::new();
    for set in sets.into_iter().rev() {
        for (at, attribute) in set.iter().enumerate() {
            if at > 0 || !out.is_empty() {
                out.push(if at > 0 { '+' } else { ',' });
            }
            write_attribute(attribute, &mut out);
        }
    }
    Some(out)
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let oid = attribute.attr_type().to_id_string();
    out.push_str(NAMES.iter().find(|(known, _)| *known == oid).map_or(&*oid, |(_, name)| name));
    out.push('=');
    match attribute.as_str() {
        Ok(text) => write_value(text, out),
        Err(_) => {
            out.push('#');
            attribute.as_slice().iter().for_each(|byte| hex(*byte, out));
        }
    }
}

/// RFC 4514 section 2.4, with everything that is not printable ASCII as the bytes of its UTF-8.
fn write_value(text: &str, out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => out.extend(['\\', byte as char]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(byte as char),
            other => {
                out.push('\\');
                hex(other, out);
            }
        }
    }
}

fn hex(byte: u8, out: &mut String) {
    let _ = write!(out, "{byte:02X}"); // a String takes everything
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn of(attributes: &[(DnType, &str)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        subject(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn a_subject_is_written_from_its_end_and_is_fit_for_a_field() {
        let usual = [(DnType::CountryName, "DE"), (DnType::OrganizationName, "Example, Inc."), (DnType::CommonName, "ann")];
        assert_eq!(of(&usual).as_deref(), Some("CN=ann,O=Example\\, Inc.,C=DE"));
        let odd = [(DnType::CommonName, " #a\r\nx-admin: 1\u{e9}\"\\ ")];
        assert_eq!(of(&odd).as_deref(), Some("CN=\\ #a\\0D\\0Ax-admin: 1\\C3\\A9\\\"\\\\\\ "));
        assert_eq!(of(&[(DnType::CommonName, "#1")]).as_deref(), Some("CN=\\#1"));
        assert_eq!(of(&[(DnType::CustomDnType(vec![1, 2, 3, 4]), "x")]).as_deref(), Some("1.2.3.4=x"));
        assert_eq!(of(&[]).as_deref(), Some(""));
        assert_eq!(subject(b"nothing"), None);
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let of = |from: (i32, u8), until: (i32, u8)| {
            let mut params = CertificateParams::default();
            params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
            Validity::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
        };
        let both = of((2020, 1), (2030, 6)).and(of((2021, 2), (2031, 1)));
        assert_eq!((date(both.from_s), date(both.until_s)), ("2021-02-01".to_owned(), "2030-06-01".to_owned()));
        assert_eq!(Validity::of(b"nothing"), None);
    }
}
