//! Connections of trusted proxies that say at their start whom they speak for (the PROXY protocol).
//!
//! Invariant: exactly the header is read; what follows belongs to TLS or HTTP. Nothing is answered to a header that is wrong: whoever
//! sent it is no browser, and must not take it for another's answer.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

pub mod header;

use header::{Header, LONGEST, Wrong, parse};

/// Why the other end is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It sent something else.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// It closed before it sent a whole header, as those do that only look whether somebody listens.
    #[error("closed before a whole header")]
    Closed,
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Reads the header. `None`: the connection speaks for its other end.
pub(crate) async fn read(stream: &TcpStream) -> Result<Option<SocketAddr>, Failed> {
    let mut bytes = [0; LONGEST];
    let mut taken = 0;
    loop {
        let peeked = stream.peek(&mut bytes[taken..]).await?;
        if peeked == 0 {
            return Err(Failed::Closed);
        }
        let seen = taken + peeked;
        match parse(&bytes[..seen])? {
            Some(Header { client, length }) => {
                take(stream, length - taken).await?;
                return Ok(client);
            }
            // A header that is not whole holds all that is here.
            None => take(stream, peeked).await?,
        }
        taken = seen;
    }
}

/// Reads so many bytes and drops them.
async fn take(stream: &TcpStream, mut count: usize) -> Result<(), Failed> {
    let mut sink = [0; 512];
    while count > 0 {
        stream.readable().await?;
        let most = count.min(sink.len());
        match stream.try_read(&mut sink[..most]) {
            Ok(0) => return Err(Failed::Closed),
            Ok(read) => count -= read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Sends the pieces, each once the one before was taken; what the header says, and what is left after it.
    async fn sent(pieces: &[&[u8]]) -> (Result<Option<SocketAddr>, Failed>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let write = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (said, ()) = tokio::join!(read(&server), write);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        (said, rest)
    }

    #[tokio::test]
    async fn what_follows_the_header_is_left_however_it_came() {
        let whole = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\n";
        let client = "192.0.2.7:4711".parse().unwrap();
        for at in [0, 1, 6, 20, 39, 40, 41] {
            let (said, rest) = sent(&[&whole[..at], &whole[at..]]).await;
            assert_eq!((said.unwrap(), &*rest), (Some(client), &b"GET / HTTP/1.1\r\n"[..]), "{at}");
        }
        let each: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(sent(&each).await.0.unwrap(), Some(client));
    }

    #[tokio::test]
    async fn long_extensions_are_passed_over() {
        let mut bytes = header::SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11]);
        bytes.extend(5_000u16.to_be_bytes());
        bytes.extend([192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80]);
        bytes.resize(16 + 5_000, 7);
        bytes.extend(b"rest");
        let (said, rest) = sent(&[&bytes[..100], &bytes[100..]]).await;
        assert_eq!((said.unwrap(), &*rest), (Some("192.0.2.7:4711".parse().unwrap()), &b"rest"[..]));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_nothing_at_all_is_a_look() {
        assert!(matches!(sent(&[b"GET / HTTP/1.1\r\n\r\n"]).await.0, Err(Failed::Wrong(Wrong::NoHeader))));
        assert!(matches!(sent(&[]).await.0, Err(Failed::Closed)));
        assert!(matches!(sent(&[b"PROXY TCP4 192.0.2.7"]).await.0, Err(Failed::Closed)));
    }
}
