//! Who asks: a client's connection as routing, forwarding and the log see it, whichever HTTP it speaks.
//!
//! Invariant: nothing here changes while the connection lives, and no byte of it is read or written here.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use config::object::ClientTerms;
use registry::snapshot::{Plane, Snapshot};

use super::write::Shown;
use crate::digits;
use crate::filter::Fields;
use crate::listener::{Listener, contains};
use crate::stats::plane;
use crate::stream::{Stream, Verified};
use crate::worker::Worker;

/// The longest address as text.
const MAX_IP: usize = 45;

/// A client's connection, without its bytes.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Arc<Listener>,
    /// The address of the connection's other end.
    pub(crate) client: IpAddr,
    /// The same as text: every request tells it.
    pub(crate) peer: Box<[u8]>,
    /// The peer's forwarding headers are believed.
    pub(crate) trusted: bool,
    /// What it came through.
    pub(crate) over: Over,
}

/// What a request came through.
#[derive(Clone)]
pub(crate) enum Over {
    Plain,
    Tls {
        /// The host that the handshake named, normalised.
        opened: Option<Box<str>>,
        /// What the client showed, where its host asks for something.
        shown: Option<Rc<Verified>>,
    },
}

impl Caller {
    pub(crate) fn new(worker: Rc<Worker>, listener: Arc<Listener>, peer: SocketAddr, stream: &Stream) -> Caller {
        let mut text = Vec::with_capacity(MAX_IP);
        digits::ip(&mut text, peer.ip().to_canonical());
        let over = stream.tls().map_or(Over::Plain, |tls| Over::Tls { opened: tls.opened.clone(), shown: tls.client.clone() });
        Caller { trusted: contains(&worker.terms.trusted, peer.ip()), client: peer.ip(), peer: text.into(), worker, listener, over }
    }

    /// What this client can reach.
    pub(crate) fn plane<'s>(&self, snapshot: &'s Snapshot) -> &'s Plane {
        snapshot.plane(self.listener.exposure)
    }

    /// Whether a new request is refused, since the worker is late. It is counted.
    pub(crate) fn sheds(&self) -> bool {
        let sheds = self.worker.shedding.sheds(self.listener.exposure);
        if sheds {
            self.worker.counts.worker().shed[plane(self.listener.exposure)].add(1);
        }
        sheds
    }

    /// It came through TLS.
    pub(crate) fn https(&self) -> bool {
        matches!(self.over, Over::Tls { .. })
    }

    /// It asks in TLS, of us or of a trusted proxy.
    pub(crate) fn asks_by_https(&self, fields: &dyn Fields) -> bool {
        let told = || fields.one("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"));
        self.https() || (self.trusted && told())
    }

    /// By what terms the client was asked to show a certificate.
    pub(crate) fn asked_by(&self) -> Option<&ClientTerms> {
        match &self.over {
            Over::Plain => None,
            Over::Tls { shown, .. } => shown.as_ref().map(|shown| &shown.policy.terms),
        }
    }

    /// What replicas are told of what the client showed.
    pub(crate) fn shown(&self) -> Shown<'_> {
        match &self.over {
            Over::Tls { shown: Some(shown), .. } => {
                shown.subject.as_ref().map_or(Shown::Nothing, |subject| Shown::Certificate(subject.as_bytes()))
            }
            Over::Plain | Over::Tls { shown: None, .. } => Shown::Unasked,
        }
    }

    /// Whether a request for `host` may come on this connection (see [`registry::certificate::CertificateTable::carries`]).
    pub(crate) fn may_ask(&self, plane: &Plane, host: &str) -> bool {
        match &self.over {
            Over::Plain => true,
            Over::Tls { opened, .. } => plane.certificates.carries(opened.as_deref(), host),
        }
    }
}
