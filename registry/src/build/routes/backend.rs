//! What the backend of a rule leads to: a port of a Service, or why nothing.
//!
//! Invariant: what a seal covers, and an outside name that nobody allowed, is refused and never merely missing.

use config::exposure::Exposure;
use config::object::{IngressBackend, PortRef, Protocol, ServiceKey, ServiceType};
use config::problem::{Problem, Reason};

use crate::build::World;
use crate::snapshot::PortName;

/// What a backend leads to.
pub(super) enum Found {
    Port(PortName),
    /// Nothing is there.
    Nothing(Wrong),
    /// It is there and may not be served.
    Refused(Wrong),
}

/// Which part of `backend.service` is wrong, and how.
pub(super) type Wrong = (&'static str, Problem);

impl World {
    /// What a backend leads to on this plane.
    pub(super) fn resolve(&self, key: &ServiceKey, backend: &IngressBackend, exposure: Exposure) -> Found {
        let Some(entry) = self.services.get(key) else {
            let problem = Problem::error(Reason::NotFound, format!("there is no Service {key}"));
            let fix = format!("write the Service in namespace {}, correct the name, or mend the Service if it is refused", key.namespace);
            return Found::Nothing(("name", problem.fix(fix)));
        };
        let service = entry.service();
        if let (Some(seal), Exposure::External) = (&entry.seal, exposure) {
            let problem = Problem::error(Reason::NotExposed, format!("Service {key} is {}", seal.why()));
            return Found::Refused(("name", problem.fix(seal.fix())));
        }
        if let ServiceType::ExternalName(name) = &service.service_type
            && !self.may_lead_to(name)
        {
            let found = format!("Service {key} leads to {name}, and externalName.allow does not list it");
            let problem = Problem::error(Reason::NotExposed, found).expected("a name that may be led to");
            return Found::Refused((
                "name",
                problem.fix(format!("add `{name}` to externalName.allow, or point to a Service with endpoints")),
            ));
        }
        let mut matching = service.ports.iter().filter(|port| match &backend.port {
            PortRef::Number(number) => port.port == *number,
            PortRef::Name(name) => port.name == *name,
        });
        let Some(mut port) = matching.next() else {
            let has = service
                .ports
                .iter()
                .map(|port| if port.name.is_empty() { port.port.to_string() } else { format!("{} ({})", port.port, port.name) });
            let has = has.collect::<Vec<_>>().join(", ");
            let problem = Problem::error(Reason::NotFound, format!("Service {key} has no port `{}`", backend.port));
            return Found::Nothing(("port", problem.expected(format!("one of: {has}")).fix("correct the port, or add it to the Service")));
        };
        if let Some(tcp) = matching.find(|port| port.protocol == Protocol::Tcp).filter(|_| port.protocol != Protocol::Tcp) {
            port = tcp;
        }
        if port.protocol != Protocol::Tcp {
            let found = format!("port `{}` of Service {key} is {}", backend.port, port.protocol.as_str());
            return Found::Refused(("port", Problem::error(Reason::Invalid, found).expected("a TCP port")));
        }
        Found::Port(PortName { service: key.clone(), port: port.port, protocol: port.protocol })
    }
}
