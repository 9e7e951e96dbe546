//! Whom to ask where a Service or its endpoints carry so much at once and no more: whoever is full is passed over.
//!
//! Invariant: whoever is picked has the flight in hand already, so that two workers never begin the last one twice. A service without
//! bounds pays one look at a pointer; no way to pick knows of bounds.

use std::sync::Arc;

use registry::snapshot::{Bounded, Endpoint, EndpointId, Service};

use super::InFlight;
use crate::pressure::line::Queued;
use crate::stats::Bound;
use crate::worker::Worker;

/// Picks that are tried where endpoints are full, before the first is taken that is not.
const PICKS: usize = 3;

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpicked {
    /// There is nobody that was not tried.
    Nobody,
    /// As much is under way as may be. Whoever can wait for an end of that (`pressure/line.rs`) may ask again then.
    Full(Bound),
}

/// Begins a flight at the endpoint that `pick` wants, given whom to avoid. Where others wait, it is full for whoever is not first in line.
pub(crate) fn begin<'s>(
    worker: &Worker,
    (service, line): (&'s Service, Option<&Queued>),
    avoid: &[EndpointId],
    mut pick: impl FnMut(&[EndpointId]) -> Option<&'s Endpoint>,
) -> Result<(&'s Endpoint, InFlight), Unpicked> {
    let Some(bounded) = &service.bounded else {
        let endpoint = pick(avoid).ok_or(Unpicked::Nobody)?;
        return Ok((endpoint, InFlight::begin(&endpoint.replica)));
    };
    if bounded.is_waited_for() && !line.is_some_and(|place| place.is_first_at(bounded)) {
        return Err(Unpicked::Full(Bound::Pending));
    }
    let first = |count: usize| worker.rng.borrow_mut().usize(..count);
    begin_within(bounded, &service.endpoints, avoid, pick, first)
}

/// The same within these bounds. `first` says where, of so many, a search begins.
fn begin_within<'s>(
    bounded: &Arc<Bounded>,
    endpoints: &'s [Endpoint],
    avoid: &[EndpointId],
    mut pick: impl FnMut(&[EndpointId]) -> Option<&'s Endpoint>,
    first: impl FnOnce(usize) -> usize,
) -> Result<(&'s Endpoint, InFlight), Unpicked> {
    let carried = bounded.carry().ok_or(Unpicked::Full(Bound::Service))?;
    let most = bounded.most.endpoint_in_flight;
    let mut endpoint = pick(avoid).ok_or(Unpicked::Nobody)?;
    let mut passed = Vec::new();
    let flight = loop {
        if let Some(flight) = InFlight::begin_within(&endpoint.replica, most) {
            break Some(flight);
        }
        if passed.is_empty() {
            passed.extend_from_slice(avoid);
        }
        passed.push(endpoint.id);
        let next = if passed.len() - avoid.len() < PICKS { pick(&passed) } else { None };
        match next {
            Some(next) => endpoint = next,
            None => break None,
        }
    };
    let found = flight.map(|flight| (endpoint, flight)).or_else(|| any(endpoints, &passed, most, first));
    let (endpoint, mut flight) = found.ok_or(Unpicked::Full(Bound::Endpoint))?;
    flight.carried = Some(carried);
    Ok((endpoint, flight))
}

/// Any endpoint that still takes one, of those that were not passed over.
fn any<'s>(
    endpoints: &'s [Endpoint],
    passed: &[EndpointId],
    most: Option<u32>,
    first: impl FnOnce(usize) -> usize,
) -> Option<(&'s Endpoint, InFlight)> {
    let (before, after) = endpoints.split_at(if endpoints.is_empty() { 0 } else { first(endpoints.len()) });
    let left = after.iter().chain(before).filter(|endpoint| !passed.contains(&endpoint.id));
    left.filter_map(|endpoint| Some((endpoint, InFlight::begin_within(&endpoint.replica, most)?))).next()
}

#[cfg(test)]
mod tests {
    use config::object::Bounds;
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::explain::worlds::service;

