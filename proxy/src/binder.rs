//! Keeps the VIP sockets as the picture wants them: binds what is new, closes what is gone, tries again what failed.
//!
//! Runs on the control thread. Invariant: each VIP port has one socket, given to one worker; the answer of every bind is reported.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::problem::{Problem, Reason};
use config::settings::Settings;
use ipnet::IpNet;
use registry::event::{ListenerState, Report};
use registry::snapshot::{OwnAddresses, PortName, Snapshot};
use tokio::sync::{mpsc, watch};

use crate::listener::{self, Listener, Speaks};
use crate::worker::{Order, Shared};

/// What failed is tried again after this, and then each time after twice as long, up to [`RETRY_AT_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(4);

/// Binds VIPs.
pub struct Binder {
    internal: Vec<IpNet>,
    own: OwnAddresses,
    reports: mpsc::UnboundedSender<Report>,
    shared: Arc<Shared>,
    vips: HashMap<SocketAddr, Vip>,
    next_worker: usize,
}

/// A VIP port that the picture wants.
struct Vip {
    name: PortName,
    /// The worker that accepts; `None` while it cannot be bound.
    worker: Option<usize>,
    /// What was said when it could not be bound, so that it is said once.
    said: Option<String>,
}

impl Binder {
    /// Over what the process has bound already.
    pub fn new(own: OwnAddresses, reports: mpsc::UnboundedSender<Report>, shared: Arc<Shared>) -> Binder {
        Binder { internal: Vec::new(), own, reports, shared, vips: HashMap::new(), next_worker: 0 }
    }

    /// Follows pictures and settings until they end.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>, mut settings: watch::Receiver<Arc<Settings>>) {
        let mut retry = RETRY_FIRST;
        loop {
            self.internal.clone_from(&settings.borrow_and_update().internal_cidrs);
            let snapshot = snapshots.borrow_and_update().clone();
            self.follow(&snapshot);
            drop(snapshot);
            let failing = self.vips.values().any(|vip| vip.worker.is_none());
            tokio::select! {
                changed = snapshots.changed() => match changed {
                    Ok(()) => retry = RETRY_FIRST,
                    Err(_) => return,
                },
                changed = settings.changed() => match changed {
                    Ok(()) => retry = RETRY_FIRST,
                    Err(_) => return,
                },
                () = tokio::time::sleep(retry), if failing => retry = (retry * 2).min(RETRY_AT_MOST),
            }
        }
    }

    fn follow(&mut self, snapshot: &Snapshot) {
        let stays = |address: &SocketAddr, vip: &Vip| {
            // What `internalCidrs` holds no more is closed, and then said to be so.
            snapshot.vips.contains_key(address) && (vip.worker.is_none() || listener::contains(&self.internal, address.ip()))
        };
        let gone: Vec<SocketAddr> = self.vips.iter().filter(|(address, vip)| !stays(address, vip)).map(|(address, _)| *address).collect();
        for address in gone {
            self.close(address);
        }
        for (address, wanted) in snapshot.vips.iter() {
            let vip = self.vips.entry(*address).or_insert_with(|| Vip { name: wanted.name.clone(), worker: None, said: None });
            if vip.name != wanted.name {
                // The socket stays: who answers on it is looked up for each connection.
                let _ = self.reports.send(Report::Closed(name(&vip.name)));
                vip.name = wanted.name.clone();
                if vip.worker.is_some() {
                    let _ = self.reports.send(Report::Listener(ListenerState::bound(name(&vip.name), Exposure::Internal, "TCP", *address)));
                }
            }
        }
        let unbound: Vec<SocketAddr> = self.vips.iter().filter(|(_, vip)| vip.worker.is_none()).map(|(address, _)| *address).collect();
        for address in unbound {
            self.open(address);
        }
    }

    fn close(&mut self, address: SocketAddr) {
        let Some(vip) = self.vips.remove(&address) else { return };
        if let Some(worker) = vip.worker {
            let _ = self.shared.orders[worker].send(Order::Close(address)); // an ended worker has closed it
        }
        let _ = self.reports.send(Report::Closed(name(&vip.name)));
    }

    fn open(&mut self, address: SocketAddr) {
        let Some(vip) = self.vips.get_mut(&address) else { return };
        let name = name(&vip.name);
        let worker = self.next_worker % self.shared.orders.len();
        let shares = self.own.listeners.iter().any(|own| own.port() == address.port() && own.ip().is_unspecified());
        let bound =
            taken(&self.own, &name, address).and_then(|()| listener::check_internal(&name, address, &self.internal)).and_then(|()| {
                listener::bind_vip(address, shares).map_err(|error| listener::bind_problem(&name, address, &error, "it is tried again"))
            });
        let state = match bound {
            Ok(socket) => {
                self.next_worker += 1;
                vip.worker = Some(worker);
                vip.said = None;
                let listener = Listener { name: name.clone(), exposure: Exposure::Internal, speaks: Speaks::Tcp, address };
                let _ = self.shared.orders[worker].send(Order::Accept(Arc::new(listener), socket)); // ended workers serve nobody
                ListenerState::bound(name, Exposure::Internal, "TCP", address)
            }
            Err(problem) => {
                let text = problem.to_string();
                if vip.said.as_ref() == Some(&text) {
                    return;
                }
                vip.said = Some(text);
                not_bound(&name, Exposure::Internal, "TCP", address, &problem)
            }
        };
        let _ = self.reports.send(Report::Listener(state));
    }
}

/// A VIP may not be one of our own listeners.
fn taken(own: &OwnAddresses, name: &str, address: SocketAddr) -> Result<(), Problem> {
    if own.listeners.contains(&address) {
        return Err(Problem::error(Reason::Conflict, format!("{address} is one of Tidegate's own listeners"))
            .of(format!("listener {name}"))
            .fix("give the service another clusterIP or port, or bind the listener elsewhere"));
    }
    Ok(())
}

fn name(port: &PortName) -> Arc<str> {
    format!("vip {port}").into()
}

/// A listener that could not be bound, as `get listeners` shows it.
pub fn not_bound(name: &str, exposure: Exposure, protocol: &str, address: SocketAddr, problem: &Problem) -> ListenerState {
    let fix = problem.fix.as_ref().map_or_else(String::new, |fix| format!("; fix: {fix}"));
    ListenerState { error: Some(format!("{}{fix}", problem.found)), ..ListenerState::bound(name, exposure, protocol, address) }
}
