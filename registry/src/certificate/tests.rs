use super::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};

fn certificate(kind: &'static SignatureAlgorithm) -> Certificate {
    let key = KeyPair::generate_for(kind).unwrap();
    let issued = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    Certificate::from_pem(issued.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn ecdsa() -> Certificate {
    certificate(&PKCS_ECDSA_P256_SHA256)
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse_ingress(text).unwrap()
}

fn table(entries: &[(&str, &str, &Certificate)]) -> CertificateTable {
    let mut builder = CertificateTableBuilder::default();
    for (pattern, secret, certificate) in entries {
        builder.add(&"Ingress x/y".into(), &host(pattern), &Name::from(*secret), certificate).unwrap();
    }
    builder.build()
}

fn secrets(table: &CertificateTable, host: Option<&str>) -> Vec<String> {
    let offer = table.find(host);
    offer.into_iter().flat_map(|offer| &offer.certificates).map(|(secret, _)| secret.to_string()).collect()
}

#[test]
fn an_exact_host_beats_a_wildcard_of_one_label_which_beats_what_serves_all() {
    let one = ecdsa();
    let entries = [("a.example", "x/exact", &one), ("*.example", "x/wild", &one)];
    let without = table(&entries);
    for (host, found) in [("a.example", "x/exact"), ("b.example", "x/wild")] {
        assert_eq!(secrets(&without, Some(host)), [found], "{host}");
    }
    for none in [Some("example"), Some("a.b.example"), Some("other"), None] {
        assert!(without.find(none).is_none(), "{none:?}");
    }
    let with = table(&[entries[0], entries[1], ("", "x/all", &one)]);
    for host in [Some("example"), Some("a.b.example"), None] {
        assert_eq!(secrets(&with, host), ["x/all"], "{host:?}");
    }
    assert!(CertificateTable::default().is_empty() && !with.is_empty());
}

#[test]
fn one_host_has_a_certificate_for_each_kind_of_key_and_one_owner() {
    let (first, second, rsa) = (ecdsa(), ecdsa(), certificate(&PKCS_RSA_SHA256));
    let mut builder = CertificateTableBuilder::default();
    let (old, young) = (Name::from("Ingress x/old"), Name::from("Ingress x/young"));
    let mut add = |owner: &Name, secret: &str, certificate| builder.add(owner, &host("a.example"), &secret.into(), certificate);
    assert_eq!(add(&old, "x/ecdsa", &first), Ok(()));
    assert_eq!(add(&old, "x/rsa", &rsa), Ok(()));
    assert_eq!(add(&old, "x/again", &second), Err(Taken::Before("x/ecdsa".into())));
    assert_eq!(add(&young, "x/rsa", &rsa), Ok(()), "the same Secret is no conflict");
    assert_eq!(add(&young, "x/other", &second), Err(Taken::By(old.clone())));
    assert_eq!(secrets(&builder.build(), Some("a.example")), ["x/ecdsa", "x/rsa"]);
}

#[test]
fn a_connection_carries_what_would_have_been_shown_the_same() {
    let (one, two) = (ecdsa(), ecdsa());
    let known = [("a.example", "x/one", &one), ("b.example", "y/copy", &one), ("c.example", "x/two", &two), ("*.a.example", "x/one", &one)];
    let closed = table(&known);
    for (opened, host, carries) in [
        (Some("a.example"), "a.example", true),
        (Some("a.example"), "b.example", true),
        (Some("a.example"), "x.a.example", true),
        (Some("a.example"), "c.example", false),
        (Some("a.example"), "unknown.example", false),
        (Some("a.example"), "", true),
        (Some("gone.example"), "gone.example", true),
        (Some("gone.example"), "gone-too.example", false),
        (None, "a.example", false),
    ] {
        assert_eq!(closed.carries(opened, host), carries, "{opened:?} {host}");
    }
    let open = table(&[known[0], known[2], ("", "x/one", &one)]);
    for (opened, host, carries) in [
        (None, "a.example", true),
        (None, "c.example", false),
        (None, "unknown", true),
        (Some("unknown"), "other", true),
        (Some("c.example"), "unknown", false),
    ] {
        assert_eq!(open.carries(opened, host), carries, "{opened:?} {host}");
    }
}
