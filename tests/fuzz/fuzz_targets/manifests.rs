//! Any bytes as a file of manifests: always an answer, always the same, and nothing of a Secret in any of its words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{manifests::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
