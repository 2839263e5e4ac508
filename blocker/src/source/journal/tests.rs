//! Who gets which entry, and what becomes of the cursor. What real `journalctl`s do is in `tests/e2e/journal.rs`.

use blocker_core::engine::SourceId;
use blocker_core::journal::Matches;
use tokio::sync::watch;

use super::child::{Phase, Trouble, arguments};
use super::*;
use crate::source::Batch;

/// As it is unless it is configured.
const MAX_LINE_BYTES: usize = 8 * 1024;

const DOVECOT: &str = "_SYSTEMD_UNIT=dovecot.service";

#[test]
fn each_input_gets_its_own_entries_and_only_from_whom_it_trusts() {
    let mut reader = reader(vec![
        input(0, &[DOVECOT], &[DOVECOT, "_UID=0"]),
        input(1, &[DOVECOT, "+", "_COMM=sshd"], &[]),
        input(2, &["_COMM=postfix"], &[]),
    ]);

    take(
        &mut reader,
        Phase::Follow,
        None,
        &[
            &[DOVECOT, "_UID=0", "MESSAGE=from root"],
            &[DOVECOT, "_UID=1000", "MESSAGE=forged"],
            &["_COMM=sshd", "MESSAGE=an sshd's"],
            &["_COMM=bash", "MESSAGE=of nobody"],
        ],
    );

    assert_eq!(messages(&mut reader), [vec!["from root"], vec!["from root", "forged", "an sshd's"], vec![]]);
    let problems = reader.readings[0].state(None).problems;
    assert_eq!(
        problems,
        ["1 entries of the journal do not count: they match _SYSTEMD_UNIT=dovecot.service, but not \
                          _SYSTEMD_UNIT=dovecot.service _UID=0 (`journal_trust`)"]
    );
}

#[test]
fn the_entry_of_the_cursor_is_left_out_and_no_other() {
    let mut reader = reader(vec![input(0, &[DOVECOT], &[])]);
    let entries: [&[&str]; 3] = [
        &["__CURSOR=s=1;i=1", DOVECOT, "MESSAGE=one"],
        &["__CURSOR=s=1;i=2", DOVECOT, "MESSAGE=two"],
        &["__CURSOR=s=1;i=3", "MESSAGE=of nobody"],
    ];

    take(&mut reader, Phase::CatchUp, Some("s=1;i=1"), &entries);
    assert_eq!(messages(&mut reader), [["two"]]);
    assert_eq!(reader.position, Position::Behind("s=1;i=3".to_owned()));

    // The one that it was is gone.
    take(&mut reader, Phase::CatchUp, Some("s=0;i=9"), &entries);
    assert_eq!(messages(&mut reader), [["one", "two"]]);
}

#[test]
fn what_is_caught_up_with_is_past() {
    let mut reader = reader(vec![input(0, &[DOVECOT], &[])]);
    for (phase, past) in [(Phase::CatchUp, true), (Phase::Follow, false), (Phase::CatchUp, true)] {
        take(&mut reader, phase, None, &[&[DOVECOT, "MESSAGE=one"]]);
        assert_eq!(reader.readings[0].take_batch().map(|batch| batch.is_past()), Some(past));
    }
}

#[test]
fn who_comes_later_is_not_told_what_was_before() {
    let (sender, receiver) = watch::channel(vec![input(0, &[DOVECOT], &[])]);
    let mut reader = JournalReader::new(JournalPlace::default(), receiver, MAX_LINE_BYTES);
    reader.take_inputs();
    sender.send(vec![input(0, &[DOVECOT], &[]), input(1, &[DOVECOT], &[])]).unwrap();
    reader.take_inputs();

    let (before, after) = (wall_micros() - 60_000_000, wall_micros() + 60_000_000);
    let (before, after) = (format!("__REALTIME_TIMESTAMP={before}"), format!("__REALTIME_TIMESTAMP={after}"));
    let entries: [&[&str]; 2] = [&[&before, DOVECOT, "MESSAGE=before"], &[&after, DOVECOT, "MESSAGE=after"]];
    take(&mut reader, Phase::CatchUp, None, &entries);

    assert_eq!(messages(&mut reader), [vec!["before", "after"], vec!["after"]]);
}

