//! What happened, as it is summed up; and that a database is read without being changed, and only if nobody has it.

use blocker_core::allowlist::{AllowReason, Allowed};
use blocker_core::engine::account::Note;
use blocker_core::engine::{Evidence, UnbanReason};
use blocker_core::escalation::Earlier;

use super::*;
use crate::control::report::{MAX_ROWS, MAX_TIMES, Report, Totals};

const DAY: u64 = 86_400;

#[test]
fn what_happened_is_summed_up_by_jail_time_network_and_user() {
    let dir = TempDir::new();
    let by_hand = |mut note: Note| {
        if let Note::Began { ban, .. } = &mut note {
            ban.origin = Origin::Command { reason: None, by: Some(Uid(0)) };
        }
        note
    };
    let ended = |of, at, why| Note::Ended { prefix: prefix(of), jail: DOVECOT, at: secs(at), why, by: None };
    let allowed = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };
    let notes = vec![
        began("203.0.113.1", 100, DOVECOT, "before"),
        began("192.0.2.1", 5_000, DOVECOT, "alice"),
        began("192.0.2.2", 5_001, DOVECOT, "alice"),
        began("198.51.100.7", 9_000, DOVECOT, "bob"),
        ended("198.51.100.7", 9_010, UnbanReason::ByCommand),
        by_hand(began("192.0.2.77", 9_100, MANUAL, "nobody")),
        began("2001:db8:1:2::/64", 9_200, DOVECOT, "alice"),
        ended("2001:db8:1:2::/64", 9_250, UnbanReason::AllowListed(allowed)),
        began("198.51.100.7", 9_500, DOVECOT, "carol"),
        Note::LoggedIn { prefix: prefix("198.51.100.7"), at: secs(9_600) },
        Note::LoggedIn { prefix: prefix("198.51.100.7"), at: secs(9_700) },
        Note::LoggedIn { prefix: prefix("192.0.2.77"), at: secs(9_700) },
    ];
    let history = vec![((prefix("198.51.100.7"), DOVECOT), Some(Earlier { bans: 9, last: secs(9_500) }))];
    note(&dir, Changes { account: notes, history, ..Changes::default() });

    let report = report(&dir, Span::new(DAY / 24 * 2, 0, at(9_900)));

    assert_eq!((report.from.as_str(), report.to.as_str()), ("1970-01-01T01:01:40Z", "1970-01-01T03:01:40Z"));
    assert_eq!(
        report.bans,
        Totals {
            made: 6,
            by_log: 5,
            by_command: 1,
            by_list: 0,
            prefixes: 5,
            attempts: 25.0,
            lifted: 1,
            allowed: 1,
            gave_way: 0,
            in_force: 0,
        }
    );
    let jails: Vec<_> = report.jails.iter().map(|jail| (jail.jail.as_str(), jail.bans, jail.attempts)).collect();
    assert_eq!(jails, [("dovecot", 5, 25.0), ("manual", 1, 0.0)]);
    let times: Vec<_> = report.times.iter().map(|time| (time.start.as_str(), time.bans)).collect();
    assert_eq!(report.step_s, 3_600);
    assert_eq!(times, [("1970-01-01T01:00:00Z", 2), ("1970-01-01T02:00:00Z", 4), ("1970-01-01T03:00:00Z", 0)]);
    let networks: Vec<_> = report.networks.iter().map(|known| (known.network.to_string(), known.bans)).collect();
    let expected = [("192.0.2.0/24", 3), ("198.51.100.0/24", 2), ("2001:db8:1::/48", 1)];
    assert_eq!(networks, expected.map(|(network, bans)| (network.to_owned(), bans)));
    let users: Vec<_> = report.users.iter().map(|known| (known.user.as_str(), known.attempts, known.bans)).collect();
    assert_eq!(users[0], ("alice", 6.0, 3));
    assert_eq!(users.len(), 4, "{users:?}");
    let [offender] = &report.offenders[..] else { panic!("{:?}", report.offenders) };
    assert_eq!((offender.prefix, offender.bans, offender.ever), (prefix("198.51.100.7"), 2, 9));
    let lasts: Vec<_> = report.longest.iter().map(|ban| ban.lasts_s).collect();
    assert_eq!(lasts, [100, 100, 100, 100, 50, 10].map(Some), "what was lifted did not last");
    let suspects: Vec<_> = report
        .suspects
        .iter()
        .map(|known| (known.prefix, known.why.as_str(), known.at.as_str(), known.user.as_deref()))
        .collect();
    assert_eq!(
        suspects,
        [
            (prefix("198.51.100.7"), "logged-in", "1970-01-01T02:56:40Z", Some("carol")),
            (prefix("2001:db8:1:2::/64"), "allowed", "1970-01-01T02:50:50Z", Some("alice")),
            (prefix("198.51.100.7"), "lifted", "1970-01-01T02:46:50Z", Some("bob")),
        ]
    );
}

