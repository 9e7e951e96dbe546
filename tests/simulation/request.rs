//! One request on its way through a worker, step by step, as `http/exchange.rs` goes: pick, connect or take an idle connection, send, and
//! what comes of it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use config::exposure::Exposure;
use proxy::balance::{self, InFlight};
use proxy::deadline::Deadline;
use proxy::http::tried::{Tried, Unreached};
use proxy::outlier::Witness;
use proxy::picture::Held;
use proxy::waiting::{Key, Place};
use registry::snapshot::{EndpointId, ReplicaId, Trial};

use super::drain::is_cut;
use super::law::Fault;
use super::network::Illness;
use super::objects;
use super::worker::Connection;
use super::world::World;

/// Times that an idempotent request is sent again after a connection broke.
const REPEATS: usize = 3;

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
    pub(super) tried: Tried,
    pub(super) place: Option<Place>,
    /// When it began to wait.
    pub(super) waits_since_ms: Option<u64>,
    /// Its answer takes a while from head to end.
    long: bool,
    /// Times that its connection broke.
    broke: usize,
}

/// Where it is.
pub(super) enum At {
    /// It is to be decided on.
    Deciding,
    /// A connection is being opened.
    Connecting(Picked),
    /// It was written.
    Sent(Picked, Sent),
    /// A process works on it.
    Working(Picked, Sent),
    /// The head of an answer has come.
    Answering(Picked, Sent),
    /// It waits for somebody.
    Waiting,
}

/// An endpoint, while the picture that it comes from is held.
pub(super) struct Picked {
    pub(super) endpoint: EndpointId,
    pub(super) flight: InFlight,
    pub(super) held: Option<Rc<Held>>,
    pub(super) reused: bool,
    pub(super) witness: Witness,
    /// It is the one request of this trial.
    pub(super) trial: Option<Arc<Trial>>,
}

