//! Tests of the whole source: the task, the kernel's notifications, a real directory.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::testing::{TempDir, appender};
use super::super::{SourceState, Standing};
use super::*;

/// Beyond this, what a test waits for will not come.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn rotation_under_continuous_writing_loses_and_repeats_no_line() {
    const LINES: u64 = 60_000;
    const LINES_PER_FILE: u64 = 1_500;
    let dir = TempDir::new();
    let mut writer = appender(&dir.path("mail.log"));
    let mut events = start(&[dir.text("mail.log")], 4);
    next_state(&mut events).await;

    let rotations_seen = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&rotations_seen);
    let log = dir.path("mail.log");
    let writing = thread::spawn(move || {
        let mut old: Option<File> = None;
        let mut rotations = 0;
        for number in 0..LINES {
            // The writer is told some time after the rotation; the next rotation is after the source has seen the last.
            if number % LINES_PER_FILE == 0 && number > 0 && seen.load(Ordering::Acquire) == rotations {
                rotations += 1;
                std::fs::rename(&log, log.with_extension(format!("log.{rotations}"))).expect("the file can be renamed");
                old = Some(std::mem::replace(&mut writer, appender(&log)));
            } else if number % LINES_PER_FILE == LINES_PER_FILE / 3 {
                old = None;
            }
            let line = format!("line {number}\n");
            let file = old.as_mut().filter(|_| number % 2 == 0).unwrap_or(&mut writer);
            // In two pieces now and then.
            let (first, second) = line.as_bytes().split_at(if number % 7 == 0 { 3 } else { 0 });
            file.write_all(first).and_then(|()| file.write_all(second)).expect("the file can be written");
        }
        rotations
    });

    let mut times_seen = vec![0_u32; LINES as usize];
    let mut total = 0;
    while total < LINES {
        match timeout(DEADLINE, events.recv()).await {
            Ok(Some(SourceEvent::Lines(batch))) => {
                assert_eq!(batch.source(), SourceId::new(3));
                for line in batch.lines() {
                    let text = std::str::from_utf8(line).expect("the lines are ASCII");
                    let number = text.strip_prefix("line ").and_then(|number| number.parse::<usize>().ok());
                    times_seen[number.unwrap_or_else(|| panic!("{text:?} was never written"))] += 1;
                    total += 1;
                }
            }
            Ok(Some(SourceEvent::State(_, state))) => {
                rotations_seen.store(state.counters.rotations, Ordering::Release);
                assert_eq!(state.problems, [""; 0]);
            }
            Ok(Some(SourceEvent::Lost(..))) => {}
            Ok(Some(SourceEvent::End) | None) => panic!("the source has ended"),
            Err(_) => panic!("{total} of {LINES} lines seen, first missing: {:?}", missing(&times_seen)),
        }
    }

    let rotations = writing.join().expect("the writer does not fail");
    assert_eq!(missing(&times_seen), None);
    assert!(times_seen.iter().all(|&times| times == 1), "a line was seen twice");
    assert!(rotations > 3, "only {rotations} rotations");
}

#[tokio::test]
async fn a_full_channel_makes_it_wait_and_lose_nothing() {
    let dir = TempDir::new();
    dir.write("mail.log", b"");
    let mut events = start(&[dir.text("mail.log")], 1);
    next_state(&mut events).await;

    let line = [b'x'; 1000];
    for _ in 0..2_000 {
        dir.append("mail.log", &[&line[..], b"\n"].concat());
        tokio::task::yield_now().await;
    }

    let mut total = 0;
    while total < 2_000 {
        total += next_lines(&mut events).await.len();
        assert!(events.len() <= 1);
    }
    assert_eq!(total, 2_000);
}

#[tokio::test]
async fn a_flood_of_notifications_does_not_keep_it_from_reading() {
    let dir = TempDir::new();
    let mut writers = ["a.log", "b.log", "c.log"].map(|name| appender(&dir.path(name)));
    let mut events = start(&[dir.text("*.log")], 4);
    next_state(&mut events).await;

    let has_seen_enough = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&has_seen_enough);
    let flooding = thread::spawn(move || {
        // One notification for each write, since they are merged only where they follow one another.
        while !is_over.load(Ordering::Relaxed) {
            for writer in &mut writers {
                writer.write_all(b"x\n").expect("the file can be written");
            }
        }
    });
    let mut total = 0;
    while total < 10_000 {
        total += next_lines(&mut events).await.len();
    }

    has_seen_enough.store(true, Ordering::Relaxed);
    flooding.join().expect("the writer does not fail");
}

#[tokio::test]
async fn waits_for_a_file_and_tells_when_it_has_found_it() {
    let dir = TempDir::new();
    let mut events = start(&[dir.text("later/mail.log")], 16);
    assert_eq!(next_state(&mut events).await.waiting, [dir.text("later/mail.log")]);

    std::fs::create_dir(dir.path("later")).expect("a directory can be made");
    dir.append("later/mail.log", b"one\n");

    let state = next_state(&mut events).await;
    assert_eq!(state.waiting, [""; 0]);
    assert_eq!(state.files[0].standing, Standing::Current);
    assert_eq!(next_lines(&mut events).await, ["one"]);
}

#[tokio::test]
async fn ends_when_nobody_listens() {
    let dir = TempDir::new();
    let source = FileSource::new(SourceId::new(3), vec![dir.text("mail.log")], 8192).expect("the pattern is good");
    let (sender, receiver) = mpsc::channel(1);
    let running = tokio::spawn(source.run(sender));

    drop(receiver);

    timeout(DEADLINE, running).await.expect("it ends in time").expect("it does not fail");
}

fn start(patterns: &[String], capacity: usize) -> mpsc::Receiver<SourceEvent> {
    let source = FileSource::new(SourceId::new(3), patterns.to_vec(), 8192).expect("the patterns are good");
    let (sender, receiver) = mpsc::channel(capacity);
    tokio::spawn(source.run(sender));
    receiver
}

/// The state that comes next.
async fn next_state(events: &mut mpsc::Receiver<SourceEvent>) -> SourceState {
    loop {
        match timeout(DEADLINE, events.recv()).await {
            Ok(Some(SourceEvent::State(_, state))) => return state,
            Ok(Some(SourceEvent::Lines(batch))) if batch.is_empty() => {}
            other => panic!("expected a state, got {other:?}"),
        }
    }
}

async fn next_lines(events: &mut mpsc::Receiver<SourceEvent>) -> Vec<String> {
    loop {
        match timeout(DEADLINE, events.recv()).await {
            Ok(Some(SourceEvent::Lines(batch))) if !batch.is_empty() => {
                return batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            }
            Ok(Some(SourceEvent::State(..) | SourceEvent::Lines(_) | SourceEvent::Lost(..))) => {}
            other => panic!("expected lines, got {other:?}"),
        }
    }
}

fn missing(times_seen: &[u32]) -> Option<usize> {
    times_seen.iter().position(|&times| times == 0)
}
