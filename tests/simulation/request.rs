//! One request on its way through a worker, step by step, as `http/exchange.rs` goes: decide, pick, connect or take an idle connection,
//! send, and what comes of it.

use std::rc::Rc;

use config::exposure::Exposure;
use proxy::balance::{self, By, InFlight};
use proxy::http::decide::{Decision, decide};
use proxy::http::tried::{Tried, Unreached};
use proxy::picture::Held;
use proxy::waiting::{Key, Place};
use registry::snapshot::{EndpointId, ReplicaId};

use super::law::Fault;
use super::objects;
use super::world::{Connection, World};

/// A request under way.
pub(super) struct Request {
    pub(super) id: usize,
    pub(super) worker: usize,
    pub(super) exposure: Exposure,
    pub(super) service: usize,
    pub(super) idempotent: bool,
    pub(super) began_ms: u64,
    /// Counts steps, so that one which was overtaken is known.
    pub(super) step: u64,
    pub(super) at: At,
    tried: Tried,
    place: Option<Place>,
    /// When it began to wait.
    pub(super) waits_since_ms: Option<u64>,
    /// Times that it was read by a process which did not answer.
    died: usize,
}

/// Where it is.
pub(super) enum At {
    /// It is to be decided on.
    Deciding,
    /// A connection is being opened.
    Connecting(Picked),
    /// It was written.
    Sent(Picked, Connection),
    /// A process works on it.
    Working(Picked, Connection),
    /// It waits for somebody.
    Waiting,
}

/// An endpoint, while the picture that it comes from is held.
pub(super) struct Picked {
    endpoint: EndpointId,
    replica: ReplicaId,
    flight: InFlight,
    held: Option<Rc<Held>>,
    reused: bool,
}

/// How a request ended.
pub(super) enum Ended {
    Answered,
    Refused(&'static str),
}

impl Request {
    pub(super) fn new(world: &mut World, id: usize) -> Request {
        let rng = &mut world.rng;
        let exposure = if rng.bool() { Exposure::External } else { Exposure::Internal };
        let (service, idempotent) = (rng.usize(..objects::SERVICES), rng.bool());
        Request {
            id,
            worker: rng.usize(..world.workers.len()),
            exposure,
            service,
            idempotent,
            began_ms: world.now_ms,
            step: 0,
            at: At::Deciding,
            tried: Tried::begin(!idempotent),
            place: None,
            waits_since_ms: None,
            died: 0,
        }
    }

    /// Goes on. Gives the time until the next step, or how it ended.
    pub(super) fn step(&mut self, world: &mut World) -> Result<Result<u64, Ended>, String> {
        self.step += 1;
        match std::mem::replace(&mut self.at, At::Deciding) {
            At::Deciding | At::Waiting => self.decide(world),
            At::Connecting(picked) => self.connect(world, picked),
            At::Sent(picked, connection) => self.arrive(world, picked, connection),
            At::Working(picked, connection) => self.answer(world, picked, connection),
        }
    }

    fn decide(&mut self, world: &mut World) -> Result<Result<u64, Ended>, String> {
        let held = world.workers[self.worker].pictures.hold();
        let seen = if world.fault == Some(Fault::ShowsTheInside) { Exposure::Internal } else { self.exposure };
        let plane = held.snapshot().plane(seen);
        let service = match decide(plane, &objects::host(self.service), "/") {
            Decision::Forward { service, .. } | Decision::NoEndpoint { service: Some(service), .. } => service.clone(),
            Decision::NoEndpoint { .. } | Decision::NoRoute(_) => return Ok(Err(Ended::Refused("no route"))),
        };
        if self.exposure == Exposure::External && self.service == objects::SEALED {
            return Err(format!("a sealed service is reached from outside: {}", service.name));
        }
        if self.tried.spent() || service.endpoints.is_empty() {
            return Ok(self.wait(world, Key::of(self.exposure, &service)));
        }
        let avoid = if world.fault == Some(Fault::AvoidsNobody) { &[][..] } else { self.tried.avoided(false) };
        let now_us = world.now_ms * 1_000;
        let picked = balance::pick(&service.endpoints, avoid, By::Latency, now_us, &mut world.rng);
        let again = || if self.tried.reused() { service.endpoints.first() } else { None };
        let Some(endpoint) = picked.or_else(again) else { return Ok(self.wait(world, Key::of(self.exposure, &service))) };
        if endpoint.replica.pod.as_deref().is_none_or(|pod| !pod.starts_with(&format!("sim/s{}-", self.service))) {
            return Err(format!("a pod of another service was picked: {:?}", endpoint.replica.pod));
        }
        let (id, replica) = (endpoint.id, endpoint.replica.clone());
        let failed = self.tried.avoided(false);
        if failed.contains(&id) && service.endpoints.iter().any(|other| !failed.contains(&other.id)) {
            return Err(format!("request {} asks {id:?} again, although there is another", self.id));
        }
        let connection = if self.tried.died() { None } else { world.idle(self.worker, &replica, self.tried.once()) };
        let picked =
            Picked { endpoint: id, replica: replica.id, flight: InFlight::begin(&replica), held: Some(held), reused: connection.is_some() };
        if let Some(other) = connection.map(|connection| connection.opened_for).filter(|other| *other != replica.id) {
            return Err(format!(
                "request {} for {:?} goes by a connection that was opened to another replica, {other:?}",
                self.id, replica.id
            ));
        }
        match connection {
            Some(connection) => self.send(world, picked, connection),
            None => {
                self.at = At::Connecting(picked);
                Ok(Ok(world.rng.u64(..5)))
            }
        }
    }

