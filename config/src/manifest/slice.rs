//! discovery.k8s.io/v1 EndpointSlice, and the older core/v1 Endpoints read into the same shape.
//!
//! Conditions that are absent mean what the API says: ready is true, serving follows ready, terminating is false.

use std::sync::Arc;

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};

use super::check::label;
use super::check::{self, Findings};
use super::meta::{self, NameRule};
use super::shared;
use crate::object::{EndpointSlice, Hints, Meta, Name, SliceEndpoint, SlicePort};
use crate::problem::{Problem, Reason};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// `None` also for a slice of host names, which is valid and never used (as in Kubernetes).
pub(super) fn convert(raw: discovery::EndpointSlice, out: &mut Findings) -> Option<EndpointSlice> {
    let meta = meta::namespaced(raw.metadata, NameRule::Subdomain, out);
    let family: fn(&std::net::IpAddr) -> bool = match raw.address_type.as_str() {
        "IPv4" => std::net::IpAddr::is_ipv4,
        "IPv6" => std::net::IpAddr::is_ipv6,
        "FQDN" => {
            let note = Problem::note(Reason::NotServed, "a slice of host names, which is ignored").at("addressType");
            out.push(note.expected("`IPv4` or `IPv6`"));
            return None;
        }
        "" => return out.missing("addressType", "`IPv4` or `IPv6`"),
        other => return out.invalid("addressType", format!("`{other}`"), "`IPv4` or `IPv6`"),
    };
    let ports = ports(raw.ports.unwrap_or_default(), out);
    let entries = raw.endpoints.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        endpoint(entry, index, (&raw.address_type, family), &meta, &mut endpoints, out);
    }
    let service = meta.labels.get(SERVICE_NAME).filter(|name| !name.is_empty()).map(|name| Name::from(&**name));
    Some(EndpointSlice { meta, service, ports, endpoints, legacy: false })
}

fn ports(raw: Vec<discovery::EndpointPort>, out: &mut Findings) -> Vec<SlicePort> {
    let mut ports = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(number) = raw.port else {
            let problem = Problem::warning(Reason::NotServed, "a port without a number, which is ignored");
            out.push(problem.at(format!("ports[{index}].port")).fix("give the number that the endpoints listen on"));
            continue;
        };
        ports.extend(slice_port(raw.name, number, raw.protocol, format_args!("ports[{index}]").to_string(), out));
    }
    unique(&ports, out);
    ports
}

fn slice_port(name: Option<String>, number: i32, protocol: Option<String>, place: String, out: &mut Findings) -> Option<SlicePort> {
    let name = name.unwrap_or_default();
    if !name.is_empty() && !check::is_label(&name) {
        let at = format_args!("{place}.name");
        out.invalid::<()>(at, format!("`{name}`"), "up to 63 lower-case letters, digits and `-`");
    }
    let port = check::port(number, format_args!("{place}.port"), out);
    let protocol = check::protocol(protocol.as_deref(), format_args!("{place}.protocol"), out);
    Some(SlicePort { name: name.into(), port: port?, protocol: protocol? })
}

fn unique(ports: &[SlicePort], out: &mut Findings) {
    for (index, port) in ports.iter().enumerate() {
        if ports[..index].iter().any(|other| other.name == port.name) {
            out.invalid::<()>("ports", format!("the name `{}` twice", port.name), "each port name once");
        }
    }
}

fn endpoint(
    raw: discovery::Endpoint,
    index: usize,
    (family_name, family): (&str, fn(&std::net::IpAddr) -> bool),
    meta: &Meta,
    endpoints: &mut Vec<SliceEndpoint>,
    out: &mut Findings,
) {
    if raw.addresses.is_empty() {
        out.missing::<()>(format_args!("endpoints[{index}].addresses"), "at least one address");
    }
    let conditions = raw.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let pod = raw.target_ref.and_then(|reference| pod_of(reference, &meta.namespace));
    let (node, zone) = (shared(raw.node_name), shared(raw.zone));
    let hints = raw.hints.and_then(hints);
    let hostname = label(raw.hostname.as_deref(), format_args!("endpoints[{index}].hostname"), out);
    for (at, text) in raw.addresses.iter().enumerate() {
        let place = format_args!("endpoints[{index}].addresses[{at}]");
        let Some(ip) = check::endpoint_ip(text, place, out) else { continue };
        if !family(&ip) {
            out.invalid::<()>(place, format!("`{text}`"), &format!("an {family_name} address, as addressType says"));
        }
        let serving = conditions.serving.unwrap_or(ready);
        let terminating = conditions.terminating.unwrap_or(false);
        let (pod, hostname, node, zone, hints) = (pod.clone(), hostname.clone(), node.clone(), zone.clone(), hints.clone());
        endpoints.push(SliceEndpoint { ip, ready, serving, terminating, pod, hostname, node, zone, hints });
    }
}

