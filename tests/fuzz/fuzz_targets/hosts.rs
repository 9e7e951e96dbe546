//! Any bytes as a Host and a path, and as rules: hosts and routes mean what a slow reading of the same words says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{hosts::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
