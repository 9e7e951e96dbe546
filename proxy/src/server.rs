//! Wires the process together: listeners, workers, the registry's actor, the admin server. Decides nothing else.
//!
//! Threads: one control thread (sources, registry, admin, binding) and N workers. Invariant: no connection is accepted before the first
//! whole picture, so that a start is never a burst of 404s; the sockets are bound before, so that nobody is refused either.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use config::exposure::Exposure;
use config::problem::{Problem, Reason};
use config::settings::Settings;
use ipnet::IpNet;
use registry::actor;
use registry::event::{ListenerState, Report};
use registry::snapshot::{OwnAddresses, Snapshot};
use registry::source::settings::SettingsFile;
use tokio::sync::{mpsc, watch};

use crate::access_log::AccessLogSink;
use crate::admin::{self, AdminState};
use crate::binder::{self, Binder};
use crate::claim::Claim;
use crate::dns;
use crate::listener::{self, Listener, Speaks};
use crate::renew::{self, Renewer, Sink};
use crate::stats::WorkerCounts;
use crate::terms::Terms;
use crate::tls;
use crate::worker::{self, Order, Shared, Start};

/// At the end, writing what must survive a restart may take this long.
const SAVE_AT_MOST: Duration = Duration::from_secs(2);

/// A process that serves.
pub struct Running {
    addresses: BTreeMap<Arc<str>, SocketAddr>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    shared: Arc<Shared>,
    draining: watch::Sender<bool>,
    stop_control: mpsc::Sender<()>,
    control: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
    access: Sink,
    settings: watch::Receiver<Arc<Settings>>,
}

/// A listener that the settings ask for, with its sockets: one for each worker.
struct Static {
    listener: Listener,
    sockets: Vec<TcpListener>,
}

/// Starts everything; returns once the listeners are bound and the workers run.
///
/// # Errors
/// A [`Problem`] when the process cannot serve at all: the state directory or the access log cannot be used, or a thread not made.
pub fn start(settings: Settings) -> Result<Running, Problem> {
    follow(settings, None)
}

/// As [`start`]; the settings are renewed as their file changes.
///
/// # Errors
/// As [`start`].
pub fn follow(settings: Settings, file: Option<SettingsFile>) -> Result<Running, Problem> {
    raise_file_limit();
    let count = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    };
    let access: Sink = Arc::new(Mutex::new(renew::open_log(&settings)?));
    let tls = tls::common().map_err(|error| {
        let problem = Problem::error(Reason::Invalid, format!("cannot make keys for TLS: {error}"));
        problem.expected("a system with randomness").fix("look at /dev/urandom and getrandom(2)")
    })?;
    let (statics, failed) = bind_statics(&settings, count);
    let admin = bind_admin("admin", settings.admin, Some(&settings.internal_cidrs));
    let metrics = bind_admin("metrics", settings.metrics, None);
    let (dns, dns_failed) = dns::bind(&settings);
    let bound: Vec<ListenerState> = statics
        .iter()
        .map(|bound| bound.listener.state())
        .chain(dns.iter().flat_map(dns::Bound::states))
        .chain([&admin, &metrics].into_iter().filter_map(|bound| Some(bound.as_ref().ok()?.as_ref()?.0.clone())))
        .collect();
    let addresses = bound.iter().map(|state| (state.name.clone(), state.address)).collect();
    let own = OwnAddresses { listeners: bound.iter().map(|state| state.address).collect(), local: actor::local_addresses() };
    let mut states = failed;
    states.extend(dns_failed);
    for outcome in [&admin, &metrics] {
        states.extend(outcome.as_ref().err().cloned());
    }
    for state in &bound {
        tracing::info!(listener = %state.name, exposure = %state.exposure, protocol = %state.protocol, address = %state.address, "bound");
    }
    states.extend(bound);
    let admin_sockets = [admin, metrics].map(|bound| bound.ok().flatten().map(|(_, socket)| socket));
    launch(settings, file, count, tls, access, statics, states, own, admin_sockets, dns, addresses)
}

