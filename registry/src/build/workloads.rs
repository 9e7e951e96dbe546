//! Deployments, ReplicaSets and StatefulSets, and which pods are theirs.
//!
//! Invariant: a pod is a workload's when its selector selects it and no other controller owns it, as in Kubernetes. What a workload
//! says about exposure covers its pods: whoever labels a Deployment `internal` means what it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::object::{Kind, Object, ObjectKey, Owner, Pod, Workload};

use super::World;
use crate::exposure::{self, Said};
use crate::view::WorkloadView;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    all: BTreeMap<ObjectKey, Arc<Object>>,
    /// Those that seal: seldom any.
    sealing: BTreeSet<ObjectKey>,
}

impl Workloads {
    fn get(&self, key: &ObjectKey) -> Option<&Workload> {
        self.all.get(key).and_then(|object| workload(object))
    }

    /// What the workloads of a pod say of it. The selector alone counts: a seal that covers too much is a lesser evil.
    pub(super) fn said_of(&self, object: &Object) -> Said {
        let meta = object.meta();
        let has = |workload: &Workload| workload.meta.namespace == meta.namespace && workload.selector.selects(&meta.labels);
        let covered = object.kind() == Kind::Pod && self.sealing.iter().filter_map(|key| self.get(key)).any(has);
        if covered { Said::Unclear } else { Said::Nothing }
    }

    fn owns(&self, workload: &Workload, pod: &Pod) -> bool {
        let is = |owner: &Owner| owner.is(workload.kind, &workload.meta);
        let Some(owner) = &pod.owner else { return true };
        if is(owner) {
            return true;
        }
        if workload.kind != Kind::Deployment || *owner.kind != *Kind::ReplicaSet.as_str() {
            return false;
        }
        // A Deployment has its pods through ReplicaSets, which need not be written here.
        let key = ObjectKey { kind: Kind::ReplicaSet, namespace: pod.meta.namespace.clone(), name: owner.name.clone() };
        self.get(&key).is_none_or(|set| set.owner.as_ref().is_none_or(is))
    }
}

impl World {
    pub(crate) fn set_workload(&mut self, key: ObjectKey, before: Option<Arc<Object>>, after: Option<Arc<Object>>) {
        let seals = |object: &Option<Arc<Object>>| object.as_deref().is_some_and(|object| exposure::said(key.kind, object.meta()).seals());
        let (sealed, sealing) = (seals(&before), seals(&after));
        if sealing {
            self.workloads.sealing.insert(key.clone());
        } else {
            self.workloads.sealing.remove(&key);
        }
        match &after {
            Some(object) => _ = self.workloads.all.insert(key, object.clone()),
            None => _ = self.workloads.all.remove(&key),
        }
        let covered = [before.filter(|_| sealed), after.filter(|_| sealing)];
        let found = |object: &Arc<Object>| match workload(object) {
            Some(workload) => {
                self.index.select_all(&workload.meta.namespace, &workload.selector).map(|known| known.object().clone()).collect()
            }
            None => Vec::new(),
        };
        let pods: Vec<Arc<Object>> = covered.iter().flatten().flat_map(found).collect();
        pods.iter().for_each(|pod| self.reseal(&pod.key(), Some(pod)));
    }

    /// Every workload with its pods counted, by kind, namespace and name.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = (&ObjectKey, WorkloadView)> {
        self.workloads.all.iter().filter_map(|(key, object)| Some((key, self.count(workload(object)?))))
    }

    fn count(&self, workload: &Workload) -> WorkloadView {
        let mut view = WorkloadView {
            kind: workload.kind.as_str().to_owned(),
            namespace: workload.meta.namespace.to_string(),
            name: workload.meta.name.to_string(),
            desired: workload.replicas,
            ready: 0,
            unhealthy: 0,
            leaving: 0,
        };
        for known in self.index.select_all(&workload.meta.namespace, &workload.selector) {
            let pod = known.pod();
            if pod.finished || !self.workloads.owns(workload, pod) {
                continue;
            }
            *(match (pod.meta.deleting, known.ready()) {
                (true, _) => &mut view.leaving,
                (false, true) => &mut view.ready,
                (false, false) => &mut view.unhealthy,
            }) += 1;
        }
        view
    }
}

fn workload(object: &Object) -> Option<&Workload> {
    if let Object::Workload(workload) = object { Some(workload) } else { None }
}
