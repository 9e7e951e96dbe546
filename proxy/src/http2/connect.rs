//! Another protocol, WebSocket for instance: on one stream of an HTTP/2 connection (extended CONNECT, RFC 8441), or on a connection of
//! HTTP/1 to a replica in TLS.
//!
//! Invariant: the replica is asked by an upgrade of HTTP/1.1 (RFC 8441 section 5, RFC 6455 section 4) and must agree to what was asked.
//! From then on bytes are carried both ways, unread, by that one replica, until both sides have ended or one breaks; a change of the
//! picture does not touch it.

use std::any::Any;
use std::cell::RefCell;
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
use crate::stats::{Count, Flow};

static WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Bytes that are carried in one piece.
const PIECE: usize = 8 * 1024;

/// What a request holds.
pub(crate) enum Holds {
    /// A stream of HTTP/2; dropped when nothing of it is left.
    Stream(Rc<dyn Any>),
    /// A connection of HTTP/1, which can switch when it asks to.
    Connection(Option<(HeaderValue, Handover)>),
}

/// Where a replica that has agreed is left for the connection that asked.
pub(crate) type Handover = Rc<RefCell<Option<(Agreed, Attempt)>>>;

/// What a client wants to go on with.
pub(super) struct Switch {
    /// As `Upgrade` writes it.
    protocol: HeaderValue,
    on: On,
}

/// Where it will go on.
enum On {
    Stream(OnUpgrade, Rc<dyn Any>),
    Connection(Handover),
}

/// A replica that has agreed, and what it said beyond its head.
pub(crate) struct Agreed {
    pub(crate) link: Link,
    pub(crate) early: Box<[u8]>,
}

impl Switch {
    /// What a request asks for: an extended CONNECT, or an upgrade that was judged. `None` for a plain CONNECT, and for what would lead past
    /// our routes.
    pub(super) fn of(head: &mut hyper::http::request::Parts, holds: Holds) -> Option<Switch> {
        let open = match holds {
            Holds::Connection(asked) => return asked.map(|(protocol, handover)| Switch { protocol, on: On::Connection(handover) }),
            Holds::Stream(open) => open,
        };
        let protocol = head.extensions.remove::<Protocol>()?;
        let protocol = protocol.as_str();
        let ours = ["http", "h2", "h3", "tls", "connect-udp", "connect-ip"].iter().any(|ours| starts_like(protocol, ours));
        if ours || protocol.is_empty() || !protocol.bytes().all(is_token) {
            return None;
        }
        let stream = head.extensions.remove::<OnUpgrade>()?;
        Some(Switch { protocol: HeaderValue::from_str(protocol).ok()?, on: On::Stream(stream, open) })
    }

    /// The fields with which HTTP/1.1 asks for the same. `random` is the nonce of a WebSocket.
    pub(super) fn ask(&self, random: u128, method: &mut Method, fields: &mut HeaderMap) {
        self.say(fields);
        if let On::Connection(_) = self.on {
            return; // it brought its own
        }
        *method = Method::GET;
        if self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
            && let Ok(key) = HeaderValue::from_bytes(&base64(random.to_be_bytes()))
        {
            fields.insert(WEBSOCKET_KEY.clone(), key);
        }
    }

    fn say(&self, fields: &mut HeaderMap) {
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, self.protocol.clone());
    }

    /// Whether the protocol of a 101 is the one that was asked for.
    pub(super) fn is(&self, protocol: &[u8]) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(protocol)
    }

    /// The replica has agreed: makes `fields` those of the answer, whose status is returned, and lets bytes be carried once it is there.
    pub(super) fn done(self, agreed: Agreed, attempt: Attempt, fields: &mut HeaderMap) -> u16 {
        match self.on {
            On::Connection(ref handover) => {
                self.say(fields);
                handover.replace(Some((agreed, attempt)));
                101
            }
            On::Stream(stream, open) => {
                fields.remove(&WEBSOCKET_ACCEPT);
                carry_on(stream, open, agreed, attempt);
                200
            }
        }
    }
}

/// Carries bytes once the client has its answer.
fn carry_on(stream: OnUpgrade, open: Rc<dyn Any>, agreed: Agreed, attempt: Attempt) {
    tokio::task::spawn_local(async move {
        let flow = &attempt.counts.upgraded;
        flow.begun();
        if let Err(error) = both(stream, agreed, flow).await {
            tracing::debug!(%error, "a stream that switched protocols broke");
        }
        flow.ended();
        drop(open);
    });
}

async fn both(stream: OnUpgrade, agreed: Agreed, flow: &Flow) -> io::Result<()> {
    let client = TokioIo::new(stream.await.map_err(io::Error::other)?);
    let (mut client_read, mut client_write) = split(client);
    let (mut replica_read, mut replica_write) = split(agreed.link);
    client_write.write_all(&agreed.early).await?;
    flow.down.add(agreed.early.len() as u64);
    let up = carry(&mut client_read, &mut replica_write, &flow.up);
    let down = carry(&mut replica_read, &mut client_write, &flow.down);
    tokio::try_join!(up, down).map(|_| ())
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
