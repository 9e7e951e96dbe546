//! How many questions were answered, and how.
//!
//! Invariant: one of the outcomes for each question. Written and read on the control thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the picture.
    Internal,
    /// Answered by whoever resolves names here.
    Forwarded,
    /// Not answered, by the rules.
    Refused,
    /// It could not be understood, or nobody answered.
    Failed,
    /// There is no such name in the picture.
    NxDomain,
}

impl Outcome {
    /// All of them, with their words in metrics.
    pub const ALL: [(Outcome, &str); 5] = [
        (Outcome::Internal, "internal"),
        (Outcome::Forwarded, "forwarded"),
        (Outcome::Refused, "refused"),
        (Outcome::Failed, "failed"),
        (Outcome::NxDomain, "nxdomain"),
    ];
}

/// One count for each outcome.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Outcome::ALL.len()]);

impl Counts {
    pub(super) fn add(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    /// So far.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Relaxed)
    }
}
