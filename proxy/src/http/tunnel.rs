//! A connection that has switched to another protocol (RFC 9110 section 7.8), WebSocket for instance: bytes both ways, unread.
//!
//! Invariant: it leads to the one replica that agreed to switch, as long as both sides want; a change of the picture does not touch it.
//! While nothing moves it holds no buffer, like every connection that waits.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::balance::InFlight;
use crate::http2::link::Link;
use crate::stats::{Flow, Met};
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{tcp, upstream};

/// The replica's side of it, and what was read from both sides with the last heads.
pub(super) struct Tunnel {
    upstream: Link,
    /// It counts as a request in flight.
    _flight: InFlight,
    counts: Rc<Met>,
    early_up: Box<[u8]>,
    early_down: Box<[u8]>,
}

impl Tunnel {
    pub(super) fn new(upstream: Link, flight: InFlight, counts: Rc<Met>, early_up: &[u8], early_down: &[u8]) -> Tunnel {
        Tunnel { upstream, _flight: flight, counts, early_up: early_up.into(), early_down: early_down.into() }
    }

    /// Carries bytes until both sides have ended, or one is reset: then so is the other.
    pub(super) async fn carry(mut self: Box<Self>, worker: &Worker, client: &mut Stream) {
        // A client that vanished would hold the replica for ever: no time-out ends what may rest for hours.
        let watched = client.on_socket(upstream::watch);
        let flow = &self.counts.upgraded;
        flow.begun();
        let carried = async {
            watched?;
            flow.up.add(self.early_up.len() as u64);
            flow.down.add(self.early_down.len() as u64);
            tokio::try_join!(write(&mut self.upstream, &self.early_up), write(client, &self.early_down))?;
            match (&mut *client, &mut self.upstream) {
                (Stream::Plain(socket), Link::Plain(upstream)) => tcp::copy_both(worker, socket, upstream, flow).await,
                (client, Link::Plain(upstream)) => from_tls(worker, client, upstream, flow).await,
                (client, Link::Tls(upstream)) => to_tls(worker, client, upstream, flow).await,
            }
        };
        let broken = carried.await.is_err();
        flow.ended();
        if broken {
            client.reset();
            self.upstream.reset();
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// As [`tcp::copy_both`], to a replica in TLS. It holds one buffer while it waits for the replica: nothing tells when there is more.
async fn to_tls(worker: &Worker, client: &mut Stream, upstream: &mut TlsStream<TcpStream>, flow: &Flow) -> io::Result<()> {
    let (mut client_read, mut client_write) = client.split();
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
        client_write.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// As [`tcp::copy_both`], for a client whose bytes are read and written by TLS.
async fn from_tls(worker: &Worker, client: &mut Stream, upstream: &mut TcpStream, flow: &Flow) -> io::Result<()> {
    let (mut client_read, mut client_write) = client.split();
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
                return client_write.shutdown().await;
            }
        }
    };
    tokio::try_join!(up, down).map(|_| ())
}
