//! Random worlds that change: after every step the planes are judged by a slow reading of the objects themselves, and compared with
//! a registry that saw only the last state.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::plainly::{Answer, Plainly, World, own};
use super::random::{Rules, Step, rules, steps};
use super::*;
use crate::event::SettingsNews;

pub(super) fn file(key: &ObjectKey) -> String {
    format!("m/{key}.yaml")
}

pub(super) fn started(rules: &Rules, saved: Saved) -> Registry {
    let mut registry = Registry::new(&rules.settings(), saved);
    registry.follow_settings("tidegate.yaml".as_ref(), T);
    registry.set_own_addresses(own());
    registry
}

pub(super) fn files(named: &[(String, Option<Object>)]) -> Vec<(&str, Content)> {
    let content = |object: &Option<Object>| object.clone().map_or(Content::Gone, |object| manifest(vec![object]));
    named.iter().map(|(name, object)| (name.as_str(), content(object))).collect()
}

/// What is so.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) objects: World,
    pub(super) rules: Rules,
    /// What DNS would say.
    dns: BTreeMap<Name, Vec<Answer>>,
}

impl Truth {
    pub(super) fn new(rules: Rules) -> Truth {
        Truth { objects: World::new(), rules, dns: BTreeMap::new() }
    }

    /// Changes it; the files that changed.
    pub(super) fn change(&mut self, step: Vec<Step>) -> Vec<(String, Option<Object>)> {
        let mut changed: BTreeMap<String, Option<Object>> = BTreeMap::new();
        for step in step {
            match step {
                Step::Put(object) => {
                    changed.insert(file(&object.key()), Some(Object::clone(&object)));
                    self.objects.insert(object.key(), *object);
                }
                Step::Remove(at) if !self.objects.is_empty() => {
                    let key = self.objects.keys().nth(at % self.objects.len()).unwrap().clone();
                    changed.insert(file(&key), None);
                    self.objects.remove(&key);
                }
                Step::Strict(strict) => self.rules.law.strict = strict,
                Step::Dns(name, answers) => _ = self.dns.insert(name.into(), answers),
                Step::Remove(_) | Step::Silence(_) => {}
            }
        }
        changed.into_iter().collect()
    }

    /// The same before anybody has heard of it.
    pub(super) fn afresh(&self) -> Truth {
        let mut same = Truth { objects: self.objects.clone(), rules: self.rules.clone(), dns: self.dns.clone() };
        same.rules.law.heard.clear();
        same
    }

    /// Judges what is published as it is, and once DNS has answered whoever is asked for.
    pub(super) fn judge(&mut self, registry: &mut Registry) -> Result<Arc<Snapshot>, TestCaseError> {
        registry.publish(T);
        self.rules.law.heard.retain(|name, _| registry.names().contains(name)); // what nobody wants is forgotten
        self.plainly().judge(registry.published.as_ref().unwrap())?;
        self.plainly().judge_names(registry.names())?;
        for name in registry.names().clone() {
            let answers = self.dns.get(&name).cloned().unwrap_or_default();
            let addresses = answers.iter().map(|(said, ..)| said.parse().unwrap()).collect();
            registry.apply(Event::Resolved(name.clone(), Ok(addresses)), T);
            self.rules.law.heard.insert(name, answers);
        }
        registry.publish(T);
        let snapshot = registry.published.clone().unwrap();
        self.plainly().judge(&snapshot)?;
        called::judge(&self.plainly(), &snapshot)?;
        Ok(snapshot)
    }

    fn plainly(&self) -> Plainly<'_> {
        Plainly { objects: &self.objects, law: &self.rules.law }
    }
}

/// What of a step no file says.
fn tell(registry: &mut Registry, step: &[Step], rules: &Rules) {
    for step in step {
        match step {
            Step::Strict(_) => registry.apply(Event::Settings(SettingsNews::Read(Box::new(rules.settings()))), T),
            Step::Silence(name) => {
                registry.apply(Event::Resolved((*name).into(), Err(Problem::warning(Reason::Unreadable, "DNS does not answer"))), T);
            }
            // An answer to a question of before.
            Step::Dns(name, answers) if !registry.names().contains(*name) => {
                let addresses = answers.iter().map(|(said, ..)| said.parse().unwrap()).collect();
                registry.apply(Event::Resolved((*name).into(), Ok(addresses)), T);
            }
            Step::Put(_) | Step::Remove(_) | Step::Dns(..) => {}
        }
    }
}

