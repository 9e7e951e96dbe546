//! Who is left out for what requests come to: what workers tell arrives late, and what the registry makes of it keeps its bounds.

use std::collections::HashSet;
use std::sync::Arc;

use config::settings::Outlier;
use fastrand::Rng;
use registry::event::Report;
use registry::snapshot::{Aside, EndpointId, Service, Snapshot, Trial};
use registry::view::EndpointView;

use super::law::Fault;
use super::world::{Next, SETTLED_MS, World};

/// What is known of those who are left out.
#[derive(Default)]
pub(super) struct Ejected {
    /// Endpoints that are out, and not on trial.
    out: HashSet<u64>,
    /// Trials, and the request that is each.
    trials: Vec<(Arc<Trial>, usize)>,
    /// When time is let pass in the registry.
    ticks_ms: Option<u64>,
}

/// Rules under which much happens in a short time.
pub(super) fn rules(rng: &mut Rng) -> Outlier {
    let base_ejection_ms = rng.u64(300..800);
    Outlier {
        consecutive_failures: 2 + rng.u32(..3),
        interval_ms: 500,
        base_ejection_ms,
        max_ejection_ms: 2 * base_ejection_ms,
        max_ejected_percent: [34, 50, 100][rng.usize(..3)],
        panic_percent: [34, 50][rng.usize(..2)],
        success_rate_endpoints: 3,
        success_rate_requests: 5,
        ..Outlier::default()
    }
}

/// What the registry goes by, where the law goes by `rules`.
pub(super) fn applied(rules: Outlier, fault: Option<Fault>) -> Outlier {
    match fault {
        Some(Fault::EjectsTooMany) => Outlier { max_ejected_percent: 100, ..rules },
        Some(Fault::NeverPanics) => Outlier { panic_percent: 0, ..rules },
        _ => rules,
    }
}

/// An endpoint is left out, by its view.
fn is_ejected(row: &EndpointView) -> bool {
    row.left_ms.is_some()
}

/// It is not even on trial.
fn is_out(row: &EndpointView) -> bool {
    is_ejected(row) && !row.why.as_deref().is_some_and(|why| why.ends_with("on trial"))
}

impl World {
    /// Takes up what workers have told since the last step.
    pub(super) fn gather(&mut self) {
        for worker in 0..self.workers.len() {
            for (at_ms, report) in self.workers[worker].told(self.now_ms, &mut self.rng) {
                self.at(at_ms - self.now_ms, Next::Report(report));
            }
        }
    }

    pub(super) fn report(&mut self, report: Report) -> Result<(), String> {
        self.registry.report(report, self.now());
        self.publish().map(drop)
    }

    pub(super) fn tick(&mut self) -> Result<(), String> {
        if self.fault != Some(Fault::ForgetsTime) {
            self.registry.tick(self.now());
        }
        self.publish().map(drop)
    }

    /// Lets time pass when the registry has something to do.
    pub(super) fn plan_tick(&mut self) {
        let Some(due) = self.registry.due() else { return };
        let due_ms = (due.as_nanos().div_ceil(1_000_000) as u64).max(self.now_ms + 1);
        let ticks_ms = &mut self.ejected.ticks_ms;
        if due_ms < SETTLED_MS && ticks_ms.is_none_or(|at| at <= self.now_ms || due_ms < at) {
            *ticks_ms = Some(due_ms);
            self.at(due_ms - self.now_ms, Next::Tick);
        }
    }

    /// Whoever was ejected just now was not one too many.
    pub(super) fn hold_share(&mut self) -> Result<(), String> {
        if self.registry.notices().is_empty() {
            return Ok(());
        }
        let rows = self.registry.endpoints();
        for row in &rows {
            if !is_out(row) {
                // Of one that is not ready nobody is told whether it is out still.
                if row.state == "Ready" || is_ejected(row) {
                    self.ejected.out.remove(&row.id);
                }
                continue;
            }
            if !self.ejected.out.insert(row.id) {
                continue;
            }
            let of_service = || rows.iter().filter(|other| other.service == row.service);
            let ejected = of_service().filter(|other| is_ejected(other)).count();
            let ready = ejected + of_service().filter(|other| other.state == "Ready").count();
            let most = self.rules.max_ejected_percent as usize;
            if ejected == ready || ejected * 100 > ready * most {
                return Err(format!("{} is ejected: {ejected} of {ready} of {} are out, and {most} % at most", row.address, row.service));
            }
        }
        Ok(())
    }

    /// When too few are left, nobody is left out.
    pub(super) fn hold_panic(&self, snapshot: &Snapshot) -> Result<(), String> {
        for service in snapshot.external.services.iter().chain(&*snapshot.internal.services) {
            let (left, out) = (service.endpoints.len(), service.unsettled.as_ref().map_or(0, |unsettled| unsettled.aside.len()));
            if out > 0 && (left == 0 || left * 100 < (left + out) * self.rules.panic_percent as usize) {
                return Err(format!("{out} of {} are left out, and {left} are too few for the others", service.name));
            }
        }
        Ok(())
    }

    /// A request picked this endpoint: one that is left out only when it is the request of its trial.
    pub(super) fn try_out(&mut self, request: usize, service: &Service, id: EndpointId) -> Result<Option<Arc<Trial>>, String> {
        let mut aside = service.unsettled.iter().flat_map(|unsettled| &unsettled.aside);
        let Some(Aside { trial, .. }) = aside.find(|aside| aside.endpoint.id == id) else { return Ok(None) };
        let Some(trial) = trial else { return Err(format!("request {request} goes to {id:?}, although that is left out")) };
        if let Some((_, other)) = self.ejected.trials.iter().find(|(known, _)| Arc::ptr_eq(known, trial)) {
            return Err(format!("{id:?} is on trial, and asked by request {request} beside {other}"));
        }
        self.ejected.trials.push((trial.clone(), request));
        if self.fault == Some(Fault::GivesTrialsBack) {
            trial.give_back();
        }
        Ok(Some(trial.clone()))
    }

    /// Nothing came of a trial: somebody else may try.
    pub(super) fn give_back(&mut self, trial: &Arc<Trial>) {
        self.ejected.trials.retain(|(known, _)| !Arc::ptr_eq(known, trial));
    }

    /// Everybody has come back.
    pub(super) fn hold_return(&self) -> Result<(), String> {
        match self.registry.endpoints().iter().find(|row| is_ejected(row)) {
            Some(row) => Err(format!("{} is left out of {} at rest", row.address, row.service)),
            None => Ok(()),
        }
    }
}
