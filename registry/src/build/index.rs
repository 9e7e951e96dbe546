//! Which services an object touches, without looking at all of them.
//!
//! Invariant: a change of one pod or slice finds its services by hash: selectors by their first pair, pods by each pair, slices by
//! service. Only objects that serve are in here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use config::object::{EndpointSlice, Labels, Name, Object, Pod, Selector, ServiceKey};

use crate::exposure::Said;
use crate::health::{PodName, Verdict};
use crate::lifecycle::Identity;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Set<K> = HashSet<K, foldhash::fast::RandomState>;

/// A hash of one label. Two labels may share one: whoever finds something by it must compare the labels themselves.
type Pair = u64;

/// Whether it is of the older kind, and its name.
type SliceId = (bool, Name);

/// A pod and who it is.
#[derive(Debug)]
pub(super) struct Known {
    object: Arc<Object>,
    /// Grows with each pod that is met: the later of two is the greater.
    pub(super) met: u64,
    /// What our own checks come to; `None` when it says itself how it is, or nobody checks.
    pub(super) checked: Option<Checked>,
    /// Why its probes may not be asked.
    pub(super) refused: Option<Name>,
}

/// What the checks of a pod come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    pub(super) ready: bool,
    /// Each of its probes was answered once.
    pub(super) whole: bool,
    pub(super) why: Option<Name>,
}

impl Known {
    pub(super) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// How it is taken when it begins to be checked: as it is now.
    fn as_checked(&self) -> Checked {
        self.checked.clone().unwrap_or(Checked { ready: self.ready(), ..Checked::default() })
    }

    pub(super) fn pod(&self) -> &Pod {
        match &*self.object {
            Object::Pod(pod) => pod,
            // `Index::set_pod` takes pods alone.
            _ => unreachable!("only pods are indexed as pods"),
        }
    }

    /// Whether it says that it is ready, or our checks do.
    pub(super) fn ready(&self) -> bool {
        let checked = self.checked.as_ref().is_none_or(|checked| checked.ready);
        self.pod().ready && checked && self.refused.is_none()
    }

    /// Who it is, in all services.
    pub(super) fn identity(&self) -> Identity {
        let meta = &self.pod().meta;
        match &meta.uid {
            Some(uid) => Identity::Uid(uid.clone()),
            None => Identity::Pod(pod_name(&meta.namespace, &meta.name), self.met),
        }
    }
}

/// `NAMESPACE/NAME`
pub(super) fn pod_name(namespace: &str, name: &str) -> Name {
    format!("{namespace}/{name}").into()
}

/// What one namespace holds.
#[derive(Debug, Default)]
struct Namespace {
    said: Said,
    pods: Map<Name, Known>,
    pods_by_pair: Map<Pair, Set<Name>>,
    /// Services by the first pair of their selector.
    selectors: Map<Pair, Vec<(Name, Arc<Object>)>>,
    services: BTreeSet<Name>,
    slices: Map<SliceId, Arc<Object>>,
    /// Services whose slices refer to a pod by name.
    referring: Map<Name, BTreeSet<Name>>,
}

/// All namespaces.
#[derive(Debug, Default)]
pub(super) struct Index {
    namespaces: Map<Name, Namespace>,
    slices: Map<ServiceKey, BTreeMap<SliceId, Arc<Object>>>,
    hasher: foldhash::fast::RandomState,
    met: u64,
    /// Somebody checks the pods that have probes.
    pub(super) probing: bool,
}

impl Index {
    fn pair(&self, key: &str, value: &str) -> Pair {
        let mut hasher = self.hasher.build_hasher();
        (key, value).hash(&mut hasher);
        std::hash::Hasher::finish(&hasher)
    }

    fn namespace(&mut self, name: &Name) -> &mut Namespace {
        self.namespaces.entry(name.clone()).or_default()
    }

    /// What a namespace says; its services when that changed.
    pub(super) fn set_namespace(&mut self, name: &Name, said: Said) -> Vec<ServiceKey> {
        let namespace = self.namespace(name);
        if namespace.said == said {
            return Vec::new();
        }
        namespace.said = said;
        let key = |service: &Name| ServiceKey { namespace: name.clone(), name: service.clone() };
        namespace.services.iter().map(key).collect()
    }

    /// The pods and slices of a namespace.
    pub(super) fn holds(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let namespace = self.namespaces.get(namespace).into_iter();
        namespace.flat_map(|namespace| namespace.pods.values().map(|known| &known.object).chain(namespace.slices.values()))
    }

    pub(super) fn said(&self, namespace: &str) -> Said {
        self.namespaces.get(namespace).map(|namespace| namespace.said).unwrap_or_default()
    }