#[test]
fn the_oldest_place_is_begun_at_and_each_is_given_what_it_has_not_read() {
    let inputs = vec![input(0, &[DOVECOT], &[]), input(1, &[DOVECOT], &[]), input(2, &[DOVECOT], &[])];
    let marks = [(0, "s=1;i=2;t=2"), (1, "s=1;i=1;t=1")].map(|(id, cursor)| (SourceId::new(id), behind(cursor)));
    let (_sender, receiver) = watch::channel(inputs);
    let mut reader = JournalReader::new(JournalPlace::default(), receiver, MAX_LINE_BYTES).going_on_from(marks.into());
    reader.take_inputs();
    assert_eq!(reader.position, Position::Behind("s=1;i=1;t=1".to_owned()));

    let entry = |number: u64| {
        let at = format!("__REALTIME_TIMESTAMP={number}");
        [format!("__CURSOR=s=1;i={number};t={number}"), at, DOVECOT.to_owned(), format!("MESSAGE={number}")]
    };
    let entries = [1, 2, 3].map(entry);
    let entries = entries.each_ref().map(|fields| fields.each_ref().map(String::as_str));
    let entries = entries.each_ref().map(|fields| &fields[..]);

    // A place that an earlier run has left is not told anew while the reader is behind it.
    take(&mut reader, Phase::CatchUp, Some("s=1;i=1;t=1"), &entries[..2]);
    assert_eq!(marks_to_tell(&mut reader), [None, Some(behind("s=1;i=2;t=2")), None]);
    assert_eq!(messages(&mut reader), [vec![], vec!["2"], vec![]]);
    take(&mut reader, Phase::CatchUp, Some("s=1;i=1;t=1"), &entries[2..]);
    let last = Some(behind("s=1;i=3;t=3"));
    assert_eq!(marks_to_tell(&mut reader), [last.clone(), last.clone(), None]);
    // The third is new, and these are from long before it.
    assert_eq!(messages(&mut reader), [vec!["3"], vec!["3"], vec![]]);

    reader.readings.iter_mut().for_each(Reading::note_caught_up);
    assert_eq!(marks_to_tell(&mut reader), [None, None, last], "each once");
}

#[test]
fn a_journal_that_was_empty_is_begun_at_its_beginning() {
    let (_sender, receiver) = watch::channel(vec![input(0, &[DOVECOT], &[]), input(1, &[DOVECOT], &[])]);
    let marks = [(SourceId::new(0), JournalMark::Beginning), (SourceId::new(1), behind("s=1;i=1;t=1"))];
    let mut reader = JournalReader::new(JournalPlace::default(), receiver, MAX_LINE_BYTES).going_on_from(marks.into());
    reader.take_inputs();

    assert_eq!(reader.position, Position::Beginning);
    let entries: [&[&str]; 2] =
        [&["__CURSOR=s=1;i=1;t=1", DOVECOT, "MESSAGE=one"], &["__CURSOR=s=2;i=1;t=2", DOVECOT, "MESSAGE=two"]];
    take(&mut reader, Phase::CatchUp, None, &entries);
    assert_eq!(messages(&mut reader), [vec!["one", "two"], vec!["two"]]);
}

#[test]
fn what_is_too_long_is_counted_and_what_says_nothing_is_not() {
    let mut reader = reader(vec![input(0, &[DOVECOT], &[])]);
    let long = format!("MESSAGE={}", "x".repeat(MAX_LINE_BYTES));
    take(&mut reader, Phase::Follow, None, &[&[DOVECOT, &long], &[DOVECOT], &[DOVECOT, "MESSAGE=one"]]);

    assert_eq!(messages(&mut reader), [["one"]]);
    let counters = reader.readings[0].state(None).counters;
    assert_eq!((counters.lines, counters.overlong_lines), (1, 1));
}

#[test]
fn how_long_a_message_may_be_is_configured_as_for_every_log() {
    let mut reader = reader(vec![input(0, &[DOVECOT], &[])]);
    reader.max_line_bytes = 64 * 1024;
    let longest = "x".repeat(reader.max_line_bytes - 100);
    let longer = "x".repeat(reader.max_line_bytes + 1);
    let entries = [&longest, &longer].map(|text| format!("MESSAGE={text}"));
    let entries = entries.each_ref().map(|message| [DOVECOT, message]);

    let text: Vec<&[&str]> = entries.iter().map(|entry| &entry[..]).collect();
    take(&mut reader, Phase::Follow, None, &text);

    assert!(messages(&mut reader) == [[longest]]);
    assert_eq!(reader.readings[0].state(None).counters.overlong_lines, 1);
}

#[test]
fn one_journalctl_asks_for_what_all_want() {
    let reader = reader(vec![input(0, &[DOVECOT], &["_UID=0"]), input(1, &["_COMM=a", "+", "_COMM=b"], &[])]);
    let place = JournalPlace { namespace: Some("mail".to_owned()), directory: Some("/j".into()) };
    let called = |place: &JournalPlace, phase, cursor| arguments(place, phase, cursor, &reader.readings).join(" ");

    assert_eq!(
        called(&place, Phase::Follow, Some("s=1;i=2")),
        "--output=export --no-pager --all --namespace=mail --directory=/j --merge \
         --output-fields=MESSAGE,SYSLOG_IDENTIFIER,_COMM,_HOSTNAME,_PID,_SYSTEMD_UNIT,_UID --follow --no-tail \
         --cursor=s=1;i=2 _SYSTEMD_UNIT=dovecot.service + _COMM=a + _COMM=b"
    );
    assert_eq!(
        called(&JournalPlace::default(), Phase::Last, None),
        "--output=export --no-pager --all --output-fields=_BOOT_ID --lines=1",
        "whoever wrote it"
    );
    let catch_up = called(&JournalPlace::default(), Phase::CatchUp, None);
    assert!(!catch_up.contains("--follow") && !catch_up.contains("--merge"), "{catch_up}");
}

