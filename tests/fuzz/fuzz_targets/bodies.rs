//! Any bytes as a body: the verdict does not depend on how they were cut, and its content is what a slow reading gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{bodies::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
