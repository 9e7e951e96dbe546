//! Keeps the sockets that Services ask for as the picture wants them: binds what is new, closes what is gone, tries again what failed.
//!
//! Runs on the control thread. Invariant: each socket is given to one worker, and is of one exposure for as long as it is open; the answer of
//! every bind is reported. What is inside binds inside `internalCidrs` or not at all.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::object::Protocol;
use config::problem::{Problem, Reason};
use config::settings::Settings;
use ipnet::IpNet;
use registry::event::{ListenerState, Report};
use registry::snapshot::{OwnAddresses, Snapshot, Socket};
use tokio::sync::{mpsc, watch};

use crate::listener::{self, Listener, Speaks};
use crate::worker::{Order, Shared};

/// What failed is tried again after this, and then each time after twice as long, up to [`RETRY_AT_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(4);

/// Binds what Services ask for.
pub struct Binder {
    internal: Vec<IpNet>,
    own: OwnAddresses,
    reports: mpsc::UnboundedSender<Report>,
    shared: Arc<Shared>,
    wanted: BTreeMap<Place, Wanted>,
    next_worker: usize,
}

/// A socket on one side.
type Place = (Exposure, Socket);

/// A socket that the picture wants.
struct Wanted {
    name: Arc<str>,
    /// The worker that has it; `None` while it cannot be bound.
    worker: Option<usize>,
    /// What was said when it could not be bound, so that it is said once.
    said: Option<String>,
}

impl Binder {
    /// Over what the process has bound already.
    pub fn new(own: OwnAddresses, reports: mpsc::UnboundedSender<Report>, shared: Arc<Shared>) -> Binder {
        Binder { internal: Vec::new(), own, reports, shared, wanted: BTreeMap::new(), next_worker: 0 }
    }

    /// Follows pictures and settings until they end.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>, mut settings: watch::Receiver<Arc<Settings>>) {
        let mut retry = RETRY_FIRST;
        loop {
            self.internal.clone_from(&settings.borrow_and_update().internal_cidrs);
            let snapshot = snapshots.borrow_and_update().clone();
            self.follow(&snapshot);
            drop(snapshot);
            let failing = self.wanted.values().any(|wanted| wanted.worker.is_none());
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
        // What `internalCidrs` holds no more is closed, and then said to be so.
        let allowed =
            |(exposure, socket): &Place| *exposure == Exposure::External || listener::contains(&self.internal, socket.address.ip());
        let stays = |place: &Place, wanted: &Wanted| {
            snapshot.plane(place.0).listeners.contains_key(&place.1) && (wanted.worker.is_none() || allowed(place))
        };
        let gone: Vec<Place> = self.wanted.iter().filter(|(place, wanted)| !stays(place, wanted)).map(|(place, _)| *place).collect();
        gone.into_iter().for_each(|place| self.close(place));
        for exposure in [Exposure::External, Exposure::Internal] {
            for (socket, asked) in snapshot.plane(exposure).listeners.iter() {
                self.want((exposure, *socket), asked.shown().into());
            }
        }
        let unbound: Vec<Place> = self.wanted.iter().filter(|(_, wanted)| wanted.worker.is_none()).map(|(place, _)| *place).collect();
        unbound.into_iter().for_each(|place| self.open(place));
    }

    fn want(&mut self, place: Place, name: Arc<str>) {
        let wanted = self.wanted.entry(place).or_insert_with(|| Wanted { name: name.clone(), worker: None, said: None });
        if wanted.name != name {
            // The socket stays: who answers on it is looked up for each connection.
            let old = std::mem::replace(&mut wanted.name, name.clone());
            let bound = wanted.worker.is_some();
            self.tell(Report::Closed(old, place.1.address));
            if bound {
                self.tell(Report::Listener(state(name, place)));
            }
        }
    }

