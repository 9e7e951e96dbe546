//! What was refused to keep load within bounds, and how late workers are.

use std::sync::Arc;

use config::exposure::Exposure;

use super::{Families, Sums, labels};
use crate::pressure::shed;
use crate::stats::{Bound, Limit, Untaken, WorkerCounts, plane};

/// Services that refused something. It is there from a service's first request on, with zeros.
pub(super) fn bounded(services: &Sums, families: &mut Families) {
    let mut refused = Vec::new();
    for ((name, exposure), sum) in services {
        let name = name.to_string();
        for (bound, &count) in Bound::ALL.into_iter().zip(&sum.full) {
            let here = [("exposure", exposure.as_str()), ("service", &name), ("bound", bound.as_str())];
            refused.push((labels(here), count as f64));
        }
    }
    let help = "Requests, connections and flows refused, since as much as the Service's annotation lets was under way, or waited.";
    families.counters("tidegate_bounded_total", help, refused);
}

pub(super) fn of_workers(workers: &[Arc<WorkerCounts>], families: &mut Families) {
    let all = |count: &dyn Fn(&WorkerCounts) -> u64| workers.iter().map(|worker| count(worker)).sum::<u64>() as f64;
    let (mut limited, mut untaken, mut shed) = (Vec::new(), Vec::new(), Vec::new());
    for exposure in [Exposure::External, Exposure::Internal] {
        let (at, word) = (plane(exposure), exposure.as_str());
        for limit in Limit::ALL {
            let count = all(&|worker| worker.limited[at][limit as usize].get());
            limited.push((labels([("exposure", word), ("limit", limit.as_str())]), count));
        }
        for why in Untaken::ALL {
            let count = all(&|worker| worker.untaken[at][why as usize].get());
            untaken.push((labels([("exposure", word), ("limit", why.as_str())]), count));
        }
        shed.push((labels([("exposure", word)]), all(&|worker| worker.shed[at].get())));
    }
    families.counters("tidegate_rate_limited_total", "Requests that were too many for a limit of their Ingress.", limited);
    let help = "Requests and connections let in uncounted, since there was no room to remember their client.";
    families.counters("tidegate_unmetered_total", help, vec![(Vec::new(), all(&|worker| worker.unmetered.get()))]);
    families.counters("tidegate_connections_refused_total", "Connections reset at once: there were as many as may be.", untaken);
    families.counters("tidegate_shed_total", "Requests refused, since the worker was late (limits.shedLagMs).", shed);
    let each = |value: fn(&WorkerCounts) -> f64| {
        workers.iter().enumerate().map(|(id, worker)| (labels([("worker", &id.to_string())]), value(worker))).collect()
    };
    let lag = each(|worker| worker.lag_us.get() as f64 / 1e6);
    families.gauges("tidegate_worker_lag_seconds", "How late the worker was at most in the last seconds.", lag);
    let part = each(|worker| worker.shed_part.get() as f64 / f64::from(shed::ALL));
    families.gauges("tidegate_worker_shed_ratio", "The part of requests from outside that the worker refuses now for being late.", part);
}
