//! Pods that must be asked whether they are ready, since they do not say: who may be, at which address, and what follows.
//!
//! Invariant: a probe never leads to a virtual IP or to one of our own listeners: a pod with such a probe is not ready, and why is told.
//! A pod says itself how it is, or is asked; never both. A verdict builds again only the services that the pod is part of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::object::{Kind, Object, ObjectKey, Pod, Probe, ServiceKey};
use config::problem::{Problem, Reason};

use super::World;
use super::index::Known;
use crate::health::{PodName, Subject, Verdict, Wanted};
use crate::lifecycle::State;
use crate::snapshot::Replica;

/// Who is asked.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// Pods that may have to be asked, or need not be any more.
    touched: BTreeSet<PodName>,
    /// Our own addresses changed: all may.
    all: bool,
    /// Pods that have probes and run.
    known: BTreeSet<PodName>,
    /// Given away whole: a copy of it for each change is some nanoseconds for each pod in it.
    wanted: Arc<Wanted>,
    refused: BTreeMap<PodName, Problem>,
}

impl Probes {
    /// A pod was written, or is gone.
    pub(super) fn look_at(&mut self, key: &ObjectKey, after: Option<&Object>) {
        let pod = PodName { namespace: key.namespace.clone(), name: key.name.clone() };
        let probed = matches!(after, Some(Object::Pod(pod)) if !pod.probes.is_empty());
        if probed || self.known.contains(&pod) {
            self.touched.insert(pod);
        }
    }

    pub(super) fn look_at_all(&mut self) {
        self.all = true;
    }
}

impl World {
    /// From now on somebody asks. Call it before there is any pod.
    pub(crate) fn set_probing(&mut self) {
        self.index.probing = true;
    }

    /// Takes in what the checks of a pod come to.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        self.dirty.extend(self.index.set_verdict(verdict));
    }

    /// Something was taken in that is not settled yet.
    pub(crate) fn is_behind(&self) -> bool {
        let Probes { touched, all, .. } = &self.probes;
        *all || !touched.is_empty() || !self.written.is_empty() || !self.dirty.is_empty()
    }

    /// Brings up to date who is asked. True when a service must be built again for it.
    pub(crate) fn settle_probes(&mut self) -> bool {
        let mut touched = std::mem::take(&mut self.probes.touched);
        if std::mem::take(&mut self.probes.all) {
            touched.extend(self.probes.known.iter().cloned());
        }
        let mut dirty = BTreeSet::new();
        for pod in touched {
            let known = self.index.pod(&pod.namespace, &pod.name);
            let known = known.filter(|known| !known.pod().probes.is_empty() && !known.pod().finished);
            let refused = known.and_then(|known| self.refused_probe(known.pod()));
            let subject = known.filter(|_| self.index.probing && refused.is_none()).and_then(|known| subject(known, !self.begun));
            if known.is_some() {
                self.probes.known.insert(pod.clone());
            } else {
                self.probes.known.remove(&pod);
            }
            match &refused {
                Some(problem) => _ = self.probes.refused.insert(pod.clone(), problem.clone()),
                None => _ = self.probes.refused.remove(&pod),
            }
            self.want(&pod, subject);
            dirty.extend(self.index.set_refused(&pod, refused.map(|problem| problem.found.into())));
        }
        self.dirty.extend(dirty);
        !self.dirty.is_empty()
    }

    /// Whoever is wanted as before stays the same object.
    fn want(&mut self, pod: &PodName, subject: Option<Subject>) {
        match (self.probes.wanted.get(pod), subject) {
            (None, None) => {}
            (Some(old), Some(new)) if (old.met, old.ip, &old.probes) == (new.met, new.ip, &new.probes) => {}
            (_, Some(new)) => _ = Arc::make_mut(&mut self.probes.wanted).insert(pod.clone(), Arc::new(new)),
            (Some(_), None) => _ = Arc::make_mut(&mut self.probes.wanted).remove(pod),
        }
    }

    fn refused_probe(&self, pod: &Pod) -> Option<Problem> {
        let ip = pod.ips.first()?.to_canonical();
        let refused = |probe: &Probe| {
            let address = SocketAddr::new(ip, probe.check.port());
            let found = format!("the readinessProbe of {} leads to {address}, {}", probe.container, self.refused(address)?);
            let problem = Problem::error(Reason::AddressRefused, found).expected("a port of the pod's own");
            Some(problem.fix("correct the port or the pod's address; until then the pod is not ready"))
        };
        pod.probes.iter().find_map(refused)
    }

    /// Who is to be asked, and what.
    pub(crate) fn wanted(&self) -> &Arc<Wanted> {
        &self.probes.wanted
    }

    /// Whether somebody has not been asked everything once who is asked at once.
    pub(crate) fn waits_for_probes(&self) -> bool {
        let waits = |(pod, subject): (&PodName, &Arc<Subject>)| {
            let known = self.index.pod(&pod.namespace, &pod.name).and_then(|known| known.checked.as_ref());
            let at_once = subject.at_once || subject.probes.iter().all(|probe| probe.initial_delay_s == 0);
            at_once && known.is_some_and(|checked| !checked.whole)
        };
        self.probes.wanted.iter().any(waits)
    }

    /// Why an endpoint of this service is not ready, where its pod's probes are why.
    pub(crate) fn unready_for(&self, service: &ServiceKey, replica: &Replica, state: State) -> Option<String> {
        let (namespace, name) = replica.pod.as_deref()?.split_once('/')?;
        let asked = [State::Pending, State::Ejected].contains(&state) && self.index.slices(service).next().is_none();
        let known = self.index.pod(namespace, name).filter(|_| asked)?;
        match (&known.refused, &known.checked) {
            (Some(refused), _) => Some(format!("probe: {refused}")),
            (None, Some(checked)) if !checked.ready => {
                Some(checked.why.as_deref().map_or_else(|| "probe: has not passed yet".to_owned(), str::to_owned))
            }
            _ => None,
        }
    }

    /// Pods whose probes may not be asked.
    pub(crate) fn refused_probes(&self) -> impl Iterator<Item = (ObjectKey, &Problem)> {
        let key = |pod: &PodName| ObjectKey { kind: Kind::Pod, namespace: pod.namespace.clone(), name: pod.name.clone() };
        self.probes.refused.iter().map(move |(pod, problem)| (key(pod), problem))
    }

    /// Addresses of the pods that must be asked, whether or not somebody does.
    pub(crate) fn probed(&self) -> BTreeSet<IpAddr> {
        let pods = self.probes.known.iter().filter_map(|pod| self.index.pod(&pod.namespace, &pod.name));
        pods.filter_map(|known| Some(known.pod().ips.first()?.to_canonical())).collect()
    }
}

/// What must be known to ask it; `None` without an address.
fn subject(known: &Known, at_once: bool) -> Option<Subject> {
    let (pod, checked) = (known.pod(), known.checked.as_ref()?);
    let ip = pod.ips.first()?.to_canonical();
    Some(Subject { met: known.met, ip, probes: pod.probes.clone(), ready: checked.ready, at_once })
}
