//! Any bytes as the first of a TLS connection: the name in them, and the certificate that it is shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{hello::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
