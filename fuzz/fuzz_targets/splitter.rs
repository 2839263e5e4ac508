//! See `blocker_fuzz::splitter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::splitter::check(bytes));
