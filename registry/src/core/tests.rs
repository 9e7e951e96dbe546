//! The registry as its users see it: batches in, pictures and problems out.

use std::net::IpAddr;
use std::path::Path;

use config::host::HostPattern;
use config::manifest::Manifest;
use config::object::*;

use super::*;
use crate::event::{Batch, Change, Content};
use crate::route::Action;
use crate::seed::Seed;
use crate::snapshot::{EndpointId, ReplicaId, Service as Served};

mod called;
mod carried;
mod certificates;
mod churn;
mod clients;
mod exposed;
mod filters;
mod life;
mod misdirected;
mod names;
mod outliers;
mod picked;
mod plainly;
mod probed;
mod random;
mod replayed;
mod restart;
mod sealed;
mod settings;
mod sources;
mod spoken;
mod workloads;

const T: Duration = Duration::ZERO;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn meta(name: &str, pairs: &[(&str, &str)]) -> Meta {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    Meta { namespace: namespace.into(), name: name.into(), labels: labels(pairs), ..Meta::default() }
}

const SEAL: (&str, &str) = ("tidegate.dev/exposure", "internal");
const OPEN: (&str, &str) = ("tidegate.dev/exposure", "external");

fn namespace(name: &str, pairs: &[(&str, &str)]) -> Object {
    Object::Namespace(Namespace { meta: meta(name, pairs) })
}

/// Port 80 to 8080 of the pods labelled `app: NAME`.
fn service(name: &str, pairs: &[(&str, &str)]) -> Service {
    let meta = meta(name, pairs);
    let port = ServicePort {
        name: "http".into(),
        port: 80,
        target_port: PortRef::Number(8080),
        protocol: Protocol::Tcp,
        app_protocol: None,
        node_port: None,
    };
    Service { selector: Some(labels(&[("app", &meta.name)])), meta, ports: vec![port], ..Service::default() }
}

fn pod(name: &str, app: &str, ip: &str) -> Pod {
    Pod {
        meta: meta(name, &[("app", app)]),
        ips: vec![ip.parse().unwrap()],
        finished: false,
        ready: true,
        probes: Arc::default(),
        ports: Vec::new(),
        node: None,
        hostname: None,
        subdomain: None,
        host_network: false,
        owner: None,
    }
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoint = |ip: &&str| SliceEndpoint {
        ip: ip.parse().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        pod: None,
        hostname: None,
        node: None,
        zone: None,
        hints: None,
    };
    EndpointSlice {
        meta: meta(name, &[]),
        service: Some(service.into()),
        ports: vec![SlicePort { name: "http".into(), port: 8080, protocol: Protocol::Tcp }],
        endpoints: addresses.iter().map(endpoint).collect(),
        legacy: false,
    }
}

/// One prefix rule for each (host, path, service).
fn ingress(name: &str, class: Option<&str>, rules: &[(&str, &str, &str)]) -> Ingress {
    let rule = |(host, path, service): &(&str, &str, &str)| IngressRule {
        host: HostPattern::parse_ingress(host).unwrap(),
        paths: vec![IngressPath { path_type: PathType::Prefix, path: (*path).into(), backend: backend(service) }],
    };
    let rules = rules.iter().map(rule).collect();
    Ingress { meta: meta(name, &[]), class: class.map(Name::from), default_backend: None, rules, tls: Vec::new(), client: None }
}

fn backend(service: &str) -> IngressBackend {
    IngressBackend { service: service.into(), port: PortRef::Number(80) }
}

/// What can be written into a file of a test.
trait Written {
    fn object(self) -> Object;
}

impl Written for Service {
    fn object(self) -> Object {
        Object::Service(self)
    }
}

impl Written for Pod {
    fn object(self) -> Object {
        Object::Pod(self)
    }
}

impl Written for EndpointSlice {
    fn object(self) -> Object {
        Object::EndpointSlice(self)
    }
}

impl Written for Ingress {
    fn object(self) -> Object {
        Object::Ingress(self)
    }
}

fn object(written: impl Written) -> Object {
    written.object()
}

fn manifest(objects: Vec<Object>) -> Content {
    Content::Manifest(Manifest { objects, ..Manifest::default() })
}

fn batch(whole: bool, files: Vec<(&str, Content)>) -> Event {
    let change = |(origin, content): (&str, Content)| Change { origin: Arc::from(Path::new(origin)), content };
    Event::Batch(Batch { source: "folder:m".into(), changes: files.into_iter().map(change).collect(), whole })
}

/// A registry that read one file with these objects.
fn registry(objects: Vec<Object>) -> Registry {
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry
}

/// Replaces the one file.
fn again(registry: &mut Registry, objects: Vec<Object>) {
    registry.apply(batch(false, vec![("m/all.yaml", manifest(objects))]), T);
}

fn publish(registry: &mut Registry) -> Arc<Snapshot> {
    registry.publish(T).expect("something changed")
}

fn find<'s>(snapshot: &'s Snapshot, exposure: Exposure, name: &str) -> Option<&'s Arc<Served>> {
    let ports = snapshot.plane(exposure).services.iter().filter(|service| service.name.service.to_string() == name);
    ports.min_by_key(|service| service.name.port)
}

fn addresses(snapshot: &Snapshot, exposure: Exposure, name: &str) -> Vec<String> {
    let endpoints = find(snapshot, exposure, name).into_iter().flat_map(|service| &service.endpoints);
    endpoints.map(|endpoint| endpoint.replica.address.to_string()).collect()
}

fn ids(snapshot: &Snapshot, name: &str) -> Vec<(EndpointId, ReplicaId)> {
    let endpoints = find(snapshot, Exposure::Internal, name).into_iter().flat_map(|service| &service.endpoints);
    endpoints.map(|endpoint| (endpoint.id, endpoint.replica.id)).collect()
}

/// Where a request for this host and path goes: a service, or the reason why nowhere.
fn route(snapshot: &Snapshot, exposure: Exposure, host: &str, path: &str) -> String {
    let plane = snapshot.plane(exposure);
    match plane.routes.find(host, path) {
        Ok(route) => match &route.action {
            Action::Forward(index) => plane.service(*index).name.to_string(),
            Action::Unavailable(why) | Action::Refused(why) => why.to_string(),
        },
        Err(miss) => format!("{miss:?}"),
    }
}

fn problems(registry: &Registry, reason: Reason) -> Vec<String> {
    registry.problems().iter().filter(|problem| problem.reason == reason).map(ToString::to_string).collect()
}
