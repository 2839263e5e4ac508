//! See `blocker_fuzz::expressions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::expressions::check(bytes));
