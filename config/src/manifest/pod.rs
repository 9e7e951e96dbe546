//! core/v1 Pod: its addresses, whether it is ready, and what its named ports mean.

use k8s_openapi::api::core::v1 as core;

use super::check::{self, Findings};
use super::meta::{self, NameRule};
use super::workload;
use crate::object::{Pod, PodPort};

pub(super) fn convert(mut raw: core::Pod, out: &mut Findings) -> Pod {
    let owner = workload::owner(raw.metadata.owner_references.take());
    let status = raw.status.unwrap_or_default();
    let ips = addresses(&status, out);
    Pod {
        meta: meta::namespaced(raw.metadata, NameRule::Subdomain, out),
        finished: finished(status.phase.as_deref(), out),
        ready: ready(status.conditions.as_deref().unwrap_or_default()).unwrap_or(!ips.is_empty()),
        ips,
        node: raw.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty()).map(Into::into),
        host_network: raw.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default(),
        ports: raw.spec.map(|spec| ports(&spec, out)).unwrap_or_default(),
        owner,
    }
}

fn addresses(status: &core::PodStatus, out: &mut Findings) -> Vec<std::net::IpAddr> {
    let mut ips = Vec::new();
    for (index, entry) in status.pod_ips.iter().flatten().enumerate() {
        ips.extend(check::endpoint_ip(&entry.ip, format_args!("status.podIPs[{index}].ip"), out));
    }
    let first = status.pod_ip.as_deref().filter(|text| !text.is_empty());
    let first = first.and_then(|text| check::endpoint_ip(text, "status.podIP", out));
    match (first, ips.first()) {
        (Some(ip), None) => ips.push(ip),
        (Some(ip), Some(&other)) if ip != other => {
            out.invalid::<()>("status.podIP", format!("`{ip}`"), &format!("`{other}`, the first of status.podIPs"));
        }
        _ => {}
    }
    ips
}

fn finished(phase: Option<&str>, out: &mut Findings) -> bool {
    match phase {
        None | Some("" | "Pending" | "Running" | "Unknown") => false,
        Some("Succeeded" | "Failed") => true,
        Some(other) => {
            let found = format!("`{other}`");
            out.invalid::<()>("status.phase", found, "`Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`");
            false
        }
    }
}

/// `None` when the pod says nothing about itself.
fn ready(conditions: &[core::PodCondition]) -> Option<bool> {
    let says = |condition: &core::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    (!conditions.is_empty()).then(|| conditions.iter().any(says))
}

/// Ports of the containers, then of sidecars (init containers that keep running), in the order that Kubernetes searches.
fn ports(spec: &core::PodSpec, out: &mut Findings) -> Vec<PodPort> {
    let containers = spec.containers.iter().map(|container| ("containers", container));
    let init = spec.init_containers.iter().flatten().map(|container| ("initContainers", container));
    let mut ports = Vec::new();
    let mut index_in = ("", 0);
    for (field, container) in containers.chain(init) {
        index_in = if index_in.0 == field { (field, index_in.1 + 1) } else { (field, 0) };
        let serves = field == "containers" || container.restart_policy.as_deref() == Some("Always");
        for (at, raw) in container.ports.iter().flatten().enumerate() {
            let place = format_args!("spec.{field}[{}].ports[{at}]", index_in.1).to_string();
            let port = container_port(raw, &place, out);
            ports.extend(port.filter(|_| serves));
        }
    }
    ports
}

fn container_port(raw: &core::ContainerPort, place: &str, out: &mut Findings) -> Option<PodPort> {
    let port = check::port(raw.container_port, format_args!("{place}.containerPort"), out);
    let protocol = check::protocol(raw.protocol.as_deref(), format_args!("{place}.protocol"), out);
    let name = raw.name.as_deref().unwrap_or_default();
    if !name.is_empty() && !check::is_port_name(name) {
        let expected = "up to 15 lower-case letters, digits and `-`, with a letter among them";
        return out.invalid(format_args!("{place}.name"), format!("`{name}`"), expected);
    }
    Some(PodPort { name: name.into(), port: port?, protocol: protocol? })
}
