//! Who is left out for what its requests came to, until when, and how it comes back.
//!
//! Sans-io: time is an argument, and nothing of a Service but a name and the ids of its Ready endpoints is known here. An endpoint is out
//! for a time that grows with each ejection in a row; then it is on trial, where one request decides, or else time does; then it is in
//! again, and for each time that it stays in, one of its ejections is forgotten.
//!
//! Invariant: an ejection never leaves more than `maxEjectedPercent` of the Ready ones out, and never all of them. When others leave
//! meanwhile and too few are in, all are used ([`Outliers::leaves_out`]). By one ejection nobody is out for longer than
//! twice `maxEjectionMs`, trial included.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::settings::Outlier as Rules;

use crate::snapshot::{EndpointId, PortName, Trial};

pub(crate) mod rates;

/// Why an endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// So many failures with no success between.
    InARow(u32),
    /// A success rate far below the mean of all; both in thousandths.
    Rate { own: u32, mean: u32 },
    /// The request that was to show that it is well failed.
    Trial,
}

impl Cause {
    /// The words of metrics, by [`Cause::index`].
    pub(crate) const WORDS: [&'static str; 3] = ["consecutive-failures", "success-rate", "trial"];

    pub(crate) const fn index(self) -> usize {
        match self {
            Cause::InARow(_) => 0,
            Cause::Rate { .. } => 1,
            Cause::Trial => 2,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |thousandths: u32| f64::from(thousandths) / 10.0;
        match *self {
            Cause::InARow(1) => f.write_str("a failure"),
            Cause::InARow(count) => write!(f, "{count} failures in a row"),
            Cause::Rate { own, mean } => write!(f, "success rate {:.1} %, where the mean is {:.1} %", percent(own), percent(mean)),
            Cause::Trial => f.write_str("its trial failed"),
        }
    }
}

/// What became of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is out, for so long.
    Ejected(Cause, Duration),
    /// One request may show that it is well.
    OnTrial,
    /// It is in again: a request showed that it is well.
    Proven,
    /// It is in again: its time was over, or the rule that ejected it is.
    Returned,
    /// It is in again though its trial failed: too many others are out.
    Spared,
}

/// How it stands with one that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) cause: Cause,
    /// When it is on trial, or in when it is on trial already.
    pub(crate) until: Duration,
    pub(crate) on_trial: bool,
}

/// Every endpoint that was ejected and has not been well for long enough since.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    rules: Rules,
    records: BTreeMap<EndpointId, Record>,
}

#[derive(Debug)]
struct Record {
    port: PortName,
    /// Ejections in a row.
    times: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Out { until: Duration, cause: Cause },
    OnTrial { until: Duration, cause: Cause, trial: Arc<Trial> },
    In { since: Duration },
}

impl Outliers {
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    fn base(&self) -> Duration {
        Duration::from_millis(self.rules.base_ejection_ms)
    }

    fn most(&self) -> Duration {
        Duration::from_millis(self.rules.max_ejection_ms).max(self.base())
    }

    /// How long the ejection lasts that is the last of so many in a row.
    fn lasts(&self, times: u32) -> Duration {
        self.base().saturating_mul(times).min(self.most())
    }

    /// Leaves an endpoint of `port` out, of which these are Ready. `None` when it is out already, or the rules forbid it.
    pub(crate) fn eject(&mut self, port: &PortName, ready: &[EndpointId], id: EndpointId, cause: Cause, now: Duration) -> Option<Turn> {
        let out = self.records.get(&id).is_some_and(|record| matches!(record.stage, Stage::Out { .. }));
        if out || !self.may_leave(ready, id) {
            return None;
        }
        let times = self.records.get(&id).map_or(0, |record| record.times).saturating_add(1);
        let lasts = self.lasts(times);
        // One more would not last longer, and would only take longer to be forgotten.
        let times = if self.lasts(times - 1) == lasts { times - 1 } else { times };
        let stage = Stage::Out { until: now.saturating_add(lasts), cause };
        self.records.insert(id, Record { port: port.clone(), times, stage });
        Some(Turn::Ejected(cause, lasts))
    }

    /// Whether the share that is out allows one more, and another one stays in.
    fn may_leave(&self, ready: &[EndpointId], id: EndpointId) -> bool {
        let others = ready.iter().filter(|other| **other != id);
        let out = 1 + others.filter(|other| self.is_out(**other)).count();
        ready.contains(&id) && out < ready.len() && out * 100 <= ready.len() * self.rules.max_ejected_percent as usize
    }

