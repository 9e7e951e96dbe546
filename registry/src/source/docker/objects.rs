//! Containers as Kubernetes objects: each a Pod, and what the replicas of a compose service come to together.
//!
//! Invariant: a pure function of the containers, of where this process is, and of the ages of what was served before; but for these it does
//! not depend on the order of events. A compose project is a namespace.

mod pod;
mod served;

use std::collections::BTreeMap;
use std::path::Path;

use config::exposure::{EXPOSURE_LABEL, Exposure};
use config::manifest::Manifest;
use config::object::Name;
use config::problem::{Problem, Reason};

use super::claims::{Ages, Claim, Holders};
use super::container::{Container, Id};
use super::labels::{self, Labels};
use super::reach;
use crate::event::Origin;

/// What every pod of a container is labelled with beside the container's own labels: the container's name.
const NAME_LABEL: &str = "container.tidegate.dev/name";
/// The namespace of a container that belongs to no project.
const NAMESPACE: &str = "default";

/// What is known of the engine.
#[derive(Debug, Default)]
pub(super) struct Engine {
    pub(super) containers: BTreeMap<Id, Container>,
    /// Those that were told to stop and have not yet.
    pub(super) stopping: BTreeMap<Id, String>,
    /// Those of which the engine says what cannot be read, and why not.
    pub(super) unread: BTreeMap<Id, String>,
    /// The container that this process is in.
    pub(super) own: Option<Id>,
    /// `docker.network`
    pub(super) network: Option<String>,
    /// `docker.projects`
    pub(super) projects: Vec<String>,
    /// Those of when it was last looked at.
    pub(super) ages: Ages,
}

impl Engine {
    /// Whether a container is looked at: others may still say where a network is.
    fn follows(&self, container: &Container) -> bool {
        self.projects.is_empty() || container.project().is_some_and(|project| self.projects.iter().any(|followed| followed == project))
    }
}

/// Replicas of one service, or a container on its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) namespace: Name,
    pub(super) name: Name,
}

/// A container with what its labels say.
pub(super) struct Labelled<'e> {
    pub(super) container: &'e Container,
    labels: Labels,
}

/// Everything that the engine's containers come to, by origin, and the ages of what is served.
pub(super) fn objects(engine: &Engine) -> (BTreeMap<Origin, Manifest>, Ages) {
    let here = reach::here(engine.own.as_deref(), &engine.containers);
    let followed = || engine.containers.values().filter(|container| engine.follows(container));
    let holders = Holders::of(followed().filter(|container| container.label(labels::NAMESPACE).is_none()));
    let (mut all, mut ages) = (BTreeMap::new(), Ages::new());
    let mut groups: BTreeMap<Group, Vec<Labelled<'_>>> = BTreeMap::new();
    for container in followed() {
        let (labels, mut problems) = labels::read(container);
        let group = group(container, &labels);
        if labels.namespace.is_none()
            && let Err(problem) = holders.admit(container, &group.namespace)
        {
            problems.push(problem);
            all.insert(origin(&group, Some(container)), Manifest { problems, ..Manifest::default() });
            continue;
        }
        all.insert(origin(&group, Some(container)), pod::of(engine, &here, container, &group, &labels, problems));
        if !container.one_off() {
            groups.entry(group).or_default().push(Labelled { container, labels });
        }
    }
    for (group, replicas) in groups {
        let (replicas, problems) = holders.keep(&group, replicas);
        let mut manifest = Manifest::default();
        if let Some(newest) = replicas.iter().max_by_key(|replica| (replica.container.created, &replica.container.id)) {
            let claim = Claim::of(&group, newest);
            let alike = replicas.iter().filter(|replica| Claim::of(&group, replica) == claim);
            let created = alike.filter_map(|replica| replica.container.created).chain(engine.ages.get(&claim).copied()).min();
            manifest = served::together(&group, created, newest, &replicas);
            ages.extend(created.map(|created| (claim, created)));
        }
        manifest.problems.extend(problems);
        all.insert(origin(&group, None), manifest);
    }
    all.extend(engine.unread.iter().map(|(id, why)| unread(engine, id, why)));
    (all, ages)
}

/// `docker:NAMESPACE/NAME`, and the container's id for one of them.
fn origin(group: &Group, container: Option<&Container>) -> Origin {
    let of = container.map(|container| format!("-{}", container.short())).unwrap_or_default();
    Path::new(&format!("{}{}/{}{of}", super::ORIGINS, group.namespace, group.name)).into()
}

/// What was known of a container stays, where anything was.
fn unread(engine: &Engine, id: &Id, why: &str) -> (Origin, Manifest) {
    let known = engine.containers.get(id);
    let origin = known.map_or_else(
        || Path::new(&format!("{}{id}", super::ORIGINS)).into(),
        |known| origin(&group(known, &labels::read(known).0), Some(known)),
    );
    let problem = Problem::error(Reason::Invalid, format!("what the engine says of container {id} cannot be read: {why}"));
    let problem = problem.expected("an answer to `inspect` as the Docker API has it");
    let problem = problem.fix("see what `docker inspect` says of it; what was known of it stays, and it is asked again");
    (origin, Manifest { problems: vec![problem], broken: true, ..Manifest::default() })
}

fn group(container: &Container, labels: &Labels) -> Group {
    let namespace = labels.namespace.clone().or_else(|| container.project().map(|project| as_name(project).into()));
    let name = container.service().unwrap_or(&container.name);
    Group { namespace: namespace.unwrap_or_else(|| NAMESPACE.into()), name: as_name(name).into() }
}

/// The text as a name of Kubernetes: what its rules for labels of DNS do not allow becomes `-`, or goes (RFC 1123 section 2.1).
pub(super) fn as_name(text: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(allowed).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "x".to_owned() } else { name.to_owned() }
}

fn exposure(said: Option<Exposure>) -> Option<(Box<str>, Box<str>)> {
    said.map(|exposure| (EXPOSURE_LABEL.into(), exposure.as_str().into()))
}

#[cfg(test)]
mod tests;
