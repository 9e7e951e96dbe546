//! Pods that do not say whether they are ready are asked, as the product's task asks: over a network that is slow, loses answers, and leads
//! to whoever has the address now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use registry::event::Event;
use registry::health::{Failure, Job, Judge, Verdict, Wanted};

use super::law::Fault;
use super::network::{Illness, Process};
use super::world::{CHURN_MS, Next, SETTLED_MS, World};

/// The task that asks.
pub(super) struct Asking {
    judge: Judge,
    wanted: Arc<Wanted>,
    /// The run of a pod that each number of the registry's means.
    runs: HashMap<u64, usize>,
    /// Of these numbers somebody was asked.
    asked: HashSet<u64>,
    /// When it looks again at what is due.
    wakes_ms: Option<u64>,
    /// When its last verdict arrives: none overtakes another.
    told_ms: u64,
}

impl Asking {
    pub(super) fn new(seed: u64) -> Asking {
        Asking { judge: Judge::new(seed), wanted: Arc::default(), runs: HashMap::new(), asked: HashSet::new(), wakes_ms: None, told_ms: 0 }
    }
}

impl World {
    /// The registry may want others to be asked now.
    pub(super) fn want(&mut self) {
        let wanted = self.registry.wanted();
        if Arc::ptr_eq(wanted, &self.asking.wanted) {
            return;
        }
        self.asking.wanted = wanted.clone();
        for (pod, subject) in wanted.iter() {
            if let Some(run) = self.pods.told(&pod.name) {
                self.asking.runs.entry(subject.met).or_insert(run);
            }
        }
        let heard = self.rng.u64(..20);
        self.at(heard, Next::Want);
    }

    /// The task hears who is wanted by now.
    pub(super) fn follow(&mut self) {
        self.asking.judge.want(&self.asking.wanted, self.now());
        self.ask();
    }

    /// Asks all who are due.
    pub(super) fn ask(&mut self) {
        while let Some(job) = self.asking.judge.take(self.now()) {
            if self.fault == Some(Fault::AsksOnce) && !self.asking.asked.insert(job.subject.met) {
                continue;
            }
            let arrives = self.rng.u64(..5);
            self.at(arrives, Next::Reach(job));
        }
        let Some(next) = self.asking.judge.next() else { return };
        let next_ms = next.as_nanos().div_ceil(1_000_000) as u64;
        if next_ms < SETTLED_MS && self.asking.wakes_ms.is_none_or(|at| at <= self.now_ms || next_ms < at) {
            self.asking.wakes_ms = Some(next_ms);
            self.at(next_ms - self.now_ms, Next::Ask);
        }
    }

    /// A check arrives where it was sent.
    pub(super) fn reach(&mut self, job: Job) {
        let late = self.now_ms < CHURN_MS && self.rng.u8(..16) == 0;
        let (answer, process) = match self.network.connect(job.subject.ip, self.now_ms) {
            None => (Err(Failure::Refused), None),
            Some((process, _)) if late => (Err(Failure::Timeout(job.probe().timeout_s)), Some(process)),
            Some((process, _)) => (self.says(process), Some(process)),
        };
        let took = if process.is_some() && late { job.probe().timeout().as_millis() as u64 } else { self.rng.u64(..100) };
        self.at(took, Next::Hear(job, answer, process));
    }

    fn says(&self, process: Process) -> Result<(), Failure> {
        match self.network.illness(process, self.now_ms) {
            Some(Illness::Breaks) => Err(Failure::Cut),
            Some(_) => Err(Failure::Status(503)),
            None if self.network.is_warm(process, self.now_ms) => Ok(()),
            None => Err(Failure::Status(503)),
        }
    }

    /// An answer is back, unless who was to give it is gone.
    pub(super) fn hear(&mut self, job: &Job, answer: Result<(), Failure>, process: Option<Process>) {
        if !self.asking.judge.knows(job) {
            return;
        }
        let lives = process.is_none_or(|process| self.network.is_alive(process));
        let answer = if lives { answer } else { Err(Failure::Cut) };
        if answer.is_ok()
            && let Some(run) = self.asking.runs.get(&job.subject.met)
        {
            self.pods.passed.insert(*run);
        }
        if let Some(verdict) = self.asking.judge.heard(job, answer, self.now()) {
            self.asking.told_ms = self.asking.told_ms.max(self.now_ms + self.rng.u64(..30));
            self.at(self.asking.told_ms - self.now_ms, Next::Judge(verdict));
        }
        self.ask();
    }

    /// A verdict reaches the registry.
    pub(super) fn judge(&mut self, verdict: Verdict) -> Result<(), String> {
        let run = self.asking.runs.get(&verdict.met).copied();
        let is_former = run.is_none() || run != self.pods.told(&verdict.pod.name);
        let pod = verdict.pod.clone();
        let now_there = self.asking.wanted.get(&pod).filter(|_| self.fault == Some(Fault::JudgesByName));
        let met = now_there.map_or(verdict.met, |subject| subject.met);
        self.registry.apply(Event::Judged(Verdict { met, ..verdict }), self.now());
        if self.publish()? && is_former {
            return Err(format!("a verdict on a former {pod} changes the picture"));
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }
}
