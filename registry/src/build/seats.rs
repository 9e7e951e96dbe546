//! Members become endpoints: who stays keeps their id, who is new gets one, who left drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::object::{Name, Protocol, ServiceKey};

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
    /// When it became Ready while we ran, or returned: it is young from then on, beside others that are not.
    pub(super) young_since: Option<Duration>,
}

impl Seat {
    /// Where it is in its life, by what is said of it; [`World::state`] knows more.
    pub(super) fn state(&self) -> State {
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

    /// Ready, by what is said of it.
    pub(super) fn is_ready(&self) -> bool {
        self.member.ready
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { id: self.id, replica: self.replica.clone() }
    }

    fn key(&self, protocol: Protocol) -> ReplicaKey {
        let speaks = self.replica.speaks.clone();
        ReplicaKey { identity: self.member.identity.clone(), address: self.member.address, protocol, speaks }
    }

    /// Ends the membership. `picked` is what pictures up to `version` may have picked from.
    pub(super) fn leave(self, life: &mut Lifecycle, service: &Name, protocol: Protocol, picked: &[Arc<Service>], version: u64) {
        // One that no picture has now was last seen in an older one: the newest lacks it already.
        let seen = picked.iter().any(|picked| picked.members().any(|endpoint| endpoint.id == self.id));
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
        let picked = self.picked(port);
        let now = self.now;
        // Who was there before us is as old as can be.
        let grows = self.begun.then_some(now);
        let since = |becomes_ready: bool, before: Option<Duration>| if becomes_ready { grows } else { before };
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
                    let becomes_ready = member.ready && !seat.member.ready;
                    let young_since = since(becomes_ready, seat.young_since);
                    if becomes_ready {
                        self.outliers.hasten(seat.id, now);
                    }
                    Seat { was_ready: seat.was_ready || member.ready, young_since, member, ..seat }
                }
                other => {
                    left.extend(other);
                    let (identity, speaks) = (member.identity.clone(), speech.clone());
                    let replica = ReplicaKey { identity, address: member.address, protocol, speaks };
                    let (id, replica) = self.life.join(replica, member.pod.as_ref());
                    Seat { id, replica, was_ready: member.ready, young_since: since(member.ready, None), member }
                }
            };
            seat.replica.load.leaving.store(seat.member.terminating, Relaxed);
            port.seats.push(seat);
        }
        let service: Name = port.name(key).to_string().into();
        for seat in left.into_iter().chain(old) {
            self.outliers.forget(seat.id);
            seat.leave(&mut self.life, &service, protocol, &picked, version);
        }
        self.fill(port);
    }

    /// What pictures may pick from of a port inside.
    pub(super) fn picked(&self, port: &Port) -> Vec<Arc<Service>> {
        port.place.into_iter().chain(port.local_place).map(|place| self.places.get(place).clone()).collect()
    }

    /// What is near for a port inside.
    pub(super) fn near(&self, port: &Port) -> Near<'_> {
        Near { distribution: port.distribution, node: self.ground.node.as_deref(), zone: self.ground.zone.as_deref() }
    }

    /// Brings what may be picked of a port inside up to date.
    pub(super) fn fill(&mut self, port: &Port) {
        if let Some(place) = port.place {
            let picks = self.picks(port, port.candidates(None), self.near(port));
            self.places.fill(place, picks);
        }
        // Whoever wants those of this node alone has no others to put behind them.
        if let Some(place) = port.local_place {
            let picks = self.picks(port, port.candidates(self.ground.node.as_deref()), Near::default());
            self.places.fill(place, picks);
        }
    }
}

impl Port {
    /// Ready ones, else those that still serve while they terminate (KEP-1669); with `node` only those on it, and those of which nobody
    /// knows where they are.
    pub(super) fn candidates(&self, node: Option<&str>) -> Vec<&Seat> {
        let here = |member: &Member| node.is_none_or(|node| member.node.as_deref().is_none_or(|other| other == node));
        let some = |test: fn(&Member) -> bool| self.seats.iter().filter(move |seat| here(&seat.member) && test(&seat.member));
        let ready: Vec<&Seat> = some(|member| member.ready).collect();
        if ready.is_empty() { some(|member| member.serving && member.terminating).collect() } else { ready }
    }
}
