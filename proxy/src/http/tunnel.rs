//! A connection that has switched to another protocol (RFC 9110 section 7.8), WebSocket for instance: bytes both ways, unread.
//!
//! Invariant: it leads to the one replica that agreed to switch, as long as both sides want; a change of the picture does not touch it,
//! unless the replica leaves: then it ends after `limits.replicaDrainMs`, by an end and not by a reset. A WebSocket whose replica is gone
//! gets a close frame first, if one may stand there. While nothing moves it holds no buffer, like every connection that waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::balance::InFlight;
use crate::http2::connect::Agreed;
use crate::http2::link::Link;
use crate::stats::{Flow, Met};
use crate::stream::Stream;
use crate::tcp;
use crate::upstream::{self, Patience};
use crate::websocket::{Frames, Watched};
use crate::worker::Worker;

/// The replica's side of it, and what was read from both sides with the last heads.
pub(super) struct Tunnel {
    upstream: Link,
    /// It counts as a request in flight.
    flight: InFlight,
    counts: Rc<Met>,
    early_up: Box<[u8]>,
    early_down: Box<[u8]>,
    /// Where its frames end, where it is a WebSocket.
    frames: Option<RefCell<Frames>>,
}

impl Tunnel {
    /// With what came from the client behind its request.
    pub(super) fn new(agreed: Agreed, (flight, counts): (InFlight, Rc<Met>), early_up: &[u8]) -> Tunnel {
        let Agreed { link: upstream, early: early_down, websocket } = agreed;
        Tunnel { upstream, flight, counts, early_up: early_up.into(), early_down, frames: websocket.then(RefCell::default) }
    }

    /// Carries bytes until both sides have ended, or one is reset: then so is the other.
    pub(super) async fn carry(mut self: Box<Self>, worker: &Worker, client: &mut Stream) {
        // A client that vanished would hold the replica for ever: no time-out ends what may rest for hours.
        let watched = client.on_socket(|socket| upstream::watch(socket, Patience::of(&worker.limits).vanished));
        let (flow, frames) = (&self.counts.upgraded, self.frames.as_ref());
        let replica = worker.deadlines.register();
        replica.follow(Some(self.flight.replica().id));
        flow.begun();
        let carried = async {
            watched?;
            flow.up.add(self.early_up.len() as u64);
            flow.down.add(self.early_down.len() as u64);
            let mut first = Watched::new(&mut *client, frames);
            tokio::try_join!(write(&mut self.upstream, &self.early_up), write(&mut first, &self.early_down))?;
            match (&mut *client, &mut self.upstream) {
                (Stream::Plain(socket), Link::Plain(upstream)) if frames.is_none() => tcp::copy_both(worker, socket, upstream, flow).await,
                (client, Link::Plain(upstream)) => by_buffers(worker, client, upstream, frames, flow).await,
                (client, Link::Tls(upstream)) => to_tls(worker, client, upstream, frames, flow).await,
            }
        };
        let ended = replica.until_cut(carried).await;
        flow.ended();
        if let Some(Err(_)) = ended {
            self.upstream.reset();
        }
        match ended {
            Some(Ok(())) => {}
            Some(Err(_)) if frames.is_none() => client.reset(),
            _ => tcp::farewell(worker, &mut Watched::new(client, frames)).await,
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// As [`tcp::copy_both`], to a replica in TLS. It holds one buffer while it waits for the replica: nothing tells when there is more.
async fn to_tls(
    worker: &Worker,
    client: &mut Stream,
    upstream: &mut TlsStream<TcpStream>,
    frames: Option<&RefCell<Frames>>,
    flow: &Flow,
) -> io::Result<()> {
    let (mut client_read, client_write) = client.split();
    let mut client_write = Watched::new(client_write, frames);
    let (mut upstream_read, mut upstream_write) = tokio::io::split(upstream);
    let up = async {
        while client_read.more().await? {
            tcp::pass(&worker.buffers, &mut client_read, &mut upstream_write, &flow.up).await?;
            upstream_write.flush().await?;
        }
        upstream_write.shutdown().await
    };
    let down = async {
        while let tcp::Moved::Some(_) = tcp::pass(&worker.buffers, &mut upstream_read, &mut client_write, &flow.down).await? {
            client_write.flush().await?;
        }
        client_write.end().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// As [`tcp::copy_both`], for a client whose bytes are read and written by TLS, or are looked at.
async fn by_buffers(
    worker: &Worker,
    client: &mut Stream,
    upstream: &mut TcpStream,
    frames: Option<&RefCell<Frames>>,
    flow: &Flow,
) -> io::Result<()> {
    let (mut client_read, client_write) = client.split();
    let mut client_write = Watched::new(client_write, frames);
    let (mut upstream_read, mut upstream_write) = upstream.split();
    let up = async {
        while client_read.more().await? {
            tcp::pass(&worker.buffers, &mut client_read, &mut upstream_write, &flow.up).await?;
        }
        upstream_write.shutdown().await
    };
    let down = async {
        loop {
            poll_fn(|context| upstream_read.as_ref().poll_read_ready(context)).await?;
            let moved = tcp::pass(&worker.buffers, &mut upstream_read, &mut client_write, &flow.down).await?;
            client_write.flush().await?;
            if let tcp::Moved::End = moved {
                return client_write.end().await;
            }
        }
    };
    tokio::try_join!(up, down).map(|_| ())
}
