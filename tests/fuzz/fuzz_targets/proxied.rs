//! Any bytes as the first of a trusted proxy's connection: whole and in pieces they say the same, and what they say is written back so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{prepare, proxied::TARGET};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
