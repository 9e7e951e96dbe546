//! Members become endpoints: who stays keeps their id, who is new gets one, who left drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::object::{Distribution, Name, Protocol, ServiceKey};

use super::members::Member;
use super::near::Near;
use super::{Port, World};
use crate::lifecycle::{Lifecycle, ReplicaKey, State};
use crate::snapshot::{Endpoint, EndpointId, Replica, Service};
use crate::speech::Speech;

/// A member with its identity.
#[derive(Debug)]
pub(crate) struct Seat {
    member: Member,
    pub(crate) id: EndpointId,
    pub(crate) replica: Arc<Replica>,
    was_ready: bool,
}

impl Seat {
    /// Where it is in its life.
    pub(crate) fn state(&self) -> State {
        match (self.member.ready, self.member.terminating, self.was_ready) {
            (true, ..) => State::Ready,
            (false, true, _) => State::Draining,
            (false, false, true) => State::Ejected,
            (false, false, false) => State::Pending,
        }
    }

    pub(super) fn member(&self) -> &Member {
        &self.member
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { id: self.id, replica: self.replica.clone() }
    }

    fn key(&self, protocol: Protocol) -> ReplicaKey {
        let speaks = self.replica.speaks.clone();
        ReplicaKey { identity: self.member.identity.clone(), address: self.member.address, protocol, speaks }
    }

    /// Ends the membership. `picked` is what pictures up to `version` may have picked from.
    pub(super) fn leave(self, life: &mut Lifecycle, service: &Name, protocol: Protocol, picked: Option<&Service>, version: u64) {
        // One that no picture has now was last seen in an older one: the newest lacks it already.
        let seen = picked.is_some_and(|picked| picked.endpoints.iter().any(|endpoint| endpoint.id == self.id));
        let key = self.key(protocol);
        life.leave(&key, self.id, self.replica, service.clone(), if seen { version + 1 } else { version });
    }
}

impl World {
    /// Seats the members of a port, who are spoken to by `speech`. Both lists are sorted by address, each address once.
    pub(super) fn seat(
        &mut self,
        key: &ServiceKey,
        port: &mut Port,
        members: Vec<Member>,
        speech: &Speech,
        refused: &mut Vec<(SocketAddr, String)>,
        version: u64,
    ) {
        let protocol = port.spec.protocol;
        let picked = port.place.map(|place| self.places.get(place).clone());
        let mut old = std::mem::take(&mut port.seats).into_iter().peekable();
        let mut left = Vec::new();
        for member in members {
            if let Some(why) = self.refused(member.address) {
                refused.push((member.address, why));
                continue;
            }
            while let Some(seat) = old.next_if(|seat| seat.member.address < member.address) {
                left.push(seat);
            }
            let same = old.next_if(|seat| seat.member.address == member.address);
            let seat = match same {
                Some(seat) if seat.member.identity == member.identity && seat.replica.speaks == *speech => {
                    Seat { was_ready: seat.was_ready || member.ready, member, ..seat }
                }
                other => {
                    left.extend(other);
                    let (identity, speaks) = (member.identity.clone(), speech.clone());
                    let replica = ReplicaKey { identity, address: member.address, protocol, speaks };
                    let (id, replica) = self.life.join(replica, member.pod.as_ref());
                    Seat { id, replica, was_ready: member.ready, member }
                }
            };
            seat.replica.load.leaving.store(seat.member.terminating, Relaxed);
            port.seats.push(seat);
        }
        let service: Name = port.name(key).to_string().into();
        for seat in left.into_iter().chain(old) {
            seat.leave(&mut self.life, &service, protocol, picked.as_deref(), version);
        }
    }

    /// Hands those of a port that may be picked on to its places; of all of them, those by `distribution` first that are near.
    pub(super) fn fill(&mut self, port: &Port, distribution: Option<Distribution>) {
        let near = Near { distribution, node: self.ground.node.as_deref(), zone: self.ground.zone.as_deref() };
        // Whoever wants those of this node alone has no others to put behind them.
        for (place, node, near) in [(port.place, None, near), (port.local_place, self.ground.node.as_deref(), Near::default())] {
            if let Some(place) = place {
                self.places.fill(place, port.pickable(node, near));
            }
        }
    }
}

impl Port {
    /// Ready ones, else those that still serve while they terminate (KEP-1669); with `node` only those on it, and those of which nobody
    /// knows where they are. And how many of them are near: these come first.
    pub(super) fn pickable(&self, node: Option<&str>, near: Near<'_>) -> (Box<[Endpoint]>, usize) {
        let here = |member: &Member| node.is_none_or(|node| member.node.as_deref().is_none_or(|other| other == node));
        let some = |test: fn(&Member) -> bool| self.seats.iter().filter(move |seat| here(&seat.member) && test(&seat.member));
        let mut seats: Vec<&Seat> = some(|member| member.ready).collect();
        if seats.is_empty() {
            seats.extend(some(|member| member.serving && member.terminating));
        }
        let count = near.first(&mut seats, |seat| &seat.member);
        (seats.into_iter().map(Seat::endpoint).collect(), count)
    }
}