    fn bounded(in_flight: Option<u32>, endpoint_in_flight: Option<u32>) -> Arc<Bounded> {
        Bounded::renewed(Bounds { in_flight, endpoint_in_flight, pending: None }, None).unwrap()
    }

    /// By order, as long as somebody is left.
    fn in_order<'s>(endpoints: &'s [Endpoint]) -> impl FnMut(&[EndpointId]) -> Option<&'s Endpoint> {
        |avoid| endpoints.iter().find(|endpoint| !avoid.contains(&endpoint.id))
    }

    #[test]
    fn who_is_full_is_passed_over_and_what_was_tried_is_avoided() {
        let web = service("web", 6);
        let bounded = bounded(None, Some(1));
        let begin = |avoid: &[EndpointId]| begin_within(&bounded, &web.endpoints, avoid, in_order(&web.endpoints), |_| 0);
        let mut held: Vec<InFlight> = Vec::new();
        for at in 0..5 {
            let (endpoint, flight) = begin(&[]).unwrap();
            assert_eq!(endpoint.id, web.endpoints[at].id, "picks first, and then a search, pass over {at} that are full");
            held.push(flight);
        }
        let last = web.endpoints[5].id;
        assert_eq!(begin(&[last]).unwrap_err(), Unpicked::Full(Bound::Endpoint));
        assert_eq!(bounded.in_flight(), 5, "who is refused is not counted");
        let all: Vec<EndpointId> = web.endpoints.iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(begin(&all).unwrap_err(), Unpicked::Nobody);
        held.remove(2);
        assert_eq!(begin(&[last]).unwrap().0.id, web.endpoints[2].id);
    }

    #[test]
    fn a_replica_that_another_service_has_filled_is_full() {
        let web = service("web", 1);
        assert!(web.endpoints[0].replica.load.in_flight.begin_within(None));
        let begun = begin_within(&bounded(None, Some(1)), &web.endpoints, &[], in_order(&web.endpoints), |_| 0);
        assert_eq!(begun.unwrap_err(), Unpicked::Full(Bound::Endpoint));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_goes_beyond_its_bound_and_nothing_is_refused_below(
            endpoints in 1u64..6,
            service_most in 1u32..12,
            endpoint_most in 1u32..4,
            steps in proptest::collection::vec((0usize..4, 0usize..16), 1..200),
        ) {
            let web = service("web", endpoints);
            let bounded = bounded(Some(service_most), Some(endpoint_most));
            let mut held: Vec<InFlight> = Vec::new();
            for (step, at) in steps {
                if step == 0 && !held.is_empty() {
                    held.swap_remove(at % held.len());
                    continue;
                }
                let busy = |endpoint: &Endpoint| endpoint.replica.load.in_flight.load(std::sync::atomic::Ordering::Relaxed);
                let room = web.endpoints.iter().any(|endpoint| busy(endpoint) < endpoint_most);
                let free = (held.len() as u32) < service_most;
                let pick = |avoid: &[EndpointId]| {
                    let left: Vec<&Endpoint> = web.endpoints.iter().filter(|endpoint| !avoid.contains(&endpoint.id)).collect();
                    left.get(at % left.len().max(1)).copied()
                };
                match begin_within(&bounded, &web.endpoints, &[], pick, |count| at % count) {
                    Ok((_, flight)) => {
                        prop_assert!(room && free);
                        held.push(flight);
                    }
                    Err(Unpicked::Full(Bound::Service)) => prop_assert!(!free),
                    Err(Unpicked::Full(Bound::Endpoint)) => prop_assert!(!room),
                    Err(Unpicked::Full(Bound::Pending) | Unpicked::Nobody) => prop_assert!(false, "there is somebody, and nobody waits"),
                }
                prop_assert!(web.endpoints.iter().all(|endpoint| busy(endpoint) <= endpoint_most));
                prop_assert_eq!(bounded.in_flight() as usize, held.len());
            }
        }
    }
}
