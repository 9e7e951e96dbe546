//! Containers as Kubernetes objects: each a Pod, the replicas of a compose service a Deployment, and what their labels ask for a Service
//! and an Ingress.
//!
//! Invariant: a pure function of the containers and of where this process is, so that what is told does not depend on the order of events.
//! A compose project is a namespace. Of replicas whose labels differ the newest says what is served, but one that seals seals all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use config::exposure::{EXPOSURE_LABEL, Exposure, OUR_PREFIX};
use config::host::HostPattern;
use config::manifest::Manifest;
use config::object::{
    Check, Ingress, IngressBackend, IngressPath, IngressRule, IngressTls, Kind, Labels as ObjectLabels, Meta, Name, Object, PathType, Pod,
    PodPort, PortRef, Probe, Protocol, Selector, Service, ServicePort, Workload,
};
use config::problem::{Problem, Reason, Severity};

use super::claims::Holders;
use super::container::{Container, Health, Id, Place};
use super::labels::{self, Labels, PORT};
use super::reach::{self, Here};
use crate::event::Origin;
use crate::exposure::{EXTERNAL_CLASS, INTERNAL_CLASS};

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
pub(super) struct Replica<'e> {
    pub(super) container: &'e Container,
    labels: Labels,
}

/// Everything that the engine's containers come to, by origin.
pub(super) fn objects(engine: &Engine) -> BTreeMap<Origin, Manifest> {
    let here = reach::here(engine.own.as_deref(), &engine.containers);
    let followed = || engine.containers.values().filter(|container| engine.follows(container));
    let holders = Holders::of(followed().filter(|container| container.label(labels::NAMESPACE).is_none()));
    let mut all = BTreeMap::new();
    let mut groups: BTreeMap<Group, Vec<Replica<'_>>> = BTreeMap::new();
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
        all.insert(origin(&group, Some(container)), pod(engine, &here, container, &group, &labels, problems));
        if !container.one_off() {
            groups.entry(group).or_default().push(Replica { container, labels });
        }
    }
    for (group, replicas) in groups {
        let (replicas, problems) = holders.keep(&group, replicas);
        let mut manifest = together(&group, &replicas);
        manifest.problems.extend(problems);
        all.insert(origin(&group, None), manifest);
    }
    all.extend(engine.unread.iter().map(|(id, why)| unread(engine, id, why)));
    all
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

fn pod(engine: &Engine, here: &Here, container: &Container, group: &Group, labels: &Labels, problems: Vec<Problem>) -> Manifest {
    let name: Name = format!("{}-{}", group.name, container.short()).into();
    let mut out = Manifest { problems, ..Manifest::default() };
    let asked = labels.network.as_deref().or(engine.network.as_deref());
    let state = &container.state;
    // Who is in no network, and asks for nobody, is not missed there.
    let alone = container.place == Place::Nowhere && !labels.serve();
    let ips = if state.running && !alone { reach::addresses(container, &engine.containers, here, asked) } else { Ok(Vec::new()) };
    let ips = ips.unwrap_or_else(|problem| {
        out.problems.push(Problem { severity: weight(engine, container, labels), ..problem });
        Vec::new()
    });
    let mut meta = Meta {
        namespace: group.namespace.clone(),
        name,
        // Another start is another process, whatever address it gets.
        uid: Some(format!("{}/{}", container.id, state.started).into()),
        created: container.created,
        deleting: engine.stopping.get(&container.id) == Some(&state.started),
        labels: pod_labels(container, labels),
        ..Meta::default()
    };
    meta.unclear = labels.unclear;
    let ready = state.running && (alone || !ips.is_empty()) && state.health != Health::Bad && !container.one_off();
    // Replicas are numbered, as those of a StatefulSet: a headless Service of their name has a name for each.
    let number = container.service().and(container.label("com.docker.compose.container-number"));
    let pod = Pod {
        hostname: number.map(|number| as_name(&format!("{}-{number}", group.name)).into()),
        subdomain: number.map(|_| group.name.clone()),
        ips,
        finished: !state.running && !state.started.is_empty(),
        ready,
        probes: probes(container, labels),
        ports: container.ports.iter().map(|&(port, protocol)| PodPort { name: "".into(), port, protocol }).collect(),
        node: None,
        host_network: false,
        owner: None,
        meta,
    };
    let key = Object::Pod(pod.clone()).key();
    out.problems = out.problems.into_iter().map(|problem| problem.of(&key)).collect();
    out.objects.push(Object::Pod(pod));
    out
}

/// A container that has no healthcheck is asked whether it takes connections at the port that its labels name: that it runs does not
/// mean that it listens.
fn probes(container: &Container, said: &Labels) -> Arc<[Probe]> {
    let asked = said.port.filter(|_| container.state.health == Health::Unsaid && container.state.running);
    let probe = |port| Probe {
        container: container.name.as_str().into(),
        check: Check::Tcp { port },
        initial_delay_s: 0,
        period_s: 1,
        timeout_s: 1,
        successes: 1,
        failures: 3,
    };
    asked.map(probe).into_iter().collect()
}

/// How much it matters that a container cannot be reached: most, where somebody asked for it.
fn weight(engine: &Engine, container: &Container, labels: &Labels) -> Severity {
    let own = engine.own.as_ref().and_then(|own| engine.containers.get(own));
    let beside = own.is_some_and(|own| own.project().is_some() && own.project() == container.project());
    match (labels.serve(), beside) {
        (true, _) => Severity::Error,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Note,
    }
}

