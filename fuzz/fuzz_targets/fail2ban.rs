//! See `blocker_fuzz::fail2ban`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blocker_fuzz::fail2ban::check(bytes));
