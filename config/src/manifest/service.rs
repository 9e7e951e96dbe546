//! core/v1 Service: type, address, ports. What the API would refuse is refused here, with all reasons at once.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::check::{self, Findings};
use super::meta::{self, NameRule};
use super::{bounds, shared, upstream};
use crate::annotations::value;
use crate::exposure::{PROXY_PROTOCOL, SLOW_START};
use crate::object::{Carrier, ClusterIp, Distribution, LocalOnly, Meta, Name, PortRef, ProxyVersion, Service, ServicePort, ServiceType};

/// What said `spec.loadBalancerSourceRanges` before the field did; the API still reads it where the field is absent.
const SOURCES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// `timeoutSeconds` when nothing is said: three hours.
const AFFINITY_S: u32 = 10_800;
/// The longest that the API takes: a day.
const MAX_AFFINITY_S: u32 = 86_400;

pub(super) fn convert(mut raw: core::Service, out: &mut Findings) -> Option<Service> {
    let annotated = raw.metadata.annotations.as_mut().and_then(|annotations| annotations.remove(SOURCES_ANNOTATION));
    let meta = meta::namespaced(raw.metadata, NameRule::Label, out);
    let Some(mut spec) = raw.spec else { return out.missing("spec", "the service's ports and selector") };
    let service_type = service_type(&spec, out);
    let cluster_ip = cluster_ip(&spec, out);
    check_address(&service_type, cluster_ip, out);
    check_words(&spec, out);
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let local_only = LocalOnly { inside: local(&spec.internal_traffic_policy), outside: local(&spec.external_traffic_policy) };
    let carrier = match service_type {
        ServiceType::NodePort | ServiceType::LoadBalancer => carrier(&spec, annotated, out),
        _ => Carrier::default(),
    };
    let affinity_s = affinity(&spec, out);
    let distribution = distribution(&spec, out);
    let proxy_protocol = proxy_protocol(&meta, out);
    let bounds = bounds::of(&meta, out);
    let slow_start_ms = slow_start(&meta, out);
    let ports = ports(spec.ports.take().unwrap_or_default(), out);
    let upstream = upstream::terms(&meta, &ports, out);
    if ports.is_empty() && cluster_ip != ClusterIp::Headless && !matches!(service_type, ServiceType::ExternalName(_)) && !out.has_errors() {
        out.missing::<()>("spec.ports", "at least one port");
    }
    let unknown_fields = match service_type {
        ServiceType::NodePort | ServiceType::LoadBalancer => {
            out.unknown_fields.iter().filter(|field| field.starts_with("spec.")).cloned().collect()
        }
        _ => Vec::new(),
    };
    Some(Service {
        meta,
        service_type,
        cluster_ip,
        selector: spec.selector.filter(|selector| !selector.is_empty()).map(meta::labels),
        ports,
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        affinity_s,
        proxy_protocol,
        distribution,
        bounds,
        slow_start_ms,
        carrier,
        local_only,
        upstream,
        external_ips: external_ips(spec.external_ips.unwrap_or_default(), out),
        unknown_fields,
    })
}

fn service_type(spec: &core::ServiceSpec, out: &mut Findings) -> ServiceType {
    match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => ServiceType::ClusterIp,
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => ServiceType::ExternalName(external_name(spec, out).unwrap_or_default()),
        Some(other) => {
            let found = format!("`{other}`");
            out.invalid::<()>("spec.type", found, "`ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`");
            ServiceType::ClusterIp
        }
    }
}

