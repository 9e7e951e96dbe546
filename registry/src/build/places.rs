//! The internal plane's array of services.
//!
//! Invariant: dense: a place that is given back is taken by the last service, and whoever holds that place must be told. All others
//! keep theirs. A slot is never given to another name.

use std::collections::HashMap;
use std::sync::Arc;

use config::filter::Balance;
use config::object::{AppProtocol, Bounds, ProxyVersion};

use super::passive::Picks;
use crate::seed::Seed;
use crate::snapshot::{Bounded, PortName, Reached, Service, ServiceIndex};

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<(Arc<Service>, Only)>,
    slots: HashMap<PortName, (u32, Reached), foldhash::fast::RandomState>,
    changed: bool,
}

/// Which endpoints of its service port a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Only {
    /// All.
    Not,
    /// Those on this node.
    Local,
}

impl Places {
    /// A place for a service port, without endpoints yet.
    pub(super) fn take(&mut self, name: PortName, only: Only) -> ServiceIndex {
        let next = self.slots.len() as u32;
        let (slot, reached) = self.slots.entry(name.clone()).or_insert_with(|| (next, Reached::default())).clone();
        let place = ServiceIndex(self.places.len() as u32);
        self.places.push((Arc::new(Service { reached, ..Service::unreachable(name, slot) }), only));
        self.changed = true;
        place
    }

    /// Removes a service port. The one that has its place now, if any, had the last.
    pub(super) fn give_back(&mut self, place: ServiceIndex) -> Option<(PortName, Only)> {
        self.changed = true;
        self.places.swap_remove(place.0 as usize);
        self.places.get(place.0 as usize).map(|(moved, only)| (moved.name.clone(), *only))
    }

    /// Replaces a service's endpoints, unless they are the same.
    pub(super) fn fill(&mut self, place: ServiceIndex, picks: Picks) {
        let (old, _) = &mut self.places[place.0 as usize];
        if !picks.are_of(old) {
            *old = Arc::new(picks.into(old));
            self.changed = true;
        }
    }

    /// How long a client of the service keeps its endpoint, whether endpoints are told who it is, what the port speaks, and what its
    /// replicas are told for `Host`.
    pub(super) fn set_terms(
        &mut self,
        place: ServiceIndex,
        affinity_s: Option<u32>,
        proxy_protocol: Option<ProxyVersion>,
        app: AppProtocol,
        host: Option<&Arc<str>>,
    ) {
        let (old, _) = &mut self.places[place.0 as usize];
        if (old.affinity_s, old.proxy_protocol, old.app, old.host.as_ref()) != (affinity_s, proxy_protocol, app, host) {
            *old = Arc::new(Service { affinity_s, proxy_protocol, app, host: host.cloned(), ..Service::clone(old) });
            self.changed = true;
        }
    }

    /// How endpoints of the service are picked, and by what cookies name them.
    pub(super) fn set_pick(&mut self, place: ServiceIndex, balance: Option<&Balance>, seed: &Seed) {
        let (old, _) = &mut self.places[place.0 as usize];
        if (old.balance.as_ref(), &old.seed) != (balance, seed) {
            // The numbers of its endpoints go with the seed.
            let Service { endpoints, near, unsettled, .. } = Service::clone(old);
            *old = Arc::new(Service { balance: balance.cloned(), seed: seed.clone(), ..old.with(endpoints, near, unsettled) });
            self.changed = true;
        }
    }

    /// How much these places of one service port may carry together.
    pub(super) fn set_bounds(&mut self, places: impl Iterator<Item = ServiceIndex> + Clone, most: Bounds) {
        let before = places.clone().find_map(|place| self.get(place).bounded.clone());
        let bounded = Bounded::renewed(most, before.as_ref());
        for place in places {
            let (old, _) = &mut self.places[place.0 as usize];
            if !Bounded::same(old.bounded.as_ref(), bounded.as_ref()) {
                *old = Arc::new(Service { bounded: bounded.clone(), ..Service::clone(old) });
                self.changed = true;
            }
        }
    }

    pub(super) fn get(&self, place: ServiceIndex) -> &Arc<Service> {
        &self.places[place.0 as usize].0
    }

    /// The array, when it changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Arc<[Arc<Service>]>> {
        std::mem::take(&mut self.changed).then(|| self.places.iter().map(|(service, _)| service.clone()).collect())
    }
}