#[test]
fn of_long_lists_each_ban_in_force_counts_once_however_often_they_are_loaded() {
    let dir = TempDir::new();
    let listed = |numbers: std::ops::Range<u32>, started, until, origin: Origin| {
        numbers.map(move |n| {
            ((host(n), MANUAL), Some(Entry::InForce(Ban { started: secs(started), until, origin: origin.clone() })))
        })
    };
    let by_hand = || Origin::Command { reason: Some("a list".into()), by: Some(Uid(0)) };
    let end = |at| Until::At(secs(at));
    // A command of as many as have an account, each.
    let few: Vec<_> = listed(0..64, 6_000, Until::Forever, by_hand()).collect();
    let notes = few.iter().map(|((prefix, jail), entry)| {
        let Some(Entry::InForce(ban)) = entry else { panic!("it is in force") };
        Note::Began { prefix: *prefix, jail: *jail, ban: ban.clone(), limits: None, evidence: Arc::default() }
    });
    note(&dir, Changes { account: notes.collect(), bans: few.clone(), ..Changes::default() });
    // A list, loaded twice more with other ends; the last time with some more, too few for a row of their own.
    for (until, more) in [(20_000, 0), (30_000, 0), (40_000, 3)] {
        let list = listed(1_000..1_100, 7_000, end(until), by_hand());
        let bans = list.chain(listed(2_000..2_000 + more, 9_000, end(until), by_hand())).collect();
        note(&dir, Changes { bans, ..Changes::default() });
    }
    // One that is over, one from before, and what was found in the kernel.
    for (first, started, until, origin) in [
        (3_000, 7_500, end(8_000), by_hand()),
        (4_000, 100, Until::Forever, by_hand()),
        (5_000, 9_000, Until::Forever, Origin::Adopted),
    ] {
        let bans = listed(first..first + 100, started, until, origin).collect();
        note(&dir, Changes { bans, ..Changes::default() });
    }

    let bans = report(&dir, Span::new(7_200, 0, at(9_900))).bans;

    assert_eq!((bans.made, bans.by_list), (64, 103));
}

#[test]
fn hours_and_days_are_those_of_the_zone_of_who_asks_and_there_are_never_too_many() {
    let dir = TempDir::new();
    note(&dir, Changes { account: vec![began("192.0.2.1", 5_000, DOVECOT, "alice")], ..Changes::default() });
    let clock = at(9_000 + 400 * i64::try_from(DAY).unwrap());
    let times = |since, offset| report(&dir, Span::new(since, offset, clock)).times;

    let (hours, ten_years) = (times(1_800, 5 * 3_600 + 1_800), times(u64::MAX, 0));

    assert!(hours.iter().all(|time| time.start.ends_with(":30:00Z")), "half an hour beside the others: {hours:?}");
    assert!(ten_years.len() <= usize::try_from(MAX_TIMES).unwrap());
    assert_eq!(ten_years.iter().map(|time| time.bans).sum::<u64>(), 1);
    for since in (0..=32).map(|bits| 1_u64 << bits) {
        let times = times(since, -3_600);
        assert!(times.len() <= usize::try_from(MAX_TIMES).unwrap(), "{since}: {}", times.len());
        let last = times.last().expect("there is one");
        assert!(last.start <= crate::clock::rfc3339(clock.wall_ns()), "{since}: it reaches to the end: {last:?}");
    }
}

#[test]
fn a_full_account_is_summed_up_in_seconds_and_says_from_when_on_it_is_whole() {
    let dir = TempDir::new();
    let many = u32::try_from(crate::store::account::MAX_BANS).unwrap() + 5;
    for first in (0..many).step_by(16_384) {
        let notes = (first..many.min(first + 16_384)).map(|n| {
            let lines: Vec<Evidence> = (0..10)
                .map(|line| evidence(host(n).addr(), b"a line", format!("user{}", n * 10 + line).as_bytes()))
                .collect();
            let limits = Some((5, Duration::from_secs(600)));
            let started = 100 + i64::from(n) / 100;
            Note::Began {
                prefix: host(n),
                jail: DOVECOT,
                ban: ban(started, Until::Forever),
                limits,
                evidence: lines.into(),
            }
        });
        note(&dir, Changes { account: notes.collect(), ..Changes::default() });
    }

    let began = Instant::now();
    let report = report(&dir, Span::new(DAY, 0, at(9_900)));

    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(report.bans.made, u64::from(many) - 5);
    assert_eq!(report.known_from.as_deref(), Some("1970-01-01T00:18:20Z"));
    assert!(report.networks.len() == MAX_ROWS && report.users.len() == MAX_ROWS && report.longest.len() == MAX_ROWS);
    let size = serde_json::to_vec(&report).expect("JSON").len();
    assert!(size < 32 * 1024, "{size}");
}