/// Every (service port, addresses) of a plane, and every route with what it does.
pub(super) type Shape = (BTreeMap<String, Vec<String>>, BTreeSet<String>);

pub(super) fn shape(plane: &Plane, world: &World) -> Shape {
    let exists = |name: &str| world.keys().any(|key| key.kind == Kind::Service && format!("{}/{}", key.namespace, key.name) == name);
    let served = plane.services.iter().filter(|service| exists(&service.name.service.to_string()));
    let addresses = |served: &Served| served.endpoints.iter().map(|endpoint| endpoint.replica.address.to_string()).collect();
    let does = |action: &Action| match action {
        Action::Forward(index) => plane.service(*index).name.to_string(),
        other => format!("{other:?}"),
    };
    let routes = [&plane.routes, &plane.refused].into_iter().flat_map(|table| table.routes());
    let routes = routes.map(|route| format!("{} {} {:?} {} {}", route.owner, route.host, route.path_type, route.path, does(&route.action)));
    (served.map(|served| (served.name.to_string(), addresses(served))).collect(), routes.collect())
}

/// What each id was first seen to mean.
#[derive(Default)]
struct Ids {
    endpoints: BTreeMap<EndpointId, (String, ReplicaId)>,
    replicas: BTreeMap<ReplicaId, std::net::SocketAddr>,
}

impl Ids {
    /// No id means another thing than before, and none that left is in the picture.
    fn check(&mut self, snapshot: &Snapshot, leaving: &BTreeSet<EndpointId>) -> Result<(), TestCaseError> {
        let all = snapshot.internal.services.iter().chain(snapshot.external.services.iter());
        for (service, endpoint) in all.flat_map(|service| service.endpoints.iter().map(move |endpoint| (service, endpoint))) {
            prop_assert!(!leaving.contains(&endpoint.id), "{} holds one that left", service.name);
            let (who, replica) = ((service.name.to_string(), endpoint.replica.id), &endpoint.replica);
            prop_assert_eq!(self.endpoints.entry(endpoint.id).or_insert_with(|| who.clone()), &who, "an endpoint's id used twice");
            prop_assert_eq!(*self.replicas.entry(replica.id).or_insert(replica.address), replica.address, "a replica's id used twice");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_step_keeps_the_gate(rules in rules(), steps in steps()) {
        let (mut truth, mut registry, mut ids) = (Truth::new(rules.clone()), started(&rules, Saved::default()), Ids::default());
        for (at, step) in steps.into_iter().enumerate() {
            let changed = truth.change(step.clone());
            registry.apply(batch(at == 0, files(&changed)), T);
            tell(&mut registry, &step, &truth.rules);
            let snapshot = truth.judge(&mut registry)?;
            let leaving = registry.world.life.leaving().iter().map(|left| left.id).collect();
            ids.check(&snapshot, &leaving)?;
            registry.report(Report::Acknowledged { worker: 0, version: snapshot.version }, T);
            prop_assert!(registry.world.life.leaving().is_empty(), "acknowledged by all is gone");
            // A registry that meets the same objects for the first time, in another order.
            let mut fresh = started(&truth.rules, Saved::default());
            let all: Vec<_> = truth.objects.iter().rev().map(|(key, object)| (file(key), Some(object.clone()))).collect();
            fresh.apply(batch(true, files(&all)), T);
            let scratch = truth.afresh().judge(&mut fresh)?;
            for exposure in [Exposure::External, Exposure::Internal] {
                let shape = |snapshot: &Snapshot| shape(snapshot.plane(exposure), &truth.objects);
                prop_assert_eq!(shape(&snapshot), shape(&scratch), "step {}", at);
            }
            prop_assert_eq!(registry.routes(), fresh.routes());
            let told = |registry: &Registry| registry.problems().iter().map(|problem| problem.to_string()).collect::<BTreeSet<_>>();
            prop_assert_eq!(told(&registry), told(&fresh));
        }
    }
}
