//! One worker: a thread with its own runtime, connections, pools and picture.
//!
//! Invariant: nothing of a worker's is shared with another but the loads of replicas, where clients went, what is bounded for all workers
//! together, and its own counters. A connection stays on the worker that it was given to. The hot path law (docs/ARCHITECTURE.md) holds in
//! everything that is called from here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use config::exposure::Exposure;
use config::settings::Limits;
use hyper::body::Bytes;
use registry::event::Report;
use registry::snapshot::{Plane, Replica, ReplicaId, Snapshot, Socket, Way};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::access_log::LocalAccessLog;
use crate::balance::affinity::Clients;
use crate::buffer::Buffers;
use crate::clock::now_us;
use crate::deadline::{Deadlines, TICK};
use crate::departed::Departed;
use crate::filter::Proven;
use crate::http::caller::Caller;
use crate::http::desk::Desks;
use crate::http::head::HeadLimits;
use crate::http::tried::Tried;
use crate::http2::lanes::Lanes;
use crate::http2::link::Link;
use crate::listener::{Listener, Speaks};
use crate::outlier::Ticket;
use crate::picture::Pictures;
use crate::pool::Pool;
use crate::pressure::seats::Seat;
use crate::pressure::shed::{self, Shedding};
use crate::pressure::{Pressure, connections};
use crate::reason::Reason;
use crate::splice::Pipes;
use crate::stats::{LocalCounts, WorkerCounts, plane};
use crate::stream::Stream;
use crate::terms::{Live, Terms};
use crate::tls::{Cause, Handshakes, Outcome};
use crate::udp::{self, Flows};
use crate::waiting::Waiting;
use crate::{http, http2, proxied, tcp};

/// What the control thread or a sibling asks of a worker.
#[derive(Debug)]
pub enum Order {
    /// Accept on this socket.
    Accept(Arc<Listener>, StdListener),
    /// Carry the datagrams of this socket.
    Receive(Arc<Listener>, StdUdpSocket),
    /// Stop there, after what is queued was accepted.
    Close(Socket),
    /// Serve a connection that a sibling accepted.
    Take(Arc<Listener>, StdStream, SocketAddr),
    /// Go by these from now on.
    Renew(&'static Terms),
    /// Write the access log there from now on, and give back the old one: its end may take time.
    Log(Option<LocalAccessLog>, oneshot::Sender<Option<LocalAccessLog>>),
    /// Stop accepting, finish what is in flight, end.
    Drain,
    /// End now.
    End,
}

/// What all workers have in common, and how each is reached.
#[derive(Debug)]
pub struct Shared {
    /// What workers begin with.
    pub terms: &'static Terms,
    /// What handshakes have in common.
    pub tls: Arc<rustls::ServerConfig>,
    /// Open connections of each worker.
    pub open: Box<[AtomicUsize]>,
    /// The version that each worker acknowledged.
    pub acknowledged: Arc<[AtomicU64]>,
    /// Where clients of Services with session affinity went.
    pub clients: Clients,
    /// What clients and routes with bounds have asked for.
    pub pressure: Pressure,
    /// Each worker's orders.
    pub orders: Box<[mpsc::UnboundedSender<Order>]>,
    /// To the registry.
    pub reports: mpsc::UnboundedSender<Report>,
}

/// A worker's own things.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) terms: Live<Terms>,
    pub(crate) limits: Live<Limits>,
    pub(crate) pictures: Rc<Pictures>,
    handshakes: Handshakes,
    pub(crate) pool: RefCell<Pool>,
    /// Idle connections of HTTP/1 in TLS.
    pub(crate) links: RefCell<Pool<Link>>,
    /// Connections of HTTP/2.
    pub(crate) lanes: Lanes,
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) counts: LocalCounts,
    /// The right to try an endpoint that the last pick won, until the try begins.
    pub(crate) ticket: Cell<Option<Ticket>>,
    pub(crate) proven: Proven,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) desks: Desks,
    pub(crate) pipes: Pipes,
    pub(crate) flows: Flows,
    pub(crate) waiting: Rc<Waiting>,
    departed: Departed,
    pub(crate) shedding: Shedding,
    pub(crate) access: RefCell<Option<LocalAccessLog>>,
    pub(crate) draining: Cell<bool>,
    /// `Date` for answers of our own, renewed by the tick.
    pub(crate) date: RefCell<String>,
    open: Cell<usize>,
    /// Sockets that are still accepted on.
    accepting: Cell<usize>,
    all_done: Notify,
}

