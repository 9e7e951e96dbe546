//! A client's connection, plain or in TLS, for those who read and write bytes and need not know which.
//!
//! Invariant: the plain way costs what a bare socket does: one match, no allocation, no system call more. What TLS was given to write
//! leaves with the flush after it, never later. Only [`Stream::plain`] gives the socket itself, since bytes that go around TLS spoil it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use registry::client::ClientPolicy;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_rustls::server::TlsStream;

use crate::tcp;

/// A client's connection.
pub(crate) enum Stream {
    /// As it is on the wire.
    Plain(TcpStream),
    /// In a box: it is large, and plain connections are many.
    Tls(Box<Tls>),
}

/// A connection whose handshake is done.
pub(crate) struct Tls {
    /// Read and written by two halves of one task, each within one poll.
    session: RefCell<TlsStream<TcpStream>>,
    /// The host that the handshake named, normalised.
    pub(crate) opened: Option<Box<str>>,
    /// What the client showed, where its host asks for something.
    pub(crate) client: Option<Rc<Verified>>,
}

/// A client that met what was asked of it.
pub(crate) struct Verified {
    /// By what it was asked.
    pub(crate) policy: Arc<ClientPolicy>,
    /// The subject of the certificate that it showed (RFC 4514, printable ASCII); `None` where it need not show one and did not.
    pub(crate) subject: Option<Box<str>>,
}

impl Tls {
    pub(crate) fn new(session: TlsStream<TcpStream>, opened: Option<Box<str>>, client: Option<Rc<Verified>>) -> Tls {
        Tls { session: RefCell::new(session), opened, client }
    }

    fn poll<T>(&self, poll: impl FnOnce(Pin<&mut TlsStream<TcpStream>>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        poll(Pin::new(&mut *self.session.borrow_mut()))
    }

    /// Takes what fits and sends as much of it as the socket takes at once; the rest leaves before more is taken, or by a flush.
    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        ready!(Pin::new(&mut *session).poll_flush(context))?;
        Pin::new(&mut *session).poll_write(context, bytes)
    }
}

impl Stream {
    /// What a handshake left behind, when there was one.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(tls),
        }
    }

    /// The handshake agreed on HTTP/2 (RFC 7301, `h2`).
    pub(crate) fn agreed_on_http2(&self) -> bool {
        self.tls().is_some_and(|tls| tls.session.borrow().get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// A side to read from and one to write to, for two halves of one task.
    pub(crate) fn split(&mut self) -> (ReadSide<'_>, WriteSide<'_>) {
        match self {
            Stream::Plain(socket) => {
                let (read, write) = socket.split();
                (ReadSide::Plain(read), WriteSide::Plain(write))
            }
            Stream::Tls(tls) => (ReadSide::Tls(tls), WriteSide::Tls(tls)),
        }
    }

    /// Ready once there may be something to read. It may turn out to be nothing, as with a socket.
    pub(crate) fn poll_ready_to_read(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_read_ready(context),
            Stream::Tls(tls) => {
                let session = tls.session.borrow();
                let (socket, session) = session.get_ref();
                // Something that was decrypted already, or the end, is not in the socket any more.
                if session.wants_read() { socket.poll_read_ready(context) } else { Poll::Ready(Ok(())) }
            }
        }
    }

    /// Ends once the other side has reset the connection, or is gone. Its end alone may be half a close, and says nothing here.
    pub(crate) async fn is_reset(&mut self) {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.session.get_mut().get_ref().0,
        };
        let _ = socket.ready(Interest::ERROR).await; // nor can it be asked while the process ends
    }

    /// Does something to the socket that is not reading or writing.
    pub(crate) fn on_socket<T>(&self, act: impl FnOnce(&TcpStream) -> T) -> T {
        match self {
            Stream::Plain(socket) => act(socket),
            Stream::Tls(tls) => act(tls.session.borrow().get_ref().0),
        }
    }

    /// The next close sends a reset instead of an end.
    pub(crate) fn reset(&self) {
        self.on_socket(tcp::reset);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().0).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().split().1).poll_write(context, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(context, pieces),
            Stream::Tls(tls) => tls.poll(|session| session.poll_write_vectored(context, pieces)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().1).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().1).poll_shutdown(context)
    }
}

/// What comes from the client.
pub(crate) enum ReadSide<'s> {
    Plain(ReadHalf<'s>),
    Tls(&'s Tls),
}

impl ReadSide<'_> {
    /// The socket, when its bytes are the client's.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            ReadSide::Plain(half) => Some(half.as_ref()),
            ReadSide::Tls(_) => None,
        }
    }

    /// Waits until the client has sent more or closed its side, and takes nothing. True when there is more.
    pub(crate) async fn more(&mut self) -> io::Result<bool> {
        match self {
            ReadSide::Plain(half) => half.peek(&mut [0]).await.map(|count| count > 0),
            ReadSide::Tls(tls) => {
                let filled =
                    |context: &mut Context<'_>| tls.poll(|session| session.poll_fill_buf(context).map_ok(|bytes| !bytes.is_empty()));
                match poll_fn(filled).await {
                    // A side that is closed without a word of TLS is closed all the same.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                    more => more,
                }
            }
        }
    }
}

impl AsyncRead for ReadSide<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            ReadSide::Plain(half) => Pin::new(half).poll_read(context, into),
            ReadSide::Tls(tls) => tls.poll(|session| session.poll_read(context, into)),
        }
    }
}

/// What goes to the client.
pub(crate) enum WriteSide<'s> {
    Plain(WriteHalf<'s>),
    Tls(&'s Tls),
}

impl WriteSide<'_> {
    /// The socket, when it takes the client's bytes as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            WriteSide::Plain(half) => Some(half.as_ref()),
            WriteSide::Tls(_) => None,
        }
    }
}

impl AsyncWrite for WriteSide<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            WriteSide::Plain(half) => Pin::new(half).poll_write(context, bytes),
            WriteSide::Tls(tls) => tls.poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            WriteSide::Plain(half) => Pin::new(half).poll_flush(context),
            WriteSide::Tls(tls) => tls.poll(|session| session.poll_flush(context)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            WriteSide::Plain(half) => Pin::new(half).poll_shutdown(context),
            WriteSide::Tls(tls) => tls.poll(|session| session.poll_shutdown(context)),
        }
    }
}
