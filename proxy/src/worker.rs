//! One worker: a thread with its own runtime, connections, pools and picture.
//!
//! Invariant: nothing of a worker's is shared with another but the loads of replicas, where clients went, what is bounded for all workers
//! together, and its own counters. A connection stays on the worker that it was given to. The hot path law (docs/ARCHITECTURE.md) holds in
//! everything that is called from here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use config::exposure::Exposure;
use config::settings::Limits;
use registry::event::Report;
use registry::snapshot::{ReplicaId, Snapshot, Socket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::access_log::LocalAccessLog;
use crate::balance::affinity::Clients;
use crate::buffer::Buffers;
use crate::clock::now_us;
use crate::deadline::{Deadlines, TICK};
use crate::departed::Departed;
use crate::filter::Proven;
use crate::http::desk::Desks;
use crate::http::head::HeadLimits;
use crate::http::tried::Tried;
use crate::http2::lanes::Lanes;
use crate::http2::link::Link;
use crate::listener::Listener;
use crate::outlier::Tries;
use crate::picture::Pictures;
use crate::pool::Pool;
use crate::pressure::Pressure;
use crate::pressure::shed::{self, Shedding};
use crate::splice::Pipes;
use crate::stats::{LocalCounts, WorkerCounts};
use crate::terms::{Live, Terms};
use crate::tls::Handshakes;
use crate::udp::Flows;
use crate::upstream::Patience;
use crate::waiting::Waiting;

mod arrival;

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
    pub(crate) tries: Rc<Tries>,
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
            tries: Rc::new(Tries::new(shared.terms.outlier.consecutive_failures, shared.reports.clone())),
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

    /// How long a replica may keep a request waiting before it says anything.
    pub(crate) fn patience(&self, tried: &Tried) -> Patience {
        let patience = Patience::of(&self.limits);
        Patience { connect: tried.connect_ms().map_or(patience.connect, Duration::from_millis), ..patience }
    }

    /// Whether a connection to a replica may rest here for the next request.
    pub(crate) fn keeps(&self, replica: ReplicaId) -> bool {
        !self.draining.get() && !self.departed.holds(replica)
    }

    fn renew(&self, terms: &'static Terms) {
        self.terms.renew(terms);
        self.limits.renew(&terms.limits);
        self.tries.renew(terms.outlier.consecutive_failures);
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
            self.departed.follow(before.plane(side), held.snapshot().plane(side), |replica| {
                pool.forget(replica);
                links.forget(replica);
                self.lanes.forget(replica);
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

#[cfg(test)]
mod tests;