#[allow(clippy::too_many_arguments)] // one caller; a struct of these would be written to be read once
fn launch(
    settings: Settings,
    file: Option<SettingsFile>,
    count: usize,
    tls: Arc<rustls::ServerConfig>,
    access: Sink,
    statics: Vec<Static>,
    states: Vec<ListenerState>,
    own: OwnAddresses,
    admin_sockets: [Option<TcpListener>; 2],
    dns: Vec<dns::Bound>,
    addresses: BTreeMap<Arc<str>, SocketAddr>,
) -> Result<Running, Problem> {
    let (order_senders, order_receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let counts: Vec<Arc<WorkerCounts>> = (0..count).map(|_| Arc::default()).collect();
    let acknowledged: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let (draining, drains) = watch::channel(false);
    let (stop_control, stopped) = mpsc::channel(1);
    let (started, starts) = std_mpsc::channel();
    let (control_settings, control_access) = (settings.clone(), access.clone());
    let (control_counts, control_acknowledged) = (counts.clone(), acknowledged.clone());
    let control = thread("control", move || {
        let control = Control {
            settings: control_settings,
            file,
            access: control_access,
            own,
            states,
            admin_sockets,
            dns,
            counts: control_counts,
            acknowledged: control_acknowledged,
            drains,
            statics,
        };
        control.run(started, stopped);
    })?;
    let control_started = starts.recv().map_err(|_| Problem::error(Reason::Invalid, "the control thread ended at its start"))??;
    let shared = Arc::new(Shared {
        terms: Terms::of(&settings),
        tls,
        open: (0..count).map(|_| Default::default()).collect(),
        acknowledged,
        clients: Default::default(),
        pressure: Default::default(),
        orders: order_senders.into(),
        reports: control_started.reports.clone(),
    });
    let workers = order_receivers
        .into_iter()
        .zip(&counts)
        .enumerate()
        .map(|(id, (orders, counts))| {
            let access = access.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(AccessLogSink::local);
            let (shared, snapshots, counts) = (shared.clone(), control_started.snapshots.clone(), counts.clone());
            thread(&format!("worker-{id}"), move || {
                if let Err(error) = worker::run(Start { id, shared, orders, snapshots, counts, access }) {
                    tracing::error!(worker = id, %error, "a worker could not start");
                }
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let _ = control_started.workers.send(shared.clone()); // it waits for this, unless it has ended, which join tells
    Ok(Running {
        addresses,
        snapshots: control_started.snapshots,
        shared,
        draining,
        stop_control,
        control,
        workers,
        access,
        settings: control_started.settings,
    })
}

/// What the control thread hands back once it runs.
struct ControlStarted {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    reports: mpsc::UnboundedSender<Report>,
    settings: watch::Receiver<Arc<Settings>>,
    workers: tokio::sync::oneshot::Sender<Arc<Shared>>,
}

/// What the control thread works on.
struct Control {
    settings: Settings,
    file: Option<SettingsFile>,
    access: Sink,
    own: OwnAddresses,
    states: Vec<ListenerState>,
    admin_sockets: [Option<TcpListener>; 2],
    dns: Vec<dns::Bound>,
    counts: Vec<Arc<WorkerCounts>>,
    acknowledged: Arc<[AtomicU64]>,
    drains: watch::Receiver<bool>,
    statics: Vec<Static>,
}

impl Control {
    fn run(self, started: std_mpsc::Sender<Result<ControlStarted, Problem>>, stopped: mpsc::Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(Problem::error(Reason::Invalid, format!("cannot make the control runtime: {error}"))));
                return;
            }
        };
        runtime.block_on(self.serve(started, stopped));
        // What still runs reads files or waits for a disk that hangs: neither holds up the exit.
        runtime.shutdown_background();
    }

    async fn serve(self, started: std_mpsc::Sender<Result<ControlStarted, Problem>>, mut stopped: mpsc::Receiver<()>) {
        if self.settings.claim_service_cidr {
            match Claim::lay(self.settings.service_cidr).await {
                Ok(claim) => _ = tokio::spawn(claim.keep()),
                Err(problem) => {
                    let _ = started.send(Err(problem));
                    return;
                }
            }
        }
        let actor = match actor::start(&self.settings, self.file, self.own.clone()) {
            Ok(actor) => actor,
            Err(problem) => {
                let _ = started.send(Err(problem)); // whoever waits for it has given up only if it panicked
                return;
            }
        };
        let unbound = self
            .states
            .iter()
            .filter(|state| state.error.is_some() && ["http", "https"].contains(&&*state.name))
            .map(|state| state.name.clone())
            .collect();
        for state in self.states {
            let _ = actor.reports.send(Report::Listener(state));
        }
        // Where nobody asks for DNS, there is nothing to count.
        let dns_counts = (!self.settings.dns.listen.is_empty()).then(Arc::<dns::Counts>::default);
        let state = AdminState {
            asks: actor.asks.clone(),
            snapshots: actor.snapshots.clone(),
            workers: self.counts,
            acks: self.acknowledged,
            draining: self.drains,
            started: Instant::now(),
            unbound,
            dns: dns_counts.clone(),
        };
        let [admin_socket, metrics_socket] = self.admin_sockets;
        serve_admin(admin_socket, admin::router(state.clone()));
        serve_admin(metrics_socket, admin::metrics_router(state));
        let (send_shared, shared) = tokio::sync::oneshot::channel();
        let mut snapshots = actor.snapshots.clone();
        let reports = actor.reports.clone();
        let _ = started.send(Ok(ControlStarted {
            snapshots: actor.snapshots.clone(),
            reports: actor.reports.clone(),
            settings: actor.settings.clone(),
            workers: send_shared,
        }));
        let Ok(shared) = shared.await else { return };
        tokio::spawn(Renewer::new(actor.settings.clone(), shared.clone(), self.access).run());
        let work = async {
            // Version 0 is the empty picture before the first whole one.
            if snapshots.wait_for(|snapshot| snapshot.version > 0).await.is_err() {
                return;
            }
            if let Some(counts) = dns_counts {
                tokio::spawn(dns::serve(self.dns, snapshots.clone(), actor.settings.clone(), reports.clone(), counts));
            }
            for bound in self.statics {
                let listener = Arc::new(bound.listener);
                for (orders, socket) in shared.orders.iter().zip(bound.sockets) {
                    let _ = orders.send(Order::Accept(listener.clone(), socket));
                }
            }
            Binder::new(self.own, reports, shared).run(snapshots, actor.settings.clone()).await;
        };
        tokio::select! {
            () = work => {}
            _ = stopped.recv() => {}
        }
        if !actor.ending.end(SAVE_AT_MOST).await {
            tracing::warn!("the state was not written within {SAVE_AT_MOST:?}: a restart may change addresses");
        }
    }
}

/// The HTTP listeners of the settings: bound, or the reason why not.
fn bind_statics(settings: &Settings, workers: usize) -> (Vec<Static>, Vec<ListenerState>) {
    let asked = [
        ("http", Exposure::External, Speaks::Http, settings.http),
        ("https", Exposure::External, Speaks::Https, settings.https),
        ("internal-http", Exposure::Internal, Speaks::Http, settings.internal_http),
    ];
    let (mut statics, mut failed) = (Vec::new(), Vec::new());
    for (name, exposure, speaks, address) in asked {
        let Some(address) = address else { continue };
        let bound = match exposure {
            Exposure::Internal => listener::check_internal(name, address, &settings.internal_cidrs),
            Exposure::External => Ok(()),
        }
        .and_then(|()| {
            listener::bind_shared(address, workers).map_err(|error| listener::bind_problem(name, address, &error, "then start again"))
        })
        .and_then(|sockets| match sockets.first().map(TcpListener::local_addr) {
            Some(Ok(address)) => Ok((sockets, address)),
            _ => Err(Problem::error(Reason::BindFailed, "the bound socket has no address").of(format!("listener {name}"))),
        });
        match bound {
            Ok((sockets, address)) => {
                statics.push(Static { listener: Listener { name: name.into(), exposure, speaks, address }, sockets });
            }
            Err(problem) => failed.push(binder::not_bound(name, exposure, speaks.as_str(), address, &problem)),
        }
    }
    (statics, failed)
}

type Bound = Option<(ListenerState, TcpListener)>;

/// `internal`: where it may bind. The listener for metrics alone may be reached by whoever scrapes.
fn bind_admin(name: &str, address: Option<SocketAddr>, internal: Option<&[IpNet]>) -> Result<Bound, ListenerState> {
    let Some(address) = address else { return Ok(None) };
    let bound = internal
        .filter(|_| !address.ip().is_loopback())
        .map_or(Ok(()), |internal| listener::check_internal(name, address, internal))
        .and_then(|()| {
            let bound = listener::bind_shared(address, 1).and_then(|mut sockets| {
                let socket = sockets.remove(0);
                Ok((socket.local_addr()?, socket))
            });
            bound.map_err(|error| listener::bind_problem(name, address, &error, "then start again"))
        });
    match bound {
        Ok((address, socket)) => Ok(Some((ListenerState::bound(name, Exposure::Internal, "HTTP", address), socket))),
        Err(problem) => Err(binder::not_bound(name, Exposure::Internal, "HTTP", address, &problem)),
    }
}

fn serve_admin(socket: Option<TcpListener>, router: axum::Router) {
    let Some(socket) = socket else { return };
    tokio::spawn(async move {
        let served = match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => axum::serve(socket, router).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::error!(%error, "the admin server ended");
        }
    });
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Problem> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        Problem::error(Reason::Invalid, format!("cannot start thread {name}: {error}"))
            .fix("ask for fewer --workers, or raise the limit of threads (`ulimit -u`)")
    })
}

