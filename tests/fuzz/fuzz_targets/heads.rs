//! Any bytes as an HTTP/1 message: Tidegate's reader and hyper's agree, or a row of the table of differences says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::fuzz::{heads::TARGET, prepare};

fuzz_target!(init: prepare(TARGET), |bytes: &[u8]| (TARGET.run)(bytes));
