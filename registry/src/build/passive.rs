//! What comes of ejections: who is picked from, who is aside, who is young; and what workers say of replicas.
//!
//! Invariant: health is a replica's, ejection its endpoints': a replica that fails is judged in each service port that it is in, by that port's
//! other endpoints. Times and shares are decided in [`crate::outlier`]; nobody who is not Ready is ejected here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::object::ServiceKey;
use config::settings::Outlier as Rules;

use super::near::Near;
use super::seats::Seat;
use super::{Map, Port, World};
use crate::lifecycle::State;
use crate::outlier::rates::{self, Tally};
use crate::outlier::{Cause, Standing, Turn};
use crate::snapshot::{Aside, Endpoint, EndpointId, PortName, Replica, ReplicaId, Service, Trial, Unsettled, Young};

/// What of a port's endpoints a service is to have.
pub(super) struct Picks {
    endpoints: Box<[Endpoint]>,
    /// How many of them are near.
    near: usize,
    unsettled: Option<Box<Unsettled>>,
}

impl Picks {
    /// Whether the service has them already.
    pub(super) fn are_of(&self, service: &Service) -> bool {
        self.unsettled == service.unsettled && self.near == service.near && ids(&self.endpoints).eq(ids(&service.endpoints))
    }

    /// The service with them.
    pub(super) fn into(self, service: &Service) -> Service {
        service.with(self.endpoints, self.near, self.unsettled)
    }
}

fn ids(endpoints: &[Endpoint]) -> impl Iterator<Item = EndpointId> {
    endpoints.iter().map(|endpoint| endpoint.id)
}

/// Requests begun and failed, by replica, and when.
#[derive(Debug, Default)]
pub(super) struct Looked {
    at: Duration,
    totals: Map<ReplicaId, (u32, u32)>,
}

