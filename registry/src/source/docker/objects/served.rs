//! Replicas of a group together: the Deployment that they are, and what their labels ask for: a Service and an Ingress.
//!
//! Invariant: of replicas whose labels differ the newest says what is served, but one that seals seals all, and where the labels of one
//! cannot be understood nothing is served by them.

use config::exposure::Exposure;
use config::host::HostPattern;
use config::manifest::Manifest;
use config::object::{
    Ingress, IngressBackend, IngressPath, IngressRule, IngressTls, Kind, Labels as ObjectLabels, Meta, Object, PathType, PortRef, Protocol,
    Selector, Service, ServicePort, Workload,
};
use config::problem::{Problem, Reason};

use super::super::container::Container;
use super::super::labels::{Labels, PORT};
use super::{Group, Labelled, NAME_LABEL, exposure};
use crate::exposure::{EXTERNAL_CLASS, INTERNAL_CLASS};

/// What replicas of one service come to together; `created`: since when that has been so, in seconds since 1970.
pub(super) fn together(group: &Group, created: Option<i64>, newest: &Labelled<'_>, replicas: &[Labelled<'_>]) -> Manifest {
    let mut out = Manifest::default();
    let selector = selector(newest.container);
    let unclear = replicas.iter().any(|replica| replica.labels.unclear);
    let sealed = unclear || replicas.iter().any(|replica| replica.labels.exposure == Some(Exposure::Internal));
    let meta = Meta {
        namespace: group.namespace.clone(),
        name: group.name.clone(),
        created,
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
    // What is wrong with them is told with the pod.
    if newest.labels.serve() && !unclear {
        serve(meta, selector, newest, sealed, &mut out);
    }
    out
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

fn serve(meta: Meta, selector: ObjectLabels, newest: &Labelled<'_>, sealed: bool, out: &mut Manifest) {
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
