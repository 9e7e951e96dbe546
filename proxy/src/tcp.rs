//! One opaque TCP connection through a Service's own listener: pick, connect, copy both ways.
//!
//! Invariant: half-close passes through; a reset on one side is a reset on the other; a service without an endpoint that can be reached
//! resets, at once unless `limits.connectionWaitMs` says otherwise. Nothing is read before an upstream stands, so a failed connect costs
//! the client nothing and another endpoint is tried.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use registry::snapshot::{EndpointId, Service};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::balance::bounded::{self, Unpicked};
use crate::balance::choice::Want;
use crate::balance::hash::Opaque;
use crate::balance::{self, By, InFlight};
use crate::buffer::{Buffers, FIRST};
use crate::clock::now_us;
use crate::deadline::Deadline;
use crate::listener::Listener;
use crate::pressure::line::{self, Look, Queued};
use crate::proxied;
use crate::splice::Pipe;
use crate::stats::{Count, Flow};
use crate::upstream::{self, Patience};
use crate::waiting::Key;
use crate::websocket::Watched;
use crate::worker::Worker;

/// How long a client may go on sending after its replica has left.
const FAREWELL_MS: u64 = 1_000;
/// Endpoints tried for one connection.
const TRIES: usize = 4;

/// Carries `stream` of `client`, accepted on `listener`, to its end.
pub(crate) async fn carry(worker: Rc<Worker>, mut stream: TcpStream, client: SocketAddr, listener: Arc<Listener>) {
    let leaves = worker.deadlines.register();
    let Some((service, mut upstream, _flight)) = open(&worker, &stream, client, &listener, &leaves).await else {
        reset(&stream);
        return;
    };
    let counts = worker.counts.of(listener.exposure, &service);
    counts.own.begun();
    let ended = leaves.until_cut(copy_both(&worker, &mut stream, &mut upstream, &counts.own)).await;
    counts.own.ended();
    match ended {
        Some(Ok(())) => {}
        Some(Err(_)) => {
            reset(&stream);
            reset(&upstream);
        }
        None => {
            drop(upstream);
            farewell(&worker, &mut Watched::new(stream, None)).await;
        }
    }
}

/// Ends a client's connection whose replica has left: says that nothing more comes, and for a moment reads what still does, since a
/// socket that is closed over unread bytes says a reset.
pub(crate) async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(worker: &Worker, client: &mut Watched<'_, S>) {
    let patience = worker.deadlines.register();
    patience.set(FAREWELL_MS);
    let ends = async {
        client.end().await?;
        let mut sink = worker.buffers.take();
        while sink.read(client.inner()).await? > 0 {
            sink.clear();
        }
        worker.buffers.give(sink);
        io::Result::Ok(())
    };
    let _ = patience.guard(ends).await; // whoever does not listen hears nothing
}

/// Picks and connects until an endpoint takes the connection, by which it lives. The picture is held until then.
async fn open(
    worker: &Worker,
    stream: &TcpStream,
    client: SocketAddr,
    listener: &Listener,
    leaves: &Deadline,
) -> Option<(Arc<Service>, TcpStream, InFlight)> {
    let mut tried: Vec<EndpointId> = Vec::new();
    let (mut place, mut queued) = (None, None);
    loop {
        let held = worker.pictures.hold();
        let plane = held.snapshot().plane(listener.exposure);
        let service = plane.service(plane.listeners.get(&listener.socket())?.service).clone();
        let want = Want { balance: None, by: By::Connections, signs: &Opaque(client.ip()) };
        let key = Key::of(listener.exposure, &service);
        let pick = |avoid: &[EndpointId]| worker.pick(want, (listener.exposure, &service), avoid, now_us());
        let begun = match tried.len() < TRIES {
            true => bounded::begin(worker, (&*service, queued.as_ref()), &tried, pick),
            false => Err(Unpicked::Nobody),
        };
        let (endpoint, flight) = match begun {
            Ok(begun) => begun,
            Err(Unpicked::Full(bound)) => {
                drop(held);
                let wait = Duration::from_millis(worker.limits.connection_wait_ms);
                match line::wait(worker, (listener.exposure, &service), bound, wait, &mut queued).await {
                    Look::Again => {}
                    Look::Afresh => tried.clear(),
                    Look::Never => return None,
                }
                continue;
            }
            Err(Unpicked::Nobody) => {
                drop(held);
                let now_ms = now_us() / 1000;
                if place.is_none() {
                    place = worker.waiting.place(key, worker.limits.connection_wait_ms, &worker.limits, now_ms);
                }
                if !place.as_mut()?.turn(now_ms).await {
                    return None;
                }
                tried.clear();
                continue;
            }
        };
        queued.iter_mut().for_each(Queued::leave);
        // Taken before anything is waited for: what others pick meanwhile would give it back.
        let ticket = worker.tries.ticket_for(&service, endpoint.id);
        if !tried.is_empty() {
            worker.counts.of(listener.exposure, &service).retries.add(1);
        }
        leaves.follow(Some(endpoint.replica.id));
        let connected = upstream::connect(endpoint.replica.address, Patience::of(&worker.limits)).await;
        let stands = introduced(connected, &service, client, stream).await;
        worker.tries.note_connection(&endpoint.replica, ticket.as_ref(), stands.as_ref().map(|_| ()));
        match stands {
            Ok(upstream) => {
                service.reached.set();
                worker.waiting.reached(key);
                return Some((service, upstream, flight));
            }
            Err(error) => {
                tracing::debug!(service = %service.name, address = %endpoint.replica.address, %error, "connect failed");
                balance::failed(&endpoint.replica.load, now_us());
                tried.push(endpoint.id);
            }
        }
    }
}

