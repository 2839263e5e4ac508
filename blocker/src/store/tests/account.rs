//! The account of single bans: what is told of it, and how long.

use blocker_core::allowlist::{AllowReason, Allowed};
use blocker_core::engine::UnbanReason;
use blocker_core::engine::account::Note;

use super::*;

/// Who failed: not every name is a text.
const USER: &[u8] = b"bob\0\xff";

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[test]
fn a_ban_is_told_with_the_lines_that_earned_it_byte_by_byte() {
    let dir = TempDir::new();
    let lines = [&b"imap-login: user=<\x1b[2J\0\xff\r\nbob>, rip=192.0.2.9"[..], b""];
    note(&dir, vec![began("192.0.2.9", 100, &lines)]);

    let told = told(&dir, "192.0.2.9");

    let [ban] = &told[..] else { panic!("{told:?}") };
    assert_eq!((ban.prefix, &*ban.jail, &*ban.origin), (prefix("192.0.2.9"), "dovecot", "log"));
    assert_eq!((ban.started, ban.until, ban.ended.as_ref()), (wall(1_100), Some(wall(1_200)), None));
    assert_eq!(
        (ban.attempts, ban.max_retry, ban.find_time),
        (Some(Attempts::tenths(51)), Some(5), Some(secs_long(600)))
    );
    assert_eq!(ban.pattern.as_deref(), Some("auth failed"));
    let kept: Vec<&[u8]> = ban.lines.iter().map(|line| &*line.line).collect();
    assert_eq!(kept, lines);
    let line = &ban.lines[0];
    assert_eq!((line.made, line.attempts, line.count), (wall(1_090), Attempts::whole(2), Attempts::whole(5)));
    assert_eq!((&*line.filter, &*line.pattern, &*line.addr), ("dovecot", "auth failed", "192.0.2.9"));
    assert_eq!(line.user.as_deref(), Some(&b"bob\0\xff"[..]));
}

#[test]
fn who_lifted_a_ban_and_who_prolonged_it_is_told_of_the_last_one_alone() {
    let dir = TempDir::new();
    let lifted = |at, why, by| Note::Ended { prefix: prefix("192.0.2.9"), jail: DOVECOT, at: secs(at), why, by };
    let renewed = |of, at, until| Note::Renewed { prefix: prefix(of), jail: DOVECOT, at: secs(at), until };
    let allowed = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };
    note(
        &dir,
        vec![
            began("192.0.2.9", 100, &[]),
            lifted(150, UnbanReason::ByCommand, Some(Uid(1_000))),
            began("192.0.2.9", 160, &[]),
            renewed("192.0.2.9", 190, Until::At(secs(900))),
            lifted(500, UnbanReason::AllowListed(allowed), None),
            // Of a list: there is no account of it.
            renewed("192.0.2.8", 190, Until::Forever),
            // The same, after a ban of its own that was over by then.
            began("192.0.2.6", 100, &[]),
            renewed("192.0.2.6", 300, Until::Forever),
            // Over by itself long before: nobody lifts it.
            began("192.0.2.7", 100, &[]),
            Note::Ended {
                prefix: prefix("192.0.2.7"),
                jail: DOVECOT,
                at: secs(300),
                why: UnbanReason::Evicted,
                by: None,
            },
        ],
    );

    let [last, first] = &told(&dir, "192.0.2.9")[..] else { panic!("two") };
    assert_eq!(first.ended, Some((wall(1_150), "command".into(), Some(Uid(1_000)))));
    assert_eq!((first.until, last.until), (Some(wall(1_200)), Some(wall(1_900))));
    assert_eq!(
        last.ended,
        Some((wall(1_500), "allow-listed: 192.0.2.0/28 (allowed by the configuration)".into(), None))
    );
    assert_eq!(told(&dir, "192.0.2.8"), []);
    assert_eq!(told(&dir, "192.0.2.7")[0].ended, None);
    assert_eq!(told(&dir, "192.0.2.6")[0].until, Some(wall(1_200)), "what was over is not in force again");
}

#[test]
fn to_lift_all_ends_what_is_in_force_and_nothing_else() {
    let dir = TempDir::new();
    note(
        &dir,
        vec![
            began("192.0.2.9", 100, &[]),
            began("192.0.2.8", 250, &[]),
            Note::AllEnded { at: secs(300), by: Some(Uid(0)) },
            began("192.0.2.9", 310, &[]),
        ],
    );

    let ended = |of| told(&dir, of).into_iter().map(|ban| ban.ended.map(|(at, _, by)| (at, by))).collect::<Vec<_>>();
    assert_eq!(ended("192.0.2.8"), [Some((wall(1_300), Some(Uid(0))))]);
    assert_eq!(ended("192.0.2.9"), [None, None], "one was over before, one began after it");
}

