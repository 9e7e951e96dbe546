//! Worlds of services whose pods come and go, in virtual time and on a network that is none: the registry, pictures, decisions, picks,
//! retries, queues, checks, ejections and deadlines of the product, driven by chance.
//!
//! `TIDEGATE_SEED=N` plays one world again, `TIDEGATE_SEEDS=N` plays so many. A law that is broken names its seed.

mod drain;
mod health;
mod holds;
mod law;
mod network;
mod objects;
mod outliers;
mod pick;
mod pods;
mod request;
mod worker;
mod world;

use law::Fault;
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Plays worlds until one breaks a law; says which, and how.
fn first_broken(fault: Option<Fault>, seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    for seed in seeds {
        if let Err(broken) = World::new(seed, fault).play() {
            return Some((seed, broken));
        }
    }
    None
}

#[test]
fn no_world_breaks_a_law() {
    let (first, count) = match number("TIDEGATE_SEED") {
        Some(seed) => (seed, 1),
        None => (fastrand::u64(..u64::MAX / 2), number("TIDEGATE_SEEDS").unwrap_or(10_000)),
    };
    println!("seeds {first} to {}", first + count - 1);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let broken = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| scope.spawn(move || first_broken(None, (first + part..first + count).step_by(threads as usize))))
            .collect();
        parts.into_iter().find_map(|part| part.join().expect("a world panicked"))
    });
    if let Some((seed, broken)) = broken {
        panic!("TIDEGATE_SEED={seed}: {broken}");
    }
}

#[test]
fn each_law_is_broken_by_its_fault() {
    for fault in Fault::ALL {
        let broken = first_broken(Some(fault), 1..2_000);
        let (_, words) = broken.unwrap_or_else(|| panic!("{fault:?} breaks no law"));
        assert!(words.contains(fault.breaks()), "{fault:?} breaks another law: {words}");
    }
}
