//! Why nobody of a Service can answer, or a rule may be missing: what is known of its endpoints, and of problems with what could be one.
//!
//! Invariant: it adds notes and changes no verdict.

use config::problem::{Problem, Severity};
use registry::view::EndpointView;

use super::Explanation;
use crate::reason::Reason;

/// So many notes of a kind, and no more.
const MOST: usize = 8;

/// Adds what is known. `endpoints` and `problems` are those of the whole picture.
pub fn unready(said: &mut Explanation, endpoints: &[EndpointView], problems: &[Problem]) {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if said.reason.as_deref() == Some(Reason::NoRoute.as_str()) && errors > 0 {
        said.notes
            .push(format!("errors are known of ({errors}), and one may be why: `tidegate get problems` or `tidegate check` tells them"));
    }
    if said.reason.as_deref() != Some(Reason::NoEndpoint.as_str()) {
        return;
    }
    let Some((namespace, name)) = said.service.as_deref().and_then(|port| port.rsplit_once(':')?.0.split_once('/')) else { return };
    let of_service = endpoints.iter().filter(|endpoint| said.service.as_deref() == Some(&*endpoint.service));
    let mut notes: Vec<String> = of_service.take(MOST).map(of_endpoint).collect();
    let (service, pods) = (format!("Service {namespace}/{name}"), format!("Pod {namespace}/"));
    let may_be_why =
        |problem: &&Problem| problem.place.object.as_deref().is_some_and(|object| object == service || object.starts_with(&pods));
    notes.extend(problems.iter().filter(may_be_why).take(MOST).map(ToString::to_string));
    said.notes.extend(notes);
}

fn of_endpoint(endpoint: &EndpointView) -> String {
    let pod = endpoint.pod.as_ref().map(|pod| format!(" (pod {pod})")).unwrap_or_default();
    let why = endpoint.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}{pod} is {}{why}", endpoint.address, endpoint.state)
}

#[cfg(test)]
mod tests {
    use config::problem::Reason as Why;

    use super::*;

    fn endpoint(service: &str, why: Option<&str>) -> EndpointView {
        EndpointView {
            id: 1,
            replica: 1,
            service: service.to_owned(),
            address: ([10, 0, 0, 4], 8080).into(),
            pod: Some("shop/web-1".to_owned()),
            speaks: String::new(),
            state: "Pending".to_owned(),
            in_flight: 0,
            latency_us: 0,
            why: why.map(str::to_owned),
            left_ms: None,
        }
    }

    fn notes(reason: Reason, service: Option<&str>) -> Vec<String> {
        let said = Explanation { reason: Some(reason.as_str().to_owned()), service: service.map(str::to_owned), ..Explanation::default() };
        let endpoints = [endpoint("shop/web:80", Some("probe: connection refused")), endpoint("shop/webb:80", None)];
        let problem = |object: &str| Problem::error(Why::AddressRefused, "far away").of(object);
        let mut said = said;
        unready(&mut said, &endpoints, &[problem("Pod shop/web-2"), problem("Pod shopping/web-2"), problem("Service shop/other")]);
        said.notes
    }

    #[test]
    fn endpoints_that_are_not_picked_and_pods_with_problems_are_named() {
        let told = notes(Reason::NoEndpoint, Some("shop/web:80"));
        assert_eq!(told[0], "10.0.0.4:8080 (pod shop/web-1) is Pending: probe: connection refused");
        assert!(told.len() == 2 && told[1].contains("Pod shop/web-2: far away"), "{told:?}");
        assert!(notes(Reason::NoRoute, None)[0].contains("errors are known of (3)"));
        assert_eq!(notes(Reason::Overload, Some("shop/web:80")), Vec::<String>::new());
    }
}
