//! Plays a target without libFuzzer: seeds, and what chance makes of them, for a while.

use std::time::{Duration, Instant};

use super::Target;
use crate::chance::Chance;

/// Longest input, in bytes.
const MOST: usize = 4096;
/// Bytes that readers treat apart.
const SPECIAL: &[u8] = b"\r\n\t \0:;,.=-_*/%#@?&!|'\"<>[]{}()0159aAfFzZ\x7f\x80\xff";

/// Says which input it was that panicked.
struct Told<'b>(&'static str, u64, &'b [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails (TIDEGATE_SEED={}) on\n{}", self.0, self.1, self.2.escape_ascii());
        }
    }
}

/// Calls `target` with its seeds, then with changed ones until `time` has passed; gives the number of calls.
pub fn run_for(target: &Target, seed: u64, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let seeds = (target.seeds)();
    let mut chance = Chance::of(seed);
    let mut calls = 0;
    let mut play = |bytes: &[u8]| {
        let _told = Told(target.name, seed, bytes);
        (target.run)(bytes);
        calls += 1;
    };
    seeds.iter().for_each(|seed| play(seed));
    while Instant::now() < end {
        play(&changed(&mut chance, &seeds, target.words));
    }
    calls
}

fn changed(chance: &mut Chance, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = if seeds.is_empty() { Vec::new() } else { chance.one(seeds).clone() };
    for _ in 0..1 + chance.below(8) {
        change(chance, &mut bytes, seeds, words);
        bytes.truncate(MOST);
    }
    bytes
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]]) {
    let at = chance.below(bytes.len() + 1);
    let end = at + chance.below((bytes.len() - at).min(40) + 1);
    match chance.below(8) {
        0 if at < bytes.len() => bytes[at] = chance.number() as u8,
        1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        2 => bytes.insert(at, *chance.one(SPECIAL)),
        3 if !words.is_empty() => _ = bytes.splice(at..at, chance.one(words).iter().copied()),
        4 => _ = bytes.drain(at..end),
        5 => bytes.extend_from_within(at..end),
        6 => bytes.truncate(at),
        _ if !seeds.is_empty() => {
            let other = chance.one(seeds);
            let from = chance.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => bytes.push(chance.number() as u8),
    }
}
