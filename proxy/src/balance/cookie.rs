//! Whose endpoint a cookie names.
//!
//! Invariant: a client with a cookie is sent to the endpoint that it names as long as that may be picked and was not tried for this
//! request. A cookie holds a mark (`registry::seed`), which every worker makes alike and nobody outside can read; what is no mark of
//! this service's endpoints is as no cookie.

use config::filter::Affinity;
use registry::snapshot::{Endpoint, EndpointId, Service};

use super::hash::{Signs, cookies};

/// The endpoint for a request, and the mark that its client is to be told, if any. `pick` finds one for whoever has none.
pub fn pick<'s>(
    affinity: &Affinity,
    service: &'s Service,
    signs: &dyn Signs,
    avoid: &[EndpointId],
    pick: impl FnOnce() -> Option<&'s Endpoint>,
) -> Option<(&'s Endpoint, Option<u64>)> {
    let named = named(affinity, service, signs);
    if let Some(endpoint) = named.filter(|endpoint| !avoid.contains(&endpoint.id)) {
        return Some((endpoint, None));
    }
    let endpoint = pick()?;
    // Whose endpoint is still there, and failed for this request alone, may find it well the next time.
    let tells = named.is_none() || affinity.change_on_failure;
    let at = service.endpoints.iter().position(|other| other.id == endpoint.id);
    let mark = at.filter(|_| tells).and_then(|at| service.marks().get(at).copied());
    Some((endpoint, mark))
}

/// The endpoint that the request's cookie names; of several cookies the first that names one.
fn named<'s>(affinity: &Affinity, service: &'s Service, signs: &dyn Signs) -> Option<&'s Endpoint> {
    let mut found = None;
    cookies(signs, &affinity.name, &mut |value| {
        found = found.or_else(|| {
            let mark = read(value)?;
            service.endpoints.get(service.marks().iter().position(|other| *other == mark)?)
        });
    });
    found
}

/// Sixteen digits, as `{:016x}` writes them.
fn read(value: &[u8]) -> Option<u64> {
    let digits = value.len() == 16 && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(std::str::from_utf8(value).ok().filter(|_| digits)?, 16).ok()
}

#[cfg(test)]
mod tests;
