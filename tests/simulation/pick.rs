//! Whom a request goes to: decided and picked by the product, and looked at here.

use config::exposure::Exposure;
use proxy::balance::{self, By, InFlight, near};
use proxy::http::decide::{Decision, decide};
use proxy::outlier::Witness;
use proxy::waiting::Key;
use registry::snapshot::{Endpoint, Service};

use super::law::Fault;
use super::objects;
use super::request::{At, Ended, Picked, Request};
use super::world::World;

impl Request {
    pub(super) fn decide(&mut self, world: &mut World) -> Result<Result<u64, Ended>, String> {
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
        let key = Key::of(self.exposure, &service);
        if self.tried.spent() || service.endpoints.is_empty() {
            return Ok(self.wait(world, key));
        }
        let again = || if self.tried.reused() { service.endpoints.first().cloned() } else { None };
        let Some(Endpoint { id, replica }) = self.pick(world, &service).or_else(again) else { return Ok(self.wait(world, key)) };
        self.hold_laws_of_a_pick(world, &service, &Endpoint { id, replica: replica.clone() })?;
        let trial = world.try_out(self.id, &service, id)?;
        let one = &mut world.workers[self.worker];
        let witness = Witness::new(&one.tries, &service, id);
        let idle = (&world.network, &mut world.rng, world.fault);
        let connection = if self.tried.died() { None } else { one.idle(&replica, self.tried.once(), idle) };
        if let Some(other) = connection.map(|connection| connection.opened_for).filter(|other| *other != replica.id) {
            return Err(format!(
                "request {} for {:?} goes by a connection that was opened to another replica, {other:?}",
                self.id, replica.id
            ));
        }
        let (flight, held, reused) = (InFlight::begin(&replica), Some(held), connection.is_some());
        let picked = Picked { endpoint: id, flight, held, reused, witness, trial };
        match connection {
            Some(connection) => self.send(world, picked, connection),
            None => {
                self.at = At::Connecting(picked);
                Ok(Ok(world.rng.u64(..5)))
            }
        }
    }

    fn pick(&self, world: &mut World, service: &Service) -> Option<Endpoint> {
        let avoid = if world.fault == Some(Fault::AvoidsNobody) { &[][..] } else { self.tried.avoided(false) };
        let (now_us, rng) = (world.now_ms * 1_000, &mut world.rng);
        if world.fault == Some(Fault::PicksTheEjected) {
            let all: Vec<Endpoint> = service.members().cloned().collect();
            return balance::pick(&all, avoid, By::Latency, now_us, rng).cloned();
        }
        let tries = &world.workers[self.worker].tries;
        tries.pick_freely(service, avoid, now_us, rng, |avoid, rng| near::pick(service, avoid, By::Latency, now_us, rng)).cloned()
    }

    fn hold_laws_of_a_pick(&self, world: &World, service: &Service, picked: &Endpoint) -> Result<(), String> {
        let (id, pod) = (picked.id, picked.replica.pod.as_deref());
        if pod.is_none_or(|pod| !pod.starts_with(&format!("sim/s{}-", self.service))) {
            return Err(format!("a pod of another service was picked: {pod:?}"));
        }
        let failed = self.tried.avoided(false);
        if failed.contains(&id) && service.endpoints.iter().any(|other| !failed.contains(&other.id)) {
            return Err(format!("request {} asks {id:?} again, although there is another", self.id));
        }
        if world.pods.is_unproven(picked.replica.id) {
            return Err(format!("request {} goes to {pod:?}, which no check has found ready", self.id));
        }
        Ok(())
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
}
