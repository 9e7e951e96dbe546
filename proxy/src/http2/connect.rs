//! Extended CONNECT (RFC 8441): another protocol, WebSocket for instance, on one stream of an HTTP/2 connection.
//!
//! Invariant: the replica is asked by an upgrade of HTTP/1.1 (RFC 8441 section 5, RFC 6455 section 4) and must agree to what was asked.
//! From then on bytes are carried both ways, unread, by that one replica, until both sides have ended or one breaks; a change of the
//! picture does not touch it.

use std::any::Any;
use std::io;
use std::rc::Rc;

use hyper::ext::Protocol;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Method};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::link::Link;
use crate::http::attempt::Attempt;
use crate::http::head::is_token;
use crate::stats::Count;

static WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Bytes that are carried in one piece.
const PIECE: usize = 8 * 1024;

/// What a client wants to go on with, and the stream that it will use.
pub(super) struct Switch {
    /// As `Upgrade` writes it.
    protocol: HeaderValue,
    stream: OnUpgrade,
    /// Dropped when all is over.
    open: Rc<dyn Any>,
}

/// A replica that has agreed, and what it said beyond its head.
pub(super) struct Agreed {
    pub(super) link: Link,
    pub(super) early: Box<[u8]>,
}

impl Switch {
    /// What an extended CONNECT asks for. `None` for a plain one, and for what would lead past our routes.
    pub(super) fn of(head: &mut hyper::http::request::Parts, open: Rc<dyn Any>) -> Option<Switch> {
        let protocol = head.extensions.remove::<Protocol>()?;
        let protocol = protocol.as_str();
        let ours = ["http", "h2", "h3", "tls", "connect-udp", "connect-ip"].iter().any(|ours| starts_like(protocol, ours));
        if ours || protocol.is_empty() || !protocol.bytes().all(is_token) {
            return None;
        }
        let stream = head.extensions.remove::<OnUpgrade>()?;
        Some(Switch { protocol: HeaderValue::from_str(protocol).ok()?, stream, open })
    }

    /// The fields with which HTTP/1.1 asks for the same. `random` is the nonce of a WebSocket.
    pub(super) fn ask(&self, random: u128, method: &mut Method, fields: &mut HeaderMap) {
        *method = Method::GET;
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, self.protocol.clone());
        if self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
            && let Ok(key) = HeaderValue::from_bytes(&base64(random.to_be_bytes()))
        {
            fields.insert(WEBSOCKET_KEY.clone(), key);
        }
    }

    /// Whether the protocol of a 101 is the one that was asked for.
    pub(super) fn is(&self, protocol: &[u8]) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(protocol)
    }

    /// Carries bytes once the client has its answer.
    pub(super) fn carry(self, agreed: Agreed, attempt: Attempt) {
        tokio::task::spawn_local(async move {
            let flow = &attempt.counts.upgraded;
            flow.begun();
            if let Err(error) = self.both(agreed, &attempt).await {
                tracing::debug!(%error, "a stream that switched protocols broke");
            }
            flow.ended();
        });
    }

    async fn both(self, agreed: Agreed, attempt: &Attempt) -> io::Result<()> {
        let _open = self.open;
        let client = TokioIo::new(self.stream.await.map_err(io::Error::other)?);
        let flow = &attempt.counts.upgraded;
        let (mut client_read, mut client_write) = split(client);
        let (mut replica_read, mut replica_write) = split(agreed.link);
        client_write.write_all(&agreed.early).await?;
        flow.down.add(agreed.early.len() as u64);
        let up = carry(&mut client_read, &mut replica_write, &flow.up);
        let down = carry(&mut replica_read, &mut client_write, &flow.down);
        tokio::try_join!(up, down).map(|_| ())
    }
}

/// Removes what belongs to the switch of HTTP/1.1 from an answer.
pub(super) fn agreed(fields: &mut HeaderMap) {
    fields.remove(&WEBSOCKET_ACCEPT);
}

async fn carry(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), count: &Count) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        if from.read_buf(&mut piece).await? == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece).await?;
        to.flush().await?;
        count.add(piece.len() as u64);
    }
}

fn starts_like(text: &str, pattern: &str) -> bool {
    text.get(..pattern.len()).is_some_and(|start| start.eq_ignore_ascii_case(pattern))
}

/// 16 bytes in base64 (RFC 4648 section 4).
fn base64(bytes: [u8; 16]) -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |at: usize| bytes.get(at).copied().map_or(0, u32::from);
    std::array::from_fn(|at| {
        let group = at / 4 * 3;
        let word = bits(group) << 16 | bits(group + 1) << 8 | bits(group + 2);
        if at > 21 { b'=' } else { DIGITS[(word >> (18 - 6 * (at % 4)) & 63) as usize] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_written_as_the_rfc_does() {
        assert_eq!(&base64(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ=="); // RFC 6455 section 1.3
        assert_eq!(&base64([0; 16]), b"AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(&base64([255; 16]), b"/////////////////////w==");
    }
}
