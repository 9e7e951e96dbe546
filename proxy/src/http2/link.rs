//! A connection to a replica, plain or in TLS.
//!
//! Invariant: in TLS the replica was verified by the terms of its Service before a byte of a request is written; there is no other way
//! to get one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use registry::snapshot::Replica;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pool::{self, Idle};
use crate::tcp;
use crate::upstream::{self, Patience};

/// A connection to a replica.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Connects to `replica`, which must be `name`, in TLS, all within the time for a connection.
    ///
    /// # Errors
    /// What the system or the handshake says.
    pub(super) async fn secure(
        replica: &Replica,
        name: &ServerName<'static>,
        config: &Arc<ClientConfig>,
        patience: Patience,
    ) -> io::Result<Link> {
        let shaken = async {
            let stream = upstream::connect(replica.address, patience).await?;
            TlsConnector::from(config.clone()).connect(name.clone(), stream).await
        };
        let stream = tokio::time::timeout(patience.connect, shaken).await??;
        Ok(Link::Tls(Box::new(stream)))
    }

    /// The replica chose HTTP/2.
    pub(super) fn agreed_on_http2(&self) -> bool {
        match self {
            Link::Plain(_) => false,
            Link::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// The next close sends a reset instead of an end.
    pub(crate) fn reset(&self) {
        tcp::reset(self.socket());
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Link::Plain(socket) => socket,
            Link::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Idle for Link {
    fn quiet(&self) -> bool {
        pool::Idle::quiet(self.socket())
    }

    fn drained(&self) -> bool {
        pool::Idle::drained(self.socket())
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Link::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Link::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(socket) => Pin::new(socket).poll_write_vectored(context, pieces),
            Link::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(socket) => Pin::new(socket).poll_flush(context),
            Link::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Link::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
