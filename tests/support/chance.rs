//! Random numbers that a seed repeats: SplitMix64, so that a run can be asked for again by the number that it printed.

use std::hash::{BuildHasher, RandomState};

/// A row of random numbers.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The row that belongs to `seed`.
    pub fn of(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A seed: `TIDEGATE_SEED` of the environment, else one by chance. Printed, for whoever wants the run again.
    pub fn seed() -> u64 {
        let given = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("TIDEGATE_SEED={seed}");
        seed
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.number() % end as u64) as usize }
    }

    /// Up to five places within `length` bytes to cut them at, in their order.
    pub fn cuts(&mut self, length: usize) -> Vec<usize> {
        let count = 1 + self.below(5);
        let mut cuts: Vec<usize> = (0..count).map(|_| self.below(length + 1)).collect();
        cuts.sort_unstable();
        cuts
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