/// As many open files as the system lets us have: each connection is two of them.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files; many connections may be refused");
    }
}

impl Running {
    /// Where a listener of the settings (`http`, `https`, `internal-http`, `admin`, `metrics`, `dns`) is bound.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.get(listener).copied()
    }

    /// The pictures as they come.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// The oldest version that any worker still runs.
    pub fn acknowledged(&self) -> u64 {
        let versions = self.shared.acknowledged.iter().map(|version| version.load(std::sync::atomic::Ordering::Relaxed));
        versions.min().unwrap_or(0)
    }

    /// Waits until every worker runs a whole picture; false when that took longer than `timeout`.
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        while self.acknowledged() == 0 {
            if Instant::now() > until {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        true
    }

    /// Begins to drain: readiness turns false, listeners close after their queues, idle connections end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
        for orders in &self.shared.orders {
            let _ = orders.send(Order::Drain); // a worker that ended has drained
        }
    }

    /// Drains, waits for what is in flight until the deadline, and ends every thread.
    pub fn stop(self) {
        self.drain();
        let until = Instant::now() + Duration::from_millis(self.settings.borrow().limits.drain_deadline_ms);
        while self.workers.iter().any(|worker| !worker.is_finished()) && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if self.workers.iter().any(|worker| !worker.is_finished()) {
            let connections: usize = self.shared.open.iter().map(|open| open.load(std::sync::atomic::Ordering::Relaxed)).sum();
            if connections > 0 {
                tracing::warn!(connections, "the drain deadline has passed: what is still under way is cut");
            }
        }
        for orders in &self.shared.orders {
            let _ = orders.send(Order::End);
        }
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        let _ = self.stop_control.try_send(()); // it has ended already when this fails
        let _ = self.control.join();
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(access) = access {
            access.close();
        }
    }
}
