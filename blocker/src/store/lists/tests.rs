//! Lists on real files: what was said last of each prefix is what is read back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use blocker_core::attempts::Attempts;
use blocker_core::engine::Changes;
use proptest::prelude::*;

use super::super::{Database, Report, Transaction, Writer, open, schema};
use super::*;
use crate::clock::Reading;
use crate::source::testing::TempDir;

const DOVECOT: JailId = JailId::MIN;
const MANUAL: JailId = JailId::MAX;

const MONTH: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

#[test]
fn many_bans_of_one_command_take_few_rows_and_are_read_back() {
    let dir = TempDir::new();
    let mut bans = BTreeMap::new();
    for n in 0..100_000 {
        bans.insert((host(n), MANUAL), by_command(7, Until::At(secs(4_000)), Some("a list")));
    }
    for n in 0..FEWEST as u32 {
        bans.insert((host(200_000 + n), DOVECOT), adopted(8));
        bans.insert((host(300_000 + n), DOVECOT), by_log(9));
    }
    bans.insert((prefix("2001:db8::/64"), MANUAL), by_command(7, Until::At(secs(4_000)), Some("a list")));
    bans.insert((prefix("198.51.100.0/24"), MANUAL), by_command(7, Until::Forever, None));

    write(&mut database(&dir), &told(&bans));

    assert_eq!(read(&dir), bans);
    let count = |table: &str| -> i64 {
        let connection = Connection::open(dir.path("state/blocker.db")).expect("nobody has it open");
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("it is there")
    };
    assert_eq!((count("lists"), count("bans")), (3, FEWEST as i64 + 1), "one list is too long for a row");
}

#[test]
fn a_database_of_before_there_were_lists_keeps_what_it_holds_and_takes_lists() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.path("state")).expect("it can be made");
    let connection = Connection::open(dir.path("state/blocker.db")).expect("it can be made");
    let before = schema::MIGRATIONS.iter().position(|tables| *tables == TABLES).expect("it is one of them");
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID).expect("it can be set");
    for tables in schema::MIGRATIONS.into_iter().take(before) {
        connection.execute_batch(tables).expect("it makes tables");
    }
    let row = "INSERT INTO bans (prefix, jail, started, until, ended, origin, reason)
               VALUES ('192.0.2.9', 'manual', 1, NULL, 0, 'command', 'spam')";
    connection.execute(row, []).expect("it is a row");
    connection.pragma_update(None, "user_version", i64::try_from(before).expect("it is small")).expect("it can be set");
    drop(connection);

    let earlier = read(&dir);
    let [(key, Entry::InForce(ban))] = &earlier.clone().into_iter().collect::<Vec<_>>()[..] else {
        panic!("{earlier:?}")
    };
    assert_eq!(*key, (prefix("192.0.2.9"), MANUAL));
    assert_eq!((ban.until, &ban.origin), (Until::Forever, &Origin::Command { reason: Some("spam".into()), by: None }));

    let mut list = list(&(0..100), &by_command(7, Until::Forever, None));
    write(&mut database(&dir), &told(&list));
    list.extend(read(&dir).into_iter().filter(|(other, _)| other == key));
    assert_eq!((read(&dir).len(), read(&dir)), (101, list));
}

#[test]
fn lists_that_are_of_no_use_any_more_have_all_bans_written_anew() {
    let dir = TempDir::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut writer = Writer::start(database(&dir)).expect("a thread");
    let mut report = |transaction: Transaction| {
        writer.room().expect("nothing waits").send(transaction);
        runtime.block_on(writer.report())
    };
    let renewed = |round| list(&(0..40_000), &by_command(round, Until::Forever, None));

    for round in 1..=3 {
        assert_eq!(report(told(&renewed(round))), Some(Report::Written), "round {round}");
    }
    assert_eq!(report(told(&renewed(4))), Some(Report::Sprawling));
    let mut all = told(&renewed(4));
    all.changes.all_bans = true;
    assert_eq!(report(all), Some(Report::Written));
    assert_eq!(report(told(&list(&(0..3), &by_log(5)))), Some(Report::Written), "there is room again");
    drop(runtime.block_on(writer.finish()));

    let expected: BTreeMap<_, _> = renewed(4).into_iter().chain(list(&(0..3), &by_log(5))).collect();
    assert_eq!(read(&dir), expected);
}

#[test]
fn a_list_that_is_over_is_removed_with_what_was_lifted_of_it() {
    let dir = TempDir::new();
    let mut database = database(&dir);
    write(&mut database, &told(&list(&(0..100), &by_command(1, Until::At(secs(1_000)), None))));
    write(&mut database, &lifting(&[(host(1), MANUAL)]));
    let count = |database: &Database, table: &str| database.count(table);
    assert_eq!((count(&database, "lists"), count(&database, "lifted")), (1, 1));

    database.clean(MONTH, Reading::at(secs(1_100), 1_100)).expect("it can be cleaned");
    assert_eq!(count(&database, "lists"), 1, "late lines may come");
    database.clean(MONTH, Reading::at(secs(1_181), 1_181)).expect("it can be cleaned");

    assert_eq!((count(&database, "lists"), count(&database, "lifted")), (0, 0));
}

