//! The bodies of the fuzz targets without libFuzzer: each for `FUZZ_SECONDS` (5) from a seed that is printed.
//!
//! So every `cargo test` looks a little, with any compiler; `make fuzz` looks long, led by coverage.

use std::time::Duration;

use tidegate_tests::Chance;
use tidegate_tests::fuzz::{TARGETS, Target, bodies, docker, heads, hello, hosts, manifests, proxied, run_for};

fn play(target: &Target) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let calls = run_for(target, Chance::seed(), Duration::from_secs(seconds));
    println!("{}: {calls} inputs in {seconds} s", target.name);
    assert!(calls > (target.seeds)().len() as u64, "it did not go beyond its seeds");
}

#[test]
fn heads() {
    play(&heads::TARGET);
}

#[test]
fn hosts() {
    play(&hosts::TARGET);
}

#[test]
fn manifests() {
    play(&manifests::TARGET);
}

#[test]
fn hello() {
    play(&hello::TARGET);
}

#[test]
fn bodies() {
    play(&bodies::TARGET);
}

#[test]
fn proxied() {
    play(&proxied::TARGET);
}

#[test]
fn docker() {
    play(&docker::TARGET);
}

#[test]
fn every_target_has_a_test_here_and_a_file_for_libfuzzer() {
    let (here, manifest) = (include_str!("seeded.rs"), include_str!("Cargo.toml"));
    for Target { name, .. } in TARGETS {
        assert!(here.contains(&format!("play(&{name}::TARGET)")), "{name} has no test");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no binary");
    }
}
