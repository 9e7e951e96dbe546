//! Manifests as short text. Names are `NAMESPACE/NAME`; without a slash the namespace is `default`.

use std::net::IpAddr;

use crate::{Net, Replica};

/// Joins documents into one file.
pub fn file(documents: &[String]) -> String {
    documents.join("---\n")
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("default", name))
}

/// A Pod that is Ready at `ip`, labelled `app: APP`.
pub fn pod(name: &str, app: &str, ip: IpAddr) -> String {
    let (namespace, name) = split(name);
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {{app: {app}}}}}\n\
         status: {{phase: Running, podIP: {ip}, conditions: [{{type: Ready, status: 'True'}}]}}\n"
    )
}

/// A Pod that is up but not Ready.
pub fn unready_pod(name: &str, app: &str, ip: IpAddr) -> String {
    pod(name, app, ip).replace("status: 'True'", "status: 'False'")
}

/// A ClusterIP Service over `app: NAME` with one port.
pub fn service(name: &str, port: u16, target_port: u16) -> String {
    let (namespace, name) = split(name);
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
         spec: {{selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: {target_port}}}]}}\n"
    )
}

/// The same with a `clusterIP`.
pub fn service_at(name: &str, ip: impl std::fmt::Display, port: u16, target_port: u16) -> String {
    service(name, port, target_port).replace("spec: {", &format!("spec: {{clusterIP: {ip}, "))
}

/// A Namespace with labels, written as YAML flow: `a: b, c: d`.
pub fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n")
}

/// One line of an Ingress rule.
pub fn path(path_type: &str, path: &str, service: &str, port: u16) -> String {
    format!("{{pathType: {path_type}, path: '{path}', backend: {{service: {{name: {service}, port: {{number: {port}}}}}}}}}")
}

/// An Ingress for one host (`""` is every host) with these [`path`]s.
pub fn ingress(name: &str, host: &str, paths: &[String]) -> String {
    let (namespace, name) = split(name);
    let host = if host.is_empty() { String::new() } else { format!("host: '{host}', ") };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
         spec: {{rules: [{{{host}http: {{paths: [{}]}}}}]}}\n",
        paths.join(", ")
    )
}

/// The same of a class.
pub fn ingress_of(class: &str, name: &str, host: &str, paths: &[String]) -> String {
    ingress(name, host, paths).replace("spec: {", &format!("spec: {{ingressClassName: {class}, "))
}

/// A Service, its Pods at these replicas, and an Ingress that serves `host` with it. The service port is 80.
pub fn app(net: &Net, name: &str, host: &str, replicas: &[&Replica]) -> String {
    file(&[tcp(net, name, 80, replicas), ingress(name, host, &[path("Prefix", "/", split(name).1, 80)])])
}

/// A Service and its Pods.
pub fn tcp(net: &Net, name: &str, port: u16, replicas: &[&Replica]) -> String {
    let (namespace, short) = split(name);
    let pods = replicas.iter().map(|replica| pod(&format!("{namespace}/{}", replica.name()), short, replica.address().ip()));
    file(&[service(name, port, net.port())].into_iter().chain(pods).collect::<Vec<_>>())
}