fn hints(raw: discovery::EndpointHints) -> Option<Arc<Hints>> {
    let zones = raw.for_zones.into_iter().flatten().filter_map(|zone| shared(Some(zone.name))).collect();
    let nodes = raw.for_nodes.into_iter().flatten().filter_map(|node| shared(Some(node.name))).collect();
    let hints = Hints { zones, nodes };
    (hints != Hints::default()).then(|| Arc::new(hints))
}

/// A pod of the same namespace; a reference to anything else says nothing about who answers.
fn pod_of(reference: core::ObjectReference, namespace: &str) -> Option<(Name, Option<Name>)> {
    let here = reference.namespace.as_deref().is_none_or(|other| other.is_empty() || other == namespace);
    let pod = reference.kind.as_deref() == Some("Pod") && here;
    shared(reference.name).filter(|_| pod).map(|name| (name, shared(reference.uid)))
}

/// One slice for each subset, since a slice has one list of ports. No subsets: one slice that says so.
pub(super) fn from_endpoints(raw: core::Endpoints, out: &mut Findings) -> Vec<EndpointSlice> {
    let meta = meta::namespaced(raw.metadata, NameRule::Subdomain, out);
    let mut subsets = raw.subsets.unwrap_or_default();
    if subsets.is_empty() {
        subsets.push(core::EndpointSubset::default());
    }
    let slice = |(index, subset)| {
        let (ports, endpoints) = subset_members(subset, index, &meta, out);
        let name = name_of_subset(&meta.name, index);
        EndpointSlice { meta: Meta { name, ..meta.clone() }, service: Some(meta.name.clone()), ports, endpoints, legacy: true }
    };
    subsets.into_iter().enumerate().map(slice).collect()
}

/// `NAME`, `NAME-2`, ...
pub(super) fn name_of_subset(name: &Name, index: usize) -> Name {
    match index {
        0 => name.clone(),
        _ => format!("{name}-{}", index + 1).into(),
    }
}

fn subset_members(raw: core::EndpointSubset, subset: usize, meta: &Meta, out: &mut Findings) -> (Vec<SlicePort>, Vec<SliceEndpoint>) {
    let mut ports = Vec::new();
    for (index, raw) in raw.ports.unwrap_or_default().into_iter().enumerate() {
        let place = format_args!("subsets[{subset}].ports[{index}]").to_string();
        ports.extend(slice_port(raw.name, raw.port, raw.protocol, place, out));
    }
    unique(&ports, out);
    let ready = raw.addresses.unwrap_or_default().into_iter().enumerate().map(|entry| ("addresses", entry));
    let not_ready = raw.not_ready_addresses.unwrap_or_default().into_iter().enumerate().map(|entry| ("notReadyAddresses", entry));
    let mut endpoints = Vec::new();
    for (field, (index, address)) in ready.chain(not_ready) {
        let ready = field == "addresses";
        let place = format_args!("subsets[{subset}].{field}[{index}].ip");
        let pod = address.target_ref.and_then(|reference| pod_of(reference, &meta.namespace));
        let ip = check::endpoint_ip(&address.ip, place, out);
        let hostname = label(address.hostname.as_deref(), format_args!("subsets[{subset}].{field}[{index}].hostname"), out);
        let node = shared(address.node_name);
        let endpoint = |ip| SliceEndpoint { ip, ready, serving: ready, terminating: false, pod, hostname, node, zone: None, hints: None };
        endpoints.extend(ip.map(endpoint));
    }
    (ports, endpoints)
}
