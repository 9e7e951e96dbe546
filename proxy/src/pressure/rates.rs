//! The rates of an Ingress, asked once for each request: of its client, then of all clients together.
//!
//! Invariant: a request is counted once, however often it is tried and whichever HTTP carries it on; one that its client's rate refuses
//! takes nothing from the others. A route without rates costs one look at a list that is empty.

use std::cell::OnceCell;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use config::filter::Rates;
use registry::route::Route;

use super::gcra::{Gcra, PER_MS};
use super::meters::Metered;
use super::seats::{Seat, Taken};
use super::{Pressure, of};
use crate::clock::now_us;
use crate::filter::Answer;
use crate::http::caller::Caller;
use crate::reason::Reason;
use crate::stats::{Limit, plane};

/// Units of time in a second.
const SECOND: u64 = 1_000 * PER_MS;

/// What a request was charged: empty until it was, then with its client's seat, where that has any.
pub(crate) type Charged = OnceCell<Option<Arc<Seat>>>;

/// Why a request may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooMany {
    of: Limit,
    /// Seconds until it may.
    wait_s: u64,
}

/// What the way of a request through rates came to.
#[derive(Debug, Default)]
struct Passed {
    seat: Option<Seat>,
    /// Bounds that could not be counted.
    uncounted: u64,
}

/// Charges a request of `client` to the rates of its route's Ingress, if that was not done. The answer that it gets when it is one too many.
pub(crate) fn charge(caller: &Caller, route: &Route, client: IpAddr, charged: &Charged) -> Option<Answer> {
    let rates = &route.filters.as_ref()?.rates;
    if rates.is_empty() || charged.get().is_some() {
        return None;
    }
    let counts = caller.worker.counts.worker();
    match caller.worker.shared.pressure.pass(&route.owner, rates, client, now_us()) {
        Ok(Passed { seat, uncounted }) => {
            if uncounted > 0 {
                counts.unmetered.add(uncounted);
            }
            let _ = charged.set(seat.map(Arc::new)); // it was looked at above
            None
        }
        Err(TooMany { of, wait_s }) => {
            counts.limited[plane(caller.listener.exposure)][of as usize].add(1);
            Some(Answer::new(Reason::RateLimited).with("Retry-After", wait_s.to_string()))
        }
    }
}

impl Pressure {
    fn pass(&self, owner: &str, rates: &Rates, client: IpAddr, now_us: u64) -> Result<Passed, TooMany> {
        let mut passed = Passed::default();
        if rates.excepts(client) {
            return Ok(passed);
        }
        let client = of(client);
        let mut met = |metered: Metered, of: Limit| match metered {
            Metered::Passes => Ok(()),
            Metered::Uncounted => {
                passed.uncounted += 1;
                Ok(())
            }
            Metered::TooMany(wait) => Err(TooMany { of, wait_s: wait.div_ceil(SECOND).max(1) }),
        };
        for (at, rate) in rates.client.iter().enumerate() {
            let key = self.seed.hash_one((owner, client, at));
            met(self.clients.take(key, &Gcra::new(rate), now_us), Limit::Client)?;
        }
        let seat = rates.client_in_flight.map(|most| self.seats.take(self.seed.hash_one((owner, client)), most));
        if matches!(seat, Some(Taken::TooMany)) {
            return Err(TooMany { of: Limit::ClientInFlight, wait_s: 1 });
        }
        if let Some(rate) = &rates.route {
            met(self.routes.take(self.seed.hash_one(owner), &Gcra::new(rate), now_us), Limit::Route)?;
        }
        match seat {
            Some(Taken::Seat(seat)) => passed.seat = Some(seat),
            Some(Taken::Uncounted) => passed.uncounted += 1,
            Some(Taken::TooMany) | None => {}
        }
        Ok(passed)
    }
}

#[cfg(test)]
mod tests {
    use config::filter::Rate;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn rate(requests: u64, burst: u64) -> Rate {
        Rate { requests, per_ms: 1_000, burst }
    }

    /// What stopped it, and for how long.
    fn ask(pressure: &Pressure, owner: &str, rates: &Rates, client: IpAddr, now_us: u64) -> Result<Option<Seat>, (Limit, u64)> {
        pressure.pass(owner, rates, client, now_us).map(|passed| passed.seat).map_err(|too_many| (too_many.of, too_many.wait_s))
    }

    #[test]
    fn each_client_of_each_ingress_has_its_own() {
        let pressure = Pressure::default();
        let rates = Rates { client: [rate(1, 2)].into(), except: ["192.0.2.9/32".parse().unwrap()].into(), ..Rates::default() };
        let passes = |owner, last| ask(&pressure, owner, &rates, ip(last), 7).is_ok();
        assert_eq!([passes("a", 1), passes("a", 1), passes("a", 1)], [true, true, false]);
        assert_eq!([passes("b", 1), passes("a", 2), passes("a", 2)], [true; 3]);
        assert!((0..10).all(|_| passes("a", 9)), "excepted");
        assert_eq!(ask(&pressure, "a", &rates, ip(1), 7).unwrap_err(), (Limit::Client, 1));
        assert!(ask(&pressure, "a", &rates, ip(1), 1_000_007).is_ok());
    }

    #[test]
    fn all_of_several_rates_hold_and_what_one_client_is_refused_costs_the_others_nothing() {
        let pressure = Pressure::default();
        let minute = Rate { requests: 6, per_ms: 60_000, burst: 3 };
        let rates = Rates { client: [rate(1_000, 1_000), minute].into(), route: Some(rate(1, 5)), ..Rates::default() };
        let ask = |last| ask(&pressure, "a", &rates, ip(last), 0).map(|_| ());
        assert_eq!([ask(1), ask(1), ask(1)], [Ok(()); 3]);
        assert_eq!([ask(1), ask(1)], [Err((Limit::Client, 10)); 2], "it may come again in ten seconds");
        assert_eq!([ask(2), ask(2), ask(2)], [Ok(()), Ok(()), Err((Limit::Route, 1))]);
    }

    #[test]
    fn a_seat_is_given_back_by_who_is_refused_afterwards() {
        let pressure = Pressure::default();
        let rates = Rates { client_in_flight: Some(1), route: Some(rate(1, 1)), ..Rates::default() };
        let first = ask(&pressure, "a", &rates, ip(1), 0).unwrap();
        assert!(first.is_some());
        assert_eq!(ask(&pressure, "a", &rates, ip(1), 0).unwrap_err(), (Limit::ClientInFlight, 1));
        drop(first);
        assert_eq!(ask(&pressure, "a", &rates, ip(1), 0).unwrap_err(), (Limit::Route, 1));
        assert!(ask(&pressure, "a", &rates, ip(1), 1_000_000).unwrap().is_some());
    }
}
