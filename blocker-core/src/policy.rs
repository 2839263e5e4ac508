//! What follows from a failure: the one place where it is decided.
//!
//! A decision is about an address in one jail. The engine carries it out and adds nothing to it:
//!
//! ```text
//!  Failure ─▶ weighs anything? ─▶ recent? ─▶ allow-listed? ─▶ banned? ─▶ made before a ban? ─▶ count it ─▶ enough?
//!                  │ no            │ no        │ yes            │ yes         │ yes                │ no       │ yes
//!                  ▼               ▼           ▼                ▼             ▼                    ▼          ▼
//!                Ignore          Ignore      Ignore           Ignore        Ignore               Count       Ban, or Hold
//! ```
//!
//! A failure counts from when it was made: for a line as it comes, that is its arrival; for one that was in the log
//! before, the time in it. A ban always begins now.
//!
//! An IPv4 host is counted and banned alone, an IPv6 address with its network of `ipv6_prefix` bits, because one
//! customer has all of that (behind a translator of IPv4 it stands for one host, and is alone). After a ban what was counted is forgotten: it has been answered.
//! Whoever was banned before may be banned for longer, and after fewer tries ([`crate::escalation`]).

use std::fmt;
use std::time::Duration;

use crate::allowlist::{Allowed, Allowlist};
use crate::attempts::Attempts;
use crate::bans::{Book, Refusal};
use crate::brake::{Brake, HoldReason};
use crate::escalation::{History, tries_left};
use crate::filter::Failure;
use crate::jail::{Counter, Jail, Limits, Repeat};
use crate::keyed::HashKey;
use crate::logins::Logins;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until, format_span};
use crate::tracker::Tracker;

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Ignore(IgnoreReason),
    /// It counts, and there is not enough for a ban yet.
    Count {
        /// What the address is counted by.
        prefix: Prefix,
        /// What has come together within the window, this failure included.
        count: Attempts,
        /// What earns a ban.
        of: u32,
    },
    /// It was the last one borne, and the brake holds the ban: everything stays counted.
    Hold {
        /// What the address is counted by.
        prefix: Prefix,
        /// What has come together within the window, this failure included.
        count: Attempts,
        /// What earns a ban.
        of: u32,
        /// Why.
        why: HoldReason,
    },
    /// It was the last one borne.
    Ban {
        /// Whom to ban.
        prefix: Prefix,
        /// What has come together within the window, this failure included.
        count: Attempts,
        /// What earns a ban.
        of: u32,
        /// When the ban ends.
        until: Until,
        /// Whether the user who failed had logged in lately from there.
        has_logged_in: bool,
    },
}

/// Why a failure does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// It weighs nothing.
    NoAttempt,
    /// It was made so long ago that it has left the jail's window.
    TooOld {
        /// How long ago.
        age: Duration,
    },
    /// It was in its log before that was read, and nothing tells when it was made.
    Undated,
    /// Its address is never banned.
    AllowListed(Allowed),
    /// The same jail bans its address: what still arrives was under way before, and neither extends the ban nor counts.
    AlreadyBanned {
        /// The banned prefix that the address lies in.
        by: Prefix,
    },
    /// The same jail banned its address, and the tries it tells of began before that ban did.
    BeforeBan {
        /// When that ban began.
        started: Timestamp,
    },
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAttempt => f.write_str("no attempt in it"),
            Self::TooOld { age } => write!(f, "made {} ago", format_span(*age)),
            Self::Undated => f.write_str("made before the log was read, no time in the line"),
            Self::AllowListed(allowed) => write!(f, "allow-listed: {allowed}"),
            Self::AlreadyBanned { by } => write!(f, "{by} is banned already"),
            Self::BeforeBan { started: _ } => f.write_str("made before a ban that is over"),
        }
    }
}

/// What a decision rests on.
#[derive(Debug)]
pub struct Known<'a> {
    /// Who is never banned.
    pub allowlist: &'a Allowlist,
    /// Who is banned; without bans that are over.
    pub book: &'a Book,
    /// Who has failed how often. The failure is recorded here if it counts, and all of its source forgotten if it is
    /// the last one borne.
    pub tracker: &'a mut Tracker,
    /// Who was banned before.
    pub history: &'a History,
    /// Whether bans are to be held.
    pub brake: &'a Brake,
    /// Who logged in lately.
    pub logins: &'a Logins,
    /// A number from 0 up to 1, by chance.
    pub random: f64,
    /// Bits of an IPv6 address that count, 1 to 128.
    pub ipv6_prefix: u8,
    /// As whom [`Failure::forgivable`] was tried, if that user's login is to forgive it, and what names are hashed by.
    pub user: Option<(&'a [u8], &'a HashKey)>,
}

