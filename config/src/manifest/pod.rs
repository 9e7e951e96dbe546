//! core/v1 Pod: its addresses and host name, whether it is ready or who is to be asked, and what its named ports mean.

use k8s_openapi::api::core::v1 as core;

use super::check::label;
use super::check::{self, Findings};
use super::meta::{self, NameRule};
use super::{probe, workload};
use crate::object::{Pod, PodPort};

pub(super) fn convert(mut raw: core::Pod, out: &mut Findings) -> Pod {
    let owner = workload::owner(raw.metadata.owner_references.take());
    let status = raw.status.unwrap_or_default();
    let ips = addresses(&status, out);
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let stated = ready(conditions);
    // One that says itself how it is need not be asked.
    let asked = raw.spec.as_ref().filter(|_| stated.is_none());
    let probes = asked.map(|spec| probe::of(spec, &ips, out)).unwrap_or_default();
    let up = !ips.is_empty() && (conditions.is_empty() || !probes.is_empty());
    Pod {
        meta: meta::namespaced(raw.metadata, NameRule::Subdomain, out),
        finished: finished(status.phase.as_deref(), out),
        ready: stated.unwrap_or(up),
        probes,
        ips,
        node: raw.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty()).map(Into::into),
        hostname: raw.spec.as_ref().and_then(|spec| label(spec.hostname.as_deref(), "spec.hostname", out)),
        subdomain: raw.spec.as_ref().and_then(|spec| label(spec.subdomain.as_deref(), "spec.subdomain", out)),
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

/// `None` when the pod does not say.
fn ready(conditions: &[core::PodCondition]) -> Option<bool> {
    let mut said = conditions.iter().filter(|condition| condition.type_ == "Ready").map(|condition| condition.status == "True").peekable();
    said.peek().is_some().then(|| said.any(|ready| ready))
}

/// Containers, then init containers, in the order that Kubernetes searches; where each is written, and whether it runs while the pod
/// does: an init container does as a sidecar.
fn containers(spec: &core::PodSpec) -> impl Iterator<Item = (String, &core::Container, bool)> {
    let place = |field: &str, index: usize| format!("spec.{field}[{index}]");
    let main = spec.containers.iter().enumerate().map(move |(index, container)| (place("containers", index), container, true));
    let init =
        spec.init_containers.iter().flatten().enumerate().map(move |(index, container)| {
            (place("initContainers", index), container, container.restart_policy.as_deref() == Some("Always"))
        });
    main.chain(init)
}

/// Those that run while the pod does.
pub(super) fn serving(spec: &core::PodSpec) -> impl Iterator<Item = (String, &core::Container)> {
    containers(spec).filter(|(.., serves)| *serves).map(|(place, container, _)| (place, container))
}

fn ports(spec: &core::PodSpec, out: &mut Findings) -> Vec<PodPort> {
    let mut ports = Vec::new();
    for (place, container, serves) in containers(spec) {
        for (at, raw) in container.ports.iter().flatten().enumerate() {
            let port = container_port(raw, &format!("{place}.ports[{at}]"), out);
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
