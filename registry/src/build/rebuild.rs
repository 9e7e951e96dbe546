//! One Service is built again: its seal, its members, and the terms that its ports are picked by.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::annotations::{self, ServiceReading};
use config::object::{EndpointSlice, Kind, Name, ServiceKey, ServicePort, ServiceType};

use super::entry::Entry;
use super::{World, called, index, members, near, notes, speech};
use crate::exposure::{self, Seal};
use crate::seed::Seed;
use crate::speech::Speech;

impl World {
    pub(super) fn rebuild(&mut self, key: &ServiceKey, version: u64) {
        let Some(mut entry) = self.services.remove(key) else { return };
        self.rebuilt += 1;
        let seal = self.seal(key, &entry);
        if seal != entry.seal {
            self.route_facts.insert(key.clone());
            self.carriers_dirty |= entry.carries();
        }
        let sealed = (entry.seal.is_some(), seal.is_some());
        entry.seal = seal;
        let references = self.references(key);
        self.index.set_references(key, &entry.references, &references);
        entry.references = references;
        if called::is_headless(entry.service()) {
            self.uncalled.insert(key.clone());
        }
        let mut reading = members::read(key, entry.service(), &self.index);
        let leads_to = if let ServiceType::ExternalName(name) = &entry.service().service_type { Some(name.clone()) } else { None };
        if let Some(name) = &leads_to {
            reading.lead_to(entry.service(), self.names.of(name));
        }
        let (mut refused, mut untold) = (Vec::new(), Vec::new());
        let old_tls = entry.tls.take();
        entry.tls = self.upstream_tls(entry.service(), old_tls, &mut untold);
        let (affinity_s, proxy_protocol, bounds) = (entry.service().affinity_s, entry.service().proxy_protocol, entry.service().bounds);
        let ServiceReading { balance, judged, problem } =
            annotations::read_service(&entry.service().meta.annotations, affinity_s.is_some());
        entry.judged = judged;
        untold.extend(problem);
        let seed = entry.service().meta.uid.as_ref().map_or_else(|| self.ground.seed.clone(), Seed::of_uid);
        let distribution = entry.service().distribution;
        let slow_start = entry.service().slow_start_ms.map(Duration::from_millis);
        for (port, members) in entry.ports.iter_mut().zip(reading.members) {
            let app = port.spec.app();
            let (speech, members) = match speech::of_port(app, entry.tls.as_ref()) {
                Some(speech) => (speech, members),
                None => (Speech::default(), Vec::new()),
            };
            port.slow_start = slow_start.unwrap_or(self.slow_start);
            port.distribution = distribution;
            self.seat(key, port, members, &speech, &mut refused, version);
            let host = leads_to.as_ref().map(|name| told(name, &port.spec));
            for place in port.place.into_iter().chain(port.local_place) {
                self.places.set_terms(place, affinity_s, proxy_protocol, app, host.as_ref());
                self.places.set_pick(place, balance.as_ref(), &seed);
            }
            self.places.set_bounds(port.place.into_iter().chain(port.local_place), bounds);
        }
        let old = std::mem::replace(&mut entry.covered, reading.covered);
        self.cover(key, &old, &entry.covered, sealed.0, sealed.1);
        let mut problems = notes::of_service(&entry, refused);
        problems.extend(untold);
        problems.extend(near::note(&entry, &self.ground));
        problems.extend(self.index.slices(key).flat_map(|slice| notes::strange_ports(entry.service(), slice)));
        entry.problems = problems;
        self.services.insert(key.clone(), entry);
    }

    fn seal(&self, key: &ServiceKey, entry: &Entry) -> Option<Seal> {
        let seal = exposure::seal(entry.service(), self.index.said(&key.namespace), self.strict);
        if seal.as_ref().is_some_and(|seal| *seal != Seal::Strict) {
            return seal;
        }
        let sealing = |slice: &EndpointSlice| {
            let said = exposure::said(Kind::EndpointSlice, &slice.meta);
            said.seals().then(|| Seal::Slice(index::pod_name(&slice.meta.namespace, &slice.meta.name), said))
        };
        self.index.all_slices(key).find_map(sealing).or(seal)
    }

    fn references(&self, key: &ServiceKey) -> Vec<Name> {
        let pods = self.index.slices(key).flat_map(|slice| &slice.endpoints).filter_map(|endpoint| endpoint.pod.as_ref());
        let pods: BTreeSet<&Name> = pods.filter(|(_, uid)| uid.is_none()).map(|(name, _)| name).collect();
        pods.into_iter().cloned().collect()
    }

    /// Notes which addresses a service names, and whose external endpoints that may change.
    pub(super) fn cover(
        &mut self,
        key: &ServiceKey,
        old: &BTreeSet<SocketAddr>,
        new: &BTreeSet<SocketAddr>,
        was_sealed: bool,
        is_sealed: bool,
    ) {
        let toggled = was_sealed != is_sealed;
        new.difference(old).for_each(|address| self.at.add(*address, key));
        for address in old.union(new) {
            let kept = old.contains(address) && new.contains(address);
            if toggled || (is_sealed && !kept) {
                self.refilter.extend(self.at.touched_by(*address).cloned());
            }
        }
        old.difference(new).for_each(|address| self.at.remove(*address, key));
        self.refilter.insert(key.clone());
    }
}

/// The `Host` that an outside name is asked with.
fn told(name: &Name, port: &ServicePort) -> Arc<str> {
    match members::number(port) {
        80 | 443 => name.clone(),
        other => format!("{name}:{other}").into(),
    }
}
