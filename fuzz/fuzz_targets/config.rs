//! See `blocker_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::config::check(bytes));