#[test]
fn what_a_jail_that_is_gone_listed_is_left_out_and_stays() {
    let dir = TempDir::new();
    let gone = JailId::new(7).expect("7 is a jail");
    let bans = (0..100).map(|n| ((host(n), gone), Some(by_command(1, Until::Forever, None)))).collect();
    let jails = BTreeMap::from([(gone, "gone".to_owned())]);
    write(&mut database(&dir), &Transaction { jails, ..of(Changes { bans, ..Changes::default() }) });

    for _ in 0..2 {
        let (_, loaded) = open(&dir.path("state"), Reading::take(), jail, |_| None).expect("it can be opened");
        assert_eq!((loaded.memory.bans.len(), loaded.unused), (0, 100));
    }
}

/// What may be said of a prefix.
#[derive(Clone, Copy, Debug)]
enum Said {
    Listed,
    Banned,
    Ended,
    Nothing,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_said_last_holds(
        steps in proptest::collection::vec((0_u32..200, 0_u32..200, said(), any::<bool>(), 0_u8..8), 1..20)
    ) {
        let dir = TempDir::new();
        let mut known = BTreeMap::new();
        let mut written = database(&dir);
        for (step, &(from, many, said, is_manual, more)) in steps.iter().enumerate() {
            let jail = if is_manual { MANUAL } else { DOVECOT };
            let at = 1 + i64::try_from(step).expect("it is small");
            let entry = match said {
                Said::Listed => Some(by_command(at, Until::At(secs(5_000 + at)), (step % 2 == 0).then_some("spam"))),
                Said::Banned => Some(by_log(at)),
                Said::Ended => Some(Entry::Ended { started: secs(at) }),
                Said::Nothing => None,
            };
            let mut changes = Changes::default();
            for n in from..from + many {
                let key = (host(n), jail);
                changes.bans.push((key, entry.clone()));
                match &entry {
                    Some(entry) => drop(known.insert(key, entry.clone())),
                    None => drop(known.remove(&key)),
                }
            }
            if more == 0 {
                changes = Changes { all_bans: true, ..changes_of(&known) };
            }
            write(&mut written, &of(changes));
            if more == 1 {
                drop(written);
                prop_assert_eq!(&read(&dir), &known);
                written = database(&dir);
            }
        }
        drop(written);
        prop_assert_eq!(read(&dir), known);
    }
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![3 => Just(Said::Listed), 2 => Just(Said::Banned), 1 => Just(Said::Ended), 2 => Just(Said::Nothing)]
}

fn database(dir: &TempDir) -> Database {
    open(&dir.path("state"), Reading::take(), jail, |_| None).expect("it can be opened").0.database
}

fn read(dir: &TempDir) -> BTreeMap<Key, Entry> {
    let (_, loaded) = open(&dir.path("state"), Reading::take(), jail, |_| None).expect("it can be opened");
    assert_eq!(loaded.unused, 0);
    let len = loaded.memory.bans.len();
    let bans: BTreeMap<Key, Entry> = loaded.memory.bans.into_iter().collect();
    assert_eq!(bans.len(), len, "no key comes twice");
    bans
}

fn write(database: &mut Database, transaction: &Transaction) {
    database.write(transaction, Reading::take()).expect("it can be written");
}

fn told(bans: &BTreeMap<Key, Entry>) -> Transaction {
    of(changes_of(bans))
}

fn lifting(keys: &[Key]) -> Transaction {
    of(Changes { bans: keys.iter().map(|&key| (key, None)).collect(), ..Changes::default() })
}

fn changes_of(bans: &BTreeMap<Key, Entry>) -> Changes {
    Changes { bans: bans.iter().map(|(key, entry)| (*key, Some(entry.clone()))).collect(), ..Changes::default() }
}

fn of(changes: Changes) -> Transaction {
    let jails = BTreeMap::from([(DOVECOT, "dovecot".to_owned()), (MANUAL, "manual".to_owned())]);
    Transaction { in_force: changes.bans.len(), changes, jails, ..Transaction::default() }
}

fn list(hosts: &std::ops::Range<u32>, entry: &Entry) -> BTreeMap<Key, Entry> {
    hosts.clone().map(|n| ((host(n), MANUAL), entry.clone())).collect()
}

fn by_command(started: i64, until: Until, reason: Option<&str>) -> Entry {
    in_force(started, until, Origin::Command { reason: reason.map(Into::into), by: None })
}

fn adopted(started: i64) -> Entry {
    in_force(started, Until::Forever, Origin::Adopted)
}

fn by_log(started: i64) -> Entry {
    let origin = Origin::Log { attempts: Attempts::tenths(51), user: None, pattern: "auth failed".into() };
    in_force(started, Until::At(secs(6_000)), origin)
}

fn in_force(started: i64, until: Until, origin: Origin) -> Entry {
    Entry::InForce(Ban { started: secs(started), until, origin })
}

fn jail(name: &str) -> Option<JailId> {
    match name {
        "dovecot" => Some(DOVECOT),
        "manual" => Some(MANUAL),
        _ => None,
    }
}

fn host(n: u32) -> Prefix {
    Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("the test's prefixes are good")
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
