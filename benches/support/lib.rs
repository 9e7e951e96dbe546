//! Support for the benches: how time is taken, how results and laws are printed, and worlds of any size.
//!
//! A bench here judges what it measures: a law that is broken makes it exit with 1. That is why there is a small harness of our own.
//! Invariant: a number is printed with its spread, never alone.

use std::fmt::Display;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub mod world;

/// Samples of one measurement; odd, so that the median is one of them.
const SAMPLES: usize = 31;
/// One sample takes about this long.
const SAMPLE: Duration = Duration::from_millis(5);

/// One bench's results and laws.
pub struct Report {
    broken: bool,
}

impl Report {
    /// Prints what is measured, and on which machine.
    pub fn new(title: &str) -> Report {
        println!("\n{title}\n  on {}", machine());
        Report { broken: false }
    }

    /// A result.
    pub fn row(&self, label: &str, value: impl Display) {
        println!("  {label:<58} {value}");
    }

    /// A promise, and whether it was kept.
    pub fn law(&mut self, text: &str, kept: bool) {
        self.broken |= !kept;
        println!("  {:<58} {}", format!("law: {text}"), if kept { "kept" } else { "BROKEN" });
    }

    /// 1 when a law was broken.
    pub fn finish(self) -> ExitCode {
        ExitCode::from(u8::from(self.broken))
    }
}

/// Cost of one call, over many samples.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Nanoseconds per call: the median of the samples.
    pub median: f64,
    /// The cheapest sample: what else the machine does can only add to a sample, so laws compare this one.
    pub least: f64,
    /// The dearest sample.
    pub most: f64,
}

impl Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:8.1} ns  ({:.1} to {:.1})", self.median, self.least, self.most)
    }
}

/// Something to time: it is called with the numbers of the calls to make.
pub type Run<'r> = Box<dyn FnMut(Range<usize>) + 'r>;

/// Times `call`, which gets the number of the call.
pub fn run<'r>(mut call: impl FnMut(usize) + 'r) -> Run<'r> {
    Box::new(move |calls| calls.for_each(&mut call))
}

/// Costs of several runs, which are sampled by turns, so that a busy moment of the machine falls on all of them.
pub fn costs(runs: &mut [Run<'_>]) -> Vec<Cost> {
    let batches: Vec<usize> = runs.iter_mut().map(batch).collect();
    let mut samples = vec![Vec::with_capacity(SAMPLES); runs.len()];
    for round in 0..SAMPLES {
        for ((run, &calls), samples) in runs.iter_mut().zip(&batches).zip(&mut samples) {
            samples.push(timed(run, round * calls, calls).as_nanos() as f64 / calls as f64);
        }
    }
    let cost = |mut samples: Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        Cost { median: samples[SAMPLES / 2], least: samples[0], most: samples[SAMPLES - 1] }
    };
    samples.into_iter().map(cost).collect()
}

/// How many calls fill a sample.
fn batch(run: &mut Run<'_>) -> usize {
    let mut calls = 64;
    while timed(run, 0, calls) < SAMPLE {
        calls *= 2;
    }
    calls
}

fn timed(run: &mut Run<'_>, first: usize, calls: usize) -> Duration {
    let began = Instant::now();
    run(first..first + calls);
    began.elapsed()
}

/// Percentiles of single times.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Half are shorter.
    pub p50: Duration,
    /// 99 of 100 are shorter.
    pub p99: Duration,
    /// The longest.
    pub most: Duration,
    /// How many there are.
    pub count: usize,
}

impl Spread {
    /// Of these times; there must be one.
    pub fn of(mut times: Vec<Duration>) -> Spread {
        times.sort();
        let rank = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
        Spread { p50: rank(0.5), p99: rank(0.99), most: times[times.len() - 1], count: times.len() }
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "p50 {:.3} ms  p99 {:.3} ms  most {:.3} ms  (n = {})", ms(self.p50), ms(self.p99), ms(self.most), self.count)
    }
}

/// What this process holds in memory, in MiB: now, and at most so far.
pub fn memory() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    let mib = |name: &str| field(name).map_or(f64::NAN, |kib| kib / 1024.0);
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// Processor, cores and kernel, and a warning when the build is not optimised.
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) { ", DEBUG BUILD: these numbers mean nothing" } else { "" };
    format!("{model}, {cores} cores, Linux {}{build}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples_themselves() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let spread = Spread::of(times);
        assert_eq!((spread.p50.as_millis(), spread.p99.as_millis(), spread.most.as_millis()), (100, 198, 200));
        assert_eq!(Spread::of(vec![Duration::from_millis(7)]).p99.as_millis(), 7);
    }
}
