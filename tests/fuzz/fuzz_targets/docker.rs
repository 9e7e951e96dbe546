//! Any bytes as a question to the Docker engine, and as its answer: one of five questions or none, and nothing told that is not in a table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{docker::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