/// Says first who connects, to replicas that want to be told.
async fn introduced(connected: io::Result<TcpStream>, service: &Service, client: SocketAddr, stream: &TcpStream) -> io::Result<TcpStream> {
    let mut upstream = connected?;
    if let Some(version) = service.proxy_protocol {
        let mut header = Vec::with_capacity(proxied::header::LONGEST);
        proxied::header::write(version, client, stream.local_addr()?, &mut header);
        upstream.write_all(&header).await?; // the first bytes of a connection always fit
    }
    Ok(upstream)
}

/// The next close sends a reset instead of an end.
pub(crate) fn reset(stream: &TcpStream) {
    // It fails only on a socket that is already gone, which needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Copies both ways until both have ended. Errs when one side is reset, or gone.
pub(crate) async fn copy_both(worker: &Worker, client: &mut TcpStream, upstream: &mut TcpStream, flow: &Flow) -> io::Result<()> {
    let (client_read, client_write) = client.split();
    let (upstream_read, upstream_write) = upstream.split();
    let up = copy(worker, client_read, upstream_write, &flow.up);
    let down = copy(worker, upstream_read, client_write, &flow.down);
    tokio::try_join!(up, down).map(|_| ())
}

/// Copies until the end, then passes the end on. Holds a buffer or a pipe only while bytes move.
async fn copy(worker: &Worker, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, bytes: &Count) -> io::Result<()> {
    let mut large = false;
    loop {
        poll_fn(|context| from.as_ref().poll_read_ready(context)).await?;
        let moved = match large.then(|| worker.pipes.lend()).flatten() {
            Some(pipe) => splice(pipe, from.as_ref(), to.as_ref(), bytes).await?,
            None => pass(&worker.buffers, &mut from, &mut to, bytes).await?,
        };
        match moved {
            Moved::End => return to.shutdown().await,
            Moved::Some(count) => large = count >= FIRST,
        }
    }
}

/// What one turn moved.
pub(crate) enum Moved {
    End,
    /// Bytes.
    Some(usize),
}

/// Moves one buffer at most. Whoever writes through something that holds bytes back flushes it.
pub(crate) async fn pass(
    buffers: &Buffers,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &Count,
) -> io::Result<Moved> {
    let mut buffer = buffers.take();
    let count = buffer.read(from).await?;
    to.write_all(buffer.filled()).await?;
    bytes.add(count as u64);
    buffers.give(buffer);
    Ok(if count == 0 { Moved::End } else { Moved::Some(count) })
}

/// Moves as long as there is something at once.
async fn splice(mut pipe: Pipe<'_>, from: &TcpStream, to: &TcpStream, bytes: &Count) -> io::Result<Moved> {
    let mut moved = 0;
    loop {
        match pipe.try_fill(from, u64::MAX) {
            Ok(0) => return Ok(Moved::End),
            Ok(count) => moved += count,
            // Nothing at first: it was called readable too early, and the flow is as large as before.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Moved::Some(if moved == 0 { FIRST } else { moved })),
            Err(error) => return Err(error),
        }
        while pipe.held() > 0 {
            bytes.add(pipe.drain(to).await? as u64);
        }
    }
}
