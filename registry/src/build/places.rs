//! The internal plane's array of services.
//!
//! Invariant: a service port keeps its place for as long as it exists. A place that was given back holds a service without
//! endpoints until the next one takes it. A slot is never given to another name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::{Endpoint, PortName, Service, ServiceIndex};

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Arc<Service>>,
    free: Vec<ServiceIndex>,
    slots: HashMap<PortName, u32, foldhash::fast::RandomState>,
    changed: bool,
}

impl Places {
    /// A place for a service port, without endpoints yet.
    pub(super) fn take(&mut self, name: PortName) -> ServiceIndex {
        let next = self.slots.len() as u32;
        let slot = *self.slots.entry(name.clone()).or_insert(next);
        let place = self.free.pop().unwrap_or(ServiceIndex(self.places.len() as u32));
        let service = Arc::new(Service { name, slot, endpoints: Box::default() });
        match self.places.get_mut(place.0 as usize) {
            Some(old) => *old = service,
            None => self.places.push(service),
        }
        self.changed = true;
        place
    }

    pub(super) fn give_back(&mut self, place: ServiceIndex) {
        self.fill(place, Box::default());
        self.free.push(place);
    }

    /// Replaces a service's endpoints.
    pub(super) fn fill(&mut self, place: ServiceIndex, endpoints: Box<[Endpoint]>) {
        let old = &mut self.places[place.0 as usize];
        *old = Arc::new(Service { name: old.name.clone(), slot: old.slot, endpoints });
        self.changed = true;
    }

    pub(super) fn get(&self, place: ServiceIndex) -> &Arc<Service> {
        &self.places[place.0 as usize]
    }

    /// The array, when it changed since the last call.
    pub(crate) fn changed(&mut self) -> Option<Arc<[Arc<Service>]>> {
        std::mem::take(&mut self.changed).then(|| Arc::from(self.places.as_slice()))
    }
}
