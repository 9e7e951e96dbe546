//! `httpGet`: a GET over HTTP/1.1, whose answer is good from 200 to 399.
//!
//! Invariant: whatever a pod answers, it is asked at its own IP and at the port of its probe, and nowhere else. A redirect is followed
//! within the scheme, host and port that were asked; any other is good as it is, as one to another host is for the kubelet. In TLS nobody
//! is verified, as the kubelet does not either: nothing of a client's is ever sent here.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use config::object::HttpCheck;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, LOCATION, TRAILER, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use super::ask::{self, drive};

/// Redirects that are followed, as for the kubelet.
const REDIRECTS: usize = 10;
/// Bytes of an answer's content that must come before it counts, as for the kubelet; what is beyond them is not waited for.
const MOST_CONTENT: usize = 10 * 1024;
/// Bytes of an answer's head.
const MOST_HEAD: usize = 64 * 1024;

/// Asks, and follows redirects.
pub(super) async fn ask(get: &HttpCheck, address: SocketAddr) -> Result<(), Failure> {
    let mut path = Uri::try_from(&*get.path).map_err(|_| Failure::Protocol)?;
    let authority = authority(get, address);
    for _ in 0..=REDIRECTS {
        let answer = once(get, address, &authority, path.clone()).await?;
        let status = answer.status().as_u16();
        if !(200..400).contains(&status) {
            return Err(Failure::Status(status));
        }
        let location = answer.headers().get(LOCATION).filter(|_| [301, 302, 303, 307, 308].contains(&status));
        match location.and_then(|location| within(location, get.tls, &authority, &path)) {
            Some(next) => path = next?,
            None => return Ok(()),
        }
    }
    Err(Failure::Redirects)
}

/// What is asked for, and whose redirects are followed: always with the port, as the kubelet writes it.
fn authority(get: &HttpCheck, address: SocketAddr) -> String {
    match get.host.as_deref().map(|host| (host, host.parse())) {
        None => address.to_string(),
        Some((_, Ok(ip))) => SocketAddr::new(ip, get.port).to_string(),
        Some((host, Err(_))) => format!("{host}:{}", get.port),
    }
}

/// Where a redirect leads if that is to the same scheme, host and port; `None` when it is elsewhere.
fn within(location: &HeaderValue, tls: bool, authority: &str, from: &Uri) -> Option<Result<Uri, Failure>> {
    let Ok(text) = location.to_str() else { return Some(Err(Failure::Protocol)) };
    let text = text.split('#').next().unwrap_or_default();
    let scheme = if tls { "https:" } else { "http:" };
    let text = match text.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => &text[scheme.len()..],
        _ => text,
    };
    let joined = if let Some(rest) = text.strip_prefix("//") {
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let default = if tls { ":443" } else { ":80" };
        if !host.eq_ignore_ascii_case(authority) && !format!("{host}{default}").eq_ignore_ascii_case(authority) {
            return None;
        }
        if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
    } else if text.starts_with('/') {
        text.to_owned()
    } else if text.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
        return None; // another scheme
    } else if text.starts_with('?') || text.is_empty() {
        format!("{}{text}", from.path())
    } else {
        let folder = from.path().rfind('/').map_or("/", |end| &from.path()[..=end]);
        format!("{folder}{text}")
    };
    Some(Uri::try_from(joined).map_err(|_| Failure::Protocol))
}

/// One request on a connection of its own.
async fn once(get: &HttpCheck, address: SocketAddr, authority: &str, path: Uri) -> Result<Response<()>, Failure> {
    let request = request(get, authority, path).ok_or(Failure::Protocol)?;
    let stream = TcpStream::connect(address).await?;
    if !get.tls {
        return exchange(stream, request).await;
    }
    let config = ANYBODY.clone().ok_or(Failure::Tls)?;
    // Of an address nothing is said in the handshake.
    let host = get.host.as_deref().map_or_else(|| address.ip().to_string(), str::to_owned);
    let name = ServerName::try_from(host).map_err(|_| Failure::Tls)?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::Tls,
        kind => kind.into(),
    })?;
    exchange(stream, request).await
}

fn request(get: &HttpCheck, authority: &str, path: Uri) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path;
    let fields = request.headers_mut();
    for line in &get.fields {
        let (name, value) = (HeaderName::try_from(&*line.name).ok()?, HeaderValue::try_from(&*line.value).ok()?);
        // What frames the request is ours to say.
        if ![CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, CONNECTION].contains(&name) {
            fields.append(name, value);
        }
    }
    let ours = [(HOST, authority), (USER_AGENT, ask::USER_AGENT), (ACCEPT, "*/*")];
    for (name, value) in ours {
        if !fields.contains_key(&name) {
            fields.insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    Some(request)
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, request: Request<Empty<Bytes>>) -> Result<Response<()>, Failure> {
    let handshake = http1::Builder::new().max_buf_size(MOST_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(failed)?;
    let exchange = async {
        let (head, content) = sender.send_request(request).await.map_err(failed)?.into_parts();
        arrived(content).await?;
        Ok(Response::from_parts(head, ()))
    };
    drive(exchange, connection).await
}

/// Waits for the content, up to a bound.
async fn arrived(mut content: Incoming) -> Result<(), Failure> {
    let mut read = 0;
    while read < MOST_CONTENT {
        let Some(frame) = content.frame().await else { return Ok(()) };
        read += frame.map_err(failed)?.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}

fn failed(error: hyper::Error) -> Failure {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io {
        Some(io) => io.kind().into(),
        None if error.is_parse() => Failure::Protocol,
        None => Failure::Cut,
    }
}

/// Terms of TLS by which anybody will do; `None` when the cryptography has no version of TLS that we speak.
static ANYBODY: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let verifier = Arc::new(Anybody(schemes));
    let mut config = versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(config))
});

/// Believes everybody.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
