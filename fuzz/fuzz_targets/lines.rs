//! See `blocker_fuzz::lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::lines::check(bytes));
