//! UDP through a Service's own listener: each client (address and port) is a flow, and a flow keeps its endpoint.
//!
//! Invariant: a flow is one connected socket to one endpoint, so that only that endpoint can answer it, and its answers leave from the
//! socket that the client sent to. A flow ends when its endpoint leaves the picture, when the client may not come any more, or when it was
//! idle for `limits.udpIdleTimeoutMs`; one whose endpoint says that nobody listens (ICMP) moves with its next datagram. What cannot be
//! sent at once is dropped and counted, as a router would: nothing is queued here. There are never more than `limits.udpFlows`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use registry::snapshot::{EndpointId, Service, ServiceListener, Snapshot, Socket};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::balance::bounded::{self, Unpicked};
use crate::balance::choice::Want;
use crate::balance::hash::Opaque;
use crate::balance::{self, By, InFlight};
use crate::clock::now_us;
use crate::listener::Listener;
use crate::stats::{Dropped, Met, plane};
use crate::worker::Worker;

/// The largest payload of UDP fits.
const LARGEST: usize = 65_535;
/// Datagrams taken from one socket before others have their turn.
const AT_ONCE: usize = 64;
/// Endpoints tried for one datagram, and kept out of a flow's next pick.
const TRIES: usize = 4;

/// All flows of a worker.
pub(crate) struct Flows {
    tables: RefCell<HashMap<Socket, Rc<Table>>>,
    open: Rc<Cell<usize>>,
    /// Where a datagram is between its two sockets.
    buffer: RefCell<Box<[u8]>>,
}

/// The flows of one listener.
struct Table {
    listener: Arc<Listener>,
    socket: UdpSocket,
    flows: RefCell<HashMap<SocketAddr, Flow, foldhash::fast::RandomState>>,
    /// Who answered, and who might come, when the flows were last looked through.
    seen: RefCell<Option<(ServiceListener, Arc<Service>)>>,
}

/// One client and its endpoint.
struct Flow {
    upstream: Rc<UdpSocket>,
    endpoint: EndpointId,
    flight: InFlight,
    counts: Rc<Met>,
    used_ms: Cell<u64>,
    /// The endpoint said that nobody listens there.
    refused: Cell<bool>,
    /// Endpoints that did so in a row.
    tried: RefCell<Vec<EndpointId>>,
    answers: Option<JoinHandle<()>>,
    open: Rc<Cell<usize>>,
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(answers) = &self.answers {
            answers.abort();
        }
        self.counts.udp.flows.ended();
        self.open.set(self.open.get() - 1);
    }
}

impl Default for Flows {
    fn default() -> Flows {
        Flows { tables: RefCell::default(), open: Rc::default(), buffer: RefCell::new(vec![0; LARGEST].into()) }
    }
}

impl Flows {
    /// Ends flows whose endpoint, or whose client's permission, is not in the picture any more.
    pub(crate) fn follow(&self, snapshot: &Snapshot) {
        for table in self.tables.borrow().values() {
            table.follow(snapshot);
        }
    }

    /// Ends flows that carried nothing since `before_ms`.
    pub(crate) fn sweep(&self, before_ms: u64) {
        for table in self.tables.borrow().values() {
            table.flows.borrow_mut().retain(|_, flow| flow.used_ms.get() >= before_ms);
        }
    }
}

/// Carries what comes in on `socket` until told to stop; then its flows end.
pub(crate) async fn serve(worker: Rc<Worker>, listener: Arc<Listener>, socket: UdpSocket, mut stopped: oneshot::Receiver<()>) {
    let at = listener.socket();
    let table = Rc::new(Table { listener, socket, flows: RefCell::default(), seen: RefCell::default() });
    worker.flows.tables.borrow_mut().insert(at, table.clone());
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            ready = table.socket.readable() => if let Err(error) = ready {
                tracing::error!(listener = %table.listener.name, %error, "cannot receive");
                break;
            },
        }
        table.receive(&worker);
    }
    worker.flows.tables.borrow_mut().remove(&at);
    table.flows.borrow_mut().clear();
}

impl Table {
    /// Takes what is there.
    fn receive(self: &Rc<Self>, worker: &Rc<Worker>) {
        let mut buffer = worker.flows.buffer.borrow_mut();
        for _ in 0..AT_ONCE {
            let Ok((length, client)) = self.socket.try_recv_from(&mut buffer) else { return };
            if let Err(why) = self.forward(worker, client, &buffer[..length]) {
                worker.counts.worker().dropped[plane(self.listener.exposure)][why as usize].add(1);
            }
        }
    }

    /// Sends one datagram to the flow's endpoint, or to the one that a new flow gets.
    fn forward(self: &Rc<Self>, worker: &Rc<Worker>, client: SocketAddr, datagram: &[u8]) -> Result<(), Dropped> {
        if !self.listener.admits(client.ip(), &worker.terms.internal) {
            return Err(Dropped::NotAdmitted);
        }
        let held = worker.pictures.hold();
        let side = held.snapshot().plane(self.listener.exposure);
        let listener = side.listeners.get(&self.listener.socket()).ok_or(Dropped::NoEndpoint)?;
        if !listener.lets_in(client.ip()) {
            return Err(Dropped::NotAdmitted);
        }
        let service = side.service(listener.service);
        for _ in 0..TRIES {
            self.ensure(worker, client, service)?;
            let flows = self.flows.borrow();
            let flow = flows.get(&client).ok_or(Dropped::NoEndpoint)?;
            flow.used_ms.set(now_us() / 1000);
            match SockRef::from(&*flow.upstream).send(datagram) {
                Ok(_) => {
                    flow.counts.udp.up.add(1);
                    flow.counts.udp.flows.up.add(datagram.len() as u64);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Dropped::Busy),
                Err(error) if is_refusal(&error) => {
                    // It is about the datagram before this one, which is lost.
                    worker.counts.worker().dropped[plane(self.listener.exposure)][Dropped::Refused as usize].add(1);
                    flow.refuse();
                }
                Err(_) => return Err(Dropped::Failed), // too large for its path, for instance
            }
        }
        Err(Dropped::Refused)
    }

