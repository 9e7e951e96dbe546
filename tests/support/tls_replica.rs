//! A replica that speaks TLS: it says what its callers named, chose and showed, and what came of it.
//!
//! In HTTP/1 it is a [`Replica`] of any behaviour behind the handshake, in HTTP/2 one that sends back what it gets. Nothing is connected
//! to behind it before a handshake was whole, so that a byte of a request that comes too early is seen nowhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;

use crate::http2_replica::{self, Does};
use crate::net::Lease;
use crate::replica::{Received, listen, lock};
use crate::{Behaviour, Issued, Net, Replica};

/// What it shows, speaks and wants.
#[derive(Clone, Debug)]
pub struct Shows {
    /// Its certificate.
    pub issued: Issued,
    /// Protocols, the most wanted first (ALPN); empty: it does not say.
    pub speaks: Vec<&'static str>,
    /// PEM of the authority that must vouch for callers; `None`: it asks for nothing.
    pub clients: Option<String>,
}

impl Shows {
    /// This certificate, for HTTP/2 and HTTP/1.1.
    pub fn new(issued: Issued) -> Shows {
        Shows { issued, speaks: vec!["h2", "http/1.1"], clients: None }
    }

    /// The same for these protocols.
    #[must_use]
    pub fn speaking(self, speaks: &[&'static str]) -> Shows {
        Shows { speaks: speaks.to_vec(), ..self }
    }

    /// The same for callers that an authority vouches for.
    #[must_use]
    pub fn to(self, authority: &str) -> Shows {
        Shows { clients: Some(authority.to_owned()), ..self }
    }

    fn config(&self) -> ServerConfig {
        let chain = certificates(&self.issued.chain);
        let key = PrivateKeyDer::from_pem_slice(self.issued.key.as_bytes()).expect("a key of a test");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("TLS is there");
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem));
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("an authority of a test"))
            }
        };
        let mut config = builder.with_single_cert(chain, key).expect("a certificate of a test");
        config.alpn_protocols = self.speaks.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// The certificates of a PEM text.
///
/// # Panics
/// When there is something else in it.
pub fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates of a test")
}

/// One caller's handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The name that it called (SNI).
    pub name: Option<String>,
    /// Protocols that it offered, in its order.
    pub offered: Vec<String>,
    /// The one that was agreed on.
    pub protocol: Option<String>,
    /// The certificate that it showed.
    pub certificate: Option<Vec<u8>>,
    /// Why it failed.
    pub failed: Option<String>,
}

#[derive(Debug)]
struct Shared {
    config: Mutex<Arc<ServerConfig>>,
    handshakes: Mutex<Vec<Handshake>>,
    /// Where HTTP/1 goes.
    one: SocketAddr,
    two: Arc<http2_replica::Shared>,
}

/// A running one. Dropped, it closes its connections.
#[derive(Debug)]
pub struct TlsReplica {
    address: SocketAddr,
    /// What speaks HTTP/1.
    pub one: Replica,
    shared: Arc<Shared>,
    life: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    _lease: Lease,
}

impl TlsReplica {
    /// Starts one on the net's next address and its port.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start(net: &Net, name: &str, behaviour: Behaviour, shows: &Shows) -> TlsReplica {
        let address = SocketAddr::new(net.replica_ip(), net.port());
        let one = Replica::start(net, name, behaviour);
        let shared = Arc::new(Shared {
            config: Mutex::new(Arc::new(shows.config())),
            handshakes: Mutex::default(),
            one: one.address(),
            two: http2_replica::Shared::new(name, Does::Echo, 100),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let inside = runtime.enter();
        let listener = listen(address).unwrap_or_else(|error| panic!("{name} cannot listen on {address}: {error}"));
        drop(inside);
        let (life, alive) = watch::channel(true);
        let for_thread = shared.clone();
        let thread = std::thread::spawn(move || runtime.block_on(accept(listener, for_thread, alive)));
        TlsReplica { address, one, shared, life, thread: Some(thread), _lease: net.lease() }
    }

    /// Shows this from the next handshake on.
    pub fn show(&self, shows: &Shows) {
        *lock(&self.shared.config) = Arc::new(shows.config());
    }

    /// Its IP.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Handshakes that ended, well or not, in the order of their ends.
    pub fn handshakes(&self) -> Vec<Handshake> {
        lock(&self.shared.handshakes).clone()
    }

    /// The only handshake so far, once it has ended.
    ///
    /// # Panics
    /// When there were several, or none ends within the deadline.
    pub fn handshake(&self) -> Handshake {
        crate::await_until("a handshake", || !self.handshakes().is_empty());
        let all = self.handshakes();
        assert_eq!(all.len(), 1, "{all:#?}");
        all[0].clone()
    }

    /// What arrived whole over HTTP/2, in order.
    pub fn by_http2(&self) -> Vec<Received> {
        self.shared.two.received()
    }

    /// The last request that arrived whole, by either HTTP.
    ///
    /// # Panics
    /// When there was none.
    pub fn last(&self) -> Received {
        self.by_http2().pop().unwrap_or_else(|| self.one.last())
    }

    /// Whether anything at all came behind a handshake.
    pub fn untouched(&self) -> bool {
        self.one.connections() == 0 && self.shared.two.connections.load(std::sync::atomic::Ordering::SeqCst) == 0
    }
}

impl Drop for TlsReplica {
    fn drop(&mut self) {
        self.shared.two.end();
        self.life.send_replace(false);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, mut alive: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            _ = alive.wait_for(|alive| !alive) => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                tokio::spawn(converse(stream, shared.clone()));
            }
        }
    }
}

/// Shakes hands, then lets its HTTP be spoken.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let mut handshake = Handshake::default();
    let shaken = shake(stream, &shared, &mut handshake).await;
    handshake.failed = shaken.as_ref().err().map(ToString::to_string);
    let two = handshake.protocol.as_deref() == Some("h2");
    lock(&shared.handshakes).push(handshake);
    let Ok(mut stream) = shaken else { return };
    if two {
        return http2_replica::serve(stream, shared.two.clone()).await;
    }
    let Ok(mut inside) = TcpStream::connect(shared.one).await else { return };
    let _ = inside.set_nodelay(true);
    // How it ends is told by the ends themselves: what breaks here ends without a word of TLS.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut inside).await;
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn shake(stream: TcpStream, shared: &Shared, into: &mut Handshake) -> std::io::Result<Tls> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = begun.client_hello();
    into.name = hello.server_name().map(str::to_owned);
    into.offered = hello.alpn().into_iter().flatten().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let config = lock(&shared.config).clone();
    let stream = begun.into_stream(config).await?;
    let agreed = stream.get_ref().1;
    into.protocol = agreed.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    into.certificate = agreed.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
    Ok(stream)
}
