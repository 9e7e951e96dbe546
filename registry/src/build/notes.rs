//! What the operator should know about one Service: what is not served yet, and what its seal refuses.

use std::net::SocketAddr;

use config::object::{Protocol, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};

use super::Entry;
use super::seats::protocol;
use crate::exposure::Seal;

/// Everything worth saying about a service, without its name and file.
pub(super) fn of_service(entry: &Entry, refused: Vec<(SocketAddr, String)>) -> Vec<Problem> {
    let service = entry.service();
    let mut notes = Vec::new();
    match &service.service_type {
        ServiceType::ClusterIp => {}
        ServiceType::NodePort => carrier("NodePort", "spec.type", entry, &mut notes),
        ServiceType::LoadBalancer => carrier("LoadBalancer", "spec.type", entry, &mut notes),
        ServiceType::ExternalName(_) => carrier("ExternalName", "spec.type", entry, &mut notes),
    }
    if !service.external_ips.is_empty() {
        carrier("externalIPs", "spec.externalIPs", entry, &mut notes);
    }
    for field in &service.unknown_fields {
        let found = format!("a field that the API does not have: the {} is refused", type_name(&service.service_type));
        notes.push(Problem::error(Reason::NotExposed, found).at(field).fix("correct the field's name or remove it"));
    }
    for (index, port) in entry.ports.iter().enumerate().filter(|(_, port)| port.spec.protocol != Protocol::Tcp) {
        let found = format!("{} is not served yet", protocol(port.spec.protocol));
        notes.push(Problem::note(Reason::NotServed, found).at(format!("spec.ports[{index}].protocol")));
    }
    for (address, whose) in refused {
        let found = format!("its endpoint {address} is {whose}: nothing is sent there");
        notes.push(
            Problem::error(Reason::AddressRefused, found).expected("the address of a pod").fix("correct the pod's or slice's address"),
        );
    }
    notes
}

/// Something that would carry a service outside: not served yet, and with a seal never.
fn carrier(what: &str, field: &str, entry: &Entry, notes: &mut Vec<Problem>) {
    notes.push(match entry.seal.as_ref() {
        Some(seal) if *seal != Seal::Strict || what != "ExternalName" => {
            Problem::error(Reason::NotExposed, format!("{what} of a service that is {}", seal.why())).at(field).fix(seal.fix())
        }
        _ => Problem::note(Reason::NotServed, format!("{what} is not served yet")).at(field),
    });
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

/// About a slice.
pub(super) fn orphan(service: &ServiceKey) -> Problem {
    Problem::warning(Reason::NotFound, format!("there is no Service {service}"))
        .at("metadata.labels[\"kubernetes.io/service-name\"]")
        .expected("the name of a Service in the slice's namespace")
        .fix("correct the name, or write the Service")
}
