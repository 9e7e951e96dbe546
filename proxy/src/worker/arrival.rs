//! How a connection comes in: accepted, let in or turned away, given to the worker that is the least busy, greeted, and served.
//!
//! Invariant: whoever may not come in costs a reset and nothing more. What is counted as open is open, whichever way it ends.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::exposure::Exposure;
use hyper::body::Bytes;
use registry::snapshot::{Socket, Way};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::{Order, Worker};
use crate::http::caller::Caller;
use crate::listener::{Listener, Speaks};
use crate::pressure::connections;
use crate::pressure::seats::Seat;
use crate::reason::Reason;
use crate::stats::plane;
use crate::stream::Stream;
use crate::tls::{Cause, Outcome};
use crate::{http, http2, proxied, tcp, udp};

/// A connection of this worker is open as long as this lives; with its client's seat, where clients may have so many and no more.
struct Open(Rc<Worker>, Option<Seat>);

impl Open {
    fn new(worker: &Rc<Worker>, seat: Option<Seat>) -> Open {
        worker.open.set(worker.open.get() + 1);
        worker.shared.open[worker.id].store(worker.open.get(), Relaxed);
        Open(worker.clone(), seat)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        self.0.shared.open[self.0.id].store(left, Relaxed);
        self.0.all_done.notify_one();
    }
}

/// A socket of this worker is accepted on as long as this lives.
struct Accepting(Rc<Worker>);

impl Accepting {
    fn new(worker: &Rc<Worker>) -> Accepting {
        worker.accepting.set(worker.accepting.get() + 1);
        Accepting(worker.clone())
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.set(self.0.accepting.get() - 1);
        self.0.all_done.notify_one();
    }
}