/// The container's, and its name. Of ours only what seals or exposes: the others are read here.
fn pod_labels(container: &Container, said: &Labels) -> ObjectLabels {
    let theirs = container.labels.iter().filter(|(key, _)| !key.starts_with(OUR_PREFIX));
    let mut labels: ObjectLabels = theirs.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    labels.insert(NAME_LABEL.into(), container.name.as_str().into());
    labels.extend(exposure(said.exposure));
    labels
}

fn exposure(said: Option<Exposure>) -> Option<(Box<str>, Box<str>)> {
    said.map(|exposure| (EXPOSURE_LABEL.into(), exposure.as_str().into()))
}

/// What replicas of one service come to together.
fn together(group: &Group, replicas: &[Replica<'_>]) -> Manifest {
    let mut out = Manifest::default();
    let Some(newest) = replicas.iter().max_by_key(|replica| (replica.container.created, &replica.container.id)) else { return out };
    let selector = selector(newest.container);
    let oldest = replicas.iter().filter_map(|replica| replica.container.created).min();
    let sealed = replicas.iter().any(|replica| replica.labels.unclear || replica.labels.exposure == Some(Exposure::Internal));
    let meta = Meta {
        namespace: group.namespace.clone(),
        name: group.name.clone(),
        created: oldest,
        labels: exposure(if sealed { Some(Exposure::Internal) } else { newest.labels.exposure }).into_iter().collect(),
        by_label: true,
        ..Meta::default()
    };
    if newest.container.service().is_some() {
        let wanted = replicas.iter().filter(|replica| !replica.container.state.done).count();
        out.objects.push(Object::Workload(Workload {
            meta: Meta { labels: ObjectLabels::new(), ..meta.clone() },
            kind: Kind::Deployment,
            replicas: u32::try_from(wanted).unwrap_or(u32::MAX),
            selector: Selector { labels: selector.clone(), expressions: Vec::new() },
            owner: None,
        }));
    }
    if newest.labels.serve() && !sealed_by_mistake(replicas) {
        serve(meta, selector, newest, sealed, &mut out);
    }
    out
}

/// Labels that cannot be understood are told with the pod; whatever else they say is not served.
fn sealed_by_mistake(replicas: &[Replica<'_>]) -> bool {
    replicas.iter().any(|replica| replica.labels.unclear)
}

/// What selects the replicas: compose's labels, or the container's name.
fn selector(container: &Container) -> ObjectLabels {
    let of = |key: &str, value: &str| (key.into(), value.into());
    match (container.project(), container.service()) {
        (Some(project), Some(service)) => {
            [of("com.docker.compose.project", project), of("com.docker.compose.service", service)].into_iter().collect()
        }
        _ => [of(NAME_LABEL, &container.name)].into_iter().collect(),
    }
}

fn serve(meta: Meta, selector: ObjectLabels, newest: &Replica<'_>, sealed: bool, out: &mut Manifest) {
    let said = &newest.labels;
    let Some(target) = said.port.or_else(|| only_port(newest.container)) else {
        out.problems.push(no_port(newest.container).of(format!("Service {}/{}", meta.namespace, meta.name)));
        return;
    };
    let app_protocol = said.app_protocol.clone().or_else(|| (!said.hosts.is_empty()).then(|| "http".into()));
    // What speaks HTTP is asked for at its usual port, as `http://orders`; all else keeps its own.
    let port = if app_protocol.is_some() { 80 } else { target };
    let service = Service {
        meta: meta.clone(),
        selector: Some(selector),
        ports: vec![ServicePort {
            name: "".into(),
            port,
            target_port: PortRef::Number(target),
            protocol: Protocol::Tcp,
            app_protocol,
            node_port: None,
        }],
        ..Service::default()
    };
    out.objects.push(Object::Service(service));
    if !said.hosts.is_empty() {
        let external = said.exposure == Some(Exposure::External) && !sealed;
        out.objects.push(Object::Ingress(ingress(meta, said, port, external)));
    }
}

fn ingress(meta: Meta, said: &Labels, port: u16, external: bool) -> Ingress {
    let backend = IngressBackend { service: meta.name.clone(), port: PortRef::Number(port) };
    let rule = |host: &HostPattern| IngressRule {
        host: host.clone(),
        paths: vec![IngressPath { path_type: PathType::Prefix, path: "/".into(), backend: backend.clone() }],
    };
    let tls = said.tls_secret.iter().map(|secret| IngressTls { at: 0, hosts: said.hosts.clone(), secret: secret.clone() });
    Ingress {
        class: Some(if external { EXTERNAL_CLASS } else { INTERNAL_CLASS }.into()),
        default_backend: None,
        rules: said.hosts.iter().map(rule).collect(),
        tls: tls.filter(|_| external).collect(),
        client: None,
        meta,
    }
}

/// The port of an image that exposes a single one.
fn only_port(container: &Container) -> Option<u16> {
    let mut tcp = container.ports.iter().filter(|(_, protocol)| *protocol == Protocol::Tcp).map(|(port, _)| *port);
    let first = tcp.next()?;
    tcp.next().is_none().then_some(first)
}

fn no_port(container: &Container) -> Problem {
    let ports: Vec<String> = container.ports.iter().map(|(port, protocol)| format!("{port}/{}", protocol.as_str())).collect();
    let found = match ports.as_slice() {
        [] => format!("container {} does not say on which port it listens", container.name),
        _ => format!("the image of container {} exposes {}: it is not clear which is meant", container.name, ports.join(", ")),
    };
    Problem::error(Reason::Invalid, found).at(format!("label {PORT}")).expected("a port").fix(format!("label it `{PORT}: \"8080\"`, say"))
}

#[cfg(test)]
mod tests;