/// What a worker's thread starts with.
pub struct Start {
    /// Its number, from 0.
    pub id: usize,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Where its orders come from.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Where its picture comes from.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What it counts into.
    pub counts: Arc<WorkerCounts>,
    /// Its part of the access log.
    pub access: Option<LocalAccessLog>,
}

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

/// Runs a worker to its end on the calling thread.
///
/// # Errors
/// When the runtime cannot be made.
pub fn run(start: Start) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(work(start));
    Ok(())
}

async fn work(mut start: Start) {
    let worker = Rc::new(Worker::new(&mut start));
    tokio::task::spawn_local(shed::watch(worker.clone()));
    let mut accepting: HashMap<Socket, oneshot::Sender<()>> = HashMap::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    loop {
        tokio::select! {
            order = start.orders.recv() => match order {
                Some(Order::Accept(listener, socket)) => worker.accept_on(listener, socket, &mut accepting),
                Some(Order::Receive(listener, socket)) => worker.receive_on(listener, socket, &mut accepting),
                Some(Order::Close(socket)) => drop(accepting.remove(&socket)),
                Some(Order::Take(listener, stream, peer)) => worker.take(listener, stream, peer),
                Some(Order::Renew(terms)) => worker.renew(terms),
                Some(Order::Log(log, old)) => worker.log_to(log, old),
                Some(Order::Drain) => {
                    accepting.clear();
                    worker.drain();
                }
                Some(Order::End) | None => break,
            },
            changed = start.snapshots.changed() => match changed {
                Ok(()) => worker.adopt(start.snapshots.borrow_and_update().clone()),
                Err(_) => break,
            },
            _ = tick.tick() => {
                ticks += 1;
                worker.tick(ticks);
            }
            () = worker.all_done.notified(), if worker.draining.get() => {
                if worker.done() { break }
            }
        }
    }
    if let Some(access) = &*worker.access.borrow() {
        access.flush();
    }
}

impl Worker {
    fn new(start: &mut Start) -> Worker {
        let shared = start.shared.clone();
        let (id, tell) = (start.id, shared.clone());
        let first = start.snapshots.borrow_and_update().clone();
        let handshakes = Handshakes::new(shared.tls.clone(), first.external.certificates.clone());
        let pictures = Pictures::new(first, move |version| {
            tell.acknowledged[id].store(version, Relaxed);
            let _ = tell.reports.send(Report::Acknowledged { worker: id, version }); // nobody listens while the process ends
        });
        Worker {
            id,
            terms: Live::new(shared.terms),
            limits: Live::new(&shared.terms.limits),
            pictures,
            handshakes,
            pool: RefCell::new(Pool::new(shared.terms.limits.idle_per_replica)),
            links: RefCell::new(Pool::new(shared.terms.limits.idle_per_replica)),
            lanes: Lanes::default(),
            rng: RefCell::default(),
            counts: LocalCounts::new(start.counts.clone()),
            ticket: Cell::default(),
            proven: Proven::default(),
            deadlines: Rc::default(),
            buffers: Rc::default(),
            desks: Desks::new(head_limits(&shared.terms.limits)),
            pipes: Pipes::default(),
            flows: Flows::default(),
            waiting: Rc::new(Waiting::new(start.counts.clone())),
            departed: Departed::default(),
            shedding: Shedding::default(),
            access: RefCell::new(start.access.take()),
            draining: Cell::new(false),
            date: RefCell::new(httpdate::fmt_http_date(SystemTime::now())),
            open: Cell::new(0),
            accepting: Cell::new(0),
            all_done: Notify::new(),
            shared,
        }
    }

