//! The objects of a world: services on the outside, one that is sealed, and pods, some of which must be asked whether they are ready.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use config::manifest::{self, Manifest};
use config::object::{Check, Object, Pod, Probe};
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

/// A pod: one run of it. Its name may return, and so may its address.
#[derive(Clone, Debug)]
pub(super) struct PodRun {
    /// Never used twice.
    pub(super) born: usize,
    pub(super) name: String,
    pub(super) service: usize,
    pub(super) ip: IpAddr,
    /// What it is asked, where it does not say itself whether it is ready.
    pub(super) probe: Option<Probe>,
}

/// What is said of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is there, and as ready as this says, unless it must be asked.
    There(bool),
    /// It is deleted, and works on for a while, if this says so.
    Leaving(bool),
    Gone,
}

/// What a source says of a pod.
pub(super) fn pod(run: &PodRun, said: Said) -> Event {
    let known = |ready, deleting| {
        let mut pod = template().clone();
        (pod.meta.name, pod.meta.deleting) = (run.name.as_str().into(), deleting);
        pod.meta.labels = [("app".into(), format!("s{}", run.service).into())].into_iter().collect();
        (pod.ips, pod.ready) = (vec![run.ip], ready || run.probe.is_some());
        pod.probes = run.probe.iter().cloned().collect();
        Content::Manifest(Manifest { objects: vec![Object::Pod(pod)], ..Manifest::default() })
    };
    let content = match said {
        Said::There(ready) => known(ready, false),
        Said::Leaving(serving) => known(serving, true),
        Said::Gone => Content::Gone,
    };
    event(false, &format!("{}.yaml", run.name), content)
}

/// What a pod is asked: once in a second, which is as often as can be.
pub(super) fn probe(initial_delay_s: u32, successes: u32, failures: u32) -> Probe {
    Probe { container: "app".into(), check: Check::Tcp { port: PORT }, initial_delay_s, period_s: 1, timeout_s: 1, successes, failures }
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
