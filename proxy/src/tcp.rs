//! One opaque TCP connection through a VIP: pick, connect, copy both ways.
//!
//! Invariant: half-close passes through; a reset on one side is a reset on the other; a service without a Ready endpoint resets at
//! once. Nothing is read before an upstream stands, so a failed connect costs the client nothing and another endpoint is tried.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use registry::snapshot::{EndpointId, Service};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::balance::{self, By, InFlight};
use crate::buffer::{Buffers, LARGEST};
use crate::clock::now_us;
use crate::stats::{Count, ServiceCounts};
use crate::upstream;
use crate::worker::Worker;

/// Endpoints tried for one connection.
const TRIES: usize = 4;

/// Carries `stream`, accepted on the VIP `address`, to its end.
pub(crate) async fn carry(worker: Rc<Worker>, mut stream: TcpStream, address: SocketAddr) {
    let Some((service, mut upstream, _flight)) = open(&worker, address).await else {
        reset(&stream);
        return;
    };
    let counts = worker.counts.of(Exposure::Internal, &service);
    counts.connections.add(1);
    counts.connections_open.add(1);
    let broken = copy_both(&worker.buffers, &mut stream, &mut upstream, &counts).await.is_err();
    counts.connections_open.sub(1);
    if broken {
        reset(&stream);
        reset(&upstream);
    }
}

/// Picks and connects until an endpoint takes the connection. The picture is held until then.
async fn open(worker: &Worker, address: SocketAddr) -> Option<(Arc<Service>, TcpStream, InFlight)> {
    let mut tried: Vec<EndpointId> = Vec::new();
    while tried.len() < TRIES {
        let held = worker.pictures.hold();
        let vip = held.snapshot().vips.get(&address)?;
        let service = held.snapshot().internal.service(vip.service).clone();
        let endpoint = balance::pick(&service.endpoints, &tried, By::Connections, now_us(), &mut worker.rng.borrow_mut())?;
        let flight = InFlight::begin(&endpoint.replica);
        let timeout = Duration::from_millis(worker.limits.connect_timeout_ms);
        match upstream::connect(endpoint.replica.address, timeout).await {
            Ok(upstream) => return Some((service, upstream, flight)),
            Err(error) => {
                tracing::debug!(service = %service.name, address = %endpoint.replica.address, %error, "connect failed");
                balance::failed(&endpoint.replica.load, now_us());
                worker.counts.of(Exposure::Internal, &service).retries.add(1);
                tried.push(endpoint.id);
            }
        }
    }
    None
}

/// The next close sends a reset instead of an end.
pub(crate) fn reset(stream: &TcpStream) {
    // It fails only on a socket that is already gone, which needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn copy_both(buffers: &Buffers, client: &mut TcpStream, upstream: &mut TcpStream, counts: &ServiceCounts) -> io::Result<()> {
    let (client_read, client_write) = client.split();
    let (upstream_read, upstream_write) = upstream.split();
    let up = copy(buffers, client_read, upstream_write, &counts.bytes_up);
    let down = copy(buffers, upstream_read, client_write, &counts.bytes_down);
    tokio::try_join!(up, down).map(|_| ())
}

/// Copies until the end, then passes the end on. Holds a buffer only while bytes move.
async fn copy(buffers: &Buffers, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, bytes: &Count) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut buffer = buffers.take();
        let ended = drain_ready(&mut from, &mut to, &mut buffer, bytes).await?;
        buffers.give(buffer);
        if ended {
            return to.shutdown().await;
        }
    }
}

/// Copies as long as reads fill the buffer, which grows with the flow. True at the end of the stream.
async fn drain_ready(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    buffer: &mut crate::buffer::Buffer,
    bytes: &Count,
) -> io::Result<bool> {
    loop {
        let count = from.read(buffer.room()).await?;
        if count == 0 {
            return Ok(true);
        }
        buffer.read(count);
        let full = buffer.room().is_empty();
        to.write_all(buffer.filled()).await?;
        bytes.add(count as u64);
        buffer.consume(count);
        if !full {
            return Ok(false);
        }
        buffer.grow((buffer.size() * 4).min(LARGEST));
    }
}
