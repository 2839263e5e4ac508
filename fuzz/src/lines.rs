//! Lines: whatever stands in a log, nothing panics, and whoever is named stands in the line.

use std::net::IpAddr;

use blocker_core::filter::registry::Filters;
use blocker_core::filter::{Failure, Filter, Judgement, Success};
use blocker_core::record;

/// Has every filter judge the bytes as one line.
///
/// # Panics
///
/// If a filter names an address that is not in the line, or a failure weighs nothing.
pub fn check(line: &[u8]) {
    let Ok(record) = record::parse(line) else { return };
    for filter in Filters::builtin().iter() {
        let (addr, user) = match filter.judge(&record) {
            Judgement::Failure(Failure { addr, user, attempts, forgivable, .. }) => {
                assert!(!attempts.is_zero(), "a failure of no weight: {}", line.escape_ascii());
                assert!(forgivable <= attempts, "more is forgiven than there is: {}", line.escape_ascii());
                (addr, user)
            }
            Judgement::Success(Success { addr, user, .. }) => {
                assert!(!user.is_empty(), "nobody logged in: {}", line.escape_ascii());
                (addr, Some(user))
            }
            Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => continue,
        };
        assert_eq!(addr, addr.to_canonical(), "{}", line.escape_ascii());
        // Behind it may be a port, as in 192.0.2.9:4242.
        let text = addr.to_string();
        let is_written = || line.windows(text.len()).any(|part| part == text.as_bytes());
        let is_there = addresses(line).any(|written| written == addr) || is_written();
        assert!(is_there, "{addr} is not in {}", line.escape_ascii());
        let user = user.unwrap_or_default();
        let is_inside = user.is_empty() || line.windows(user.len()).any(|part| part == user);
        assert!(is_inside, "the user {} is not in {}", user.escape_ascii(), line.escape_ascii());
    }
}

/// The filters' own examples.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let filters = Filters::builtin();
    let parsed = filters.iter().filter_map(|filter: &Filter| filter.examples().ok());
    parsed.flat_map(|file| file.examples).map(|example| example.line.into_bytes()).collect()
}

/// Every address that is written out in a line.
fn addresses(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    let pieces = line.split(|byte| !(byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')));
    pieces.filter_map(|piece| std::str::from_utf8(piece).ok()?.parse::<IpAddr>().ok()).map(|addr| addr.to_canonical())
}
