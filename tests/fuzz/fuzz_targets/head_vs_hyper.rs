//! Any bytes: Tidegate's HTTP/1 reader and hyper's agree, or a row of the table of differences says why not.
//!
//! `cargo +nightly fuzz run head_vs_hyper -- -dict=head_vs_hyper.dict -max_len=2048` in tests/fuzz.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_tests::differential::compare;

fuzz_target!(|bytes: &[u8]| {
    if let Err(case) = compare(bytes) {
        panic!("an unexplained difference: {case:?}");
    }
});
