//! Whether pods that do not say so themselves are ready: what is asked of whom, when, and what the answers come to.
//!
//! Invariant: no I/O, no clock, nothing random that is not seeded; time is an argument. A verdict is of one pod at one address: who
//! returns, or moves, begins anew, and an answer that was asked of another is dropped. Of one probe there is one check under way. Before
//! it ever passed a pod is not ready. It refuses nothing about addresses: the registry does, and hands on only who may be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::object::{Name, Probe};

mod ask;
mod failure;
mod grpc;
mod http;
mod tally;
pub mod watch;

pub use failure::Failure;
pub use tally::Tally;

/// The periods between checks are this much shorter or longer, at random, so that pods that came together are not asked together.
const JITTER: f64 = 0.05;

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodName {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What must be known to ask a pod.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    /// Another number is another pod, or the same at another address.
    pub met: u64,
    /// Where it is asked.
    pub ip: IpAddr,
    /// What it is asked; at least one.
    pub probes: Arc<[Probe]>,
    /// What it is taken for until its probes say otherwise.
    pub ready: bool,
    /// It was there before us, so that nothing is said for waiting out its `initialDelaySeconds` again.
    pub at_once: bool,
}

/// Everybody who is to be asked.
pub type Wanted = BTreeMap<PodName, Arc<Subject>>;

/// What the answers of a pod come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose.
    pub pod: PodName,
    /// [`Subject::met`]
    pub met: u64,
    /// All of its probes pass.
    pub ready: bool,
    /// Each of its probes was answered once, well or badly.
    pub whole: bool,
    /// Why it is not ready, as far as that is known: `probe: HTTP 503`.
    pub why: Option<Name>,
    /// It was not so before, or failed for the first time.
    pub turned: bool,
}

/// A check to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// Of whom.
    pub pod: PodName,
    /// At which address.
    pub subject: Arc<Subject>,
    /// Which of its probes.
    at: usize,
    began: Duration,
}

impl Job {
    /// What is asked.
    pub fn probe(&self) -> &Probe {
        &self.subject.probes[self.at]
    }
}

/// Says whom to ask now, and what the answers come to.
#[derive(Debug)]
pub struct Judge {
    cases: BTreeMap<PodName, Case>,
    /// When each probe that is not under way is due.
    due: BTreeSet<(Duration, PodName, usize)>,
    chance: fastrand::Rng,
}

#[derive(Debug)]
struct Case {
    subject: Arc<Subject>,
    /// Of each probe.
    courses: Vec<Course>,
    told: Told,
}

/// What was told of a pod last. Once all of new probes were answered it is told anyway, so that nobody is left with an older verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    ready: bool,
    whole: bool,
    /// The probe that fails, and how.
    why: Option<(usize, Failure)>,
}

/// How one probe goes.
#[derive(Debug)]
struct Course {
    passing: bool,
    /// What the last answer was, and how many like it came in a row.
    run: Option<(bool, u32)>,
    why: Option<Failure>,
    /// `None` while it is under way.
    due: Option<Duration>,
}

impl Course {
    fn note(&mut self, answer: Result<(), Failure>, probe: &Probe) {
        let passed = answer.is_ok();
        let row = match self.run {
            Some((last, row)) if last == passed => row.saturating_add(1),
            _ => 1,
        };
        self.run = Some((passed, row));
        if row >= if passed { probe.successes } else { probe.failures } {
            self.passing = passed;
        }
        self.why = answer.err().or(self.why.take().filter(|_| !self.passing));
    }
}

impl Case {
    fn new(subject: &Arc<Subject>, ready: bool, due: impl Fn(&Probe) -> Duration) -> Case {
        let course = |probe: &Probe| Course { passing: ready, run: None, why: None, due: Some(due(probe)) };
        Case { subject: subject.clone(), courses: subject.probes.iter().map(course).collect(), told: Told { ready, ..Told::default() } }
    }

    fn told(&self) -> Told {
        let why = |(at, course): (usize, &Course)| course.why.clone().filter(|_| !course.passing).map(|why| (at, why));
        Told {
            ready: self.courses.iter().all(|course| course.passing),
            whole: self.courses.iter().all(|course| course.run.is_some()),
            why: self.courses.iter().enumerate().find_map(why),
        }
    }

