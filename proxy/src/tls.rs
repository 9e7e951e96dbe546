//! Handshakes: which certificate a client is shown, and what it gets when there is none for the host that it names.
//!
//! Invariant: a worker looks into its own table, which changes with its picture, so that a new Secret counts from the next handshake on
//! and no open connection notices. A host without a certificate gets an alert, never another host's certificate. Workers share the key
//! of session tickets, so that any of them resumes what another began: against the law, a read lock for each handshake, which is
//! nothing beside its arithmetic, and written to twice a day.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use config::host::{self, MAX_HOST};
use registry::certificate::{CertificateTable, Offer};
use rustls::crypto::aws_lc_rs;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::stream::Tls;

mod outcome;

pub use outcome::{Cause, Outcome};

/// A record with the fatal alert `unrecognized_name` (RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What all workers' handshakes have in common; shows nobody anything.
///
/// # Errors
/// The system has no randomness for the key of session tickets.
pub fn common() -> Result<Arc<ServerConfig>, rustls::Error> {
    let nothing = Arc::new(Shown(Arc::default()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions.with_no_client_auth().with_cert_resolver(nothing);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {}); // the client keeps its session, in a ticket
    Ok(Arc::new(config))
}

/// One worker's handshakes.
pub(crate) struct Handshakes {
    common: Arc<ServerConfig>,
    now: RefCell<Terms>,
}

/// What the next handshake goes by.
#[derive(Clone)]
struct Terms {
    table: Arc<CertificateTable>,
    config: Arc<ServerConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing is there to be shown.
    #[error("no certificate for `{0}`, and no `tls.defaultSecret`")]
    NoCertificate(Box<str>),
    /// The other side went away, or does not speak TLS as we do.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl Failed {
    /// Why, in the words of the metrics.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Failed::NoCertificate(_) => Cause::NoCertificate,
            Failed::Broken(error) => Cause::of(error),
        }
    }
}

impl Handshakes {
    pub(crate) fn new(common: Arc<ServerConfig>, table: Arc<CertificateTable>) -> Handshakes {
        let now = RefCell::new(Terms::new(&common, table));
        Handshakes { common, now }
    }

    /// From the next handshake on, these are shown.
    pub(crate) fn renew(&self, table: &Arc<CertificateTable>) {
        let mut now = self.now.borrow_mut();
        if !Arc::ptr_eq(&now.table, table) {
            *now = Terms::new(&self.common, table.clone());
        }
    }

    /// Shakes hands with whoever connected, and says how.
    ///
    /// # Errors
    /// [`Failed`]; the client was told by an alert where that is possible.
    pub(crate) async fn shake(&self, stream: TcpStream) -> Result<(Tls, Outcome), Failed> {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let Terms { table, config } = self.now.borrow().clone();
        let opened = start.client_hello().server_name().and_then(normal);
        if table.find(opened.as_deref()).is_none() {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(Failed::NoCertificate(opened.unwrap_or_default()));
        }
        let session = start.into_stream(config).await?;
        let outcome = Outcome::of(session.get_ref().1);
        Ok((Tls::new(session, opened), outcome))
    }
}

impl Terms {
    fn new(common: &Arc<ServerConfig>, table: Arc<CertificateTable>) -> Terms {
        let mut config = ServerConfig::clone(common);
        config.cert_resolver = Arc::new(Shown(table.clone()));
        Terms { table, config: Arc::new(config) }
    }
}

/// A host as routing sees it.
fn normal(name: &str) -> Option<Box<str>> {
    host::normalise(name.as_bytes(), &mut [0; MAX_HOST]).ok().map(Box::from)
}

/// What a table shows.
#[derive(Debug)]
struct Shown(Arc<CertificateTable>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(normal);
        self.0.find(name.as_deref()).and_then(|offer| best(offer, hello.signature_schemes()))
    }
}

/// The cheapest for us to sign with that the client can verify. When it can none, one all the same: the handshake fails and says why.
fn best(offer: &Offer, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    let cost = |key: &CertifiedKey| match key.key.algorithm() {
        SignatureAlgorithm::ED25519 | SignatureAlgorithm::ECDSA => 0,
        _ => 1,
    };
    let keys = offer.certificates.iter().map(|(_, certificate)| certificate.certified());
    keys.min_by_key(|key| (key.key.choose_scheme(schemes).is_none(), cost(key))).cloned()
}
