//! How many checks ended how, since the start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Failure;

/// Of a check that passed.
const SUCCESS: &str = "success";

/// Written by whoever checks, read by whoever is asked for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    successes: AtomicU64,
    failures: [AtomicU64; Failure::LABELS.len()],
}

impl Tally {
    /// Counts an answer.
    pub fn count(&self, answer: &Result<(), Failure>) {
        let counter = match answer {
            Ok(()) => Some(&self.successes),
            Err(failure) => {
                Failure::LABELS.iter().zip(&self.failures).find(|(label, _)| **label == failure.label()).map(|(_, counter)| counter)
            }
        };
        counter.into_iter().for_each(|counter| _ = counter.fetch_add(1, Relaxed));
    }

    /// Every result with its number.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let failures = Failure::LABELS.iter().zip(&self.failures).map(|(label, counter)| (*label, counter));
        [(SUCCESS, &self.successes)].into_iter().chain(failures).map(|(label, counter)| (label, counter.load(Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_is_counted_once() {
        let tally = Tally::default();
        for answer in [Ok(()), Err(Failure::Refused), Err(Failure::Status(503)), Err(Failure::Redirects), Ok(())] {
            tally.count(&answer);
        }
        let read: Vec<_> = tally.read().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(read, [("success", 2), ("refused", 1), ("status", 2)]);
    }
}
