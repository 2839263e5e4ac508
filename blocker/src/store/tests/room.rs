//! What is over gives its room back to the file system; what finds no room waits for it.

use super::*;

#[test]
fn what_is_over_leaves_the_file_and_the_file_shrinks() {
    let dir = TempDir::new();
    let bans = (0..20_000).map(|n| ((host(n), DOVECOT), Some(log_ban(1, Until::At(secs(10)))))).collect();
    let kept = (host(1_000_000), DOVECOT);
    let more = Changes { bans: vec![(kept, Some(log_ban(1, Until::Forever)))], ..Changes::default() };
    let mut database = open_in(&dir).expect("it can be opened").0.database;
    for changes in [Changes { bans, ..Changes::default() }, more] {
        database
            .write(&Transaction { changes, ..txn() }, Reading::at(secs(2), wall(1_002)))
            .expect("it can be written");
    }
    drop(database);
    let size = || fs::metadata(dir.path("state/blocker.db")).expect("it is there").len();
    let full = size();
    assert!(full > 1024 * 1024, "{full} bytes");

    let clock = Reading::at(secs(100_000), wall(101_000));
    let mut database = open(&dir.path("state"), clock, jail, source).expect("it can be opened").0.database;
    database.clean(Duration::from_secs(60), clock).expect("it can be cleaned");
    assert_eq!(database.count("bans"), 1);
    drop(database);

    let left = size();
    assert!(left < full / 4, "{left} of {full} bytes");
    assert_eq!(load(&dir).memory.bans.len(), 1);
}

#[test]
fn what_does_not_fit_is_not_written_in_part_and_is_written_when_there_is_room() {
    let dir = TempDir::new();
    let mut database = open_in(&dir).expect("it can be opened").0.database;
    database.limit_pages(30);
    let bans: Vec<_> = (0..5_000).map(|n| ((host(n), DOVECOT), Some(log_ban(1, Until::Forever)))).collect();
    let all = Transaction { changes: Changes { bans, ..Changes::default() }, ..txn() };

    let error = database.write(&all, Reading::take()).expect_err("there is no room");
    assert!(!database::is_damage(&error), "{error}");
    database.limit_pages(10_000);
    database.write(&all, Reading::take()).expect("there is room");

    drop(database);
    assert_eq!(load(&dir).memory.bans.len(), 5_000);
}
