//! Handshakes: which certificate a client is shown, and what it gets when there is none for the host that it names.
//!
//! Invariant: a worker looks into its own table, which changes with its picture, so that a new Secret counts from the next handshake on
//! and no open connection notices. A host without a certificate gets an alert, never another host's certificate. Workers share the key
//! of session tickets, so that any of them resumes what another began: against the law, a read lock for each handshake, which is
//! nothing beside its arithmetic, and written to twice a day. A host whose clients must show a certificate has configurations and tickets of
//! its own; while those are not to be had, none of its handshakes is finished.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use config::host::{self, MAX_HOST};
use config::object::ClientTerms;
use config::tls::x509;
use registry::certificate::{CertificateTable, Offer};
use registry::client::{ClientPolicy, Demand};
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::reason::Reason;
use crate::stream::{Tls, Verified};

mod outcome;

pub use outcome::{Cause, Outcome};

/// A record with the fatal alert `unrecognized_name` (RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The same with `access_denied` (RFC 8446 section 6.2).
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What all workers' handshakes have in common; shows nobody anything.
///
/// # Errors
/// The system has no randomness for the key of session tickets.
pub fn common() -> Result<Arc<ServerConfig>, rustls::Error> {
    configured(Arc::new(NoClientAuth), aws_lc_rs::Ticketer::new()?, Arc::default()).map(Arc::new)
}

/// A configuration that asks clients by `verifier`, seals sessions by `ticketer`, and shows what is in `table`.
fn configured(
    verifier: Arc<dyn ClientCertVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
    table: Arc<CertificateTable>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(Shown(table)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {}); // the client keeps its session, in a ticket
    Ok(config)
}

/// One worker's handshakes.
pub(crate) struct Handshakes {
    common: Arc<ServerConfig>,
    now: RefCell<Terms>,
}

/// What the next handshake goes by.
struct Terms {
    table: Arc<CertificateTable>,
    config: Arc<ServerConfig>,
    /// For hosts that ask something of their clients, since the first of them was asked for.
    asking: Vec<(Arc<ClientPolicy>, Arc<ServerConfig>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing is there to be shown.
    #[error("no certificate for `{0}`, and no `tls.defaultSecret`")]
    NoCertificate(Box<str>),
    /// Whom clients must be vouched for by is not there.
    #[error("no client of `{0}` is served: {1}")]
    NoAuthorities(Box<str>, Arc<str>),
    /// No configuration can be made, which would be a mistake of ours.
    #[error(transparent)]
    Impossible(#[from] rustls::Error),
    /// The other side went away, or does not speak TLS as we do.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl Failed {
    /// Why, in the words of the metrics.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Failed::NoCertificate(_) => Cause::NoCertificate,
            Failed::NoAuthorities(..) => Cause::ClientCertificate,
            Failed::Impossible(_) => Cause::Protocol,
            Failed::Broken(error) => Cause::of(error),
        }
    }

    /// What a client is told that cannot be served at all.
    fn alert(&self) -> &'static [u8] {
        match self {
            Failed::NoAuthorities(..) => &ACCESS_DENIED,
            _ => &UNRECOGNIZED_NAME,
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
        let opened = start.client_hello().server_name().and_then(normal);
        let (config, policy) = match self.terms_for(opened.as_deref()) {
            Ok(terms) => terms,
            Err(failed) => {
                start.io.write_all(failed.alert()).await?;
                start.io.shutdown().await?;
                return Err(failed);
            }
        };
        let session = start.into_stream(config).await?;
        let outcome = Outcome::of(session.get_ref().1);
        let client = policy.map(|policy| Rc::new(Verified { subject: subject(session.get_ref().1), policy }));
        Ok((Tls::new(session, opened, client), outcome))
    }

    /// What a handshake for `opened` goes by.
    fn terms_for(&self, opened: Option<&str>) -> Result<(Arc<ServerConfig>, Option<Arc<ClientPolicy>>), Failed> {
        let mut now = self.now.borrow_mut();
        let host = || Box::from(opened.unwrap_or_default());
        if now.table.find(opened).is_none() {
            return Err(Failed::NoCertificate(host()));
        }
        match now.table.demand(opened).cloned() {
            None => Ok((now.config.clone(), None)),
            Some(Demand::By(policy)) => Ok((now.asking_by(&policy)?, Some(policy))),
            Some(Demand::Nobody(why)) => Err(Failed::NoAuthorities(host(), why)),
        }
    }
}

impl Terms {
    fn new(common: &Arc<ServerConfig>, table: Arc<CertificateTable>) -> Terms {
        let mut config = ServerConfig::clone(common);
        config.cert_resolver = Arc::new(Shown(table.clone()));
        Terms { table, config: Arc::new(config), asking: Vec::new() }
    }

    /// The configuration that asks by `policy`.
    fn asking_by(&mut self, policy: &Arc<ClientPolicy>) -> Result<Arc<ServerConfig>, rustls::Error> {
        if let Some((_, config)) = self.asking.iter().find(|(known, _)| Arc::ptr_eq(known, policy)) {
            return Ok(config.clone());
        }
        let config = configured(policy.verifier.clone(), policy.ticketer.clone(), self.table.clone()).map(Arc::new)?;
        self.asking.push((policy.clone(), config.clone()));
        Ok(config)
    }
}

/// Whose certificate the client showed.
fn subject(session: &rustls::ServerConnection) -> Option<Box<str>> {
    let shown = session.peer_certificates()?.first()?;
    Some(x509::subject(shown).unwrap_or_default().into())
}

/// Whether a request may take a route that `asked` its clients for something; its own client was asked by `asked_by`.
///
/// # Errors
/// It was asked by other terms, or did not come through TLS.
pub(crate) fn admits(asked: Option<&ClientTerms>, https: bool, asked_by: Option<&ClientTerms>) -> Result<(), Reason> {
    match asked {
        None => Ok(()),
        Some(_) if asked == asked_by => Ok(()),
        Some(_) if https => Err(Reason::Misdirected),
        Some(_) => Err(Reason::ClientCertificate),
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
