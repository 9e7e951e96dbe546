//! A container as a Pod: who it is, where it is reached, and whether it is ready.
//!
//! Invariant: another start is another uid, and what cannot be reached has no address: the reason is told with it.

use std::sync::Arc;

use config::exposure::{Exposure, OUR_PREFIX};
use config::manifest::Manifest;
use config::object::{Check, Labels as ObjectLabels, Meta, Name, Object, Pod, PodPort, Probe};
use config::problem::{Problem, Reason, Severity};

use super::super::container::{Container, Health, Place};
use super::super::labels::Labels;
use super::super::reach::{self, Here};
use super::{Engine, Group, NAME_LABEL, as_name, exposure};

/// The Pod of a container of a group, and what is told of it.
pub(super) fn of(engine: &Engine, here: &Here, container: &Container, group: &Group, labels: &Labels, problems: Vec<Problem>) -> Manifest {
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
    out.problems.extend(beside_the_door(container, labels));
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

/// What labels keep inside, and the engine publishes all the same.
fn beside_the_door(container: &Container, said: &Labels) -> Option<Problem> {
    let inside = said.exposure.map_or(said.serve(), |exposure| exposure == Exposure::Internal);
    let published: Vec<String> = container.published.iter().filter(|_| inside).map(ToString::to_string).collect();
    let found = format!("container {} is meant to be inside, and the engine publishes it at {}", container.name, published.join(" and "));
    let problem = Problem::warning(Reason::NotExposed, found).expected("nothing published, or on 127.0.0.1 alone");
    (!published.is_empty()).then(|| problem.fix("remove its `ports:`: whoever reaches this machine reaches it there, past Tidegate"))
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
