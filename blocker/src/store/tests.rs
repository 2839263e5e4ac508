//! Tests on real files: what is written is read back, by the same boot and by another, whatever happens in between.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blocker_core::attempts::Attempts;
use blocker_core::bans::Uid;
use blocker_core::engine::{Ban, Counted, Entry, Evidence, Key, Origin};
use blocker_core::keyed::Tag;
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};
use blocker_core::tracker::Tries;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::source::testing::TempDir;

mod account;
mod again;
mod report;
mod room;

const DOVECOT: JailId = JailId::MIN;
const MANUAL: JailId = JailId::MAX;

const FILE: SourceId = SourceId::new(3);
const JOURNAL: SourceId = SourceId::new(4);

#[test]
fn what_was_written_is_read_back() {
    let dir = TempDir::new();
    let bans = vec![
        (("192.0.2.9", DOVECOT), log_ban(10, Until::At(secs(3_610)))),
        (("2001:db8::/64", DOVECOT), log_ban(11, Until::Forever)),
        (("198.51.100.0/24", MANUAL), command_ban(Some("spam"))),
        (("198.51.100.7", MANUAL), command_ban(None)),
        (("203.0.113.7", MANUAL), Entry::InForce(Ban { origin: Origin::Adopted, ..ban(12, Until::Forever) })),
        (("203.0.113.8", DOVECOT), Entry::Ended { started: secs(1) }),
    ];
    let bans: Vec<(Key, Entry)> = bans.into_iter().map(|((text, jail), entry)| ((prefix(text), jail), entry)).collect();
    let counts = vec![((prefix("192.0.2.10"), DOVECOT), counted(&[(-5, 10), (100, 3), (101, 2)]))];
    let marks = vec![mark("/var/log/mail.log", 7), mark("/var/log/mail.log.1", 3)];
    let changes = Changes {
        bans: bans.iter().map(|(key, entry)| (*key, Some(entry.clone()))).collect(),
        counts: counts.clone(),
        ..Changes::default()
    };
    let cursors = vec![("c".into(), JournalMark::Behind("s=1;i=2".into())), ("d".into(), JournalMark::Beginning)];
    let logs = vec![("a".into(), marks.clone()), ("b".into(), vec![])];
    write(&dir, &Transaction { changes, logs, cursors: cursors.clone(), ..txn() });

    let mut loaded = load(&dir);

    loaded.memory.bans.sort_by_key(|(key, _)| *key);
    let mut expected = bans;
    expected.sort_by_key(|(key, _)| *key);
    assert_eq!(loaded.memory, Memory { bans: expected, counts, ..Memory::default() });
    let known = |files| Marks { is_known: true, files };
    assert_eq!(loaded.logs, BTreeMap::from([("a".into(), known(marks)), ("b".into(), known(vec![]))]));
    assert_eq!(loaded.cursors, cursors.into_iter().collect());
    assert_eq!(loaded.unused, 0);
}

#[test]
fn what_is_gone_is_removed_and_a_place_in_a_log_replaced() {
    let dir = TempDir::new();
    let key = (prefix("192.0.2.9"), DOVECOT);
    let changes = Changes {
        bans: vec![(key, Some(log_ban(1, Until::Forever)))],
        counts: vec![(key, counted(&[(1, 10)]))],
        ..Changes::default()
    };
    write(&dir, &Transaction { changes, logs: vec![("a".into(), vec![mark("/log", 7)])], ..txn() });
    let changes = Changes { bans: vec![(key, None)], counts: vec![(key, vec![])], ..Changes::default() };
    let further = Mark { offset: 8, before: b"12345678".into(), skipping: true, path: "/log.1".into(), ..mark("", 7) };
    write(&dir, &Transaction { changes, logs: vec![("a".into(), vec![further.clone()])], ..txn() });

    let loaded = load(&dir);

    assert_eq!(loaded.memory, Memory::default());
    assert_eq!(loaded.logs["a"].files, std::slice::from_ref(&further));
    let lost_logs = vec![("a".into(), further.device, further.inode)];
    let another = mark("/another", 7);
    write(&dir, &Transaction { lost_logs, logs: vec![("a".into(), vec![another.clone()])], ..txn() });
    assert_eq!(load(&dir).logs["a"].files, [another], "a file that took the inode of one that is gone");
}

