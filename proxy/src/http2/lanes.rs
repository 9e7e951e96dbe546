//! Connections to replicas that speak HTTP/2, each for many requests at a time.
//!
//! Invariant: the key is the replica's identity, never its address. A request goes by the connection with the fewest of its kind; when all
//! are full, another is opened, by one request for all that wait, and they go once the replica has said how many it takes. A connection that
//! the replica told to go (GOAWAY) takes no request more and ends with its last one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use registry::snapshot::ReplicaId;
use tokio::sync::Notify;

use super::ask::Limited;
use super::gathered::{Gathered, Ties, Unsent};
use super::link::Link;
use super::serve::{SEND_BUFFER, WINDOW};
use crate::clock::now_us;
use crate::picture::Held;
use crate::upstream;
use crate::worker::Worker;

/// Bytes of all answers on one connection that may be under way, as many as there can be (RFC 9113 section 6.9.1): each has its own window,
/// and answers that their clients do not take must not use up what those of others need.
const ALL_WINDOWS: u32 = i32::MAX as u32;

/// A worker's connections that speak HTTP/2.
#[derive(Default)]
pub(crate) struct Lanes {
    of: RefCell<HashMap<ReplicaId, Rc<Road>, foldhash::fast::RandomState>>,
}

/// All of one replica.
#[derive(Default)]
struct Road {
    lanes: RefCell<Vec<Lane>>,
    /// Somebody opens another.
    opening: Cell<bool>,
    /// Asked which protocol it wants, the replica chose HTTP/1: nobody needs to wait for another's connection.
    chose_one: Cell<bool>,
    opened: Notify,
}

#[derive(Clone)]
struct Lane {
    sender: SendRequest<Limited>,
    traffic: Rc<Traffic>,
}

/// What is on one connection.
struct Traffic {
    open: Cell<usize>,
    /// So many are allowed by the replica.
    room: Cell<usize>,
    idle_since_ms: Cell<u64>,
    unsent: Rc<Unsent>,
}

/// A place on a connection; the request has left it when this is dropped.
pub(super) struct Place {
    pub(super) sender: SendRequest<Limited>,
    /// The connection had served before.
    pub(super) reused: bool,
    traffic: Rc<Traffic>,
}

/// What a request that needs a connection is to do.
pub(super) enum Turn {
    Go(Place),
    /// Open one, and say by [`Opening::done`] or [`Opening::chose_one`] what it speaks.
    Open(Opening),
}

/// Others wait as long as this lives: until the replica has said how many requests it takes.
pub(super) struct Opening(Weak<Road>);

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(road) = self.0.upgrade() {
            road.opening.set(false);
            road.opened.notify_waiters();
        }
    }
}

impl Lanes {
    /// A place on a connection to `replica`, when there is one.
    pub(super) fn place(&self, replica: ReplicaId) -> Option<Place> {
        self.of.borrow().get(&replica)?.place()
    }

    /// A place on a connection to `replica`, or leave to open one. Waits while somebody else does.
    pub(super) async fn turn(&self, replica: ReplicaId) -> Turn {
        let road = self.of.borrow_mut().entry(replica).or_default().clone();
        loop {
            if let Some(place) = road.place() {
                return Turn::Go(place);
            }
            if !road.opening.replace(true) || road.chose_one.get() {
                return Turn::Open(Opening(Rc::downgrade(&road)));
            }
            road.opened.notified().await;
        }
    }

    /// Takes no request more to a replica that left; what is under way ends.
    pub(crate) fn forget(&self, replica: ReplicaId) {
        self.of.borrow_mut().remove(&replica);
    }

    /// Closes what has been idle since before `oldest_ms`.
    pub(crate) fn sweep(&self, oldest_ms: u64) {
        self.of.borrow_mut().retain(|_, road| {
            let used = |lane: &Lane| lane.traffic.open.get() > 0 || lane.traffic.idle_since_ms.get() >= oldest_ms;
            road.lanes.borrow_mut().retain(|lane| !lane.sender.is_closed() && used(lane));
            road.opening.get() || road.chose_one.get() || !road.lanes.borrow().is_empty()
        });
    }

    /// Takes no request more anywhere.
    pub(crate) fn clear(&self) {
        self.of.borrow_mut().clear();
    }
}

