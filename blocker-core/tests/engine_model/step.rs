//! What can happen to the engine.

use super::*;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A line of Dovecot's: that many refused passwords, or one untested one; over a span. Written some time ago if it
    /// was in its log before, in the future if a clock was wrong.
    Line {
        addr: usize,
        attempts: u32,
        span_secs: u32,
        past: Option<i64>,
    },
    /// The log daemon says that the last line came again.
    Again {
        times: u32,
        past: Option<i64>,
    },
    /// A failure of any weight in one jail.
    Failure {
        jail: usize,
        addr: usize,
        tenths: u32,
        span_secs: u32,
        ago_secs: i64,
    },
    Ban {
        jail: Option<usize>,
        prefix: usize,
        secs: Option<u32>,
    },
    BanForever {
        prefix: usize,
    },
    Unban {
        prefix: usize,
    },
    UnbanAll,
    Allow {
        configured: bool,
        prefixes: Vec<usize>,
    },
    /// Allows by command.
    Grant {
        prefix: usize,
        secs: Option<u32>,
        persists: bool,
    },
    Disallow {
        prefix: usize,
    },
    Adopt {
        prefix: usize,
        jails: u64,
        secs: i64,
    },
    /// Another engine takes the place of this one and is given what a store was told, and what the kernel holds: nothing
    /// after a reboot.
    Restart {
        reboot: bool,
    },
    /// A store is told what has changed.
    Tell,
    /// The clock moves, perhaps backwards, and nobody tells the engine.
    Wait {
        secs: i64,
    },
    Timeout,
    /// The clock moves to the instant that the engine asked for.
    WaitForTimeout,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let addr = 0..ADDRS.len();
    let prefix = 0..PREFIXES.len();
    let span = prop_oneof![Just(0u32), Just(2), Just(60), Just(180), 0..240u32];
    let ago = prop_oneof![Just(0i64), Just(60), Just(59), Just(200), -9..230i64];
    let past = prop::option::of(ago.clone());
    prop_oneof![
        8 => (addr.clone(), 0..5u32, span.clone(), past.clone())
            .prop_map(|(addr, attempts, span_secs, past)| Step::Line { addr, attempts, span_secs, past }),
        2 => (0..4u32, past).prop_map(|(times, past)| Step::Again { times, past }),
        6 => (0..JAILS.len(), addr, 1..25u32, span, ago)
            .prop_map(|(jail, addr, tenths, span_secs, ago_secs)| Step::Failure { jail, addr, tenths, span_secs, ago_secs }),
        4 => (prop::option::of(0..JAILS.len()), prefix.clone(), prop::option::of(1..300u32))
            .prop_map(|(jail, prefix, secs)| Step::Ban { jail, prefix, secs }),
        1 => prefix.clone().prop_map(|prefix| Step::BanForever { prefix }),
        2 => prefix.clone().prop_map(|prefix| Step::Unban { prefix }),
        1 => Just(Step::UnbanAll),
        1 => (any::<bool>(), prop::collection::vec(prefix.clone(), 0..3))
            .prop_map(|(configured, prefixes)| Step::Allow { configured, prefixes }),
        2 => (prefix.clone(), prop::option::of(1..300u32), any::<bool>())
            .prop_map(|(prefix, secs, persists)| Step::Grant { prefix, secs, persists }),
        1 => prefix.clone().prop_map(|prefix| Step::Disallow { prefix }),
        2 => (prefix, prop_oneof![Just(0u64), any::<u64>(), Just(1), Just(1 << 7)], -5..200i64)
            .prop_map(|(prefix, jails, secs)| Step::Adopt { prefix, jails, secs }),
        8 => prop_oneof![0..3i64, 10..70i64, Just(60), Just(40), Just(180), -20..0i64].prop_map(|secs| Step::Wait { secs }),
        1 => any::<bool>().prop_map(|reboot| Step::Restart { reboot }),
        3 => Just(Step::Tell),
        2 => Just(Step::Timeout),
        2 => Just(Step::WaitForTimeout),
    ]
}
