//! Who has a namespace, and who has a name in it, where several ask for one; and since when somebody asks for a host.
//!
//! Labels are words that anybody may write who may start a container, and different names may come to one. Invariant: one project has a
//! namespace by its name, and one compose service, or container, has a name in it; whoever else asks for it is told and serves nothing by
//! its labels. That a container joins another project's namespace by `tidegate.dev/namespace` is allowed: it must be written down.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use config::object::Name;
use config::problem::{Problem, Reason};

use super::container::Container;
use super::labels::HOST;
use super::objects::{Group, Labelled, as_name};

/// What a container is a replica of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of<'c> {
    Service { project: &'c str, service: &'c str },
    Itself(&'c str),
}

/// Who asks for which hosts, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    group: Group,
    project: Option<String>,
    hosts: Option<String>,
}

/// Since when each is there without a gap, in seconds since 1970: who has a host does not lose it to a younger claim since his containers
/// are made anew.
pub(super) type Ages = BTreeMap<Claim, i64>;

impl Claim {
    pub(super) fn of(group: &Group, by: &Labelled<'_>) -> Claim {
        let said = |text: Option<&str>| text.map(str::to_owned);
        Claim { group: group.clone(), project: said(by.container.project()), hosts: said(by.container.label(HOST)) }
    }
}

/// Which project has each namespace.
#[derive(Debug, Default)]
pub(super) struct Holders<'c>(BTreeMap<Name, &'c str>);

impl<'c> Holders<'c> {
    /// A project whose name is the namespace's has it, else the one with the oldest container.
    pub(super) fn of(containers: impl Iterator<Item = &'c Container>) -> Holders<'c> {
        let mut best: BTreeMap<Name, (bool, Option<Reverse<i64>>, &str)> = BTreeMap::new();
        for container in containers {
            let Some(project) = container.project() else { continue };
            let namespace = as_name(project);
            let claim = (project == namespace, container.created.map(Reverse), project);
            let held = best.entry(namespace.into()).or_insert(claim);
            *held = claim.max(*held);
        }
        Holders(best.into_iter().map(|(namespace, (_, _, project))| (namespace, project)).collect())
    }

    /// Whether a container may be in its project's namespace.
    ///
    /// # Errors
    /// Another project has it.
    pub(super) fn admit(&self, container: &Container, namespace: &Name) -> Result<(), Problem> {
        let (Some(project), Some(&holder)) = (container.project(), self.0.get(namespace)) else { return Ok(()) };
        if project == holder {
            return Ok(());
        }
        let found = format!("container {} is of project `{project}`, but namespace {namespace} is project `{holder}`'s", container.name);
        let problem = Problem::error(Reason::Conflict, found).expected("a namespace for each project");
        Err(problem
            .fix("name the project otherwise, or label its containers `tidegate.dev/namespace: ...`; until then they are not served"))
    }

    /// Those of a group whose name it is, and what is told of the others: the namespace's own project has it before others, and of
    /// others the one with the oldest container.
    pub(super) fn keep<'e>(&self, group: &Group, replicas: Vec<Labelled<'e>>) -> (Vec<Labelled<'e>>, Vec<Problem>) {
        let own = |container: &Container| container.project().is_some() && container.project() == self.0.get(&group.namespace).copied();
        let rank = |replica: &Labelled<'_>| {
            let container = replica.container;
            (!own(container), container.created.unwrap_or(i64::MAX), container.id.clone())
        };
        let Some(first) = replicas.iter().min_by_key(|replica| rank(replica)).map(|replica| of(replica.container)) else {
            return (replicas, Vec::new());
        };
        let (kept, others): (Vec<_>, Vec<_>) = replicas.into_iter().partition(|replica| of(replica.container) == first);
        (kept, others.iter().map(|other| taken(group, other.container, first)).collect())
    }
}

fn of(container: &Container) -> Of<'_> {
    match (container.project(), container.service()) {
        (Some(project), Some(service)) => Of::Service { project, service },
        _ => Of::Itself(&container.name),
    }
}

fn taken(group: &Group, container: &Container, first: Of<'_>) -> Problem {
    let who = match first {
        Of::Service { project, service } => format!("service `{service}` of project `{project}`"),
        Of::Itself(name) => format!("container `{name}`"),
    };
    let found = format!("container {} asks for the name {}/{}, which is that of {who}", container.name, group.namespace, group.name);
    let problem = Problem::error(Reason::Conflict, found).expected("a name for each service in a namespace");
    problem.fix("name one of the two otherwise, or remove its label `tidegate.dev/namespace`; until then its labels serve nothing")
}