impl Worker {
    pub(super) fn accept_on(
        self: &Rc<Self>,
        listener: Arc<Listener>,
        socket: StdListener,
        accepting: &mut HashMap<Socket, oneshot::Sender<()>>,
    ) {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(listener = %listener.name, %error, "cannot accept"),
        };
        let (stop, stopped) = oneshot::channel();
        accepting.insert(listener.socket(), stop);
        tokio::task::spawn_local(accept(Accepting::new(self), listener, socket, stopped));
    }

    pub(super) fn receive_on(
        self: &Rc<Self>,
        listener: Arc<Listener>,
        socket: StdUdpSocket,
        accepting: &mut HashMap<Socket, oneshot::Sender<()>>,
    ) {
        let socket = match UdpSocket::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(listener = %listener.name, %error, "cannot receive"),
        };
        let (stop, stopped) = oneshot::channel();
        accepting.insert(listener.socket(), stop);
        let receiving = Accepting::new(self);
        tokio::task::spawn_local(async move {
            udp::serve(receiving.0.clone(), listener, socket, stopped).await;
            drop(receiving);
        });
    }

    /// Serves a new connection here, or hands it to a sibling with fewer.
    fn admit(self: &Rc<Self>, listener: &Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
        if !listener.admits(peer.ip(), &self.terms.internal) {
            tracing::warn!(listener = %listener.name, %peer, "refused: the peer is outside internalCidrs");
            return self.turn_away(listener, &stream);
        }
        if listener.speaks == Speaks::Tcp && listener.exposure == Exposure::External && !self.lets_in(listener, peer.ip()) {
            tracing::debug!(listener = %listener.name, %peer, "refused: the peer is outside the source ranges");
            return self.turn_away(listener, &stream);
        }
        let open = self.shared.open.iter().map(|open| open.load(Relaxed));
        let host = host(open, self.id, listener.speaks == Speaks::Tcp);
        if host == self.id {
            return self.serve(listener.clone(), stream, peer);
        }
        let Ok(stream) = stream.into_std() else { return };
        // A sibling that has ended while the process drains cannot take it.
        if let Err(mpsc::error::SendError(Order::Take(listener, stream, peer))) =
            self.shared.orders[host].send(Order::Take(listener.clone(), stream, peer))
        {
            self.take(listener, stream, peer);
        }
    }

    /// Whether the Service's source ranges hold the peer, by the newest picture.
    fn lets_in(&self, listener: &Listener, peer: IpAddr) -> bool {
        let held = self.pictures.hold();
        held.snapshot().plane(listener.exposure).listeners.get(&listener.socket()).is_some_and(|asked| asked.lets_in(peer))
    }

    fn turn_away(&self, listener: &Listener, stream: &TcpStream) {
        self.counts.worker().turned_away[plane(listener.exposure)].add(1);
        tcp::reset(stream);
    }

    pub(super) fn take(self: &Rc<Self>, listener: Arc<Listener>, stream: StdStream, peer: SocketAddr) {
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(listener, stream, peer),
            Err(error) => tracing::error!(listener = %listener.name, %error, "cannot take a connection"),
        }
    }

    fn serve(self: &Rc<Self>, listener: Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
        let Ok(seat) = connections::enter(self, &listener, peer.ip(), self.open.get()) else { return tcp::reset(&stream) };
        let open = Open::new(self, seat);
        match listener.speaks {
            Speaks::Http | Speaks::Https => self.converse(open, listener, stream, peer),
            Speaks::Tcp if self.reads(&listener) => self.converse(open, listener, stream, peer),
            Speaks::Tcp => {
                let worker = self.clone();
                tokio::task::spawn_local(async move {
                    tcp::carry(worker, stream, peer, listener).await;
                    drop(open);
                });
            }
            Speaks::Udp => {} // nobody connects
        }
    }

    /// Whether a virtual IP's requests are served one by one, as its `appProtocol` lets them be.
    fn reads(&self, listener: &Listener) -> bool {
        let held = self.pictures.hold();
        let plane = held.snapshot().plane(listener.exposure);
        let asked = plane.listeners.get(&listener.socket()).filter(|asked| asked.way == Way::Vip);
        asked.is_some_and(|asked| plane.service(asked.service).app.is_plain_http())
    }

    /// Serves a client in HTTP.
    fn converse(self: &Rc<Self>, mut open: Open, listener: Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
        let (worker, side) = (self.clone(), plane(listener.exposure));
        let counts = self.counts.worker();
        counts.connections[side].add(1);
        counts.connections_open[side].add(1);
        tokio::task::spawn_local(async move {
            match worker.greet(stream, peer, &listener, &mut open.1).await {
                Some((mut stream, peer)) if stream.agreed_on_http2() => {
                    let caller = Caller::new(worker, listener, peer, &stream);
                    Box::pin(http2::serve::serve(caller, &mut stream, Bytes::new())).await;
                }
                Some((stream, peer)) => http::serve::serve(worker, stream, peer, listener).await,
                None => {}
            }
            open.0.counts.worker().connections_open[side].sub(1);
        });
    }

    /// What comes before HTTP: who a trusted proxy speaks for, and a handshake, where they are due. The stream, and whose it is.
    async fn greet(
        &self,
        stream: TcpStream,
        mut peer: SocketAddr,
        listener: &Listener,
        seat: &mut Option<Seat>,
    ) -> Option<(Stream, SocketAddr)> {
        if self.terms.expect_header(&listener.name, peer.ip()) {
            peer = Box::pin(self.introduce(&stream, peer, listener)).await?;
            let Ok(its) = connections::seat(self, listener, peer.ip()) else {
                tcp::reset(&stream);
                return None;
            };
            *seat = its;
        }
        let stream = match listener.speaks {
            Speaks::Https => self.shake(stream, peer, listener).await?,
            _ => Stream::Plain(stream),
        };
        Some((stream, peer))
    }

    /// Whom a trusted proxy speaks for. One that does not say so in time, or not as it must, is given up.
    async fn introduce(&self, stream: &TcpStream, proxy: SocketAddr, listener: &Listener) -> Option<SocketAddr> {
        let patience = self.deadlines.register();
        patience.set(self.limits.head_timeout_ms);
        match patience.guard(proxied::read(stream)).await {
            Ok(Ok(client)) => return Some(client.unwrap_or(proxy)),
            Ok(Err(error)) => {
                tracing::debug!(listener = %listener.name, %proxy, %error, "no PROXY protocol header");
                if matches!(error, proxied::Failed::Wrong(_)) {
                    self.counts.worker().refused(listener.exposure, Reason::BadRequest);
                }
            }
            Err(_) => tracing::debug!(listener = %listener.name, %proxy, "no PROXY protocol header: limits.headTimeoutMs is over"),
        }
        None
    }

    /// Shakes hands. A client that is not done within the time for a head is given up.
    async fn shake(&self, stream: TcpStream, peer: SocketAddr, listener: &Listener) -> Option<Stream> {
        let patience = self.deadlines.register();
        patience.set(self.limits.head_timeout_ms);
        let (outcome, stream) = match patience.guard(Box::pin(self.handshakes.shake(stream))).await {
            Ok(Ok((tls, outcome))) => (outcome, Some(Stream::Tls(Box::new(tls)))),
            Ok(Err(error)) => {
                tracing::debug!(listener = %listener.name, %peer, %error, "no handshake");
                (Outcome::Failed(error.cause()), None)
            }
            Err(_) => {
                tracing::debug!(listener = %listener.name, %peer, "no handshake: limits.headTimeoutMs is over");
                (Outcome::Failed(Cause::Timeout), None)
            }
        };
        self.counts.worker().shaken(listener.exposure, outcome);
        stream
    }
}

/// Which worker serves a connection that worker `here` accepted, when `open` are on each: the least busy. Where each worker has a socket
/// of its own and the kernel has chosen already (not for the one that `accepts_for_all`), a move must be worth its cost: while few are
/// open each counts, since one HTTP/2 connection may be all of a worker's work; among many a quarter does.
pub(super) fn host(open: impl Iterator<Item = usize> + Clone, here: usize, accepts_for_all: bool) -> usize {
    let mine = open.clone().nth(here).unwrap_or(0);
    let Some((count, least)) = open.zip(0..).min_by_key(|&(count, worker)| (count, worker != here)) else { return here };
    let allowed = if accepts_for_all { count } else { count + count / 4 };
    if mine > allowed { least } else { here }
}

/// Accepts until told to stop, and then what is queued.
async fn accept(accepting: Accepting, listener: Arc<Listener>, socket: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let worker = &accepting.0;
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => worker.admit(&listener, stream, peer),
                Err(error) => pause_after(&listener, &error).await,
            },
        }
    }
    // Without the runtime, which may call the queue empty when it is not.
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, peer)) = socket.accept() {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            worker.admit(&listener, stream, peer);
        }
    }
}

/// A connection that went away before it was accepted is nothing; running out of descriptors needs a moment for others to end.
async fn pause_after(listener: &Listener, error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::ConnectionAborted {
        tracing::error!(listener = %listener.name, %error, "cannot accept; raise the limit of open files (`ulimit -n`) if it is that");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
