//! How a worker picks: as a route asks for it, else as the Service does, else the less busy one of two.
//!
//! Invariant: a Service's session affinity wins over both. What is picked was not tried for this request.

use config::exposure::Exposure;
use config::filter::Balance;
use fastrand::Rng;
use registry::snapshot::{Endpoint, EndpointId, Service};

use super::hash::{self, Signs};
use super::{By, affinity, near};
use crate::worker::Worker;

/// What is wanted of a pick.
#[derive(Clone, Copy)]
pub(crate) struct Want<'w> {
    /// What the route says.
    pub(crate) balance: Option<&'w Balance>,
    /// What makes a replica busy where nobody says it.
    pub(crate) by: By,
    /// By what whoever asks is known.
    pub(crate) signs: &'w dyn Signs,
}

impl Worker {
    /// An endpoint that was not tried; `None` when all were.
    pub(crate) fn pick<'s>(
        &self,
        want: Want<'_>,
        (exposure, service): (Exposure, &'s Service),
        avoid: &[EndpointId],
        now_us: u64,
    ) -> Option<&'s Endpoint> {
        let clients = |keep_s| self.shared.clients.pick(service, keep_s, want.signs.client(), avoid, now_us);
        let least = |by| self.pick_freely(service, avoid, now_us, |avoid, rng| near::pick(service, avoid, by, now_us, rng));
        if let Some(keep_s) = service.affinity_s {
            return clients(keep_s);
        }
        match want.balance.or(service.balance.as_ref()) {
            None | Some(Balance::LeastBusy) => least(want.by),
            Some(Balance::LeastRequest) => least(By::Connections),
            Some(Balance::Random) => {
                self.pick_freely(service, avoid, now_us, |avoid, rng| near::first(service, |some| super::at_random(some, avoid, rng)))
            }
            Some(Balance::RoundRobin) => {
                let met = self.counts.of(exposure, service);
                let in_turn = |avoid: &[EndpointId]| near::first(service, |some| super::in_turn(some, avoid, self.id, &met.turn));
                self.pick_freely(service, avoid, now_us, |avoid, _| in_turn(avoid))
            }
            Some(Balance::ClientIp) => clients(affinity::KEEP_S),
            Some(Balance::Hash(by)) => match hash::key(by, want.signs) {
                Some(key) => hash::favourite(service, key, avoid),
                None => least(want.by),
            },
        }
    }

    fn pick_freely<'s>(
        &self,
        service: &'s Service,
        avoid: &[EndpointId],
        now_us: u64,
        pick: impl Fn(&[EndpointId], &mut Rng) -> Option<&'s Endpoint>,
    ) -> Option<&'s Endpoint> {
        self.tries.pick_freely(service, avoid, now_us, &mut self.rng.borrow_mut(), pick)
    }
}
