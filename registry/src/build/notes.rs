//! What the operator should know about one Service: what is not served, and what its seal refuses.

use std::net::SocketAddr;

use config::object::{EndpointSlice, Kind, Protocol, Service, ServiceKey, ServiceType, SlicePort};
use config::problem::{Problem, Reason};

use super::Entry;
use crate::exposure::Seal;
use crate::view::WorkloadView;

/// Everything worth saying about a service, without its name and file.
pub(super) fn of_service(entry: &Entry, refused: Vec<(SocketAddr, String)>) -> Vec<Problem> {
    let service = entry.service();
    let mut notes = Vec::new();
    match &service.service_type {
        ServiceType::ClusterIp => {}
        ServiceType::NodePort => sealed("NodePort", "spec.type", entry, &mut notes),
        ServiceType::LoadBalancer => sealed("LoadBalancer", "spec.type", entry, &mut notes),
        ServiceType::ExternalName(_) => {
            if entry.seal.as_ref().is_some_and(|seal| *seal != Seal::Strict) {
                sealed("ExternalName", "spec.type", entry, &mut notes);
            }
        }
    }
    if !service.external_ips.is_empty() {
        let found = "externalIPs are not served: any user could take others' addresses (CVE-2020-8554)";
        notes.push(Problem::note(Reason::NotServed, found).at("spec.externalIPs").fix("use type LoadBalancer with loadBalancerIP"));
    }
    for field in &service.unknown_fields {
        let found = format!("a field that the API does not have: the {} is refused", type_name(&service.service_type));
        notes.push(Problem::error(Reason::NotExposed, found).at(field).fix("correct the field's name or remove it"));
    }
    for (index, _) in entry.ports.iter().enumerate().filter(|(_, port)| port.spec.protocol == Protocol::Sctp) {
        notes.push(Problem::note(Reason::NotServed, "SCTP is not served").at(format!("spec.ports[{index}].protocol")));
    }
    for (address, whose) in refused {
        let found = format!("its endpoint {address} is {whose}: nothing is sent there");
        let fix = "correct the pod's or slice's address; if it is right, let Tidegate listen on another";
        notes.push(Problem::error(Reason::AddressRefused, found).expected("an address that is the pod's alone").fix(fix));
    }
    notes
}

/// Something that would carry a service outside, and does not for a seal.
fn sealed(what: &str, field: &str, entry: &Entry, notes: &mut Vec<Problem>) {
    if let Some(seal) = &entry.seal {
        let found = format!("{what} of a service that is {}: it is closed", seal.why());
        notes.push(Problem::error(Reason::NotExposed, found).at(field).fix(seal.fix()));
    }
}

/// The word of `spec.type`.
pub(crate) fn type_name(service_type: &ServiceType) -> &'static str {
    match service_type {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName(_) => "ExternalName",
    }
}

/// Ports of a slice that no port of the Service has by name: nothing is sent there.
pub(super) fn strange_ports(service: &Service, slice: &EndpointSlice) -> Vec<Problem> {
    let known = |at: &&SlicePort| service.ports.iter().any(|port| port.name == at.name && port.protocol == at.protocol);
    let strange = slice.ports.iter().filter(|at| !known(at)).map(|at| {
        let (name, kind) = (&slice.meta.name, if slice.legacy { "Endpoints" } else { "EndpointSlice" });
        let found = format!("{kind} {name} names the {} port `{}`, which the Service does not have", at.protocol.as_str(), at.name);
        let problem = Problem::warning(Reason::NotFound, found).at("spec.ports");
        problem.fix("give the slice's port the name of a port of the Service; nothing is sent to it until then")
    });
    strange.collect()
}

/// About a workload that has fewer replicas than somebody wants.
pub(crate) fn of_workload(workload: &WorkloadView) -> Option<Problem> {
    let WorkloadView { desired, ready, unhealthy, .. } = workload;
    if ready >= desired {
        return None;
    }
    let problem = if ready + unhealthy + workload.leaving == 0 {
        let problem = Problem::warning(Reason::NotFound, "its selector finds no pod").at("spec.selector");
        problem.fix("write the pods into the same namespace with the labels of the selector, or correct it")
    } else {
        let found = format!("{ready} of its pods {} ready, {unhealthy} not", if *ready == 1 { "is" } else { "are" });
        Problem::warning(Reason::NotFound, found).at("spec.replicas").fix("see why its other pods are missing or not ready")
    };
    Some(problem.expected(format!("{desired} ready")))
}

/// About a slice.
pub(super) fn orphan(service: &ServiceKey, kind: Kind) -> Problem {
    let (field, expected) = match kind {
        Kind::Endpoints => ("metadata.name", "the name of a Service in its namespace"),
        _ => ("metadata.labels[\"kubernetes.io/service-name\"]", "the name of a Service in the slice's namespace"),
    };
    let problem = Problem::warning(Reason::NotFound, format!("there is no Service {service}")).at(field).expected(expected);
    problem.fix("correct the name, or write the Service")
}
