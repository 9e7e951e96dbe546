//! One connection whose bytes are read as far as they are wanted, and how it ended, told apart.
//!
//! Invariant: a read that is given up half-way loses nothing; what came stays for the next. It repairs and repeats nothing.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How an answer or a connection broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// The connection ended (FIN).
    Fin,
    /// The connection was reset, or refused.
    Reset,
    /// WebSocket: a close frame with this code (RFC 6455 section 7.4); 1005 when it has none.
    Close(u16),
    /// HTTP/2: the stream was reset with this code.
    Stream(u32),
    /// HTTP/2: the connection went with all its streams.
    Gone,
    /// gRPC: this status, in the trailers or instead of an answer.
    Status(u32),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Fin => write!(f, "FIN"),
            Cut::Reset => write!(f, "RST"),
            Cut::Close(code) => write!(f, "close frame {code}"),
            Cut::Stream(code) => write!(f, "RST_STREAM {code}"),
            Cut::Gone => write!(f, "the end of the connection of HTTP/2"),
            Cut::Status(code) => write!(f, "grpc-status {code}"),
        }
    }
}

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Cut {
        Cut::Reset
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(at: SocketAddr) -> Result<Wire, Cut> {
        Ok(Wire::over(TcpStream::connect(at).await?))
    }

    /// Over a connection that stands.
    pub(crate) fn over(stream: TcpStream) -> Wire {
        let _ = stream.set_nodelay(true); // fails only on a connection that is gone, which shows at the first read
        Wire { stream, read: Vec::new() }
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Cut> {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// Bytes up to and with `end`.
    pub(crate) async fn through(&mut self, end: &[u8]) -> Result<Vec<u8>, Cut> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Ok(self.read.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    /// So many bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Cut> {
        self.at_least(length).await?;
        Ok(self.read.drain(..length).collect())
    }

    /// Reads until so many bytes are there, and leaves them.
    pub(crate) async fn at_least(&mut self, length: usize) -> Result<&[u8], Cut> {
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(&self.read)
    }

    /// Whether it stands and nothing has come that was not read.
    pub(crate) fn is_quiet(&self) -> bool {
        let peeked = SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]);
        self.read.is_empty() && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn more(&mut self) -> Result<(), Cut> {
        if self.stream.read_buf(&mut self.read).await? == 0 { Err(Cut::Fin) } else { Ok(()) }
    }
}
