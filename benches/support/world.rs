//! Worlds of any size: services, pods and Ingresses, as typed objects and as files.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use config::manifest::Manifest;
use config::object::{ClusterIp, Labels, Meta, Object, Pod, PortRef, Protocol, Service, ServicePort};
use registry::event::{Change, Content, Origin};

/// Port of every service and pod: high, so that no privilege is needed.
pub const PORT: u16 = 18080;
/// Services of the files are spread over this many namespaces.
const NAMESPACES: usize = 100;

/// Namespace of service `index`.
pub fn namespace(index: usize) -> String {
    format!("team-{:02}", index % NAMESPACES)
}

/// An address in 10.0.0.0/8 for pod number `index`.
pub fn pod_ip(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + index as u32 + 1)
}

fn meta(namespace: &str, name: &str, labels: Labels) -> Meta {
    Meta { namespace: namespace.into(), name: name.into(), labels, ..Meta::default() }
}

fn app(index: usize) -> Labels {
    [("app".into(), format!("s{index}").into())].into()
}

/// Service number `index`, whose pods are labelled `app: s{index}`.
pub fn service(index: usize) -> Object {
    Object::Service(Service {
        meta: meta(&namespace(index), &format!("s{index}"), Labels::new()),
        cluster_ip: ClusterIp::Headless,
        selector: Some(app(index)),
        ports: vec![ServicePort {
            name: "".into(),
            port: PORT,
            target_port: PortRef::Number(PORT),
            protocol: Protocol::Tcp,
            app_protocol: None,
            node_port: None,
        }],
        ..Service::default()
    })
}

/// A pod of service `of`.
pub fn pod(of: usize, name: &str, ip: Ipv4Addr, ready: bool) -> Object {
    Object::Pod(Pod {
        meta: Meta { uid: Some(format!("uid-{name}-{ip}").into()), ..meta(&namespace(of), name, app(of)) },
        ips: vec![IpAddr::V4(ip)],
        finished: false,
        ready,
        probes: Arc::default(),
        ports: Vec::new(),
        node: None,
        hostname: None,
        subdomain: None,
        host_network: false,
        owner: None,
    })
}

/// One origin that says just this.
pub fn change(origin: &str, objects: Vec<Object>) -> Change {
    let origin: Origin = Arc::from(Path::new(origin));
    Change { origin, content: Content::Manifest(Manifest { objects, ..Manifest::default() }) }
}

const SERVICE_YAML: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: NAME
  namespace: SPACE
spec:
  selector: { app: NAME }
  ports: [{ port: PORT }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: NAME
  namespace: SPACE
spec:
  ingressClassName: tidegate
  rules:
    - host: NAME.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: { service: { name: NAME, port: { number: PORT } } }
---
";

const POD_YAML: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: NAME
  namespace: SPACE
  uid: uid-NAME-IP
  labels: { app: APP }
spec:
  containers: [{ name: app, image: app }]
status:
  phase: Running
  podIP: IP
  conditions: [{ type: Ready, status: 'True' }]
---
";

/// YAML of one pod of service `of`.
pub fn pod_yaml(of: usize, name: &str, ip: Ipv4Addr) -> String {
    let text = POD_YAML.replace("NAME", name).replace("SPACE", &namespace(of)).replace("APP", &format!("s{of}"));
    text.replace("IP\n", &format!("{ip}\n"))
}

fn service_yaml(index: usize) -> String {
    let text = SERVICE_YAML.replace("NAME", &format!("s{index}")).replace("SPACE", &namespace(index));
    text.replace("PORT", &PORT.to_string())
}

/// Writes `services` Services, each with an Ingress of one host and one pod, a hundred to a file; returns the bytes written.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path, services: usize) -> io::Result<usize> {
    let mut bytes = 0;
    for first in (0..services).step_by(100) {
        let mut text = String::new();
        for index in first..services.min(first + 100) {
            text.push_str(&service_yaml(index));
            text.push_str(&pod_yaml(index, &format!("s{index}-0"), pod_ip(index)));
        }
        bytes += text.len();
        std::fs::write(folder.join(format!("part-{first:06}.yaml")), text)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_without_a_complaint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), 101).expect("written");
        let mut objects = Vec::new();
        for part in ["part-000000.yaml", "part-000100.yaml"] {
            let manifest = config::manifest::parse(&std::fs::read(folder.path().join(part)).expect("it is there"));
            assert_eq!(manifest.problems, []);
            objects.extend(manifest.objects);
        }
        assert_eq!(objects.len(), 303);
        let moved = config::manifest::parse(pod_yaml(7, "moving", pod_ip(9)).as_bytes());
        assert_eq!(moved.objects, [pod(7, "moving", pod_ip(9), true)]);
    }
}
