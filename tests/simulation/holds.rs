//! What is looked at after each step, and when all is quiet.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use config::exposure::Exposure;
use registry::event::Report;

use super::objects;
use super::request::At;
use super::worker::members;
use super::world::World;

impl World {
    pub(super) fn hold_laws(&mut self) -> Result<(), String> {
        let told: Vec<u64> = self.acknowledged.borrow().clone();
        for (worker, version) in told.into_iter().enumerate() {
            self.registry.report(Report::Acknowledged { worker, version }, self.now());
        }
        if self.begun != self.ended + self.requests.len() {
            return Err(format!("{} requests began, {} ended, {} are under way", self.begun, self.ended, self.requests.len()));
        }
        let sealed = format!("s{}", objects::SEALED);
        if self.newest.external.services.iter().any(|service| *service.name.service.name == *sealed) {
            return Err("the outside has a sealed service".to_owned());
        }
        let mut waiting = 0;
        for request in self.requests.values().filter(|request| matches!(request.at, At::Waiting)) {
            waiting += 1;
            if request.waits_since_ms.is_some_and(|since| self.now_ms > since + self.limits.endpoint_wait_ms) {
                return Err(format!("request {} waits since {:?}", request.id, request.waits_since_ms));
            }
        }
        if waiting > self.limits.waiting_requests * self.workers.len() {
            return Err("more requests wait than there are places".to_owned());
        }
        Ok(())
    }

    /// All is told and done: the picture is what is there, nobody is left out, and nobody is counted as busy.
    pub(super) fn at_rest(&self) -> Result<(), String> {
        if !self.requests.is_empty() {
            return Err(format!("{} requests wait for ever", self.requests.len()));
        }
        self.hold_return()?;
        for service in 0..objects::SERVICES {
            let shown = self.service_of(Exposure::Internal, service);
            let mut shown: Vec<SocketAddr> = shown.endpoints.iter().map(|endpoint| endpoint.replica.address).collect();
            let mut there: Vec<SocketAddr> =
                self.pods.running.iter().filter(|run| run.service == service).map(|run| objects::address(run.ip)).collect();
            shown.sort_unstable();
            there.sort_unstable();
            if shown != there {
                return Err(format!("s{service} has not converged: {shown:?} are shown, {there:?} are there"));
            }
        }
        let busy = members(&self.newest).find(|endpoint| endpoint.replica.load.in_flight.load(Relaxed) != 0);
        if let Some(endpoint) = busy {
            return Err(format!("{} counts as busy at rest", endpoint.replica.address));
        }
        let newest = self.newest.version;
        let told = self.acknowledged.borrow();
        if told.iter().any(|version| *version != newest) {
            return Err(format!("workers say {told:?} where {newest} is the newest"));
        }
        Ok(())
    }
}
