//! How much a client may ask for, and how much all of them together.
//!
//! Not guards: a rate that cannot be understood is left out and told. It bounds load, and does not say who may come in.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::annotations::{Key, Wrong, value};

/// Most requests in a unit of time that are asked for, and most at once.
const MOST: u64 = 1_000_000;
/// Most requests at once that are written, as many or as a multiple. With [`MINUTE`] it keeps the longest memory of a client under a week.
const MOST_BURST: u64 = 10_000;
/// What ingress-nginx multiplies a rate by to get the requests that may come beside the first at once.
const THEIR_BURST: u64 = 5;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60_000;

/// So many requests in a time, and not all of them evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests, 1 to 1,000,000.
    pub requests: u64,
    /// In this time, in milliseconds: a second or a minute.
    pub per_ms: u64,
    /// So many may come at once after a silence; at least 1. `burst * per_ms / requests` is under a week.
    pub burst: u64,
}

/// What bounds the requests of an Ingress, all of its rules together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// For each client; each of them holds.
    pub client: Box<[Rate]>,
    /// For all clients together.
    pub route: Option<Rate>,
    /// Requests of one client that may be under way.
    pub client_in_flight: Option<u32>,
    /// Clients that are neither bounded nor counted.
    pub except: Box<[IpNet]>,
}

/// What the keys said.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    rate: Option<(u64, u64)>,
    burst: Option<u64>,
    /// As ingress-nginx has it: requests a second, requests a minute.
    theirs: [Option<u64>; 2],
    multiplier: Option<u64>,
}

const RATE: &str = "requests in a second or a minute: `100/s`, `600/m`";

pub(super) const KEYS: &[Key] = &[
    Key::new("rate-limit", RATE, |draft, text| {
        draft.rates.rate = Some(rate(text)?);
        Ok(())
    }),
    Key::new("rate-limit-burst", "requests, 1 to 10000", |draft, text| {
        draft.rates.burst = Some(within(text, 1, MOST_BURST)?);
        Ok(())
    }),
    Key::new("rate-limit-route", RATE, |draft, text| {
        let (requests, per_ms) = rate(text)?;
        draft.filters.rates.route = Some(Rate { requests, per_ms, burst: requests });
        Ok(())
    }),
    Key::new("rate-limit-except", "addresses and CIDRs with commas between", |draft, text| {
        draft.filters.rates.except = value::ranges(text, &mut draft.loose)?;
        Ok(())
    }),
    Key::new("max-client-in-flight", "requests, 1 to 1000000", |draft, text| {
        draft.filters.rates.client_in_flight = Some(within(text, 1, MOST)? as u32);
        Ok(())
    }),
];

fn rate(text: &str) -> Result<(u64, u64), Wrong> {
    let (requests, unit) = text.split_once('/').ok_or("no number and unit")?;
    let per_ms = match unit.trim_start() {
        "s" => SECOND,
        "m" => MINUTE,
        _ => return Err("neither a second nor a minute".into()),
    };
    Ok((within(requests.trim_end(), 1, MOST)?, per_ms))
}

fn within(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| format!("no number from {least} to {most}").into())
}

impl Parts {
    /// Requests a second, as ingress-nginx writes them; 0 is no limit.
    pub(crate) fn their_second(&mut self, text: &str) -> Result<(), Wrong> {
        self.theirs[0] = Some(within(text, 0, MOST)?);
        Ok(())
    }

    /// Requests a minute.
    pub(crate) fn their_minute(&mut self, text: &str) -> Result<(), Wrong> {
        self.theirs[1] = Some(within(text, 0, MOST)?);
        Ok(())
    }

    /// What both are multiplied by.
    pub(crate) fn their_multiplier(&mut self, text: &str) -> Result<(), Wrong> {
        self.multiplier = Some(within(text, 1, MOST_BURST)?);
        Ok(())
    }

    /// The rates of each client.
    pub(super) fn finish(self) -> Box<[Rate]> {
        let ours = self.rate.map(|(requests, per_ms)| Rate { requests, per_ms, burst: self.burst.unwrap_or(requests) });
        let theirs = self.theirs.into_iter().zip([SECOND, MINUTE]).filter_map(|(requests, per_ms)| {
            let requests = requests.filter(|&requests| requests > 0)?;
            let burst = self.burst.unwrap_or(1 + requests * self.multiplier.unwrap_or(THEIR_BURST));
            Some(Rate { requests, per_ms, burst })
        });
        ours.into_iter().chain(theirs).collect()
    }
}