#[test]
fn a_missing_journal_is_a_problem_where_there_is_nothing_else_to_read() {
    for (is_optional, trouble, waiting, problems) in [
        (true, Trouble::NoProgram, 1, 0),
        (false, Trouble::NoProgram, 0, 1),
        (true, Trouble::NoJournal(None), 1, 0),
        (true, Trouble::NoRight, 0, 1),
        (true, Trouble::Ended("x".to_owned()), 0, 1),
    ] {
        let mut reader = reader(vec![JournalInput { is_optional, ..input(0, &[DOVECOT], &[]) }]);
        let state = reader.readings[0].state(Some(&trouble));
        assert_eq!((state.waiting.len(), state.problems.len()), (waiting, problems), "{trouble:?}");
    }
}

#[test]
fn what_journalctl_says_is_understood() {
    for (words, expected) in [
        ("", None),
        ("-- No entries --\n", None),
        ("No journal files were found.\n", Some(Trouble::NoJournal(None))),
        (
            "Failed to open /j: No such file or directory\n",
            Some(Trouble::NoJournal(Some("Failed to open /j: No such file or directory".to_owned()))),
        ),
        ("No journal files were opened due to insufficient permissions.\n", Some(Trouble::NoRight)),
        (
            "Hint: You are currently not seeing messages from other users and the system.\n      Users in groups 'adm', \
             'systemd-journal' can see all messages.\n      Pass -q to turn off this notice.\n",
            Some(Trouble::NoRight),
        ),
        ("Failed to seek to cursor: Invalid argument\n", Some(Trouble::Cursor)),
    ] {
        assert_eq!(Trouble::read(words), expected, "{words}");
    }
    assert!(Trouble::NoRight.to_string().contains("the group systemd-journal"));
}

#[test]
fn a_cursor_is_only_given_back_if_it_is_one() {
    for (text, expected) in [
        ("s=2a;i=1;b=0f;m=f4;t=66;x=c8", Some("s=2a;i=1;b=0f;m=f4;t=66;x=c8")),
        ("", None),
        ("s=2a i=1", None),
        ("s=ü", None),
    ] {
        let mut parser = Parser::new(MAX_LINE_BYTES);
        let mut read = 0;
        let text = format!("__CURSOR={text}\n\n");
        parser
            .push(text.as_bytes(), |entry| {
                read += 1;
                assert_eq!(cursor::of(entry), expected, "{text}");
            })
            .unwrap();
        assert_eq!(read, 1);
    }
}

fn input(source: u32, matches: &[&str], trust: &[&str]) -> JournalInput {
    let read = |words: &[&str]| Matches::read(words.iter().copied());
    JournalInput {
        source: SourceId::new(source),
        matches: read(matches).expect("they are matches"),
        trust: read(trust).ok(),
        is_optional: false,
    }
}

fn reader(inputs: Vec<JournalInput>) -> JournalReader {
    let (_sender, receiver) = watch::channel(inputs);
    let mut reader = JournalReader::new(JournalPlace::default(), receiver, MAX_LINE_BYTES);
    reader.take_inputs();
    reader
}

fn take(reader: &mut JournalReader, phase: Phase, begun_at: Option<&str>, entries: &[&[&str]]) {
    let text: String = entries.iter().map(|fields| fields.join("\n") + "\n\n").collect();
    let mut parser = Parser::new(reader.max_line_bytes);
    reader.take(&mut parser, text.as_bytes(), phase, begun_at).expect("it is an export");
}

/// What was taken for each input, less the headers.
fn messages(reader: &mut JournalReader) -> Vec<Vec<String>> {
    let texts = |batch: Batch| {
        let lines = batch.lines().map(|line| String::from_utf8_lossy(line).into_owned());
        lines.map(|line| line.split_once(": ").map(|(_, message)| message.to_owned()).unwrap_or_default()).collect()
    };
    reader.readings.iter_mut().map(|reading| reading.take_batch().map(texts).unwrap_or_default()).collect()
}

fn behind(cursor: &str) -> JournalMark {
    JournalMark::Behind(cursor.to_owned())
}

fn marks_to_tell(reader: &mut JournalReader) -> Vec<Option<JournalMark>> {
    let here = reader.position.mark().expect("it has one");
    reader.readings.iter_mut().map(|reading| reading.mark_to_tell(&here)).collect()
}
