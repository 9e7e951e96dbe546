//! Another protocol, WebSocket for instance: on one stream of an HTTP/2 connection (extended CONNECT, RFC 8441), or on a connection of
//! HTTP/1 to a replica in TLS.
//!
//! Invariant: the replica is asked by an upgrade of HTTP/1.1 (RFC 8441 section 5, RFC 6455 section 4) and must agree to what was asked.
//! From then on bytes are carried both ways, unread, by that one replica, until both sides have ended or one breaks, or the time of a replica
//! that has left is over; no other change of the picture touches it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use registry::snapshot::ReplicaId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::link::Link;
use super::reply::{Wait, give};
use crate::http::attempt::Attempt;
use crate::http::head::is_token;
use crate::stats::{Count, Flow};
use crate::websocket::{Frames, GOING_AWAY};
use crate::worker::Worker;

static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// The protocol whose frames we know.
pub(crate) const WEBSOCKET: &[u8] = b"websocket";

/// Bytes that are carried in one piece.
const PIECE: usize = 8 * 1024;

/// How long a client may take nothing of a close frame; the replica's side is held meanwhile.
const FAREWELL_MS: u64 = 1_000;

/// Where a replica that has agreed is left for the connection that asked.
pub(crate) type Handover = Rc<RefCell<Option<(Agreed, Attempt)>>>;

/// What a client wants to go on with.
pub(crate) struct Switch {
    /// As `Upgrade` writes it.
    protocol: HeaderValue,
    handover: Handover,
    /// It asks by an extended CONNECT, not by an upgrade of its own; the key of a WebSocket is made of this.
    nonce: Option<u128>,
}

/// A replica that has agreed, and what it said beyond its head.
pub(crate) struct Agreed {
    pub(crate) link: Link,
    pub(crate) early: Box<[u8]>,
    /// What was agreed on is a WebSocket.
    pub(crate) websocket: bool,
}

impl Switch {
    /// What an upgrade of HTTP/1.1 asks for, which was judged.
    pub(crate) fn upgrade(protocol: HeaderValue, handover: Handover) -> Switch {
        Switch { protocol, handover, nonce: None }
    }

    /// What a request of HTTP/2 asks for: an extended CONNECT. `None` for any other, and for what would lead past our routes.
    pub(super) fn connect(head: &Parts, handover: &Handover, nonce: u128) -> Option<Switch> {
        let protocol = head.extensions.get::<Protocol>()?.as_str();
        let ours = ["http", "h2", "h3", "tls", "connect-udp", "connect-ip"].iter().any(|ours| starts_like(protocol, ours));
        if ours || protocol.is_empty() || !protocol.bytes().all(is_token) {
            return None;
        }
        Some(Switch { protocol: HeaderValue::from_str(protocol).ok()?, handover: handover.clone(), nonce: Some(nonce) })
    }

    /// The method with which HTTP/1.1 asks for the same.
    pub(super) fn method<'a>(&self, own: &'a Method) -> &'a Method {
        if self.nonce.is_some() { &Method::GET } else { own }
    }

    /// The fields with which it does.
    pub(super) fn ask(&self, mut put: impl FnMut(&'static str, &[u8])) {
        put("connection", b"upgrade");
        put("upgrade", self.protocol.as_bytes());
        if let Some(nonce) = self.nonce
            && self.is(WEBSOCKET)
        {
            put("sec-websocket-key", &base64(nonce.to_be_bytes()));
        }
    }

    /// Whether the protocol of a 101 is the one that was asked for.
    pub(super) fn is(&self, protocol: &[u8]) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(protocol)
    }

    /// The replica has agreed, and waits where the client finds it: makes `fields` those of the answer, whose status is returned.
    pub(super) fn done(self, agreed: Agreed, attempt: Attempt, fields: &mut HeaderMap) -> u16 {
        self.handover.replace(Some((agreed, attempt)));
        if self.nonce.is_some() {
            fields.remove(&WEBSOCKET_ACCEPT);
            return 200;
        }
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, self.protocol);
        101
    }
}

/// Carries bytes between a stream and a replica that has agreed, to the end of both, or until it must end since the replica leaves.
pub(super) async fn carry(
    worker: &Worker,
    from: &mut RecvStream,
    to: &mut SendStream<Bytes>,
    (agreed, replica): (Agreed, ReplicaId),
    flow: &Flow,
) {
    flow.begun();
    let leaves = worker.deadlines.register();
    leaves.follow(Some(replica));
    let words = Words::of(&agreed);
    let (mut replica_read, mut replica_write) = split(agreed.link);
    let up = carry_up(from, &mut replica_write, &flow.up);
    let down = carry_down(worker, agreed.early, &mut replica_read, to, &words, &flow.down);
    let ended = leaves.until_cut(async { tokio::try_join!(up, down) }).await;
    if let Some(Err(error)) = &ended {
        tracing::debug!(%error, "a stream that switched protocols broke");
        replica_read.unsplit(replica_write).reset();
    }
    match ended {
        Some(Ok(_)) => {}
        // It fails only when nobody is there.
        _ if words.may_close() => _ = give(worker, to, Bytes::from_static(&GOING_AWAY), (true, Wait::For(FAREWELL_MS))).await,
        Some(Err(_)) => to.send_reset(Reason::CANCEL), // RFC 8441 section 5
        None => _ = to.send_data(Bytes::new(), true),
    }
    flow.ended();
}

/// What is known of the words that a replica sends.
struct Words {
    frames: Option<RefCell<Frames>>,
    /// A piece of them is on its way.
    giving: Cell<bool>,
}

impl Words {
    fn of(agreed: &Agreed) -> Words {
        Words { frames: agreed.websocket.then(RefCell::default), giving: Cell::new(false) }
    }

    /// Whether a close frame may come next.
    fn may_close(&self) -> bool {
        !self.giving.get() && self.frames.as_ref().is_some_and(|frames| frames.borrow().may_close())
    }

    async fn give(&self, worker: &Worker, to: &mut SendStream<Bytes>, piece: Bytes) -> io::Result<()> {
        self.giving.set(true);
        let wait = Wait::For(worker.limits.idle_timeout_ms);
        give(worker, to, piece.clone(), (false, wait)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.giving.set(false);
        if let Some(frames) = &self.frames {
            frames.borrow_mut().pass(&piece);
        }
        Ok(())
    }
}

async fn carry_up(from: &mut RecvStream, to: &mut WriteHalf<Link>, count: &Count) -> io::Result<()> {
    while let Some(piece) = from.data().await {
        let piece = piece.map_err(io::Error::other)?;
        to.write_all(&piece).await?;
        to.flush().await?;
        count.add(piece.len() as u64);
        // So much may come again. It fails only for more than came.
        let _ = from.flow_control().release_capacity(piece.len());
    }
    to.shutdown().await
}

async fn carry_down(
    worker: &Worker,
    early: Box<[u8]>,
    from: &mut ReadHalf<Link>,
    to: &mut SendStream<Bytes>,
    words: &Words,
    count: &Count,
) -> io::Result<()> {
    let mut piece = Bytes::from(early);
    loop {
        if !piece.is_empty() {
            count.add(piece.len() as u64);
            words.give(worker, to, piece).await?;
        }
        let mut next = Vec::with_capacity(PIECE);
        if from.read_buf(&mut next).await? == 0 {
            let last = if words.may_close() { Bytes::from_static(&GOING_AWAY) } else { Bytes::new() };
            let wait = Wait::For(worker.limits.idle_timeout_ms);
            return give(worker, to, last, (true, wait)).await.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into());
        }
        piece = next.into();
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