fn external_name(spec: &core::ServiceSpec, out: &mut Findings) -> Option<Name> {
    let Some(text) = spec.external_name.as_deref().filter(|text| !text.is_empty()) else {
        return out.missing("spec.externalName", "a host name");
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if check::is_subdomain(name) { Some(name.into()) } else { out.invalid("spec.externalName", format!("`{text}`"), "a host name") }
}

fn cluster_ip(spec: &core::ServiceSpec, out: &mut Findings) -> ClusterIp {
    let list = spec.cluster_ips.as_deref().unwrap_or_default();
    let single = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
    if let (Some(single), Some(first)) = (single, list.first())
        && single != first
    {
        out.invalid::<()>("spec.clusterIPs[0]", format!("`{first}`"), &format!("`{single}`, as spec.clusterIP says"));
    }
    if list.len() > 1 {
        out.not_served("spec.clusterIPs[1]", "a second address family", "the first address is served");
    }
    match single.or(list.first().map(String::as_str)) {
        None | Some("") => ClusterIp::Allocate,
        Some("None") => ClusterIp::Headless,
        Some(text) => match text.parse::<IpAddr>() {
            Ok(ip) => ClusterIp::Asked(ip),
            Err(_) => {
                out.invalid::<()>("spec.clusterIP", format!("`{text}`"), "an IP address, `None` or nothing");
                ClusterIp::Allocate
            }
        },
    }
}

fn check_address(service_type: &ServiceType, cluster_ip: ClusterIp, out: &mut Findings) {
    match (service_type, cluster_ip) {
        (ServiceType::NodePort | ServiceType::LoadBalancer, ClusterIp::Headless) => {
            out.invalid::<()>("spec.clusterIP", "`None`", "an address: a NodePort or LoadBalancer service is never headless");
        }
        (ServiceType::ExternalName(_), ClusterIp::Asked(ip)) => {
            out.invalid::<()>("spec.clusterIP", format!("`{ip}`"), "nothing: an ExternalName service has no address");
        }
        _ => {}
    }
}

/// Words of the API that must be known.
fn check_words(spec: &core::ServiceSpec, out: &mut Findings) {
    let mut word = |field: &str, text: Option<&str>, common: &str, other: &str| match text {
        None | Some("") => {}
        Some(text) if text == common || text == other => {}
        Some(text) => {
            out.invalid::<()>(format_args!("spec.{field}"), format!("`{text}`"), &format!("`{common}` or `{other}`"));
        }
    };
    word("sessionAffinity", spec.session_affinity.as_deref(), "None", "ClientIP");
    word("internalTrafficPolicy", spec.internal_traffic_policy.as_deref(), "Cluster", "Local");
    word("externalTrafficPolicy", spec.external_traffic_policy.as_deref(), "Cluster", "Local");
}

/// How the service is carried outside. A range that cannot be read refuses the object: left out, it would open the service to all.
fn carrier(spec: &core::ServiceSpec, annotated: Option<String>, out: &mut Findings) -> Carrier {
    let mut sources = Vec::new();
    let mut add = |place: String, text: &str, out: &mut Findings| match text.trim().parse::<IpNet>() {
        Ok(network) => sources.push(network.trunc()),
        Err(_) => _ = out.invalid::<()>(place, format!("`{text}`"), "a CIDR such as `192.0.2.0/24`"),
    };
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    for (index, text) in ranges.iter().enumerate() {
        add(format!("spec.loadBalancerSourceRanges[{index}]"), text, out);
    }
    if let Some(annotated) = annotated.filter(|text| ranges.is_empty() && !text.trim().is_empty()) {
        annotated.split(',').for_each(|text| add(format!("metadata.annotations[\"{SOURCES_ANNOTATION}\"]"), text, out));
    }
    let ip = spec.load_balancer_ip.as_deref().filter(|text| !text.is_empty());
    Carrier {
        ip: ip.and_then(|text| check::ip(text, "spec.loadBalancerIP", out)),
        class: spec.load_balancer_class.as_deref().filter(|text| !text.is_empty()).map(Name::from),
        sources,
        node_ports: spec.allocate_load_balancer_node_ports.unwrap_or(true),
    }
}

/// How long a client keeps its endpoint. Without `ClientIP` the API drops the configuration unread, and so do we.
fn affinity(spec: &core::ServiceSpec, out: &mut Findings) -> Option<u32> {
    spec.session_affinity.as_deref().filter(|word| *word == "ClientIP")?;
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = config.and_then(|client_ip| client_ip.timeout_seconds) else { return Some(AFFINITY_S) };
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=MAX_AFFINITY_S) => Some(seconds),
        _ => {
            let expected = format!("seconds, 1 to {MAX_AFFINITY_S}");
            out.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds.to_string(), &expected)
        }
    }
}

