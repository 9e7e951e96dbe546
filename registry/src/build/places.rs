//! The internal plane's array of services.
//!
//! Invariant: dense: a place that is given back is taken by the last service, and whoever holds that place must be told. All others
//! keep theirs. A slot is never given to another name.

use std::collections::HashMap;
use std::sync::Arc;

use config::object::ProxyVersion;

use crate::snapshot::{Endpoint, PortName, Service, ServiceIndex};

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Arc<Service>>,
    slots: HashMap<PortName, u32, foldhash::fast::RandomState>,
    changed: bool,
}

impl Places {
    /// A place for a service port, without endpoints yet.
    pub(super) fn take(&mut self, name: PortName) -> ServiceIndex {
        let next = self.slots.len() as u32;
        let slot = *self.slots.entry(name.clone()).or_insert(next);
        let place = ServiceIndex(self.places.len() as u32);
        self.places.push(Arc::new(Service { name, slot, affinity_s: None, proxy_protocol: None, endpoints: Box::default() }));
        self.changed = true;
        place
    }

    /// Removes a service port. The one that has its place now, if any, had the last.
    pub(super) fn give_back(&mut self, place: ServiceIndex) -> Option<PortName> {
        self.changed = true;
        self.places.swap_remove(place.0 as usize);
        self.places.get(place.0 as usize).map(|moved| moved.name.clone())
    }

    /// Replaces a service's endpoints.
    pub(super) fn fill(&mut self, place: ServiceIndex, endpoints: Box<[Endpoint]>) {
        let old = &mut self.places[place.0 as usize];
        *old = Arc::new(old.with_endpoints(endpoints));
        self.changed = true;
    }

    /// How long a client of the service keeps its endpoint, and whether endpoints are told who it is.
    pub(super) fn set_manner(&mut self, place: ServiceIndex, affinity_s: Option<u32>, proxy_protocol: Option<ProxyVersion>) {
        let old = &mut self.places[place.0 as usize];
        if (old.affinity_s, old.proxy_protocol) != (affinity_s, proxy_protocol) {
            *old = Arc::new(Service { affinity_s, proxy_protocol, ..old.with_endpoints(old.endpoints.clone()) });
            self.changed = true;
        }
    }

    pub(super) fn get(&self, place: ServiceIndex) -> &Arc<Service> {
        &self.places[place.0 as usize]
    }

    /// The array, when it changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Arc<[Arc<Service>]>> {
        std::mem::take(&mut self.changed).then(|| Arc::from(self.places.as_slice()))
    }
}
