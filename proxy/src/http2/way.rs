//! The way to a replica that does not speak plain HTTP/1: by a connection for many requests, or by one of its own.
//!
//! Invariant: what a replica speaks was decided when the picture was built; in TLS the replica chooses between HTTP/2 and HTTP/1 (ALPN).
//! A connection of HTTP/2 stands once the replica has said its settings; before that nothing of a request is on it.

use std::io;
use std::rc::Rc;

use hyper::http::uri::Scheme;
use registry::snapshot::Replica;
use registry::speech::Speech;

use super::lanes::{Place, Turn};
use super::link::Link;
use crate::upstream::{self, Patience};
use crate::worker::Worker;

/// How a request gets there.
pub(super) enum Way {
    /// By HTTP/1.
    One(Link),
    /// By HTTP/2, with the scheme that the replica is asked for.
    Two(Place, Scheme),
}

/// What a way is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// How long the replica may take to say anything.
    pub(super) patience: Patience,
    /// An idle connection has just died, so none is trusted.
    pub(super) afresh: bool,
    /// What is sent cannot be sent again, so that an idle connection is looked at closely.
    pub(super) surely: bool,
    /// An upgrade, which HTTP/2 does not carry.
    pub(super) upgrade: bool,
}

/// One that stands already, and has served before.
pub(super) fn at_once(worker: &Worker, replica: &Replica, need: Need) -> Option<Way> {
    let idle = if need.afresh { None } else { worker.links.borrow_mut().checkout(replica.id, need.surely) };
    if let Some(link) = idle {
        return Some(Way::One(link));
    }
    let upgrades_in_tls = need.upgrade && matches!(replica.speaks, Speech::Tls(_));
    let place = if upgrades_in_tls { None } else { worker.lanes.place(replica.id) };
    place.map(|place| Way::Two(place, scheme(replica)))
}

fn scheme(replica: &Replica) -> Scheme {
    if matches!(replica.speaks, Speech::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP }
}

/// Opens one, or waits for one that somebody opens; true when it has served before.
///
/// # Errors
/// No connection stood within the time for it, which is for all of it: whoever waits holds the picture.
pub(super) async fn open(worker: &Rc<Worker>, replica: &Replica, need: Need) -> io::Result<(Way, bool)> {
    tokio::time::timeout(need.patience.connect, opened(worker, replica, need)).await?
}

async fn opened(worker: &Rc<Worker>, replica: &Replica, need: Need) -> io::Result<(Way, bool)> {
    let terms = match &replica.speaks {
        Speech::Tls(terms) => Some(terms),
        Speech::Http1 | Speech::H2c => None,
    };
    let patience = need.patience;
    if let (Some(terms), true) = (terms, need.upgrade) {
        return Ok((Way::One(Link::secure(replica, &terms.name, &terms.http1, patience).await?), false));
    }
    let scheme = scheme(replica);
    let opening = match worker.lanes.turn(replica.id).await {
        Turn::Go(place) => {
            let reused = place.reused;
            return Ok((Way::Two(place, scheme), reused));
        }
        Turn::Open(opening) => opening,
    };
    let link = match terms {
        Some(terms) => Link::secure(replica, &terms.name, &terms.config, patience).await?,
        None => Link::Plain(upstream::connect(replica.address, patience).await?),
    };
    if terms.is_some() && !link.agreed_on_http2() {
        opening.chose_one();
        return Ok((Way::One(link), false));
    }
    Ok((Way::Two(opening.done(worker, replica.id, link).await?, scheme), false))
}