    /// Sees to it that the client has a flow to an endpoint that did not refuse it.
    fn ensure(self: &Rc<Self>, worker: &Rc<Worker>, client: SocketAddr, service: &Arc<Service>) -> Result<(), Dropped> {
        let mut flows = self.flows.borrow_mut();
        let avoid = match flows.get(&client) {
            Some(flow) if !flow.refused.get() => return Ok(()),
            Some(flow) => flow.avoided(),
            None => Vec::new(),
        };
        flows.remove(&client);
        if worker.flows.open.get() >= worker.limits.udp_flows {
            return Err(Dropped::Full);
        }
        let want = Want { balance: None, by: By::Connections, signs: &Opaque(client.ip()) };
        let pick = |avoid: &[EndpointId]| worker.pick(want, (self.listener.exposure, service), avoid, now_us());
        let begin = |avoid: &[EndpointId]| bounded::begin(worker, (&**service, None), avoid, pick);
        // When all have refused it is the first one's turn again: it may be back.
        let (begun, tried) = match begin(&avoid) {
            Err(Unpicked::Nobody) => (begin(&[]), Vec::new()),
            begun => (begun, avoid),
        };
        let counts = worker.counts.of(self.listener.exposure, service);
        let (endpoint, flight) = begun.map_err(|why| match why {
            Unpicked::Nobody => Dropped::NoEndpoint,
            Unpicked::Full(bound) => {
                counts.full[bound as usize].add(1);
                Dropped::Full
            }
        })?;
        let upstream = Rc::new(connect(endpoint.replica.address).map_err(|_| Dropped::Failed)?);
        counts.udp.flows.begun();
        worker.flows.open.set(worker.flows.open.get() + 1);
        let mut flow = Flow {
            upstream: upstream.clone(),
            endpoint: endpoint.id,
            flight,
            counts,
            used_ms: Cell::default(),
            refused: Cell::default(),
            tried: RefCell::new(tried),
            answers: None,
            open: worker.flows.open.clone(),
        };
        flow.answers = Some(tokio::task::spawn_local(answer(worker.clone(), self.clone(), client, upstream)));
        flows.insert(client, flow);
        Ok(())
    }

    /// Sends an answer back. `false` once the flow is gone.
    fn answered(&self, worker: &Worker, client: SocketAddr, datagram: &[u8]) -> bool {
        let flows = self.flows.borrow();
        let Some(flow) = flows.get(&client) else { return false };
        flow.used_ms.set(now_us() / 1000);
        flow.tried.borrow_mut().clear();
        match SockRef::from(&self.socket).send_to(datagram, &client.into()) {
            Ok(_) => {
                flow.counts.udp.down.add(1);
                flow.counts.udp.flows.down.add(datagram.len() as u64);
            }
            Err(error) => {
                let why = if error.kind() == io::ErrorKind::WouldBlock { Dropped::Busy } else { Dropped::Failed };
                worker.counts.worker().dropped[plane(self.listener.exposure)][why as usize].add(1);
            }
        }
        true
    }

    fn follow(&self, snapshot: &Snapshot) {
        let side = snapshot.plane(self.listener.exposure);
        let now = side.listeners.get(&self.listener.socket()).map(|listener| (listener.clone(), side.service(listener.service).clone()));
        let same = |(old, served): &(ServiceListener, Arc<Service>)| {
            now.as_ref().is_some_and(|(new, serving)| old.sources == new.sources && Arc::ptr_eq(served, serving))
        };
        if self.seen.borrow().as_ref().is_some_and(same) {
            return;
        }
        let endpoints: HashSet<EndpointId> = now.iter().flat_map(|(_, service)| &service.endpoints).map(|endpoint| endpoint.id).collect();
        let may_come = |client: &SocketAddr| now.as_ref().is_some_and(|(listener, _)| listener.lets_in(client.ip()));
        self.flows.borrow_mut().retain(|client, flow| endpoints.contains(&flow.endpoint) && may_come(client));
        *self.seen.borrow_mut() = now;
    }
}

impl Flow {
    fn refuse(&self) {
        self.refused.set(true);
        balance::failed(&self.flight.replica().load, now_us());
    }

    /// Whom its next pick leaves out.
    fn avoided(&self) -> Vec<EndpointId> {
        let mut tried = self.tried.take();
        tried.push(self.endpoint);
        let from = tried.len().saturating_sub(TRIES);
        tried.split_off(from)
    }
}

/// Passes on what the endpoint says, until its flow is dropped.
async fn answer(worker: Rc<Worker>, table: Rc<Table>, client: SocketAddr, upstream: Rc<UdpSocket>) {
    while upstream.readable().await.is_ok() {
        for _ in 0..AT_ONCE {
            let mut buffer = worker.flows.buffer.borrow_mut();
            match upstream.try_recv(&mut buffer) {
                Ok(length) if table.answered(&worker, client, &buffer[..length]) => {}
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::debug!(listener = %table.listener.name, %client, %error, "the flow moves with its next datagram");
                    worker.counts.worker().dropped[plane(table.listener.exposure)][Dropped::Refused as usize].add(1);
                    if let Some(flow) = table.flows.borrow().get(&client) {
                        flow.refuse();
                    }
                    return;
                }
            }
        }
    }
}

/// A socket that only this endpoint can answer.
fn connect(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any = if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// What ICMP said: nobody listens there, or there is no way.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}
