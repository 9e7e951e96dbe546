//! A Service as written: which of its ports have a place in the internal plane, and who moves when one goes.
//!
//! Invariant: a port keeps its place while it is written, and all its endpoints leave with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::object::{Name, Object, Protocol, ServiceKey};

use super::places::Only;
use super::{Entry, Port, World};
use crate::snapshot::{PortName, ServiceIndex};

impl World {
    /// Gives each port its place; its endpoints follow.
    pub(super) fn write(&mut self, key: ServiceKey, object: Arc<Object>, version: u64) {
        let old = self.services.remove(&key);
        let mut entry = old.unwrap_or_else(|| Entry {
            object: object.clone(),
            seal: None,
            ports: Vec::new(),
            covered: BTreeSet::new(),
            references: Vec::new(),
            tls: None,
            judged: None,
            problems: Vec::new(),
        });
        entry.object = object;
        let mut old_ports = std::mem::take(&mut entry.ports);
        let local = self.ground.node.is_some() && entry.service().local_only.inside;
        for spec in entry.service().ports.clone() {
            let same = |port: &Port| port.spec.port == spec.port && port.spec.protocol == spec.protocol;
            let old = old_ports.iter().position(same).map(|at| old_ports.swap_remove(at));
            let mut port = match old {
                Some(port) => Port { spec, ..port },
                None => {
                    let name = PortName { service: key.clone(), port: spec.port, protocol: spec.protocol };
                    let served = spec.protocol != Protocol::Sctp;
                    let place = served.then(|| self.places.take(name, Only::Not));
                    Port {
                        place,
                        local_place: None,
                        seats: Vec::new(),
                        slow_start: self.slow_start,
                        distribution: None,
                        ejections: [0; 3],
                        spec,
                    }
                }
            };
            if local && port.place.is_some() && port.local_place.is_none() {
                port.local_place = Some(self.places.take(port.name(&key), Only::Local));
            }
            entry.ports.push(port);
        }
        self.dirty.insert(key.clone());
        // Until its turn comes a port that goes stays in the list, since one that closes before it may move its place.
        let kept = entry.ports.len();
        entry.ports.append(&mut old_ports);
        self.services.insert(key.clone(), entry);
        let last = |world: &mut World| world.services.get_mut(&key).filter(|entry| entry.ports.len() > kept)?.ports.pop();
        while let Some(port) = last(self) {
            self.close(&key, port, version);
        }
        if !local {
            self.give_back_local(&key);
        }
    }

    fn give_back_local(&mut self, key: &ServiceKey) {
        let next = |world: &mut World| world.services.get_mut(key)?.ports.iter_mut().find_map(|port| port.local_place.take());
        while let Some(place) = next(self) {
            self.give_back(place);
        }
    }

    pub(super) fn erase(&mut self, key: &ServiceKey, version: u64) {
        // One by one, since a port that closes may move another one's place.
        while let Some(port) = self.services.get_mut(key).and_then(|entry| entry.ports.pop()) {
            self.close(key, port, version);
        }
        let Some(entry) = self.services.remove(key) else { return };
        self.index.set_references(key, &entry.references, &[]);
        self.cover(key, &entry.covered, &BTreeSet::new(), entry.seal.is_some(), false);
        self.dirty.remove(key);
    }

    fn close(&mut self, key: &ServiceKey, port: Port, version: u64) {
        let service: Name = port.name(key).to_string().into();
        let picked = self.picked(&port);
        for seat in port.seats {
            self.outliers.forget(seat.id);
            seat.leave(&mut self.life, &service, port.spec.protocol, &picked, version);
        }
        // The later place first: giving it back never moves the other.
        let mut places: Vec<ServiceIndex> = port.place.into_iter().chain(port.local_place).collect();
        places.sort_by_key(|place| std::cmp::Reverse(place.0));
        places.into_iter().for_each(|place| self.give_back(place));
    }

    /// Gives a place back. Whoever has it now is told.
    fn give_back(&mut self, place: ServiceIndex) {
        let Some((moved, only)) = self.places.give_back(place) else { return };
        let entry = self.services.get_mut(&moved.service);
        let port = entry
            .and_then(|entry| entry.ports.iter_mut().find(|port| port.spec.port == moved.port && port.spec.protocol == moved.protocol));
        let Some(port) = port else { return };
        match only {
            Only::Not => port.place = Some(place),
            Only::Local => port.local_place = Some(place),
        }
        self.route_facts.insert(moved.service);
    }
}