#[test]
fn what_is_forgotten_for_its_age_is_said_where_it_was_asked_for() {
    let dir = TempDir::new();
    note(&dir, Changes { account: vec![began("192.0.2.1", 5_000, DOVECOT, "alice")], ..Changes::default() });
    let known_from = |since_s| {
        let span = Span::new(since_s, 0, at(9_900)).remembered(Duration::from_secs(3_600));
        report(&dir, span).known_from
    };

    assert_eq!(known_from(3_600), None);
    assert_eq!(known_from(7_200).as_deref(), Some("1970-01-01T02:01:40Z"));
}

#[test]
fn a_database_that_nobody_has_is_read_and_left_byte_by_byte_as_it_is_also_after_a_crash() {
    let dir = TempDir::new();
    let mut database = open_in(&dir).expect("it can be opened").0.database;
    let changes = Changes { account: vec![began("192.0.2.1", 5_000, DOVECOT, "alice")], ..Changes::default() };
    database.write(&Transaction { changes, ..txn() }, at(9_000)).expect("it can be written");
    let span = Span::new(DAY, 0, at(9_900));
    let held = read_report(&dir.path("state"), span).unwrap_err().to_string();
    assert!(held.contains("a daemon has it"), "{held}");
    // As a crash leaves it: what was written is in the log alone.
    let crashed = TempDir::new();
    fs::create_dir(crashed.path("state")).unwrap();
    for ending in ["", "-wal"] {
        let name = format!("state/blocker.db{ending}");
        fs::copy(dir.path(&name), crashed.path(&name)).expect("it is there");
    }
    drop(database);

    for dir in [&dir, &crashed] {
        let path = dir.path("state/blocker.db");
        let before = fs::read(&path).unwrap();
        let report = read_report(&dir.path("state"), span).expect("nobody has it");
        assert_eq!((report.bans.made, report.users[0].user.as_str()), (1, "alice"));
        assert_eq!(fs::read(&path).unwrap(), before);
        for beside in fs::read_dir(dir.path("state")).unwrap().map(|entry| entry.unwrap()) {
            assert_eq!(beside.metadata().unwrap().permissions().mode() & 0o077, 0, "{beside:?}");
        }
        let kept = open_in(dir).expect("a daemon has it afterwards").0.database;
        assert_eq!(kept.count("account"), 1);
    }
}

#[test]
fn a_database_that_is_not_this_version_s_or_not_there_is_refused_with_what_to_do() {
    let dir = TempDir::new();
    let span = Span::new(DAY, 0, at(9_900));
    let refused = || format!("{:#}", read_report(&dir.path("state"), span).unwrap_err());
    assert!(refused().contains("no daemon has run"), "{}", refused());

    write(&dir, &txn());
    let connection = Connection::open(dir.path("state/blocker.db")).expect("it is there");
    let set = |version| connection.pragma_update(None, "user_version", version).expect("it can be set");
    set(7);
    assert!(refused().contains("of version 7") && refused().contains("start the daemon"), "{}", refused());
    set(99);
    assert!(refused().contains("of version 99") && refused().contains("later blocker"), "{}", refused());
    drop(connection);

    fs::write(dir.path("state/blocker.db"), "no database at all, but long enough to look at")
        .expect("it can be written");
    assert!(refused().contains("not a database"), "{}", refused());
}

fn report(dir: &TempDir, span: Span) -> Report {
    open_in(dir).expect("it can be opened").0.database.report(span).expect("it can be read")
}

/// A reading at this boot time, in an hour in which the wall clock is 1,000 s ahead of it.
fn at(boot_s: i64) -> Reading {
    Reading::at(secs(boot_s), wall(boot_s + 1_000))
}

fn note(dir: &TempDir, changes: Changes) {
    let mut database = open_in(dir).expect("it can be opened").0.database;
    database.write(&Transaction { changes, ..txn() }, at(9_900)).expect("it can be written");
}

fn began(of: &str, started: i64, jail: JailId, user: &str) -> Note {
    let prefix = prefix(of);
    let origin = Origin::Log { attempts: Attempts::whole(5), user: None, pattern: "auth failed".into() };
    let ban = Ban { started: secs(started), until: Until::At(secs(started + 100)), origin };
    Note::Began {
        prefix,
        jail,
        ban,
        limits: None,
        evidence: [evidence(prefix.addr(), b"a line", user.as_bytes())].into(),
    }
}