    fn close(&mut self, place: Place) {
        let Some(wanted) = self.wanted.remove(&place) else { return };
        if let Some(worker) = wanted.worker {
            let _ = self.shared.orders[worker].send(Order::Close(place.1)); // an ended worker has closed it
        }
        self.tell(Report::Closed(wanted.name, place.1.address));
    }

    fn open(&mut self, place: Place) {
        let Some(name) = self.wanted.get(&place).map(|wanted| wanted.name.clone()) else { return };
        let (exposure, socket) = place;
        let worker = self.next_worker % self.shared.orders.len();
        let order = self.may_bind(&name, place).and_then(|()| {
            let bound = self.bind(&name, place);
            bound.map_err(|error| listener::bind_problem(&name, socket.address, &error, "it is tried again"))
        });
        let Some(wanted) = self.wanted.get_mut(&place) else { return };
        let state = match order {
            Ok(order) => {
                self.next_worker += 1;
                wanted.worker = Some(worker);
                wanted.said = None;
                let _ = self.shared.orders[worker].send(order); // ended workers serve nobody
                state(name, place)
            }
            Err(problem) => {
                let text = problem.to_string();
                if wanted.said.as_ref() == Some(&text) {
                    return;
                }
                wanted.said = Some(text);
                not_bound(&name, exposure, socket.protocol.as_str(), socket.address, &problem)
            }
        };
        self.tell(Report::Listener(state));
    }

    /// It may not be one of our own listeners, and what is inside stays inside.
    fn may_bind(&self, name: &str, (exposure, socket): Place) -> Result<(), Problem> {
        let address = socket.address;
        if socket.protocol == Protocol::Tcp && self.own.listeners.contains(&address) {
            return Err(Problem::error(Reason::Conflict, format!("{address} is one of Tidegate's own listeners"))
                .of(format!("listener {name}"))
                .fix("give the service another clusterIP or port, or bind the listener elsewhere"));
        }
        match exposure {
            Exposure::Internal => listener::check_internal(name, address, &self.internal),
            Exposure::External => Ok(()),
        }
    }

    fn bind(&self, name: &Arc<str>, (exposure, socket): Place) -> io::Result<Order> {
        let (address, beside) = (socket.address, self.is_beside(socket));
        let listener = |speaks| Arc::new(Listener { name: name.clone(), exposure, speaks, address });
        Ok(match socket.protocol {
            Protocol::Udp => Order::Receive(listener(Speaks::Udp), listener::bind_udp(address, beside)?),
            Protocol::Tcp | Protocol::Sctp => Order::Accept(listener(Speaks::Tcp), listener::bind_tcp(address, beside)?),
        })
    }

    /// Whether something of ours has the same port, and one of the two is a wildcard.
    fn is_beside(&self, socket: Socket) -> bool {
        let at = socket.address;
        let wild =
            |other: SocketAddr| other.port() == at.port() && other != at && (other.ip().is_unspecified() || at.ip().is_unspecified());
        let own = socket.protocol == Protocol::Tcp && self.own.listeners.iter().any(|own| wild(*own));
        own || self
            .wanted
            .iter()
            .any(|((_, other), wanted)| wanted.worker.is_some() && other.protocol == socket.protocol && wild(other.address))
    }

    fn tell(&self, report: Report) {
        let _ = self.reports.send(report); // nobody listens while the process ends
    }
}

fn state(name: Arc<str>, (exposure, socket): Place) -> ListenerState {
    ListenerState::bound(name, exposure, socket.protocol.as_str(), socket.address)
}

/// A listener that could not be bound, as `get listeners` shows it.
pub fn not_bound(name: &str, exposure: Exposure, protocol: &str, address: SocketAddr, problem: &Problem) -> ListenerState {
    let said = |word: &str, text: &Option<String>| text.as_ref().map_or_else(String::new, |text| format!("; {word} {text}"));
    let (expected, fix) = (said("expected", &problem.expected), said("fix:", &problem.fix));
    ListenerState { error: Some(format!("{}{expected}{fix}", problem.found)), ..ListenerState::bound(name, exposure, protocol, address) }
}