/// What the replica said in place of an answer.
fn said(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref::<h2::Error>().filter(|said| said.is_remote())
}

/// Whether the replica says that it did nothing with a request: it refused the stream, or goes and will not look at it (RFC 9113 section 8.7).
pub(super) fn not_processed(error: &hyper::Error) -> bool {
    said(error).is_some_and(|said| said.is_go_away() || said.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether the replica broke off this one request.
pub(super) fn reset(error: &hyper::Error) -> bool {
    said(error).is_some_and(h2::Error::is_reset)
}

/// Whether the connection broke since its machine has vanished.
pub(super) fn is_vanished(error: &hyper::Error) -> bool {
    let said = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    said.is_some_and(upstream::is_vanished)
}

impl Road {
    fn place(&self) -> Option<Place> {
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|lane| !lane.sender.is_closed());
        let free = lanes.iter().filter(|lane| lane.traffic.open.get() < lane.traffic.room.get());
        free.min_by_key(|lane| lane.traffic.open.get()).map(|lane| lane.take(true))
    }
}

impl Lane {
    fn take(&self, reused: bool) -> Place {
        self.traffic.open.set(self.traffic.open.get() + 1);
        Place { sender: self.sender.clone(), reused, traffic: self.traffic.clone() }
    }
}

impl Place {
    /// The picture by which its request was picked is held until the request's head has left.
    pub(super) fn hold(&self, picture: Rc<Held>) {
        if !self.sender.is_closed() {
            self.traffic.unsent.hold(picture);
        }
    }

    /// Nothing else is under way on its connection.
    pub(super) fn alone(&self) -> bool {
        self.traffic.open.get() == 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.traffic.open.set(self.traffic.open.get() - 1);
        self.traffic.idle_since_ms.set(now_us() / 1000);
    }
}

impl Opening {
    /// The connection speaks HTTP/1: nothing of it stays here.
    pub(super) fn chose_one(self) {
        if let Some(road) = self.0.upgrade() {
            road.chose_one.set(true);
        }
    }

    /// Speaks HTTP/2 on `link`, and takes the first place once the replica has said how many there are.
    ///
    /// # Errors
    /// When the link breaks before.
    pub(super) async fn done(self, worker: &Worker, replica: ReplicaId, link: Link) -> io::Result<Place> {
        let head_bytes = worker.limits.head_bytes;
        let leaves = worker.deadlines.register();
        leaves.follow(Some(replica));
        let unsent = Rc::<Unsent>::default();
        let ties = Ties { leaves, unsent: unsent.clone(), patience_ms: worker.limits.connect_timeout_ms };
        let io = Gathered::new(&worker.buffers, link).tied(ties);
        let mut builder = Builder::new(io.clone());
        builder
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(ALL_WINDOWS)
            .initial_max_send_streams(0) // until its SETTINGS say otherwise: what is above them would be refused
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
        let (sender, mut connection) = io.drive(builder.handshake(TokioIo::new(io.clone()))).await.map_err(io::Error::other)?;
        // Nobody is given to it earlier: hyper would not say whether a request had left when the link broke.
        let room = poll_fn(|context| {
            if Pin::new(&mut connection).poll(context).is_ready() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
            }
            match connection.current_max_send_streams() {
                0 => {
                    io.listen(context);
                    Poll::Pending
                }
                room => Poll::Ready(Ok(room)),
            }
        });
        let room = room.await?;
        let idle_since_ms = Cell::new(now_us() / 1000);
        let traffic = Rc::new(Traffic { open: Cell::new(0), room: Cell::new(room), idle_since_ms, unsent: unsent.clone() });
        let lane = Lane { sender, traffic };
        let place = lane.take(false);
        let seen = Rc::downgrade(&lane.traffic);
        if let Some(road) = self.0.upgrade() {
            road.lanes.borrow_mut().push(lane);
        }
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|context| {
                let polled = Pin::new(&mut connection).poll(context);
                unsent.handed_on();
                if let (Poll::Pending, Some(traffic)) = (&polled, seen.upgrade()) {
                    traffic.room.set(connection.current_max_send_streams());
                }
                polled
            });
            let ended = ended.await;
            unsent.clear();
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to a replica ended");
            }
        });
        Ok(place)
    }
}