#[test]
fn a_transaction_of_everything_leaves_nothing_else() {
    let dir = TempDir::new();
    let changes = Changes {
        bans: vec![((prefix("192.0.2.9"), DOVECOT), Some(log_ban(1, Until::Forever)))],
        counts: vec![((prefix("192.0.2.10"), DOVECOT), counted(&[(1, 10)]))],
        ..Changes::default()
    };
    write(&dir, &Transaction { changes, logs: vec![("a".into(), vec![mark("/log", 7)])], ..txn() });
    let all = Changes { all_bans: true, all_counts: true, ..Changes::default() };
    write(&dir, &Transaction { changes: all, all_logs: true, ..txn() });

    let loaded = load(&dir);

    assert_eq!((loaded.memory, loaded.logs.len()), (Memory::default(), 0));
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let dir = TempDir::new();
    write(&dir, &txn());
    fs::set_permissions(dir.path("state/blocker.db"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    write(&dir, &txn());

    for (name, mode) in [("state", 0o700), ("state/blocker.db", 0o600)] {
        let found = fs::metadata(dir.path(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn rows_of_jails_that_are_gone_and_rows_that_mean_nothing_are_left_out() {
    let dir = TempDir::new();
    let gone = JailId::new(7).expect("7 is a jail");
    let key = (prefix("192.0.2.9"), gone);
    let changes = Changes {
        bans: vec![(key, Some(log_ban(1, Until::Forever)))],
        counts: vec![(key, counted(&[(1, 10)]))],
        ..Changes::default()
    };
    write(&dir, &Transaction { changes, jails: BTreeMap::from([(gone, "gone".into())]), ..txn() });
    let sql = "INSERT INTO bans VALUES ('nonsense', 'dovecot', 1, NULL, 0, 'adopted', NULL, NULL, NULL, NULL, NULL)";
    Connection::open(dir.path("state/blocker.db")).and_then(|c| c.execute(sql, [])).expect("nobody has it open");

    let loaded = load(&dir);

    assert_eq!((loaded.memory, loaded.unused), (Memory::default(), 3));
    assert_eq!(load(&dir).unused, 2, "the bans stay, for the jail may come back");
}

#[test]
fn a_damaged_database_is_set_aside_and_another_begun() {
    let dir = TempDir::new();
    write(&dir, &Transaction { changes: one_ban(), ..txn() });
    dir.write("state/blocker.db", b"this is no database, and long enough to be looked at");

    let (opened, loaded) = open_in(&dir).expect("another is begun");

    let said = opened.set_aside.expect("it is said");
    assert!(said.contains("blocker.db.damaged"), "{said}");
    assert_eq!(loaded.memory, Memory::default());
    drop(opened.database);
    assert!(dir.path("state/blocker.db.damaged").exists());
    write(&dir, &Transaction { changes: one_ban(), ..txn() });
    assert_eq!(load(&dir).memory.bans.len(), 1, "the new one works");
}

#[test]
fn a_page_that_is_damaged_is_found_and_the_database_set_aside() {
    let dir = TempDir::new();
    let bans = (0..2_000).map(|n| ((host(n), DOVECOT), Some(log_ban(1, Until::Forever)))).collect();
    write(&dir, &Transaction { changes: Changes { bans, ..Changes::default() }, ..txn() });
    let mut bytes = fs::read(dir.path("state/blocker.db")).expect("it is there");
    assert!(bytes.len() > 20 * 4096, "written back when it was closed");
    for page in 3..bytes.len() / 4096 {
        bytes[page * 4096..page * 4096 + 100].fill(0xa5);
    }
    dir.write("state/blocker.db", &bytes);

    let (opened, loaded) = open_in(&dir).expect("another is begun");

    assert!(opened.set_aside.is_some());
    assert_eq!(loaded.memory, Memory::default());
}

#[test]
fn a_later_version_s_database_is_left_alone_and_so_is_another_program_s() {
    let dir = TempDir::new();
    write(&dir, &Transaction { changes: one_ban(), ..txn() });
    let set = |pragma: &str| {
        Connection::open(dir.path("state/blocker.db"))
            .and_then(|c| c.execute_batch(pragma))
            .expect("nobody has it open");
    };
    set("PRAGMA user_version = 99");
    let why = open_in(&dir).err().expect("it is refused");
    assert!(why.contains("version 99") && why.contains("blocker.db"), "{why}");
    set(&format!("PRAGMA user_version = {}", schema::MIGRATIONS.len()));
    assert_eq!(load(&dir).memory.bans.len(), 1, "nothing was changed");

    set("PRAGMA application_id = 1");
    let why = open_in(&dir).err().expect("it is refused");
    assert!(why.contains("another program"), "{why}");
}

#[test]
fn an_earlier_version_s_database_keeps_what_it_holds() {
    let dir = TempDir::new();
    let counts = vec![((prefix("192.0.2.10"), DOVECOT), counted(&[(100, 10), (101, 1)]))];
    write(&dir, &Transaction { changes: Changes { counts, ..one_ban() }, ..txn() });
    Connection::open(dir.path("state/blocker.db"))
        .and_then(|c| {
            c.execute_batch(
                "DROP TABLE account; DROP TABLE evidence; ALTER TABLE bans DROP COLUMN uid; DROP TABLE cursors; DROP TABLE printed; DROP TABLE twins; DROP TABLE history; DROP TABLE lists; DROP TABLE lifted;
                 DROP TABLE allowed; DROP TABLE sessions; DROP TABLE logins; ALTER TABLE failures DROP COLUMN users;
                 ALTER TABLE meta DROP COLUMN hash_key; PRAGMA user_version = 1",
            )
        })
        .expect("nobody has it open");

    let cursors = vec![("a".into(), JournalMark::Beginning)];
    write(&dir, &Transaction { cursors: cursors.clone(), ..txn() });

    let loaded = load(&dir);
    assert_eq!((loaded.memory.bans.len(), loaded.cursors), (1, cursors.into_iter().collect()));
    let nobodys = [(100, 10), (101, 1)].map(|(at, tenths)| Tries::nobodys(secs(at), Attempts::tenths(tenths)));
    assert_eq!(loaded.memory.counts[0].1, nobodys, "nobody's login forgives them");
}

#[test]
fn a_place_in_a_journal_is_replaced_and_goes_with_its_source_and_what_is_none_is_left_out() {
    let dir = TempDir::new();
    let behind = |cursor: &str| JournalMark::Behind(cursor.into());
    let cursors =
        vec![("a".into(), behind("s=1;i=1")), ("b".into(), behind("s=1;i=1")), ("c".into(), behind("no cursor"))];
    write(&dir, &Transaction { cursors, ..txn() });
    write(&dir, &Transaction { cursors: vec![("a".into(), behind("s=1;i=2"))], ..txn() });

    let loaded = load(&dir);
    let expected = [("a".into(), behind("s=1;i=2")), ("b".into(), behind("s=1;i=1"))];
    assert_eq!((loaded.cursors, loaded.unused), (expected.into(), 1));

    write(&dir, &Transaction { cursors: vec![("b".into(), behind("s=1;i=3"))], all_cursors: true, ..txn() });
    assert_eq!(load(&dir).cursors, [("b".into(), behind("s=1;i=3"))].into());
}

#[test]
fn a_database_that_another_process_has_is_refused() {
    let dir = TempDir::new();
    write(&dir, &txn());
    let other = Connection::open(dir.path("state/blocker.db")).expect("it can be opened");
    other.execute_batch("BEGIN EXCLUSIVE").expect("nobody has it open");

    let why = open_in(&dir).err().expect("it is refused");

    assert!(why.contains("locked"), "{why}");
}

#[test]
fn times_survive_a_reboot_and_a_clock_that_is_set() {
    let dir = TempDir::new();
    let key = (prefix("192.0.2.9"), DOVECOT);
    let changes = Changes {
        bans: vec![(key, Some(log_ban(100, Until::At(secs(200)))))],
        counts: vec![(key, counted(&[(90, 10), (95, 10)]))],
        ..Changes::default()
    };
    let mut database = open_in(&dir).expect("it can be opened").0.database;
    database.write(&Transaction { changes, ..txn() }, Reading::at(secs(110), wall(1_110))).expect("it can be written");
    // The clock is set forward by 500 s: the same instants have other names.
    database.write(&txn(), Reading::at(secs(120), wall(1_620))).expect("it can be written");
    drop(database);
    let sql = "UPDATE meta SET boot = 'another'";
    Connection::open(dir.path("state/blocker.db")).and_then(|c| c.execute(sql, [])).expect("nobody has it open");

    let clock = Reading::at(secs(10), wall(1_640));
    let (_, loaded) = open(&dir.path("state"), clock, jail, source).expect("it can be opened");

    let [(_, Entry::InForce(ban))] = &loaded.memory.bans[..] else { panic!("{loaded:?}") };
    assert_eq!((ban.started, ban.until), (secs(-30), Until::At(secs(70))), "20 s later, and it has 60 s left");
    assert_eq!(loaded.memory.counts[0].1, counted(&[(-40, 10), (-35, 10)]));
}

#[test]
fn the_writer_answers_when_it_is_on_disk_and_tries_again_until_it_is() {
    let dir = TempDir::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let database = open_in(&dir).expect("it can be opened").0.database;
    let mut writer = Writer::start(database).expect("a thread");
    let (told, hears) = mpsc::channel();
    let told: Told = Box::new(move |result| told.send(result.map_err(str::to_owned)).expect("it is waited for"));

    let transaction = Transaction { changes: one_ban(), durable: true, told: vec![told].into(), ..txn() };
    writer.room().expect("nothing waits").send(transaction);

    assert_eq!(hears.recv_timeout(LIMIT), Ok(Ok(())));
    assert_eq!(runtime.block_on(writer.report()), Some(Report::Written));
    // A kill at this instant: what is on disk is read by another connection from a copy of the files.
    let copy = TempDir::new();
    fs::create_dir(copy.path("state")).expect("it can be made");
    for name in ["blocker.db", "blocker.db-wal"] {
        fs::copy(dir.path("state").join(name), copy.path("state").join(name)).expect("it is there");
    }
    assert_eq!(load(&copy).memory.bans.len(), 1);
    assert_eq!(runtime.block_on(writer.finish()), None);
}

#[test]
fn a_database_that_is_removed_while_it_is_used_is_begun_anew() {
    let dir = TempDir::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut writer = Writer::start(open_in(&dir).expect("it can be opened").0.database).expect("a thread");
    fs::remove_dir_all(dir.path("state")).expect("it is there");

    writer.room().expect("nothing waits").send(Transaction { changes: one_ban(), ..txn() });

    let Some(Report::BegunAnew(why)) = runtime.block_on(writer.report()) else { panic!("it is said") };
    assert!(why.contains("removed"), "{why}");
    assert_eq!(runtime.block_on(writer.report()), Some(Report::Written));
    assert_eq!(runtime.block_on(writer.finish()), None);
    assert_eq!(load(&dir).memory.bans.len(), 1);
}

#[test]
fn a_hundred_thousand_bans_are_read_back() {
    let dir = TempDir::new();
    let bans: Vec<_> = (0..100_000).map(|n| ((host(n), DOVECOT), Some(log_ban(1, Until::Forever)))).collect();
    write(&dir, &Transaction { changes: Changes { bans, ..Changes::default() }, ..txn() });

    let begun = Instant::now();
    assert_eq!(load(&dir).memory.bans.len(), 100_000);
    eprintln!("100,000 bans read in {:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_failures_are_read_back(
        failures in proptest::collection::vec((any::<i32>(), any::<u32>(), any::<Option<u32>>()), 1..50),
        user in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        pattern in ".{0,20}",
    ) {
        let mut failures = failures;
        failures.sort_unstable();
        let failures: Counted = failures.into_iter()
            .map(|(at, tenths, user)| Tries {
                at: Timestamp::from_nanos(i64::from(at) * 1_000_003),
                attempts: Attempts::tenths(tenths),
                user: user.and_then(Tag::new),
            })
            .collect();
        let mut kept = user.clone();
        if let Some(user) = &mut kept {
            user.truncate(blocker_core::bans::MAX_USER_BYTES);
        }
        let origin = |user: Option<Vec<u8>>| Origin::Log {
            attempts: Attempts::tenths(7), user: user.map(Vec::into_boxed_slice), pattern: pattern.clone().into(),
        };
        let key = (prefix("192.0.2.9"), DOVECOT);
        let entry = |user| Entry::InForce(Ban { origin: origin(user), ..ban(1, Until::Forever) });
        let changes = Changes {
            bans: vec![(key, Some(entry(user)))], counts: vec![(key, failures.clone())], ..Changes::default()
        };
        let dir = TempDir::new();
        write(&dir, &Transaction { changes, ..txn() });

        let loaded = load(&dir);

        prop_assert_eq!(loaded.memory.counts, vec![(key, failures)]);
        prop_assert_eq!(loaded.memory.bans, vec![(key, entry(kept))]);
    }
}

/// For things that take milliseconds.
const LIMIT: Duration = Duration::from_secs(30);

fn open_in(dir: &TempDir) -> Result<(Opened, Loaded), String> {
    open(&dir.path("state"), Reading::take(), jail, source)
}

fn load(dir: &TempDir) -> Loaded {
    let (opened, mut loaded) = open_in(dir).expect("it can be opened");
    assert_eq!(opened.set_aside, None);
    for mark in loaded.logs.values_mut().flat_map(|marks| &mut marks.files) {
        assert_eq!(mark.noted, wall(1), "when a place was noted is noted too");
        mark.noted = 0;
    }
    loaded
}

fn write(dir: &TempDir, transaction: &Transaction) {
    let mut database = open_in(dir).expect("it can be opened").0.database;
    database.write(transaction, Reading::take()).expect("it can be written");
}

fn txn() -> Transaction {
    Transaction {
        jails: BTreeMap::from([(DOVECOT, "dovecot".to_owned()), (MANUAL, "manual".to_owned())]),
        sources: BTreeMap::from([(FILE, "log".to_owned()), (JOURNAL, "journal".to_owned())]),
        hash_key: HashKey::new([7; 16]),
        collected: wall(1),
        ..Transaction::default()
    }
}

fn jail(name: &str) -> Option<JailId> {
    match name {
        "dovecot" => Some(DOVECOT),
        "manual" => Some(MANUAL),
        _ => None,
    }
}

fn source(name: &str) -> Option<SourceId> {
    match name {
        "log" => Some(FILE),
        "journal" => Some(JOURNAL),
        _ => None,
    }
}

fn one_ban() -> Changes {
    let bans = vec![((prefix("192.0.2.9"), DOVECOT), Some(log_ban(1, Until::Forever)))];
    Changes { bans, ..Changes::default() }
}

fn ban(started: i64, until: Until) -> Ban {
    let origin = Origin::Log {
        attempts: Attempts::tenths(51),
        user: Some(b"bob\0\xff\x1b[2J".as_slice().into()),
        pattern: "auth failed".into(),
    };
    Ban { started: secs(started), until, origin }
}

fn log_ban(started: i64, until: Until) -> Entry {
    Entry::InForce(ban(started, until))
}

fn command_ban(reason: Option<&str>) -> Entry {
    let origin = Origin::Command { reason: reason.map(Into::into), by: Some(Uid(1_000)) };
    Entry::InForce(Ban { origin, ..ban(3, Until::At(secs(99))) })
}

fn counted(failures: &[(i64, u32)]) -> Counted {
    failures
        .iter()
        .map(|&(at, tenths)| Tries { at: secs(at), attempts: Attempts::tenths(tenths), user: Tag::new(tenths - 1) })
        .collect()
}

fn evidence(addr: IpAddr, line: &[u8], user: &[u8]) -> Evidence {
    Evidence {
        line: line.into(),
        is_cut: false,
        addr,
        user: Some(user.into()),
        filter: "dovecot".into(),
        pattern: "auth failed".into(),
        made: secs(90),
        attempts: Attempts::whole(2),
        count: Attempts::whole(5),
        of: 5,
    }
}

fn mark(path: &str, inode: u64) -> Mark {
    let before = b"the end of the last line\n".to_vec();
    Mark { path: PathBuf::from(path), device: u64::MAX - 1, inode, offset: 123_456, before, skipping: false, noted: 0 }
}

fn host(n: u32) -> Prefix {
    Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("the test's prefixes are good")
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn wall(secs: i64) -> i64 {
    secs * 1_000_000_000
}
