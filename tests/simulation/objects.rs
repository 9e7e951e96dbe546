//! The objects of a world: services on the outside, one that is sealed, and pods.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use config::manifest::{self, Manifest};
use config::object::{Object, Pod};
use registry::event::{Batch, Change, Content, Event};

/// Services: the last is sealed.
pub(super) const SERVICES: usize = 3;
pub(super) const SEALED: usize = SERVICES - 1;
pub(super) const PORT: u16 = 8080;

pub(super) fn host(service: usize) -> String {
    format!("s{service}.example")
}

pub(super) fn address(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, PORT)
}

/// Services and Ingresses, as an operator writes them. What is sealed has an Ingress, too.
pub(super) fn standing() -> Event {
    let mut text = String::new();
    for service in 0..SERVICES {
        let label = if service == SEALED { "labels: {tidegate.dev/exposure: internal}, " } else { "" };
        let host = host(service);
        text += &format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{{label}namespace: sim, name: s{service}}}\n\
             spec: {{selector: {{app: s{service}}}, ports: [{{port: 80, targetPort: {PORT}}}]}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: sim, name: s{service}}}\n\
             spec: {{rules: [{{host: {host}, http: {{paths: [{{pathType: Prefix, path: /, \
             backend: {{service: {{name: s{service}, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: sim, name: in-s{service}}}\n\
             spec: {{ingressClassName: tidegate-internal, rules: [{{host: {host}, http: {{paths: [{{pathType: Prefix, path: /, \
             backend: {{service: {{name: s{service}, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
        );
    }
    let manifest = manifest::parse(text.as_bytes());
    assert_eq!(manifest.objects.len(), 3 * SERVICES, "{:?}", manifest.problems);
    event(true, "standing.yaml", Content::Manifest(manifest))
}

/// What is known of a pod; `None`: it is gone.
pub(super) fn pod(name: &str, service: usize, ip: IpAddr, known: Option<(bool, bool)>) -> Event {
    let content = known.map_or(Content::Gone, |(ready, deleting)| {
        let mut pod = template().clone();
        (pod.meta.name, pod.meta.deleting) = (name.into(), deleting);
        pod.meta.labels = [("app".into(), format!("s{service}").into())].into_iter().collect();
        (pod.ips, pod.ready) = (vec![ip], ready);
        Content::Manifest(Manifest { objects: vec![Object::Pod(pod)], ..Manifest::default() })
    });
    event(false, &format!("{name}.yaml"), content)
}

/// A pod as an operator writes it.
fn template() -> &'static Pod {
    static POD: OnceLock<Pod> = OnceLock::new();
    POD.get_or_init(|| {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: sim, name: pod}\n\
                    status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}\n";
        match manifest::parse(text.as_bytes()).objects.remove(0) {
            Object::Pod(pod) => pod,
            other => panic!("no pod: {other:?}"),
        }
    })
}

fn event(whole: bool, file: &str, content: Content) -> Event {
    let origin: Arc<Path> = Arc::from(Path::new("sim").join(file));
    Event::Batch(Batch { source: "folder:sim".into(), changes: vec![Change { origin, content }], whole })
}