impl Rates {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.route.is_none() && self.client_in_flight.is_none()
    }

    /// Whether a client is neither bounded nor counted.
    pub fn excepts(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.except.iter().any(|range| range.contains(&client))
    }

    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        let shown = |rate: &Rate| {
            let unit = if rate.per_ms == SECOND { "s" } else { "m" };
            format!("{}/{unit}, {} at once", rate.requests, rate.burst)
        };
        lines.extend(self.client.iter().map(|rate| format!("rate-limit: {} for each client, else 429", shown(rate))));
        lines.extend(self.client_in_flight.map(|most| format!("max-client-in-flight: {most} of each client, else 429")));
        lines.extend(self.route.map(|rate| format!("rate-limit-route: {} for all clients, else 429", shown(&rate))));
        if !self.is_empty() && !self.except.is_empty() {
            let list = self.except.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ");
            lines.push(format!("rate-limit-except: not {list}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{self, Reading, Verdict};

    fn reading(annotations: &[(&str, &str)]) -> Reading {
        let whole = |key: &str| {
            if key.starts_with("limit-") { format!("nginx.ingress.kubernetes.io/{key}") } else { format!("tidegate.dev/{key}") }
        };
        annotations::read(&"a".into(), &annotations.iter().map(|(key, text)| (whole(key).into(), (*text).into())).collect())
    }

    fn rates(annotations: &[(&str, &str)]) -> Rates {
        let reading = reading(annotations);
        assert!(reading.problems.iter().all(|problem| problem.severity == crate::problem::Severity::Note), "{:?}", reading.problems);
        reading.filters.rates
    }

    #[test]
    fn a_rate_is_a_number_in_a_second_or_a_minute_and_as_many_may_come_at_once() {
        let of = |text| rates(&[("rate-limit", text)]).client[0];
        assert_eq!(of("100/s"), Rate { requests: 100, per_ms: 1_000, burst: 100 });
        assert_eq!(of(" 600 / m "), Rate { requests: 600, per_ms: 60_000, burst: 600 });
        let both = rates(&[("rate-limit", "100/s"), ("rate-limit-burst", "50"), ("rate-limit-route", "1000/s")]);
        assert_eq!((both.client[0].burst, both.route), (50, Some(Rate { requests: 1_000, per_ms: 1_000, burst: 1_000 })));
        for wrong in ["100", "100/h", "0/s", "1000001/s", "-1/s", "1.5/s", "/s", "a/s", "100/s/s", ""] {
            let reading = reading(&[("rate-limit", wrong)]);
            assert_eq!((reading.judged[0].verdict, reading.problems.len()), (Verdict::Wrong, 1), "{wrong}");
            assert!(reading.filters.is_empty() && reading.closed.is_none(), "{wrong}: it bounds load, and keeps nobody out");
        }
    }

    #[test]
    fn of_ingress_nginx_a_second_and_a_minute_hold_together() {
        let theirs = |multiplier: &[(&str, &str)]| rates(&[&[("limit-rps", "10"), ("limit-rpm", "100")], multiplier].concat());
        let [second, minute] = theirs(&[]).client[..] else { panic!("two rates") };
        assert_eq!((second.burst, minute.burst), (51, 501), "five times as many beside the first");
        assert_eq!((second.per_ms, minute.per_ms), (1_000, 60_000));
        assert_eq!(theirs(&[("limit-burst-multiplier", "1")]).client[0].burst, 11);
        assert_eq!(rates(&[("limit-rps", "0"), ("limit-connections", "0")]), Rates::default(), "off");
        let all = rates(&[("limit-connections", "3"), ("limit-whitelist", "10.0.0.0/8,192.0.2.7")]);
        assert_eq!(all.client_in_flight, Some(3));
        let excepted = |ip: &str| all.excepts(ip.parse().unwrap());
        assert!(excepted("10.1.2.3") && excepted("::ffff:192.0.2.7") && !excepted("192.0.2.8"));
        let twice = reading(&[("limit-rps", "10"), ("rate-limit", "5/s")]);
        assert_eq!((twice.filters.rates.client.len(), twice.filters.rates.client[0].requests), (1, 5), "ours counts");
        assert!(twice.judged.iter().any(|judged| judged.verdict == Verdict::NotSupported));
    }

    /// What the memory of a client can hold.
    #[test]
    fn no_client_is_remembered_for_a_week() {
        let longest = [("rate-limit", "1/m"), ("rate-limit-burst", "10000"), ("limit-rpm", "1000000"), ("limit-burst-multiplier", "10000")];
        for rate in rates(&longest[..2]).client.iter().chain(&*rates(&longest[2..]).client) {
            assert!(u128::from(rate.burst) * u128::from(rate.per_ms) / u128::from(rate.requests) < 7 * 86_400_000, "{rate:?}");
        }
    }

    #[test]
    fn all_is_told_in_words() {
        let told = |annotations: &[(&str, &str)]| reading(annotations).filters.describe();
        assert_eq!(told(&[("rate-limit-except", "10.0.0.0/8")]), [""; 0]);
        let lines =
            told(&[("rate-limit", "6/m"), ("max-client-in-flight", "2"), ("rate-limit-route", "9/s"), ("rate-limit-except", "10.0.0.0/8")]);
        assert_eq!(lines[0], "rate-limit: 6/m, 6 at once for each client, else 429");
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
}