/// Decides what follows at `now` from `failure` in `jail`, which was `made` at that time: now, if it is not earlier.
#[must_use]
pub fn decide(failure: &Failure<'_>, jail: &Jail, known: Known<'_>, made: Timestamp, now: Timestamp) -> Decision {
    let made = made.min(now);
    let Known { allowlist, book, tracker, history, brake, logins, random, ipv6_prefix, user } = known;
    if failure.attempts.is_zero() {
        return Decision::Ignore(IgnoreReason::NoAttempt);
    }
    let age = now.saturating_since(made);
    if age >= jail.limits.find_time {
        return Decision::Ignore(IgnoreReason::TooOld { age });
    }
    if let Some(allowed) = allowlist.contains(failure.addr) {
        return Decision::Ignore(IgnoreReason::AllowListed(allowed));
    }
    if let Some(by) = book.covering(failure.addr, jail.id) {
        return Decision::Ignore(IgnoreReason::AlreadyBanned { by });
    }
    let prefix = counted_by(failure.addr, ipv6_prefix);
    if let Some(started) = book.ended_ban_start(prefix, jail.id)
        && made.saturating_sub(failure.span) <= started
    {
        return Decision::Ignore(IgnoreReason::BeforeBan { started });
    }

    let Limits { max_retry, find_time, ban_time, counter } = jail.limits;
    let Repeat { escalation, all_jails, fewer_tries, aggregate: _ } = &jail.repeat;
    let earlier = || history.count(prefix, (!all_jails).then_some(jail.id));
    let of = if *fewer_tries { tries_left(max_retry, earlier()) } else { max_retry };
    let count = match counter {
        Counter::Exact => {
            let attempts = (failure.attempts, user.map(|(user, key)| (key.tag(user), failure.forgivable)));
            tracker.record_as(jail.id, prefix, attempts, find_time, made, now)
        }
        Counter::Fail2ban => tracker.estimate(jail.id, prefix, failure.attempts, find_time, made, now),
    };
    if count < Attempts::whole(of) {
        return Decision::Count { prefix, count, of };
    }
    let has_logged_in = failure.user.is_some_and(|user| logins.has(prefix, user, now));
    if let Some(why) = brake.holds(made, has_logged_in) {
        match counter {
            Counter::Exact => tracker.keep_latest(jail.id, prefix, Attempts::whole(of)),
            // An estimate is three numbers, however long it goes on.
            Counter::Fail2ban => {}
        }
        return Decision::Hold { prefix, count, of, why };
    }
    tracker.forget(jail.id, prefix);
    let ban_time = escalation.as_ref().map_or(ban_time, |escalation| escalation.ban_time(ban_time, earlier(), random));
    Decision::Ban { prefix, count, of, until: ban_time.end_from(now), has_logged_in }
}

/// The prefix by which `addr` is counted and banned: an IPv4 host alone, an IPv6 host by its first `ipv6_prefix` bits; see
/// [`Prefix::aggregate`].
#[must_use]
pub fn counted_by(addr: std::net::IpAddr, ipv6_prefix: u8) -> Prefix {
    Prefix::aggregate(addr, ipv6_prefix.clamp(1, 128)).unwrap_or_else(|_| Prefix::host(addr))
}

