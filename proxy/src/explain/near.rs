//! What nearly took a request that nothing took.
//!
//! Only words for an operator; the verdict is made elsewhere. It may scan all routes, since nobody waits for it in traffic.

use config::exposure::Exposure;
use config::host::HostPattern;
use registry::route::{Miss, Route};
use registry::snapshot::{Plane, Snapshot};

use crate::http::decide::{Decision, decide};

/// Most names listed in one note.
const NAMES: usize = 8;

/// Why this plane has no rule for the request.
pub(super) fn missed(plane: &Plane, miss: Miss, host: &str, path: &str) -> Option<String> {
    let routes = plane.routes.routes();
    Some(match miss {
        Miss::Path => {
            let rules = rules_of(plane, host).into_iter().map(|route| format!("{} ({:?})", route.path, route.path_type));
            format!("host `{host}` is served, but none of its paths covers `{path}`: {}", listed(rules.collect()))
        }
        Miss::Host if routes.is_empty() => format!("the {} plane has no rule at all", plane.exposure),
        Miss::Host => {
            let mut hosts: Vec<String> = routes.iter().map(|route| route.host.to_string()).collect();
            hosts.sort_by(|a, b| alike(b, host).cmp(&alike(a, host)).then_with(|| a.cmp(b)));
            hosts.dedup();
            format!("no rule for host `{host}`; the {} plane serves {}", plane.exposure, listed(hosts))
        }
    })
}

/// What the other plane would do; on the wire nobody learns this.
pub(super) fn on_the_other_plane(snapshot: &Snapshot, from: Exposure, host: &str, path: &str) -> Option<String> {
    let other = match from {
        Exposure::External => &snapshot.internal,
        Exposure::Internal => &snapshot.external,
    };
    let (Decision::Forward { route, .. } | Decision::NoEndpoint { route, .. }) = decide(other, host, path) else { return None };
    Some(format!("the {} plane serves it by {}: ask with --from {}", other.exposure, route.owner, other.exposure))
}

/// The rules among which the path was looked for: those of the exact host, else of its wildcard, else of every host.
fn rules_of<'s>(plane: &'s Plane, host: &str) -> Vec<&'s Route> {
    let routes = plane.routes.routes();
    let best = routes.iter().map(|route| fit(&route.host, host)).max().unwrap_or(0);
    let ours = move |route: &&Route| best > 0 && fit(&route.host, host) == best;
    routes.iter().map(|route| &**route).filter(ours).collect()
}

/// How closely a pattern names the host; 0 when it does not.
fn fit(pattern: &HostPattern, host: &str) -> u8 {
    match pattern {
        HostPattern::Exact(exact) if exact.as_str() == host => 3,
        HostPattern::OneLabel(suffix) if host.split_once('.').is_some_and(|(_, rest)| rest == suffix.as_str()) => 2,
        HostPattern::Any => 1,
        HostPattern::Exact(_) | HostPattern::OneLabel(_) => 0,
    }
}

/// Bytes that two hosts share at their ends: enough to put the likely typing error first.
fn alike(a: &str, b: &str) -> usize {
    let same = |a: &mut dyn Iterator<Item = u8>, b: &mut dyn Iterator<Item = u8>| a.zip(b).take_while(|(a, b)| a == b).count();
    same(&mut a.bytes(), &mut b.bytes()) + same(&mut a.bytes().rev(), &mut b.bytes().rev())
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}
