//! What must hold for any bytes that come from outside: the bodies of the fuzz targets.
//!
//! Invariant: a body is a function of its bytes alone, so that libFuzzer (tests/fuzz) and the plain test of the workspace, which has no
//! instrumentation, call the very same; it panics on what must never be.

use std::path::Path;
use std::{fs, io};

pub mod bodies;
pub mod docker;
pub mod heads;
pub mod hello;
pub mod hosts;
pub mod manifests;
mod mutate;
pub mod proxied;

pub use mutate::run_for;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What is called with any bytes.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that inputs are made of.
    pub words: &'static [&'static [u8]],
}

/// All of them. A new one also gets a file in tests/fuzz/fuzz_targets and a test in tests/fuzz/seeded.rs.
pub const TARGETS: &[Target] =
    &[heads::TARGET, hosts::TARGET, manifests::TARGET, hello::TARGET, bodies::TARGET, proxied::TARGET, docker::TARGET];

/// For libFuzzer: writes a target's seeds to `NAME/` and its words to `NAME.dict` in the folder `TIDEGATE_FUZZ_SEEDS`, if that is set.
///
/// # Panics
/// When they cannot be written.
pub fn prepare(target: Target) {
    let Some(folder) = std::env::var_os("TIDEGATE_FUZZ_SEEDS") else { return };
    write(target, Path::new(&folder)).expect("the folder of seeds can be written");
}

fn write(target: Target, folder: &Path) -> io::Result<()> {
    let into = folder.join(target.name);
    fs::create_dir_all(&into)?;
    for (at, seed) in (target.seeds)().iter().enumerate() {
        fs::write(into.join(format!("seed-{at}")), seed)?;
    }
    let escaped = |word: &&[u8]| -> String { word.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let words: Vec<String> = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
    fs::write(folder.join(format!("{}.dict", target.name)), words.concat())
}
