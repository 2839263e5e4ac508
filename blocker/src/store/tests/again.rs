//! What may come again after a restart: messages of two logs, lines that a command prints, who was banned, and who logged in.

use blocker_core::engine::{SessionKey, ToldSession, Twin, TwinKey};
use blocker_core::escalation::Earlier;

use super::*;

#[test]
fn a_message_is_known_again_and_the_time_that_nothing_ran_is_not_part_of_its_age() {
    let dir = TempDir::new();
    let (one, two): (TwinKey, TwinKey) = ((DOVECOT, u64::MAX), (DOVECOT, 2));
    let gone = SourceId::new(9);
    let told = |last, copies: &[(SourceId, u32)]| Twin { last: secs(last), copies: copies.to_vec() };
    let twins = vec![
        (one, Some(told(90, &[(FILE, 2), (gone, 1), (SourceId::new(8), 1)]))),
        (two, Some(told(95, &[(JOURNAL, 1)]))),
        ((JailId::new(7).expect("7 is a jail"), 1), Some(told(95, &[(FILE, 1)]))),
    ];
    let changes = Changes { twins, ..Changes::default() };
    write_at(&dir, changes, Reading::at(secs(100), wall(1_100)));

    let clock = Reading::at(secs(5_000), wall(6_000));
    let loaded = load_at(&dir, clock);

    assert_eq!(loaded.hash_key, Some(HashKey::new([7; 16])));
    let nobody = SourceId::new(u32::MAX);
    let mut expected = vec![(one, told(4_990, &[(nobody, 2), (FILE, 2)])), (two, told(4_995, &[(JOURNAL, 1)]))];
    expected.sort_by_key(|(key, _)| *key);
    assert_eq!((loaded.memory.twins, loaded.unused), (expected, 1));

    let changes = Changes { twins: vec![(one, Some(told(4_990, &[(FILE, 1)]))), (two, None)], ..Changes::default() };
    write_at(&dir, changes, clock);
    let loaded = load_at(&dir, clock);
    assert_eq!((loaded.memory.twins, loaded.unused), (vec![(one, told(4_990, &[(FILE, 1)]))], 0));
    write_at(&dir, Changes { all_twins: true, ..Changes::default() }, clock);
    assert_eq!(load(&dir).memory.twins, []);
}

#[test]
fn a_connection_is_known_again_and_the_time_that_nothing_ran_is_not_part_of_its_age() {
    let dir = TempDir::new();
    let (one, two): (SessionKey, SessionKey) = ((DOVECOT, u64::MAX), (DOVECOT, 2));
    let told = |last, login, auth| ToldSession {
        last: secs(last),
        login: Attempts::tenths(login),
        auth: Attempts::tenths(auth),
    };
    let gone = (JailId::new(7).expect("7 is a jail"), 1);
    let sessions = vec![(one, Some(told(90, 0, 20))), (two, Some(told(95, 3, 1))), (gone, Some(told(95, 0, 1)))];
    let changes = Changes { sessions, ..Changes::default() };
    write_at(&dir, changes, Reading::at(secs(100), wall(1_100)));

    let clock = Reading::at(secs(5_000), wall(6_000));
    let (opened, loaded) = open(&dir.path("state"), clock, jail, source).expect("it can be opened");

    assert_eq!(loaded.memory.sessions, [(two, told(4_995, 3, 1)), (one, told(4_990, 0, 20))]);
    assert_eq!((loaded.unused, opened.database.count("sessions")), (1, 2), "what is nobody's is removed");
    drop(opened);

    let sessions = vec![(one, Some(told(4_999, 30, 20))), (two, None)];
    write_at(&dir, Changes { sessions, ..Changes::default() }, clock);
    assert_eq!(load_at(&dir, clock).memory.sessions, [(one, told(4_999, 30, 20))]);
    write_at(&dir, Changes { all_sessions: true, ..Changes::default() }, clock);
    assert_eq!(open_in(&dir).expect("it can be opened").0.database.count("sessions"), 0);
}

#[test]
fn what_commands_have_printed_is_read_back_in_its_order() {
    let dir = TempDir::new();
    let piece = |number, lines: &[u64]| PrintedPiece { number, lines: lines.to_vec() };
    let a = ("a".to_owned(), 8, vec![piece(8, &[1, u64::MAX]), piece(9, &[3]), piece(10, &[2])]);
    let printed = vec![a, ("b".to_owned(), 0, vec![piece(0, &[7])])];
    write(&dir, &Transaction { printed, ..txn() });
    write(&dir, &Transaction { printed: vec![("a".to_owned(), 9, vec![piece(10, &[2, 4])])], ..txn() });

    let expected = [("a".into(), vec![piece(9, &[3]), piece(10, &[2, 4])]), ("b".into(), vec![piece(0, &[7])])];
    assert_eq!(load(&dir).printed, expected.into());

    let printed = vec![("b".to_owned(), 0, vec![piece(0, &[7])])];
    write(&dir, &Transaction { printed, all_printed: true, ..txn() });
    assert_eq!(load(&dir).printed, [("b".into(), vec![piece(0, &[7])])].into());
}

