//! What the demo shows: short lines with the time, a live picture below them on a terminal, and the verdict.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::load::Tally;
use super::outsider::{Attempts, Log};
use super::story::Replaced;
use crate::live::Live;
use crate::tricks::TRICKS;

/// Where lines go.
pub(super) struct Screen {
    began: Instant,
    live: Live,
}

impl Screen {
    /// Says how long it will take.
    pub(super) fn new(seconds: u64, forever: bool) -> Screen {
        let screen = Screen { began: Instant::now(), live: Live::new() };
        let time = if forever { "until Ctrl-C".to_owned() } else { format!("for {seconds} s") };
        screen.line(&format!("tidegate demo: nine replicas, one proxy and one stranger in one process, {time}\n"));
        screen
    }

    /// Shows nothing.
    #[cfg(test)]
    pub(super) fn hidden() -> Screen {
        Screen { began: Instant::now(), live: Live::hidden() }
    }

    /// One line of what happens.
    pub(super) fn say(&self, word: &str, text: &str) {
        self.line(&format!("{:6.1}s  {word:<8} {text}", self.began.elapsed().as_secs_f64()));
    }

    /// The live picture.
    pub(super) fn live(&self, tally: &Tally, alive: usize) {
        if !self.live.draws() {
            return;
        }
        let requests = tally.ingress.requests.load(Relaxed) + tally.vip.requests.load(Relaxed);
        let rate = requests as f64 / self.began.elapsed().as_secs_f64().max(0.1);
        let failures = tally.failures();
        self.live.draw(&[format!("{} requests, {rate:.0} per second, {failures} failures, {alive} replicas alive", grouped(requests))]);
    }

    /// The end.
    pub(super) fn verdict(&self, verdict: &Verdict) {
        self.live.end();
        for line in verdict.lines() {
            self.line(&line);
        }
    }

    fn line(&self, text: &str) {
        self.live.say(text);
    }
}

/// What the demo found.
#[derive(Debug)]
pub(super) struct Verdict {
    requests: u64,
    failures: u64,
    slowest: Duration,
    sessions: u64,
    session_failures: u64,
    reasons: Vec<String>,
    replaced: Replaced,
    log: Log,
    interrupted: bool,
}

impl Verdict {
    /// Of all that was counted.
    pub(super) fn of(tally: &Tally, attempts: &Attempts, replaced: Replaced, interrupted: bool) -> Verdict {
        Verdict {
            requests: tally.ingress.requests.load(Relaxed),
            failures: tally.ingress.failures.load(Relaxed),
            slowest: tally.ingress.slowest(),
            sessions: tally.vip.requests.load(Relaxed),
            session_failures: tally.vip.failures.load(Relaxed),
            reasons: tally.reasons(),
            replaced,
            log: attempts.log(),
            interrupted,
        }
    }

    /// Nothing failed, nothing got in, and there was something to fail and to get in.
    pub(super) fn good(&self) -> bool {
        let served = self.requests > 0 && self.sessions > 0 && self.failures + self.session_failures == 0;
        let tried = self.interrupted || self.log.tried.len() == TRICKS.len();
        served && tried && self.log.broken.is_empty() && self.log.refused == self.log.forbidden
    }

    fn lines(&self) -> Vec<String> {
        let Replaced { crashed, finished, slowest } = self.replaced;
        let log = &self.log;
        let mut lines = vec![
            String::new(),
            format!("verdict: {}", if self.good() { "good" } else { "BAD" }),
            format!(
                "  requests to the sites       {:>8}   {} failures, the slowest took {:.0?}",
                grouped(self.requests),
                self.failures,
                self.slowest
            ),
            format!("  sessions with the database  {:>8}   {} failures", grouped(self.sessions), self.session_failures),
            format!(
                "  replicas replaced           {:>8}   {crashed} crashed, {finished} left in good order; workers knew in {} ms at most",
                crashed + finished,
                slowest.as_millis()
            ),
            format!("  tricks tried from outside   {:>8}   of {}", log.tried.len(), TRICKS.len()),
            format!(
                "  forbidden attempts refused  {:>8}   of {}; {} more named the public site and saw nothing else",
                log.refused, log.forbidden, log.harmless
            ),
        ];
        lines.extend(self.reasons.iter().map(|reason| format!("  failure: {reason}")));
        lines.extend(log.broken.iter().map(|broken| format!("  got in:  {broken}")));
        lines
    }
}

/// `1 thing`, `2 things`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// With a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect() -> Verdict {
        let tried = TRICKS.iter().map(|trick| trick.name).collect();
        Verdict {
            requests: 100,
            failures: 0,
            slowest: Duration::from_millis(5),
            sessions: 10,
            session_failures: 0,
            reasons: Vec::new(),
            replaced: Replaced::default(),
            log: Log { tried, forbidden: 7, refused: 7, harmless: 2, broken: Vec::new() },
            interrupted: false,
        }
    }

    #[test]
    fn one_flaw_makes_a_verdict_bad() {
        assert!(perfect().good());
        let flaws: [fn(&mut Verdict); 7] = [
            |verdict| verdict.failures = 1,
            |verdict| verdict.session_failures = 1,
            |verdict| verdict.requests = 0,
            |verdict| verdict.sessions = 0,
            |verdict| verdict.log.refused = 6,
            |verdict| verdict.log.broken.push("host-inner".to_owned()),
            |verdict| _ = verdict.log.tried.pop_first(),
        ];
        for (at, flaw) in flaws.iter().enumerate() {
            let mut verdict = perfect();
            flaw(&mut verdict);
            assert!(!verdict.good(), "flaw {at} went unseen");
        }
    }

    #[test]
    fn whoever_interrupts_need_not_wait_for_all_tricks() {
        let mut verdict = perfect();
        verdict.log.tried.clear();
        verdict.interrupted = true;
        assert!(verdict.good());
    }

    #[test]
    fn numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "connection"), counted(2, "connection")), ("1 connection".to_owned(), "2 connections".to_owned()));
    }
}
