//! See `blocker_fuzz::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::names::check(bytes));
