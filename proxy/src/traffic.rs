//! What each service port has carried so far, as plain records: `/api/v1/traffic`, of which `tidegate top` takes differences.
//!
//! Invariant: the same counters as `/metrics`, added up by the same code; each only grows, but for what is open.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::stats::{LATENCY_BOUNDS_US, WorkerCounts};

/// One service port on one plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// `NAMESPACE/NAME:PORT`
    pub service: String,
    /// `external` or `internal`.
    pub exposure: String,
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them with a status of 500 and above.
    pub failures: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Time of all answers together, in microseconds.
    pub latency_us: u64,
    /// Answers by their time: up to each bound of `tidegate_request_duration_seconds`, and the slower ones at the end.
    pub latencies: Vec<u64>,
    /// Opaque connections, through its own listeners or by an upgrade, and flows of UDP.
    pub connections: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Bytes on them, both ways.
    pub bytes: u64,
}

impl TrafficView {
    /// What was carried since `before`.
    pub fn since(&self, before: &TrafficView) -> TrafficView {
        let less = |now: u64, then: u64| now.saturating_sub(then); // a restart between the two begins at zero
        let then = before.latencies.iter().copied().chain(std::iter::repeat(0));
        TrafficView {
            service: self.service.clone(),
            exposure: self.exposure.clone(),
            requests: less(self.requests, before.requests),
            failures: less(self.failures, before.failures),
            retries: less(self.retries, before.retries),
            latency_us: less(self.latency_us, before.latency_us),
            latencies: self.latencies.iter().zip(then).map(|(&now, then)| less(now, then)).collect(),
            connections: less(self.connections, before.connections),
            open: self.open,
            bytes: less(self.bytes, before.bytes),
        }
    }

    /// Adds another one's numbers.
    pub fn add(&mut self, other: &TrafficView) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.retries += other.retries;
        self.latency_us += other.latency_us;
        self.latencies.resize(self.latencies.len().max(other.latencies.len()), 0);
        self.latencies.iter_mut().zip(&other.latencies).for_each(|(sum, count)| *sum += count);
        self.connections += other.connections;
        self.open += other.open;
        self.bytes += other.bytes;
    }

    /// A bound that 99 of 100 answers kept, in microseconds; `None` without answers, or when they were slower than every bound.
    pub fn p99_us(&self) -> Option<u64> {
        let all: u64 = self.latencies.iter().sum();
        let mut below = 0;
        let bound = LATENCY_BOUNDS_US.iter().zip(&self.latencies).find(|(_, count)| {
            below += **count;
            below * 100 >= all * 99
        });
        bound.filter(|_| all > 0).map(|(bound, _)| *bound)
    }
}

/// All that the workers counted, by name and plane.
pub fn traffic(workers: &[Arc<WorkerCounts>]) -> Vec<TrafficView> {
    let views = metrics::sum(workers).into_iter().map(|((name, exposure), sum)| {
        let opaque = [&sum.own, &sum.udp, &sum.upgraded];
        TrafficView {
            service: name.to_string(),
            exposure: exposure.to_string(),
            requests: sum.answers.iter().sum(),
            failures: sum.answers[4],
            retries: sum.retries,
            latency_us: sum.latency_sum_us,
            latencies: sum.latency.to_vec(),
            connections: opaque.iter().map(|flow| flow.connections).sum(),
            open: opaque.iter().map(|flow| flow.open).sum(),
            bytes: opaque.iter().map(|flow| flow.up + flow.down).sum(),
        }
    });
    views.collect()
}

#[cfg(test)]
mod tests {
    use config::exposure::Exposure;

    use super::*;
    use crate::explain::worlds;
    use crate::stats::LocalCounts;

    #[test]
    fn workers_are_added_up_and_differences_taken() {
        let workers = [Arc::<WorkerCounts>::default(), Arc::default()];
        let met = workers.each_ref().map(|worker| LocalCounts::new(worker.clone()).of(Exposure::External, &worlds::service("web", 1)));
        met[0].answered(200, 400);
        met[1].answered(503, 2_000);
        let before = traffic(&workers).remove(0);
        assert_eq!((before.requests, before.failures, before.latency_us), (2, 1, 2_400));
        for _ in 0..199 {
            met[0].answered(200, 400);
        }
        met[0].answered(200, 9_000);
        met[0].own.begun();
        met[1].udp.flows.begun();
        let since = traffic(&workers).remove(0).since(&before);
        assert_eq!((since.requests, since.failures, since.connections, since.open), (200, 0, 2, 2));
        assert_eq!(since.p99_us(), Some(500), "one in two hundred was slower");
        assert_eq!(before.p99_us(), Some(2_500));
        assert_eq!(TrafficView::default().p99_us(), None);
    }
}