#[test]
fn earlier_bans_are_known_again_and_forgotten_when_they_are() {
    let dir = TempDir::new();
    let key = |text: &str, jail| (text.parse::<Prefix>().expect("it is one"), jail);
    let (one, other) = (key("192.0.2.9", DOVECOT), key("2001:db8::/64", DOVECOT));
    let earlier = |bans, last| Earlier { bans, last: secs(last) };
    let gone = key("192.0.2.8", JailId::new(7).expect("7 is a jail"));
    let history = vec![(one, Some(earlier(3, -50))), (other, Some(earlier(1, 20))), (gone, Some(earlier(1, 20)))];
    write(&dir, &Transaction { changes: Changes { history, ..Changes::default() }, ..txn() });

    let loaded = load(&dir);
    assert_eq!((loaded.memory.history, loaded.unused), (vec![(one, earlier(3, -50)), (other, earlier(1, 20))], 1));

    let history = vec![(one, Some(earlier(4, 60))), (other, None)];
    write(&dir, &Transaction { changes: Changes { history, ..Changes::default() }, ..txn() });
    assert_eq!(load(&dir).memory.history, [(one, earlier(4, 60))]);

    write(&dir, &Transaction { changes: Changes { all_history: true, ..Changes::default() }, ..txn() });
    let loaded = load(&dir);
    assert_eq!((loaded.memory.history, loaded.unused), (vec![], 0));
}

#[test]
fn what_is_allowed_by_command_is_read_back() {
    let dir = TempDir::new();
    let grant =
        |until, reason: Option<&str>| Grant { since: secs(7), until, persists: true, reason: reason.map(Into::into) };
    let grants = vec![
        (prefix("192.0.2.0/28"), grant(Until::Forever, Some("our office"))),
        (prefix("2001:db8::7"), grant(Until::At(secs(900)), None)),
    ];
    let told = |grants: &[(Prefix, Grant)]| Transaction {
        changes: Changes { grants: Some(grants.to_vec()), ..Changes::default() },
        ..txn()
    };
    write(&dir, &told(&grants));
    assert_eq!(load(&dir).grants, grants);

    write(&dir, &told(&grants[..1]));
    write(&dir, &txn());
    assert_eq!(load(&dir).grants, grants[..1], "the others are gone, and a transaction without any changes nothing");
}

#[test]
fn what_is_allowed_by_command_ends_when_it_should_after_a_reboot_and_a_clock_that_is_set() {
    let dir = TempDir::new();
    let grant = Grant { since: secs(100), until: Until::At(secs(200)), persists: true, reason: None };
    let changes = Changes { grants: Some(vec![(prefix("192.0.2.9"), grant.clone())]), ..Changes::default() };
    let mut database = open_in(&dir).expect("it can be opened").0.database;
    database.write(&Transaction { changes, ..txn() }, Reading::at(secs(110), wall(1_110))).expect("it can be written");
    // The clock is set forward by 500 s.
    database.write(&txn(), Reading::at(secs(120), wall(1_620))).expect("it can be written");
    drop(database);
    let sql = "UPDATE meta SET boot = 'another'";
    Connection::open(dir.path("state/blocker.db")).and_then(|c| c.execute(sql, [])).expect("nobody has it open");

    let clock = Reading::at(secs(10), wall(1_640));
    let (_, loaded) = open(&dir.path("state"), clock, jail, source).expect("it can be opened");

    let expected = Grant { since: secs(-30), until: Until::At(secs(70)), ..grant };
    assert_eq!(loaded.grants, [(prefix("192.0.2.9"), expected)], "20 s later, and it has 60 s left");
}

fn write_at(dir: &TempDir, changes: Changes, clock: Reading) {
    let mut opened = open(&dir.path("state"), clock, jail, source).expect("it can be opened").0;
    opened.database.write(&Transaction { changes, ..txn() }, clock).expect("it can be written");
}

fn load_at(dir: &TempDir, clock: Reading) -> Loaded {
    open(&dir.path("state"), clock, jail, source).expect("it can be opened").1
}

#[test]
fn who_logged_in_is_read_back_as_it_was_and_moves_with_the_clock() {
    let dir = TempDir::new();
    let saved = SavedLogins { seed: u64::MAX - 1, began: secs(40), current: vec![1; 20], before: Vec::new() };
    assert_eq!(load(&dir).logins, None);
    write(&dir, &Transaction { logins: Some(Some(saved.clone())), ..txn() });
    write(&dir, &txn());
    assert_eq!(load(&dir).logins, Some(saved.clone()), "what says nothing of it leaves it");

    let mut database = open_in(&dir).expect("it can be opened").0.database;
    let clock = Reading::at(secs(100), wall(9_000));
    database.load(clock, jail, source).expect("it can be read");
    database.write(&txn(), clock).expect("it can be written");
    let again = database.load(clock, jail, source).expect("it can be read").logins.expect("it is there");
    assert_eq!(again, saved, "within a boot no clock moves it");
    drop(database);

    write(&dir, &Transaction { logins: Some(None), ..txn() });
    assert_eq!(load(&dir).logins, None);
}