/// An ejection or a return, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    service: PortName,
    address: SocketAddr,
    turn: Turn,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notice { service, address, turn } = self;
        match turn {
            Turn::Ejected(cause, lasts) => write!(f, "outlier: {address} of {service} is ejected for {lasts:?}: {cause}"),
            Turn::OnTrial => write!(f, "outlier: {address} of {service} is on trial"),
            Turn::Proven => write!(f, "outlier: {address} of {service} is back: its trial went well"),
            Turn::Returned => write!(f, "outlier: {address} of {service} is back, untried"),
            Turn::Spared => write!(f, "outlier: {address} of {service} is back: its trial failed, but no more may be left out"),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl World {
    /// Whom of these candidates of a port a service picks from.
    pub(super) fn picks(&self, port: &Port, candidates: Vec<&Seat>, near: Near<'_>) -> Picks {
        let (aside, mut picked) = self.set_aside(candidates);
        let near = near.first(&mut picked, |seat| seat.member());
        let young = self.young(port, &picked);
        let aside: Box<[Aside]> =
            aside.into_iter().map(|seat| Aside { endpoint: seat.endpoint(), trial: self.outliers.trial(seat.id).cloned() }).collect();
        let unsettled = (young.is_some() || !aside.is_empty()).then(|| Box::new(Unsettled { aside, young }));
        Picks { endpoints: picked.into_iter().map(Seat::endpoint).collect(), near, unsettled }
    }

    /// Those that are out, and the others; nobody is out when too few would be left.
    fn set_aside<'s>(&self, candidates: Vec<&'s Seat>) -> (Vec<&'s Seat>, Vec<&'s Seat>) {
        if self.outliers.is_quiet() {
            return (Vec::new(), candidates);
        }
        let is_out = |seat: &&Seat| seat.is_ready() && self.outliers.is_out(seat.id);
        let out = candidates.iter().filter(|seat| is_out(seat)).count();
        if self.outliers.leaves_out(candidates.len(), out) { candidates.into_iter().partition(is_out) } else { (Vec::new(), candidates) }
    }

    /// Who of the picked is young, unless all are.
    fn young(&self, port: &Port, picked: &[&Seat]) -> Option<Young> {
        if port.slow_start.is_zero() {
            return None;
        }
        let full = |seat: &&Seat| seat.young_since.map(|since| since.saturating_add(port.slow_start)).filter(|full| *full > self.now);
        let young: Vec<(EndpointId, u64)> = picked.iter().filter_map(|seat| Some((seat.id, micros(full(seat)?)))).collect();
        (!young.is_empty() && young.len() < picked.len()).then(|| Young::new(micros(port.slow_start), young))
    }

    /// Where an endpoint is in its life.
    pub(crate) fn state(&self, seat: &Seat) -> State {
        match seat.state() {
            State::Ready if self.outliers.is_out(seat.id) => State::Ejected,
            state => state,
        }
    }

    /// Why an endpoint that would be Ready is not, and for how long.
    pub(crate) fn standing(&self, seat: &Seat) -> Option<Standing> {
        self.outliers.standing(seat.id).filter(|_| seat.is_ready())
    }

    /// A worker says that so many requests in a row came to nothing at a replica.
    pub(crate) fn suspect(&mut self, replica: &Replica) {
        replica.load.told.store(false, Relaxed);
        let threshold = self.outliers.rules().consecutive_failures;
        // One that has done its work since is no suspect any more.
        if threshold > 0 && replica.load.failures.load(Relaxed) >= threshold {
            for (name, id) in self.seats_of(replica) {
                self.eject(&name, id, Cause::InARow(threshold));
            }
        }
    }

    /// A worker says what came of the one request of a replica on trial.
    pub(crate) fn tried(&mut self, replica: &Replica, trial: &Arc<Trial>, well: bool) {
        let seats = self.seats_of(replica);
        // A late word of an earlier trial says nothing of how the replica is now.
        if !seats.iter().any(|(_, id)| self.outliers.trial(*id).is_some_and(|now| Arc::ptr_eq(now, trial))) {
            return;
        }
        for (name, id) in seats {
            let Some(ready) = self.ready(&name) else { continue };
            if let Some(turn) = self.outliers.tried(&name, &ready, id, well, self.now) {
                self.turned(&name, id, turn);
            }
        }
    }

    /// The endpoints of a replica that are Ready, each with its port.
    fn seats_of(&self, replica: &Replica) -> Vec<(PortName, EndpointId)> {
        let keys: BTreeSet<&ServiceKey> = self.at.having(replica.address).collect();
        let entries = keys.into_iter().filter_map(|key| Some((key, self.services.get(key)?)));
        let ports = entries.flat_map(|(key, entry)| entry.ports.iter().map(move |port| (key, port)));
        let seat = |port: &Port| Some(port.seats.iter().find(|seat| seat.replica.id == replica.id && seat.is_ready())?.id);
        ports.filter_map(|(key, port)| Some((port.name(key), seat(port)?))).collect()
    }

    /// The ids of a port's Ready endpoints.
    fn ready(&self, name: &PortName) -> Option<Vec<EndpointId>> {
        let port = self.services.get(&name.service)?.port(name)?;
        Some(port.seats.iter().filter(|seat| seat.is_ready()).map(|seat| seat.id).collect())
    }

    fn eject(&mut self, name: &PortName, id: EndpointId, cause: Cause) {
        let Some(ready) = self.ready(name) else { return };
        if let Some(turn) = self.outliers.eject(name, &ready, id, cause, self.now) {
            self.turned(name, id, turn);
        }
    }

    /// Sees to what follows when an endpoint has gone on in its life.
    fn turned(&mut self, name: &PortName, id: EndpointId, turn: Turn) {
        let (now, threshold) = (self.now, self.outliers.rules().consecutive_failures);
        let named = |port: &&mut Port| port.spec.port == name.port && port.spec.protocol == name.protocol;
        let Some(port) = self.services.get_mut(&name.service).and_then(|entry| entry.ports.iter_mut().find(named)) else { return };
        if let Turn::Ejected(cause, _) = turn {
            port.ejections[cause.index()] += 1;
        }
        let Some(seat) = port.seats.iter_mut().find(|seat| seat.id == id) else { return };
        let replica = seat.replica.clone();
        match turn {
            Turn::Ejected(..) | Turn::OnTrial => {}
            Turn::Proven | Turn::Returned | Turn::Spared => {
                replica.load.failures.store(0, Relaxed);
                seat.young_since = Some(now);
            }
        }
        // Whatever failure comes next is one too many, also of a request that nobody sent as a trial; but not of one by a service in which it
        // is well.
        if turn == Turn::OnTrial && self.seats_of(&replica).iter().all(|(_, id)| self.outliers.is_out(*id)) {
            replica.load.failures.store(threshold.saturating_sub(1), Relaxed);
        }
        self.notices.push(Notice { service: name.clone(), address: replica.address, turn });
        self.refill(&name.service);
    }

    /// Brings what may be picked of a service up to date, when nothing that is said of it has changed.
    fn refill(&mut self, key: &ServiceKey) {
        let Some(entry) = self.services.remove(key) else { return };
        entry.ports.iter().for_each(|port| self.fill(port));
        self.services.insert(key.clone(), entry);
        self.refilter.insert(key.clone());
    }

    /// Whoever's time is over goes on; and once in an interval all are compared.
    pub(crate) fn weigh(&mut self) {
        for (name, id, turn) in self.outliers.tick(self.now) {
            self.turned(&name, id, turn);
        }
        if self.look_due().is_some_and(|due| due <= self.now) {
            self.compare();
        }
    }

    fn compare(&mut self) {
        for (name, id, cause) in self.look() {
            self.eject(&name, id, cause);
        }
    }

    /// When [`World::weigh`] has something to do next.
    pub(crate) fn weigh_due(&self) -> Option<Duration> {
        [self.outliers.due(), self.look_due()].into_iter().flatten().min()
    }

    fn look_due(&self) -> Option<Duration> {
        let rules = self.outliers.rules();
        rules.is_on().then(|| self.looked.at.saturating_add(Duration::from_millis(rules.interval_ms)))
    }

    /// Who should be ejected by what requests came to since the last look.
    fn look(&mut self) -> Vec<(PortName, EndpointId, Cause)> {
        let rules = *self.outliers.rules();
        let (mut totals, mut found) = (Map::default(), Vec::new());
        for (key, entry) in &self.services {
            for port in &entry.ports {
                let mut tallies = Vec::new();
                for seat in &port.seats {
                    let load = &seat.replica.load;
                    let total = (load.in_flight.begun(), load.failed.load(Relaxed));
                    if total == (0, 0) {
                        continue; // most, where many services are idle
                    }
                    let before = self.looked.totals.get(&seat.replica.id).copied().unwrap_or_default();
                    // Also of who is not Ready now: once it is again, only what comes from now on counts.
                    totals.insert(seat.replica.id, total);
                    if !seat.is_ready() || self.outliers.is_out(seat.id) {
                        continue;
                    }
                    let failures = load.failures.load(Relaxed);
                    if rules.consecutive_failures > 0 && failures >= rules.consecutive_failures {
                        // When it was told, too many others were out.
                        found.push((port.name(key), seat.id, Cause::InARow(failures)));
                        continue;
                    }
                    let (requests, failed) = (total.0.wrapping_sub(before.0), total.1.wrapping_sub(before.1));
                    tallies.push(Tally { id: seat.id, requests, failed });
                }
                found.extend(rates::outliers(&tallies, &rules).into_iter().map(|(id, cause)| (port.name(key), id, cause)));
            }
        }
        self.looked = Looked { at: self.now, totals };
        found
    }

    /// Goes by these rules from now on.
    pub(crate) fn renew_rules(&mut self, rules: Rules, slow_start: Duration) {
        let was_on = self.outliers.rules().is_on();
        if *self.outliers.rules() != rules {
            for (name, id, turn) in self.outliers.renew(rules, self.now) {
                self.turned(&name, id, turn);
            }
            let all: Vec<ServiceKey> = self.services.keys().cloned().collect();
            all.iter().for_each(|key| self.refill(key)); // how few are too few may have changed
            if was_on {
                self.compare(); // and who fails too often
            } else {
                self.look(); // what came while nobody was judged is not held against anybody
            }
        }
        if std::mem::replace(&mut self.slow_start, slow_start) != slow_start {
            self.dirty.extend(self.services.keys().cloned());
        }
    }
}