    /// `probe: HTTP 503`, with its container where there are several.
    fn shown(&self) -> Option<Name> {
        let (at, why) = self.told.why.as_ref()?;
        let probes = &self.subject.probes;
        Some(if probes.len() > 1 { format!("probe of {}: {why}", probes[*at].container) } else { format!("probe: {why}") }.into())
    }
}

impl Judge {
    /// One that has met nobody; the same seed asks at the same times.
    pub fn new(seed: u64) -> Judge {
        Judge { cases: BTreeMap::new(), due: BTreeSet::new(), chance: fastrand::Rng::with_seed(seed) }
    }

    /// These are to be asked, and nobody else.
    pub fn want(&mut self, wanted: &Wanted, now: Duration) {
        let due = &mut self.due;
        self.cases.retain(|pod, case| {
            let stays = wanted.get(pod).is_some_and(|subject| subject.met == case.subject.met);
            if !stays {
                forget(due, pod, case);
            }
            stays
        });
        for (pod, subject) in wanted {
            let case = match self.cases.get(pod) {
                Some(case) if Arc::ptr_eq(&case.subject, subject) => continue,
                Some(case) => {
                    // Its probes were edited: the last verdict stays until the new ones say otherwise, and they are asked at once.
                    forget(&mut self.due, pod, case);
                    Case::new(subject, case.told.ready, |_| now)
                }
                None if subject.at_once => Case::new(subject, subject.ready, |_| now),
                None => Case::new(subject, subject.ready, |probe| now + probe.initial_delay()),
            };
            let due = case.courses.iter().enumerate().filter_map(|(at, course)| Some((course.due?, pod.clone(), at)));
            self.due.extend(due);
            self.cases.insert(pod.clone(), case);
        }
    }

    /// When the next check is due.
    pub fn next(&self) -> Option<Duration> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// The check that is due for longest, if one is.
    pub fn take(&mut self, now: Duration) -> Option<Job> {
        if self.next()? > now {
            return None;
        }
        let (_, pod, at) = self.due.pop_first()?;
        let case = self.cases.get_mut(&pod)?;
        case.courses[at].due = None;
        Some(Job { subject: case.subject.clone(), pod, at, began: now })
    }

    /// Whether the answer still counts.
    pub fn knows(&self, job: &Job) -> bool {
        self.cases.get(&job.pod).is_some_and(|case| Arc::ptr_eq(&case.subject, &job.subject))
    }

    /// Takes in an answer. There is a verdict when it is another one than before, or the first.
    pub fn heard(&mut self, job: &Job, answer: Result<(), Failure>, now: Duration) -> Option<Verdict> {
        let case = self.cases.get_mut(&job.pod).filter(|case| Arc::ptr_eq(&case.subject, &job.subject))?;
        let (probe, course) = (job.probe(), &mut case.courses[job.at]);
        // After its first answer it waits for a random part of its period, so that those who came together spread over all of it.
        let part = if course.run.is_none() { self.chance.f64() } else { 1.0 + JITTER * (2.0 * self.chance.f64() - 1.0) };
        let due = (job.began + probe.period().mul_f64(part)).max(now);
        course.note(answer, probe);
        course.due = Some(due);
        self.due.insert((due, job.pod.clone(), job.at));
        let new = case.told();
        if case.told == new {
            return None;
        }
        let turned = case.told.ready != new.ready || (case.told.why.is_none() && new.why.is_some());
        case.told = new;
        let Told { ready, whole, .. } = case.told;
        Some(Verdict { pod: job.pod.clone(), met: case.subject.met, ready, whole, why: case.shown(), turned })
    }

    /// How many pods it knows.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.cases.len()
    }
}

/// Takes what is due of a pod out of the order.
fn forget(due: &mut BTreeSet<(Duration, PodName, usize)>, pod: &PodName, case: &Case) {
    for (at, course) in case.courses.iter().enumerate() {
        if let Some(time) = course.due {
            due.remove(&(time, pod.clone(), at));
        }
    }
}

#[cfg(test)]
mod tests;