/// Whether `prefix` may be banned at all, by whatever: not if it lies wholly inside an allowed prefix. A wider ban that
/// merely contains one is fine, because the kernel lets allowed addresses pass whatever they lie in.
///
/// # Errors
///
/// [`Refusal::AllowListed`].
pub fn may_ban(prefix: Prefix, allowlist: &Allowlist) -> Result<(), Refusal> {
    match allowlist.covering(prefix) {
        Some(allowed) => Err(Refusal::AllowListed(allowed)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::allowlist::{AllowReason, Origin as AllowOrigin};
    use crate::bans::{Ban, Origin, Renewal};
    use crate::bounds::Bounds;
    use crate::escalation::{Escalation, Factor, Growth};
    use crate::jail::JailId;
    use crate::logins::Logins;
    use crate::time::BanTime;

    #[test]
    fn who_was_banned_before_is_banned_for_longer_and_after_fewer_tries_if_so_configured() {
        let mut world = World::new();
        for jail in [JAIL, JailId::MAX] {
            world.history.note(prefix("192.0.2.9"), jail, secs(0));
        }
        let growth =
            Escalation { growth: Growth::Doubling, factor: Factor::ONE, max_time: None, random: Duration::ZERO };
        let repeat = |grows: bool, all_jails, fewer_tries| Repeat {
            escalation: grows.then(|| growth.clone()),
            all_jails,
            fewer_tries,
            aggregate: None,
        };
        for (repeat, tries, ban_secs) in [
            (repeat(false, true, false), 3, 60),
            (repeat(true, false, false), 3, 120),
            (repeat(true, true, false), 3, 240),
            (repeat(false, false, true), 1, 60),
        ] {
            world.repeat = repeat;
            for _ in 1..tries {
                world.count(&failure("192.0.2.9"), 100);
            }
            match world.decide(&failure("192.0.2.9"), 100) {
                Decision::Ban { of, until, .. } => assert_eq!((of, until), (tries, Until::At(secs(100 + ban_secs)))),
                other @ (Decision::Ignore(_) | Decision::Count { .. } | Decision::Hold { .. }) => {
                    panic!("expected a ban, got {other:?}")
                }
            }
        }
        world.repeat = Repeat { fewer_tries: true, ..Repeat::default() };
        assert_eq!(world.count(&failure("192.0.2.8"), 100), Attempts::whole(1), "of others nothing changes");
    }

    #[test]
    fn bans_at_max_retry_and_not_before() {
        let mut world = World::new();
        assert_eq!(world.count(&failure("192.0.2.9"), 0), Attempts::whole(1));
        assert_eq!(world.count(&failure("192.0.2.9"), 1), Attempts::whole(2));

        assert_eq!(
            world.decide(&failure("192.0.2.9"), 2),
            Decision::Ban {
                prefix: prefix("192.0.2.9"),
                count: Attempts::whole(3),
                of: 3,
                until: Until::At(secs(62)),
                has_logged_in: false
            }
        );
        assert!(world.tracker.is_empty(), "what earned the ban has been answered");
    }

    #[test]
    fn light_attempts_add_up_to_a_ban() {
        let mut world = World::new();
        let light = Failure { attempts: Attempts::tenths(2), ..failure("192.0.2.9") };
        for second in 0..14 {
            world.count(&light, second);
        }

        assert!(matches!(world.decide(&light, 14), Decision::Ban { .. }), "15 times 0.2 is 3");
    }

    #[test]
    fn ipv6_neighbours_in_one_64_count_together() {
        let mut world = World::new();
        world.count(&failure("2001:db8::1"), 0);
        world.count(&failure("2001:db8:0:1::1"), 0);

        assert_eq!(world.count(&failure("2001:db8::2"), 1), Attempts::whole(2));
        assert_eq!(counted_by(addr("2001:db8::2"), 64), prefix("2001:db8::/64"));
        assert_eq!(counted_by(addr("::ffff:192.0.2.9"), 64), prefix("192.0.2.9"));
        assert_eq!(counted_by(addr("2001:db8::2"), 0), prefix("::/1"), "moved inside 1 to 128");
    }

    #[test]
    fn an_allow_listed_address_is_never_counted() {
        let mut world = World::new();
        let allowed = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };
        world.allowlist.replace(AllowOrigin::Settings, vec![allowed]);

        assert_eq!(world.decide(&failure("192.0.2.9"), 0), Decision::Ignore(IgnoreReason::AllowListed(allowed)));
        assert!(world.tracker.is_empty());
        assert_eq!(may_ban(prefix("192.0.2.9"), &world.allowlist), Err(Refusal::AllowListed(allowed)));
        assert_eq!(may_ban(prefix("192.0.2.0/24"), &world.allowlist), Ok(()));
    }

    #[test]
    fn a_failure_that_weighs_nothing_is_ignored() {
        let mut world = World::new();
        let nothing = Failure { attempts: Attempts::ZERO, ..failure("192.0.2.9") };

        assert_eq!(world.decide(&nothing, 0), Decision::Ignore(IgnoreReason::NoAttempt));
    }

    #[test]
    fn who_is_banned_by_the_same_jail_does_not_count() {
        let mut world = World::new();
        world.ban("192.0.2.0/24", JAIL, 0, 60);
        world.ban("198.51.100.0/24", JailId::MAX, 0, 60);

        assert_eq!(
            world.decide(&failure("192.0.2.9"), 1),
            Decision::Ignore(IgnoreReason::AlreadyBanned { by: prefix("192.0.2.0/24") })
        );
        assert_eq!(world.count(&failure("198.51.100.9"), 1), Attempts::whole(1), "that is another jail's ban");
    }

    #[test]
    fn tries_made_before_a_ban_that_is_over_do_not_count() {
        let mut world = World::new();
        world.ban("192.0.2.9", JAIL, 100, 160);
        while world.book.expire_next(secs(160)).is_some() {}
        let late = |span| Failure { span: Duration::from_secs(span), ..failure("192.0.2.9") };

        assert_eq!(
            world.decide(&late(70), 170),
            Decision::Ignore(IgnoreReason::BeforeBan { started: secs(100) }),
            "the tries may have begun when the ban did"
        );
        assert_eq!(world.count(&late(69), 170), Attempts::whole(1));
        assert!(matches!(world.decide(&late(180), 280), Decision::Ignore(_)), "as late as a line may be");
    }

    #[test]
    fn a_failure_counts_from_when_it_was_made_and_its_ban_begins_now() {
        let mut world = World::new();
        let failure = failure("192.0.2.9");
        for made in [400, 2_000] {
            assert!(matches!(world.decide_made(&failure, made, 999), Decision::Count { .. }), "{made}");
        }
        assert_eq!(
            world.decide_made(&failure, 399, 999),
            Decision::Ignore(IgnoreReason::TooOld { age: Duration::from_secs(600) })
        );

        let Decision::Ban { until, .. } = world.decide_made(&failure, 500, 999) else { panic!("the third") };
        assert_eq!(until, Until::At(secs(1_059)));
    }

    #[test]
    fn tries_that_an_old_line_tells_of_were_made_before_the_line() {
        let mut world = World::new();
        world.ban("192.0.2.9", JAIL, 100, 110);
        while world.book.expire_next(secs(160)).is_some() {}

        assert_eq!(
            world.decide_made(&failure("192.0.2.9"), 100, 160),
            Decision::Ignore(IgnoreReason::BeforeBan { started: secs(100) })
        );
        assert!(matches!(world.decide_made(&failure("192.0.2.9"), 101, 160), Decision::Count { .. }));
    }

    struct World {
        allowlist: Allowlist,
        book: Book,
        tracker: Tracker,
        history: History,
        repeat: Repeat,
    }

    impl World {
        fn new() -> Self {
            Self {
                allowlist: Allowlist::default(),
                book: Book::new(Bounds::default()),
                tracker: Tracker::new(10),
                history: History::default(),
                repeat: Repeat::default(),
            }
        }

        fn ban(&mut self, whom: &str, jail: JailId, from_secs: i64, until_secs: i64) {
            let origin = Origin::Command { reason: None, by: None };
            let ban = Ban { started: secs(from_secs), until: Until::At(secs(until_secs)), origin };
            self.book.insert(prefix(whom), jail, ban, Renewal::Exactly).expect("the book is empty");
        }

        fn decide(&mut self, failure: &Failure<'_>, at_secs: i64) -> Decision {
            self.decide_made(failure, at_secs, at_secs)
        }

        fn decide_made(&mut self, failure: &Failure<'_>, made_secs: i64, at_secs: i64) -> Decision {
            let limits = Limits {
                max_retry: 3,
                find_time: Duration::from_secs(600),
                ban_time: BanTime::For(Duration::from_secs(60)),
                counter: Counter::Exact,
            };
            let repeat = self.repeat.clone();
            let jail = Jail {
                id: JAIL,
                name: "dovecot".into(),
                filter: None,
                sources: vec![],
                limits,
                repeat,
                forgives: true,
            };
            let Self { allowlist, book, tracker, history, repeat: _ } = self;
            let (brake, logins) = (&Brake::default(), &Logins::default());
            let known =
                Known { allowlist, book, tracker, history, brake, logins, random: 0.5, ipv6_prefix: 64, user: None };
            decide(failure, &jail, known, secs(made_secs), secs(at_secs))
        }

        fn count(&mut self, failure: &Failure<'_>, at_secs: i64) -> Attempts {
            match self.decide(failure, at_secs) {
                Decision::Count { count, .. } => count,
                other @ (Decision::Ignore(_) | Decision::Hold { .. } | Decision::Ban { .. }) => {
                    panic!("expected a count, got {other:?}")
                }
            }
        }
    }

    const JAIL: JailId = JailId::MIN;

    fn failure(from: &str) -> Failure<'static> {
        Failure::of_one(addr(from), "imap".into(), "auth failed".into())
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