    /// What came of the one request of an endpoint on trial. `None` when it is not on trial.
    pub(crate) fn tried(&mut self, port: &PortName, ready: &[EndpointId], id: EndpointId, well: bool, now: Duration) -> Option<Turn> {
        self.records.get(&id).filter(|record| matches!(record.stage, Stage::OnTrial { .. }))?;
        let failed = if well { None } else { self.eject(port, ready, id, Cause::Trial, now) };
        if let Some(record) = self.records.get_mut(&id).filter(|_| failed.is_none()) {
            record.stage = Stage::In { since: now };
        }
        Some(failed.unwrap_or(if well { Turn::Proven } else { Turn::Spared }))
    }

    /// Whoever's time is over goes on.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<(PortName, EndpointId, Turn)> {
        let (base, mut turns) = (self.base(), Vec::new());
        self.records.retain(|id, record| {
            let turn = match &mut record.stage {
                Stage::Out { until, cause } if *until <= now => {
                    record.stage = Stage::OnTrial { until: now.saturating_add(base), cause: *cause, trial: Arc::default() };
                    Turn::OnTrial
                }
                Stage::OnTrial { until, .. } if *until <= now => {
                    record.stage = Stage::In { since: now };
                    Turn::Returned
                }
                Stage::In { since } => {
                    while record.times > 0 && since.saturating_add(base) <= now {
                        *since += base;
                        record.times -= 1;
                    }
                    return record.times > 0;
                }
                Stage::Out { .. } | Stage::OnTrial { .. } => return true,
            };
            turns.push((record.port.clone(), *id, turn));
            true
        });
        turns
    }

    /// When [`Outliers::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = |record: &Record| match record.stage {
            Stage::Out { until, .. } | Stage::OnTrial { until, .. } => until,
            Stage::In { since } => since.saturating_add(self.base()),
        };
        self.records.values().map(due).min()
    }

    /// Somebody else found it well again, as a probe does after a container was started anew: no need to wait for its trial.
    pub(crate) fn hasten(&mut self, id: EndpointId, now: Duration) {
        if let Some(Stage::Out { until, .. }) = self.records.get_mut(&id).map(|record| &mut record.stage) {
            *until = (*until).min(now);
        }
    }

    /// It is gone, and so is what is known of it.
    pub(crate) fn forget(&mut self, id: EndpointId) {
        self.records.remove(&id);
    }

    /// Nobody is left out, nor was lately.
    pub(crate) fn is_quiet(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it is out or on trial.
    pub(crate) fn is_out(&self, id: EndpointId) -> bool {
        self.standing(id).is_some()
    }

    /// How it stands, if it is out or on trial.
    pub(crate) fn standing(&self, id: EndpointId) -> Option<Standing> {
        match self.records.get(&id)?.stage {
            Stage::Out { until, cause } => Some(Standing { cause, until, on_trial: false }),
            Stage::OnTrial { until, cause, .. } => Some(Standing { cause, until, on_trial: true }),
            Stage::In { .. } => None,
        }
    }

    /// The right to send it a request, when it is on trial.
    pub(crate) fn trial(&self, id: EndpointId) -> Option<&Arc<Trial>> {
        match &self.records.get(&id)?.stage {
            Stage::OnTrial { trial, .. } => Some(trial),
            Stage::Out { .. } | Stage::In { .. } => None,
        }
    }

    /// Whether those who are out are left out. Not when too few would be left, and never when nobody would.
    pub(crate) fn leaves_out(&self, ready: usize, out: usize) -> bool {
        let left = ready.saturating_sub(out);
        out > 0 && left > 0 && left * 100 >= ready * self.rules.panic_percent as usize
    }

    /// Goes by other rules from now on. Whoever was ejected by a rule that is off returns, and nobody is out for longer than is allowed now.
    pub(crate) fn renew(&mut self, rules: Rules, now: Duration) -> Vec<(PortName, EndpointId, Turn)> {
        self.rules = rules;
        let (most, mut turns) = (now.saturating_add(self.most()), Vec::new());
        let off = |cause: Cause| match cause {
            _ if !rules.is_on() => true,
            Cause::InARow(_) => rules.consecutive_failures == 0,
            Cause::Rate { .. } => rules.success_rate_factor == 0,
            Cause::Trial => false,
        };
        self.records.retain(|id, record| match &mut record.stage {
            Stage::Out { cause, .. } | Stage::OnTrial { cause, .. } if off(*cause) => {
                turns.push((record.port.clone(), *id, Turn::Returned));
                false
            }
            Stage::Out { until, .. } | Stage::OnTrial { until, .. } => {
                *until = (*until).min(most);
                true
            }
            Stage::In { .. } => rules.is_on(),
        });
        turns
    }
}

#[cfg(test)]
mod tests;