    fn wait(&mut self, world: &mut World, key: Key) -> Result<u64, Ended> {
        if !self.tried.may_wait() || world.fault == Some(Fault::NeverWaits) {
            return Err(Ended::Refused("nobody"));
        }
        if self.place.is_none() {
            let limits = world.limits;
            self.place = world.workers[self.worker].waiting.place(key, limits.endpoint_wait_ms, &limits, world.now_ms);
        }
        let Some(place) = &mut self.place else { return Err(Ended::Refused("no place to wait")) };
        self.waits_since_ms.get_or_insert(world.now_ms);
        let Some(pause) = place.pause(world.now_ms) else {
            if world.fault != Some(Fault::QueuesWithoutEnd) {
                return Err(Ended::Refused("waited in vain"));
            }
            self.at = At::Waiting;
            return Ok(500);
        };
        self.tried.start_over();
        self.at = At::Waiting;
        Ok(pause.as_millis() as u64)
    }

    fn connect(&mut self, world: &mut World, picked: Picked) -> Result<Result<u64, Ended>, String> {
        let address = picked.flight.replica().address;
        match world.network.connect(address.ip()) {
            Some((process, service)) => {
                let opened_for = picked.replica;
                world.workers[self.worker].waiting.reached(Key::of(self.exposure, &world.service_of(self.exposure, self.service)));
                self.send(world, picked, Connection { process, service, opened_for })
            }
            None => {
                balance::failed(&picked.flight.replica().load, world.now_ms * 1_000);
                self.tried.no_connection(Unreached { endpoint: picked.endpoint, for_now: true });
                Ok(Ok(0))
            }
        }
    }

    fn send(&mut self, world: &mut World, mut picked: Picked, connection: Connection) -> Result<Result<u64, Ended>, String> {
        if world.is_gone(picked.endpoint) {
            return Err(format!("request {} is sent to endpoint {:?}, which is gone", self.id, picked.endpoint));
        }
        picked.held = None;
        self.at = At::Sent(picked, connection);
        Ok(Ok(world.rng.u64(..3)))
    }

    fn arrive(&mut self, world: &mut World, picked: Picked, connection: Connection) -> Result<Result<u64, Ended>, String> {
        if !world.network.is_alive(connection.process) {
            return self.broke(world, &picked);
        }
        if world.network.read(connection.process, self.id) && !self.idempotent {
            return Err(format!("request {} is not idempotent and was read twice", self.id));
        }
        self.at = At::Working(picked, connection);
        Ok(Ok(world.rng.u64(..40)))
    }

    fn answer(&mut self, world: &mut World, picked: Picked, connection: Connection) -> Result<Result<u64, Ended>, String> {
        if !world.network.is_alive(connection.process) {
            self.died += 1;
            return self.broke(world, &picked);
        }
        // An address that has a new owner is met until every worker knows that its old one is gone, which was looked at when it was sent.
        world.strangers += usize::from(connection.service != self.service);
        balance::answered(&picked.flight.replica().load, 1_000, world.now_ms * 1_000);
        world.rest(self.worker, picked.replica, picked.flight.replica().address, connection);
        Ok(Err(Ended::Answered))
    }

    fn broke(&mut self, world: &mut World, picked: &Picked) -> Result<Result<u64, Ended>, String> {
        if !picked.reused {
            balance::failed(&picked.flight.replica().load, world.now_ms * 1_000);
        }
        let repeats = world.fault == Some(Fault::RepeatsAll) && !self.idempotent && !self.tried.died();
        if !repeats && !self.tried.may_repeat(self.idempotent, true) {
            return Ok(Err(Ended::Refused("broken")));
        }
        self.tried.broke(picked.endpoint, picked.reused);
        Ok(Ok(0))
    }

    /// Whether it may end without an answer for this reason.
    pub(super) fn may_fail(&self, reason: &str, world: &World) -> bool {
        match reason {
            "no route" => self.exposure == Exposure::External && self.service == objects::SEALED,
            "broken" => !self.idempotent || self.died >= 2,
            "waited in vain" => self.waits_since_ms.is_some_and(|since| world.now_ms >= since + world.limits.endpoint_wait_ms),
            // In these worlds there are places for all, and nobody is away for so long that nobody is waited for.
            _ => false,
        }
    }
}
