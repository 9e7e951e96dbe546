//! How many connections a worker may have open, and how many a client, over all workers.
//!
//! Invariant: a connection that is one too many is reset before a byte of it is read, and counted. A trusted proxy is no client: those that
//! come by it are counted where it says in a header who they are (PROXY protocol), and not at all where it does not.

use std::net::IpAddr;

use super::seats::{Seat, Taken};
use crate::listener::{Listener, contains};
use crate::stats::{Untaken, plane};
use crate::worker::Worker;

/// There are as many as may be.
pub(crate) struct Full;

/// Whether a worker that has so many `open` takes one more; with the seat of its client, where that needs one.
pub(crate) fn enter(worker: &Worker, listener: &Listener, peer: IpAddr, open: usize) -> Result<Option<Seat>, Full> {
    if worker.limits.connections > 0 && open >= worker.limits.connections {
        return refuse(worker, listener, peer, Untaken::Worker);
    }
    seat(worker, listener, peer)
}

/// The seat of a client, where it needs one.
pub(crate) fn seat(worker: &Worker, listener: &Listener, client: IpAddr) -> Result<Option<Seat>, Full> {
    let most = worker.limits.connections_per_client;
    if most == 0 || contains(&worker.terms.trusted, client) {
        return Ok(None);
    }
    match worker.shared.pressure.connect(client, most) {
        Taken::Seat(seat) => Ok(Some(seat)),
        Taken::Uncounted => {
            worker.counts.worker().unmetered.add(1);
            Ok(None)
        }
        Taken::TooMany => refuse(worker, listener, client, Untaken::Client),
    }
}

fn refuse(worker: &Worker, listener: &Listener, client: IpAddr, why: Untaken) -> Result<Option<Seat>, Full> {
    worker.counts.worker().untaken[plane(listener.exposure)][why as usize].add(1);
    tracing::debug!(listener = %listener.name, %client, limit = why.as_str(), "refused: there are as many connections as may be");
    Err(Full)
}