    /// Puts a pod, or takes it away. Every service that it was, is or becomes part of is in the answer.
    pub(super) fn set_pod(&mut self, namespace: &Name, name: &Name, object: Option<Arc<Object>>) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        let old = self.namespaces.get_mut(namespace).and_then(|namespace| namespace.pods.remove(name));
        if let Some(old) = &old {
            self.find_services(old.pod(), &mut touched);
            self.unlabel(old.pod());
        }
        if let Some(object) = object {
            let known = Known { object, met: self.meet(), checked: None, refused: None };
            // The same pod on the same address stays who it is; further ones are never asked.
            let first = |known: &Known| known.pod().ips.first().copied();
            let same = old.as_ref().filter(|old| old.pod().meta.uid == known.pod().meta.uid && first(old) == first(&known));
            let checked = (self.probing && !known.pod().probes.is_empty()).then(|| same.map(Known::as_checked).unwrap_or_default());
            let known = match same {
                Some(old) => Known { met: old.met, checked, refused: old.refused.clone(), ..known },
                None => Known { checked, ..known },
            };
            self.find_services(known.pod(), &mut touched);
            self.label(known.pod());
            self.namespace(namespace).pods.insert(name.clone(), known);
        }
        let referring = self.namespaces.get(namespace).and_then(|namespace| namespace.referring.get(name));
        let key = |service: &Name| ServiceKey { namespace: namespace.clone(), name: service.clone() };
        touched.extend(referring.into_iter().flatten().map(key));
        touched
    }

    /// Takes in what the checks of a pod come to. The services that it is part of, where it is ready now and was not, or the other way
    /// round; a verdict of another pod is dropped.
    pub(super) fn set_verdict(&mut self, verdict: Verdict) -> BTreeSet<ServiceKey> {
        let Verdict { pod, met, ready, whole, why, .. } = verdict;
        self.turn(&pod, |known| {
            if known.met == met
                && let Some(checked) = &mut known.checked
            {
                *checked = Checked { ready, whole, why };
            }
        })
    }

    /// Says whether the probes of a pod may not be asked, and why; the services as for [`Index::set_verdict`].
    pub(super) fn set_refused(&mut self, pod: &PodName, refused: Option<Name>) -> BTreeSet<ServiceKey> {
        self.turn(pod, |known| {
            if refused.is_some()
                && let Some(checked) = &mut known.checked
            {
                *checked = Checked::default(); // what it answered before is too old once it may be asked again
            }
            known.refused = refused;
        })
    }

    fn turn(&mut self, pod: &PodName, change: impl FnOnce(&mut Known)) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        let Some(known) = self.namespaces.get_mut(&pod.namespace).and_then(|namespace| namespace.pods.get_mut(&pod.name)) else {
            return touched;
        };
        let before = known.ready();
        change(known);
        if before != known.ready()
            && let Some(known) = self.pod(&pod.namespace, &pod.name)
        {
            self.find_services(known.pod(), &mut touched);
        }
        touched
    }

    fn meet(&mut self) -> u64 {
        self.met += 1;
        self.met
    }

    fn pairs(&self, labels: &Labels) -> Vec<Pair> {
        labels.iter().map(|(key, value)| self.pair(key, value)).collect()
    }

    fn label(&mut self, pod: &Pod) {
        let pairs = self.pairs(&pod.meta.labels);
        let namespace = self.namespace(&pod.meta.namespace);
        for pair in pairs {
            namespace.pods_by_pair.entry(pair).or_default().insert(pod.meta.name.clone());
        }
    }

    fn unlabel(&mut self, pod: &Pod) {
        let pairs = self.pairs(&pod.meta.labels);
        let namespace = self.namespace(&pod.meta.namespace);
        for pair in pairs {
            if let Some(pods) = namespace.pods_by_pair.get_mut(&pair) {
                pods.remove(&pod.meta.name);
                if pods.is_empty() {
                    namespace.pods_by_pair.remove(&pair);
                }
            }
        }
    }

    fn find_services(&self, pod: &Pod, found: &mut BTreeSet<ServiceKey>) {
        let Some(namespace) = self.namespaces.get(&pod.meta.namespace) else { return };
        for pair in self.pairs(&pod.meta.labels) {
            for (service, object) in namespace.selectors.get(&pair).into_iter().flatten() {
                if selector(object).is_some_and(|selector| selects(selector, &pod.meta.labels)) {
                    found.insert(ServiceKey { namespace: pod.meta.namespace.clone(), name: service.clone() });
                }
            }
        }
    }

    /// Puts a service's selector, or takes it away.
    pub(super) fn set_service(&mut self, key: &ServiceKey, before: Option<&Arc<Object>>, after: Option<&Arc<Object>>) {
        let first = |index: &Index, object: &Arc<Object>| {
            let (key, value) = selector(object)?.iter().next()?;
            Some(index.pair(key, value))
        };
        let (old, new) = (before.and_then(|object| first(self, object)), after.and_then(|object| first(self, object)));
        let namespace = self.namespace(&key.namespace);
        if let Some(services) = old.and_then(|pair| namespace.selectors.get_mut(&pair)) {
            services.retain(|(name, _)| *name != key.name);
        }
        if let (Some(pair), Some(object)) = (new, after) {
            namespace.selectors.entry(pair).or_default().push((key.name.clone(), object.clone()));
        }
        if after.is_some() {
            namespace.services.insert(key.name.clone());
        } else {
            namespace.services.remove(&key.name);
        }
    }

    /// Puts a slice, or takes it away; the services that it belonged to and belongs to are in the answer.
    pub(super) fn set_slice(&mut self, before: Option<&Arc<Object>>, after: Option<Arc<Object>>) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        if let Some((namespace, id)) = before.and_then(|object| slice_id(object)) {
            self.namespace(namespace).slices.remove(&id);
        }
        if let Some((service, id)) = before.and_then(|object| slice_of(object)) {
            if let Some(slices) = self.slices.get_mut(&service) {
                slices.remove(&id);
                if slices.is_empty() {
                    self.slices.remove(&service);
                }
            }
            touched.insert(service);
        }
        let Some(object) = after else { return touched };
        if let Some((namespace, id)) = slice_id(&object) {
            self.namespace(namespace).slices.insert(id, object.clone());
        }
        if let Some((service, id)) = slice_of(&object) {
            self.slices.entry(service.clone()).or_default().insert(id, object);
            touched.insert(service);
        }
        touched
    }

    /// Notes that slices of `service` refer to these pods and to no others.
    pub(super) fn set_references(&mut self, service: &ServiceKey, before: &[Name], after: &[Name]) {
        let namespace = self.namespace(&service.namespace);
        for pod in before {
            if let Some(services) = namespace.referring.get_mut(pod) {
                services.remove(&service.name);
                if services.is_empty() {
                    namespace.referring.remove(pod);
                }
            }
        }
        for pod in after {
            namespace.referring.entry(pod.clone()).or_default().insert(service.name.clone());
        }
    }

    /// The slices that count for a service: EndpointSlices, else the older Endpoints.
    pub(super) fn slices(&self, service: &ServiceKey) -> impl Iterator<Item = &EndpointSlice> {
        let legacy = self.all_slices(service).next().is_some_and(|slice| slice.legacy);
        self.all_slices(service).filter(move |slice| slice.legacy == legacy)
    }

    /// All that name a service, the newer kind first.
    pub(super) fn all_slices(&self, service: &ServiceKey) -> impl Iterator<Item = &EndpointSlice> {
        let all = self.slices.get(service).into_iter().flat_map(BTreeMap::values);
        all.filter_map(|object| if let Object::EndpointSlice(slice) = &**object { Some(slice) } else { None })
    }

    /// Services that slices name.
    pub(super) fn sliced(&self) -> impl Iterator<Item = (&ServiceKey, impl Iterator<Item = &Arc<Object>>)> {
        self.slices.iter().map(|(service, slices)| (service, slices.values()))
    }

    /// The pods that the selector of a workload finds.
    pub(super) fn select_all<'a>(&'a self, namespace: &str, selector: &'a Selector) -> impl Iterator<Item = &'a Known> {
        // Expressions alone leave every pod of the namespace to be looked at.
        let all = self.namespaces.get(namespace).filter(|_| selector.labels.is_empty());
        let some = self.select(namespace, &selector.labels);
        let found = all.into_iter().flat_map(|namespace| namespace.pods.values()).chain(some);
        found.filter(|known| selector.selects(&known.pod().meta.labels))
    }

    /// The pods that a selector finds.
    pub(super) fn select<'a>(&'a self, namespace: &str, selector: &'a Labels) -> impl Iterator<Item = &'a Known> {
        let namespace = self.namespaces.get(namespace);
        let pairs = selector.iter().map(|(key, value)| self.pair(key, value));
        // The rarest pair leaves the fewest pods to compare; a pair that no pod has leaves none.
        let rarest = namespace.and_then(|namespace| {
            let sets: Option<Vec<&Set<Name>>> = pairs.map(|pair| namespace.pods_by_pair.get(&pair)).collect();
            sets?.into_iter().min_by_key(|pods| pods.len())
        });
        let found = rarest.into_iter().flatten().filter_map(move |name| namespace?.pods.get(name));
        found.filter(move |known| selects(selector, &known.pod().meta.labels))
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Known> {
        self.namespaces.get(namespace)?.pods.get(name)
    }
}

fn selector(object: &Object) -> Option<&Labels> {
    if let Object::Service(service) = object { service.selector.as_ref() } else { None }
}

fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn slice_id(object: &Object) -> Option<(&Name, SliceId)> {
    let Object::EndpointSlice(slice) = object else { return None };
    Some((&slice.meta.namespace, (slice.legacy, slice.meta.name.clone())))
}

fn slice_of(object: &Object) -> Option<(ServiceKey, SliceId)> {
    let Object::EndpointSlice(slice) = object else { return None };
    let service = ServiceKey { namespace: slice.meta.namespace.clone(), name: slice.service.clone()? };
    Some((service, (slice.legacy, slice.meta.name.clone())))
}