    fn accept_on(self: &Rc<Self>, listener: Arc<Listener>, socket: StdListener, accepting: &mut HashMap<Socket, oneshot::Sender<()>>) {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(listener = %listener.name, %error, "cannot accept"),
        };
        let (stop, stopped) = oneshot::channel();
        accepting.insert(listener.socket(), stop);
        tokio::task::spawn_local(accept(Accepting::new(self), listener, socket, stopped));
    }

    fn receive_on(self: &Rc<Self>, listener: Arc<Listener>, socket: StdUdpSocket, accepting: &mut HashMap<Socket, oneshot::Sender<()>>) {
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

    fn take(self: &Rc<Self>, listener: Arc<Listener>, stream: StdStream, peer: SocketAddr) {
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

    /// How long a connection to a replica may take to stand.
    pub(crate) fn connect_timeout(&self, tried: &Tried) -> Duration {
        Duration::from_millis(tried.connect_ms().unwrap_or(self.limits.connect_timeout_ms))
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

    fn renew(&self, terms: &'static Terms) {
        self.terms.renew(terms);
        self.limits.renew(&terms.limits);
        self.desks.renew(head_limits(&terms.limits));
        self.pool.borrow_mut().keep(terms.limits.idle_per_replica);
        self.links.borrow_mut().keep(terms.limits.idle_per_replica);
    }

    fn log_to(&self, log: Option<LocalAccessLog>, old: oneshot::Sender<Option<LocalAccessLog>>) {
        let before = self.access.replace(log);
        if let Some(before) = &before {
            before.flush();
        }
        let _ = old.send(before); // whoever wanted it has ended with the process
    }

    fn adopt(&self, next: Arc<Snapshot>) {
        let before = self.pictures.adopt(next);
        let held = self.pictures.hold();
        self.handshakes.renew(&held.snapshot().external.certificates);
        self.flows.follow(held.snapshot());
        let (mut pool, mut links) = (self.pool.borrow_mut(), self.links.borrow_mut());
        for side in [Exposure::External, Exposure::Internal] {
            left(before.plane(side), held.snapshot().plane(side), |replica| {
                pool.forget(replica.id);
                links.forget(replica.id);
                self.lanes.forget(replica.id);
                self.departed.add(replica);
            });
        }
        self.waiting.ring();
    }

    fn tick(&self, ticks: u64) {
        let now_ms = now_us() / 1000;
        self.deadlines.sweep(now_ms);
        if let Some(access) = &*self.access.borrow() {
            access.flush();
        }
        self.departed.sweep(now_ms, self.limits.replica_drain_ms, |replica| self.deadlines.cut(replica));
        self.flows.sweep(now_ms.saturating_sub(self.limits.udp_idle_timeout_ms));
        if ticks.is_multiple_of(4) {
            let oldest_ms = now_ms.saturating_sub(self.limits.idle_timeout_ms);
            self.pool.borrow_mut().sweep(oldest_ms);
            self.links.borrow_mut().sweep(oldest_ms);
            self.lanes.sweep(oldest_ms);
            self.waiting.sweep(now_ms);
            self.buffers.sweep();
            self.desks.sweep();
            if self.id == 0 {
                self.shared.pressure.sweep(now_ms * 1000);
            }
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
        }
    }

    fn drain(&self) {
        self.draining.set(true);
        self.pool.borrow_mut().clear();
        self.links.borrow_mut().clear();
        self.lanes.clear();
        self.deadlines.expire_idle();
        self.all_done.notify_one();
    }

    /// Whether a draining worker may end.
    fn done(&self) -> bool {
        self.open.get() == 0 && self.accepting.get() == 0
    }
}

fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits { bytes: limits.head_bytes, fields: limits.headers }
}

/// Which worker serves a connection that worker `here` accepted, when `open` are on each: the least busy. Where each worker has a socket
/// of its own and the kernel has chosen already (not for the one that `accepts_for_all`), a move must be worth its cost: while few are
/// open each counts, since one HTTP/2 connection may be all of a worker's work; among many a quarter does.
fn host(open: impl Iterator<Item = usize> + Clone, here: usize, accepts_for_all: bool) -> usize {
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

/// Calls `gone` with each replica that a service of `before` had and its successor in `after` has not.
fn left(before: &Plane, after: &Plane, mut gone: impl FnMut(&Arc<Replica>)) {
    let aligned =
        before.services.len() == after.services.len() && before.services.iter().zip(after.services.iter()).all(|(a, b)| a.slot == b.slot);
    if aligned {
        for (a, b) in before.services.iter().zip(after.services.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b)) {
            let now: HashSet<ReplicaId> = b.endpoints.iter().map(|endpoint| endpoint.replica.id).collect();
            a.endpoints.iter().map(|endpoint| &endpoint.replica).filter(|replica| !now.contains(&replica.id)).for_each(&mut gone);
        }
        return;
    }
    let now: HashSet<ReplicaId> =
        after.services.iter().flat_map(|service| &service.endpoints).map(|endpoint| endpoint.replica.id).collect();
    let then = before.services.iter().flat_map(|service| &service.endpoints).map(|endpoint| &endpoint.replica);
    then.filter(|replica| !now.contains(&replica.id)).for_each(gone);
}

#[cfg(test)]
mod tests;