/// What it was sent on.
pub(super) struct Sent {
    connection: Connection,
    deadline: Deadline,
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
        let (service, idempotent, long) = (rng.usize(..objects::SERVICES), rng.bool(), rng.u8(..8) == 0);
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
            long,
            broke: 0,
        }
    }

    /// Goes on. Gives the time until the next step, or how it ended.
    pub(super) fn step(&mut self, world: &mut World) -> Result<Result<u64, Ended>, String> {
        self.step += 1;
        let cut = self.cut_from().is_some();
        match std::mem::replace(&mut self.at, At::Deciding) {
            At::Deciding | At::Waiting => self.decide(world),
            At::Connecting(picked) => self.connect(world, picked),
            At::Sent(picked, _) | At::Working(picked, _) if cut => Ok(self.broke(world, &picked)),
            At::Answering(picked, _) if cut => Ok(Err(self.broke_off(world, &picked))),
            At::Sent(picked, sent) => self.arrive(world, picked, sent),
            At::Working(picked, sent) => self.answer(world, picked, sent),
            At::Answering(picked, sent) => self.end(world, &picked, &sent),
        }
    }

    /// The replica that it was sent to, if what it lives by is to end.
    pub(super) fn cut_from(&self) -> Option<ReplicaId> {
        let (At::Sent(picked, sent) | At::Working(picked, sent) | At::Answering(picked, sent)) = &self.at else { return None };
        is_cut(&sent.deadline).then(|| picked.flight.replica().id)
    }

    fn connect(&mut self, world: &mut World, picked: Picked) -> Result<Result<u64, Ended>, String> {
        let replica = picked.flight.replica();
        match world.network.connect(replica.address.ip(), world.now_ms) {
            Some((process, service)) => {
                let opened_for = replica.id;
                world.workers[self.worker].waiting.reached(Key::of(self.exposure, &world.service_of(self.exposure, self.service)));
                self.send(world, picked, Connection { process, service, opened_for })
            }
            None => {
                balance::failed(&replica.load, world.now_ms * 1_000);
                picked.witness.unreachable(replica, &io::ErrorKind::ConnectionRefused.into());
                self.tried.no_connection(Unreached { endpoint: picked.endpoint, for_now: true });
                Ok(Ok(0))
            }
        }
    }

    pub(super) fn send(&mut self, world: &mut World, mut picked: Picked, connection: Connection) -> Result<Result<u64, Ended>, String> {
        if world.is_gone(picked.endpoint) {
            return Err(format!("request {} is sent to endpoint {:?}, which is gone", self.id, picked.endpoint));
        }
        let deadline = world.workers[self.worker].deadlines.register();
        deadline.follow(Some(picked.flight.replica().id));
        picked.held = None;
        self.at = At::Sent(picked, Sent { connection, deadline });
        Ok(Ok(world.rng.u64(..3)))
    }

    fn arrive(&mut self, world: &mut World, picked: Picked, sent: Sent) -> Result<Result<u64, Ended>, String> {
        if !world.network.is_alive(sent.connection.process) {
            return Ok(self.broke(world, &picked));
        }
        if world.network.read(self.id) && !self.idempotent {
            return Err(format!("request {} is not idempotent and was read twice", self.id));
        }
        self.at = At::Working(picked, sent);
        Ok(Ok(world.rng.u64(..40)))
    }

    fn answer(&mut self, world: &mut World, picked: Picked, sent: Sent) -> Result<Result<u64, Ended>, String> {
        let process = sent.connection.process;
        let illness = world.network.illness(process, world.now_ms);
        if !world.network.is_alive(process) || illness == Some(Illness::Breaks) {
            return Ok(self.broke(world, &picked));
        }
        // An address that has a new owner is met until every worker knows that its old one is gone, which was looked at when it was sent.
        world.strangers += usize::from(sent.connection.service != self.service);
        let (replica, now_us) = (picked.flight.replica(), world.now_ms * 1_000);
        let status = if illness == Some(Illness::Fails) { 503 } else { 200 };
        picked.witness.answered(replica, status);
        if status == 503 {
            balance::answered_badly(&replica.load, 1_000, now_us)
        } else {
            balance::answered(&replica.load, 1_000, now_us)
        }
        if !self.long {
            return self.end(world, &picked, &sent);
        }
        self.at = At::Answering(picked, sent);
        Ok(Ok(world.rng.u64(200..4_000)))
    }

    /// All of the answer is there, unless its process has ended meanwhile.
    fn end(&mut self, world: &mut World, picked: &Picked, sent: &Sent) -> Result<Result<u64, Ended>, String> {
        let replica = picked.flight.replica();
        world.hold_deadline(self.id, self.worker, replica.id)?;
        if !world.network.is_alive(sent.connection.process) {
            return Ok(Err(self.broke_off(world, picked)));
        }
        picked.witness.over(replica);
        world.workers[self.worker].rest(replica, sent.connection);
        Ok(Err(Ended::Answered))
    }

    /// A part of the answer is with the client.
    fn broke_off(&self, world: &World, picked: &Picked) -> Ended {
        let replica = picked.flight.replica();
        balance::failed(&replica.load, world.now_ms * 1_000);
        picked.witness.failed(replica);
        picked.witness.over(replica);
        Ended::Refused("broken off")
    }

    /// Nothing of an answer has come.
    fn broke(&mut self, world: &mut World, picked: &Picked) -> Result<u64, Ended> {
        let replica = picked.flight.replica();
        self.broke += 1;
        if !picked.reused {
            balance::failed(&replica.load, world.now_ms * 1_000);
            picked.witness.failed(replica);
        } else if let Some(trial) = &picked.trial {
            world.give_back(trial);
        }
        picked.witness.over(replica);
        let repeats = world.fault == Some(Fault::RepeatsAll) && !self.idempotent && !self.tried.died();
        if !repeats && !self.tried.may_repeat(self.idempotent, true) {
            return Err(Ended::Refused("broken"));
        }
        self.tried.broke(picked.endpoint, picked.reused);
        Ok(0)
    }

    /// Whether it may end without an answer for this reason.
    pub(super) fn may_fail(&self, reason: &str, world: &World) -> bool {
        match reason {
            "no route" => self.exposure == Exposure::External && self.service == objects::SEALED,
            "broken" => !self.idempotent || self.broke > REPEATS,
            "broken off" => self.long,
            "waited in vain" => self.waits_since_ms.is_some_and(|since| world.now_ms >= since + world.limits.endpoint_wait_ms),
            // In these worlds there are places for all, and nobody is away for so long that nobody is waited for.
            _ => false,
        }
    }
}