#[test]
fn an_address_is_told_of_the_networks_it_is_in_and_a_network_of_what_is_in_it() {
    let dir = TempDir::new();
    let all = ["2001:db8::/64", "192.0.2.0/24", "192.0.2.9", "192.0.2.200", "192.0.3.1", "192.0.0.0/16"];
    note(&dir, all.map(|text| began(text, 100, &[])).into());

    let prefixes = |of| told(&dir, of).into_iter().map(|ban| ban.prefix.to_string()).collect::<Vec<_>>();
    assert_eq!(prefixes("2001:db8::7"), ["2001:db8::/64"]);
    assert_eq!(prefixes("192.0.2.9"), ["192.0.0.0/16", "192.0.2.9", "192.0.2.0/24"]);
    assert_eq!(prefixes("192.0.2.0/24"), ["192.0.0.0/16", "192.0.2.200", "192.0.2.9", "192.0.2.0/24"]);
}

#[test]
fn what_was_over_for_long_is_forgotten_with_its_lines_and_what_is_in_force_is_not() {
    let dir = TempDir::new();
    let forever = |mut note: Note| {
        if let Note::Began { ban, .. } = &mut note {
            ban.until = Until::Forever;
        }
        note
    };
    let old = began("192.0.2.9", 100, &[b"old"]);
    note(&dir, vec![old, forever(began("192.0.2.8", 100, &[b"for ever"])), began("192.0.2.7", 5_000, &[b"new"])]);
    let mut database = open_in(&dir).expect("it can be opened").0.database;

    let month_later = 200 + 30 * 24 * 60 * 60;
    for (after, left) in [(0, 3), (1, 2)] {
        let clock = Reading::at(secs(month_later + after), wall(1_000 + month_later + after));
        database.clean(MONTH, clock).expect("it can be cleaned");
        assert_eq!((database.count("account"), database.count("evidence")), (left, left));
    }
}

#[test]
fn no_more_bans_than_the_bound_are_kept_and_the_first_ones_go() {
    let dir = TempDir::new();
    let many = crate::store::account::MAX_BANS + 10;
    let notes = (0..u32::try_from(many).expect("it is small")).map(|n| Note::Began {
        prefix: host(n),
        jail: DOVECOT,
        ban: ban(100, Until::Forever),
        limits: None,
        evidence: [evidence(host(n).addr(), b"line", USER)].into(),
    });
    note(&dir, notes.collect());

    let (opened, _) = open_in(&dir).expect("it can be opened");
    let kept = (opened.database.count("account"), opened.database.count("evidence"));
    assert_eq!(kept, (crate::store::account::MAX_BANS, crate::store::account::MAX_BANS));
    drop(opened);
    assert_eq!(told(&dir, &host(9).to_string()), []);
    assert_eq!(told(&dir, &host(10).to_string()).len(), 1);
    assert_eq!(told(&dir, "10.0.0.0/8").len(), MAX_TOLD);
}

#[test]
fn a_question_is_answered_behind_what_was_handed_over_with_it_and_refused_if_that_cannot_be_written() {
    let dir = TempDir::new();
    let (heard_in, heard) = mpsc::channel();
    let question = |heard_in: &mpsc::Sender<Result<usize, String>>| {
        let heard_in = heard_in.clone();
        let answer = move |found: Result<Vec<PastBan>, &str>| {
            heard_in.send(found.map(|bans| bans.len()).map_err(str::to_owned)).expect("it is waited for");
        };
        Questions::from(vec![Question::Account { whom: prefix("192.0.2.9"), answer: Box::new(answer) }])
    };
    let database = open_in(&dir).expect("it can be opened").0.database;
    database.limit_pages(1);
    let writer = Writer::start(database).expect("there can be a thread");
    let changes = Changes { account: vec![began("192.0.2.9", 100, &[&[b'x'; 100_000]])], ..Changes::default() };
    let refused = Transaction { changes, questions: question(&heard_in), ..txn() };
    writer.room().expect("it is idle").send(refused);
    let why = heard.recv_timeout(Duration::from_secs(10)).expect("an answer").expect_err("there is no room");
    assert!(why.contains("full"), "{why}");
    drop(writer);

    let dir = TempDir::new();
    let writer = Writer::start(open_in(&dir).expect("it can be opened").0.database).expect("there can be a thread");
    let changes = Changes { account: vec![began("192.0.2.9", 100, &[])], ..Changes::default() };
    writer.room().expect("it is idle").send(Transaction { changes, questions: question(&heard_in), ..txn() });
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)).expect("an answer"), Ok(1));
}

/// Writes these at 1,000 s of boot time, in an hour in which the wall clock is 1,000 s ahead of it.
fn note(dir: &TempDir, account: Vec<Note>) {
    let mut database = open_in(dir).expect("it can be opened").0.database;
    let changes = Changes { account, ..Changes::default() };
    let transaction = Transaction { changes, ..txn() };
    database.write(&transaction, Reading::at(secs(1_000), wall(2_000))).expect("it can be written");
}

fn told(dir: &TempDir, of: &str) -> Vec<PastBan> {
    let database = open_in(dir).expect("it can be opened").0.database;
    database.account_of(prefix(of)).expect("it can be read")
}

fn began(of: &str, started: i64, lines: &[&[u8]]) -> Note {
    let prefix = prefix(of);
    let evidence = lines.iter().map(|line| evidence(prefix.addr(), line, USER)).collect();
    let ban = ban(started, Until::At(secs(started + 100)));
    Note::Began { prefix, jail: DOVECOT, ban, limits: Some((5, secs_long(600))), evidence }
}

fn secs_long(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
