//! Host and path in, service out: the one decision of routing, for serving and for `explain`.
//!
//! Invariant: it looks at one plane and never at the other; what that plane does not hold cannot be forwarded to. No allocation on
//! the way to a service.

use std::sync::Arc;

use registry::route::{Action, Miss, Route};
use registry::snapshot::{Plane, Service, Socket};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'s> {
    /// A replica of the service answers.
    Forward {
        /// The rule that took it.
        route: &'s Arc<Route>,
        /// Where it goes; it has at least one endpoint.
        service: &'s Arc<Service>,
    },
    /// 503 `no-endpoint`: the rule stands, but nobody can answer.
    NoEndpoint {
        /// The rule that took it.
        route: &'s Arc<Route>,
        /// Who would, and may again; `None` when there is no such service.
        service: Option<&'s Arc<Service>>,
        /// Why nobody can.
        why: &'s str,
    },
    /// 404 `no-route`.
    NoRoute(Miss),
}

impl<'s> Decision<'s> {
    /// The rule that took the request.
    pub fn route(&self) -> Option<&'s Arc<Route>> {
        match self {
            Decision::Forward { route, .. } | Decision::NoEndpoint { route, .. } => Some(route),
            Decision::NoRoute(_) => None,
        }
    }
}

/// Decides by a normalised host ([`config::host::normalise`]; empty when the request named none) and a path without query.
pub fn decide<'s>(plane: &'s Plane, host: &str, path: &str) -> Decision<'s> {
    let route = match plane.routes.find(host, path) {
        Ok(route) => route,
        Err(miss) => return Decision::NoRoute(miss),
    };
    match &route.action {
        Action::Forward(index) => {
            let service = plane.service(*index);
            if service.endpoints.is_empty() {
                return Decision::NoEndpoint { route, service: Some(service), why: "no endpoint of the service is ready" };
            }
            Decision::Forward { route, service }
        }
        Action::Unavailable(why) => Decision::NoEndpoint { route, service: None, why },
        // Such a route belongs to the list of refusals and is never built into `routes`; if it ever were, nothing is forwarded.
        Action::Refused(_) => Decision::NoRoute(Miss::Path),
    }
}

/// Decides for a listener that is one Service's own: whatever host and path a request names, it goes there. `None`: the listener is about
/// to close.
pub fn decide_own<'s>(plane: &'s Plane, socket: &Socket) -> Option<&'s Arc<Service>> {
    Some(plane.service(plane.listeners.get(socket)?.service))
}

/// Why exposure was refused to the rule that would have taken the request, when there is such a rule. For log, metric and `explain`;
/// the client is never told.
pub fn refused_exposure<'s>(plane: &'s Plane, host: &str, path: &str) -> Option<&'s Arc<str>> {
    match &plane.refused.find(host, path).ok()?.action {
        Action::Refused(why) => Some(why),
        Action::Forward(_) | Action::Unavailable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use config::exposure::Exposure;
    use config::host::HostPattern;
    use config::object::PathType;
    use registry::route::RouteTableBuilder;
    use registry::snapshot::ServiceIndex;

    use super::*;
    use crate::explain::worlds::{plane, service};

    fn route(path: &str, action: Action) -> Route {
        let host = HostPattern::parse_ingress("a.example").unwrap();
        Route { owner: "Ingress x/y".into(), host, path_type: PathType::Prefix, path: path.into(), action, client: None, filters: None }
    }

    #[test]
    fn each_action_has_its_decision() {
        let mut routes = RouteTableBuilder::default();
        routes.add(route("/full", Action::Forward(ServiceIndex(0)))).unwrap();
        routes.add(route("/empty", Action::Forward(ServiceIndex(1)))).unwrap();
        routes.add(route("/gone", Action::Unavailable("no such Service".into()))).unwrap();
        routes.add(route("/wrong", Action::Refused("sealed".into()))).unwrap();
        let plane = plane(Exposure::External, routes, RouteTableBuilder::default(), [service("full", 2), service("empty", 0)]);
        let at = |path| decide(&plane, "a.example", path);
        assert!(matches!(at("/full/x"), Decision::Forward { service, .. } if &*service.name.service.name == "full"));
        assert!(matches!(at("/empty"), Decision::NoEndpoint { service: Some(_), .. }));
        assert!(matches!(at("/gone"), Decision::NoEndpoint { why: "no such Service", service: None, .. }));
        assert!(matches!(at("/wrong"), Decision::NoRoute(_)), "a refused rule never forwards");
        assert!(matches!(at("/other"), Decision::NoRoute(Miss::Path)));
        assert!(matches!(decide(&plane, "b.example", "/full"), Decision::NoRoute(Miss::Host)));
    }

    #[test]
    fn the_list_of_refusals_says_why_and_only_why() {
        let mut refused = RouteTableBuilder::default();
        refused.add(route("/db", Action::Refused("Service x/db is sealed".into()))).unwrap();
        let plane = plane(Exposure::External, RouteTableBuilder::default(), refused, []);
        assert!(matches!(decide(&plane, "a.example", "/db"), Decision::NoRoute(_)));
        assert_eq!(refused_exposure(&plane, "a.example", "/db").map(|why| &**why), Some("Service x/db is sealed"));
        assert!(refused_exposure(&plane, "a.example", "/").is_none());
    }
}
