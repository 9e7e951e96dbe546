//! Any bytes as the first of a TLS connection: the name in them, and the certificate that it is shown.

use std::sync::{Arc, LazyLock};

use config::host::{Host, HostPattern, MAX_HOST, normalise};
use config::tls::Certificate;
use registry::certificate::{CertificateTable, CertificateTableBuilder};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Target;
use crate::certificates::Authority;

/// See the module.
pub const TARGET: Target = Target { name: "hello", run, seeds, words: WORDS };

/// Hosts with a certificate, each with its Secret's name.
const SERVED: [(&str, &str); 3] = [("a.example", "n/exact"), ("*.b.example", "n/wild"), ("deep.b.example", "n/deep")];

fn run(bytes: &[u8]) {
    let whole = name_in(&[bytes]);
    let (first, rest) = bytes.split_at(usize::from(bytes.first().copied().unwrap_or(0)).min(bytes.len()));
    assert_eq!(whole, name_in(&[first, rest]), "the name depends on how the bytes were cut");
    // Bytes beyond a first message that is whole are not the client's hello: as a name of their own they go on below.
    let text = String::from_utf8_lossy(bytes);
    for name in whole.iter().flatten().chain([&*text].map(str::to_owned).iter()) {
        shown(name);
    }
}

/// What rustls reads: nothing yet or no TLS, else the name if there is one.
fn name_in(pieces: &[&[u8]]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    for piece in pieces {
        let mut left = *piece;
        while !left.is_empty() {
            acceptor.read_tls(&mut left).ok()?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    assert!(name.iter().all(|name| normalise(name.as_bytes(), &mut [0; MAX_HOST]).is_ok()), "{name:?} is no host to us");
                    return Some(name);
                }
                Err(_) => return None,
            }
        }
    }
    None
}

/// A host is shown its own certificate, or its wildcard's, or none.
fn shown(name: &str) {
    static TABLE: LazyLock<CertificateTable> = LazyLock::new(table);
    let mut buf = [0; MAX_HOST];
    let Ok(host) = normalise(name.as_bytes(), &mut buf) else { return };
    let labels: Vec<&str> = host.split('.').collect();
    let expected = match labels[..] {
        ["a", "example"] => Some("n/exact"),
        ["deep", "b", "example"] => Some("n/deep"),
        [_, "b", "example"] => Some("n/wild"),
        _ => None,
    };
    let found = TABLE.find(Some(host)).map(|offer| &*offer.certificates[0].0);
    assert_eq!(found, expected, "{host}");
}

fn table() -> CertificateTable {
    let mut builder = CertificateTableBuilder::default();
    let issued = Authority::new().ecdsa(&["a.example"]);
    let certificate = Certificate::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()).expect("a good pair");
    for (host, secret) in SERVED {
        let pattern = match host.strip_prefix("*.") {
            Some(suffix) => Host::parse(suffix).map(HostPattern::OneLabel),
            None => Host::parse(host).map(HostPattern::Exact),
        };
        let added = builder.add(&Arc::from("Ingress n/i"), &pattern.expect("a host"), &Arc::from(secret), &certificate);
        assert!(added.is_ok());
    }
    builder.build()
}

/// First messages of rustls' client, and names alone.
fn seeds() -> Vec<Vec<u8>> {
    let names = ["a.example", "x.b.example", "deep.b.example", "b.example", "UPPER.Example", "under_score.example", "127.0.0.1"];
    let hellos = names.iter().filter_map(|name| hello(name));
    hellos.chain(names.iter().map(|name| name.as_bytes().to_vec())).collect()
}

fn hello(name: &'static str) -> Option<Vec<u8>> {
    let versions =
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().ok()?;
    let config = versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).ok()?).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

const WORDS: &[&[u8]] = &[
    b"\x16\x03\x01",
    b"\x16\x03\x03",
    b"\x01\x00",
    b"\x03\x03",
    b"\x00\x00",
    b"\x00\x2b",
    b"\x00\x10",
    b"\x02h2\x08http/1.1",
    b"a.example",
    b".b.example",
    b"\x00",
    b".",
    b"_",
];