/// Which endpoints are preferred.
fn distribution(spec: &core::ServiceSpec, out: &mut Findings) -> Option<Distribution> {
    match spec.traffic_distribution.as_deref()? {
        "" => None,
        "PreferSameZone" | "PreferClose" => Some(Distribution::SameZone),
        "PreferSameNode" => Some(Distribution::SameNode),
        other => out.invalid("spec.trafficDistribution", format!("`{other}`"), "`PreferSameZone`, `PreferSameNode` or `PreferClose`"),
    }
}

/// Which header replicas expect.
fn proxy_protocol(meta: &Meta, out: &mut Findings) -> Option<ProxyVersion> {
    match &**meta.annotations.get(PROXY_PROTOCOL)? {
        "v1" => Some(ProxyVersion::V1),
        "v2" => Some(ProxyVersion::V2),
        other => out.invalid_annotation(PROXY_PROTOCOL, other, "`v1` or `v2`"),
    }
}

/// How long an endpoint grows to its full share.
fn slow_start(meta: &Meta, out: &mut Findings) -> Option<u64> {
    let text = &**meta.annotations.get(SLOW_START)?;
    let read = if text == "0s" { Ok(0) } else { value::duration_ms(text) };
    const EXPECTED: &str = "a time with its unit, such as `30s` or `2m`, up to 24 h; `0s` for at once";
    read.ok().or_else(|| out.invalid_annotation(SLOW_START, text, EXPECTED))
}

fn ports(raw: Vec<core::ServicePort>, out: &mut Findings) -> Vec<ServicePort> {
    let several = raw.len() > 1;
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    let mut ports = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(port) = service_port(raw, index, out) else { continue };
        if several && port.name.is_empty() {
            out.missing::<()>(format_args!("spec.ports[{index}].name"), "a name, since the service has several ports");
        }
        if !port.name.is_empty() && !names.insert(port.name.clone()) {
            out.invalid::<()>(format_args!("spec.ports[{index}].name"), format!("`{}` a second time", port.name), "a name of its own");
        }
        if !numbers.insert((port.port, port.protocol)) {
            let found = format!("{} {:?} a second time", port.port, port.protocol);
            out.invalid::<()>(format_args!("spec.ports[{index}].port"), found, "another number or protocol");
        }
        ports.push(port);
    }
    ports
}

fn service_port(raw: core::ServicePort, index: usize, out: &mut Findings) -> Option<ServicePort> {
    let port = check::port(raw.port, format_args!("spec.ports[{index}].port"), out);
    let protocol = check::protocol(raw.protocol.as_deref(), format_args!("spec.ports[{index}].protocol"), out);
    let node_port = match raw.node_port {
        None | Some(0) => None,
        Some(value) => check::port(value, format_args!("spec.ports[{index}].nodePort"), out),
    };
    let name = raw.name.unwrap_or_default();
    if !name.is_empty() && !check::is_label(&name) {
        let at = format_args!("spec.ports[{index}].name");
        out.invalid::<()>(at, format!("`{name}`"), "up to 63 lower-case letters, digits and `-`");
    }
    let target_port = match raw.target_port {
        None | Some(IntOrString::Int(0)) => port.map(PortRef::Number),
        Some(raw) => target_port(raw, index, out),
    };
    Some(ServicePort {
        name: name.into(),
        port: port?,
        target_port: target_port?,
        protocol: protocol?,
        app_protocol: shared(raw.app_protocol),
        node_port,
    })
}

fn target_port(raw: IntOrString, index: usize, out: &mut Findings) -> Option<PortRef> {
    let at = format_args!("spec.ports[{index}].targetPort");
    match raw {
        IntOrString::Int(number) => check::port(number, at, out).map(PortRef::Number),
        IntOrString::String(name) if check::is_port_name(&name) => Some(PortRef::Name(name.into())),
        IntOrString::String(name) if name.parse::<u16>().is_ok() => {
            out.invalid(at, format!("the text `{name}`"), "a number, or the name of a container port: write the number without quotes")
        }
        IntOrString::String(name) => out.invalid(at, format!("`{name}`"), "a port number, or the name of a container port"),
    }
}

fn external_ips(raw: Vec<String>, out: &mut Findings) -> Vec<IpAddr> {
    raw.iter().enumerate().filter_map(|(index, text)| check::ip(text, format_args!("spec.externalIPs[{index}]"), out)).collect()
}
