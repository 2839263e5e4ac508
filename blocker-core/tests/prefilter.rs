//! Passing over lines changes nothing: an engine that looks at every line and one that looks for what its filters need do the
//! same. Nor does it that nobody wants to know of each single failure.

use std::time::Duration;

use blocker_core::brake;
use blocker_core::engine::{
    Bounds, Command, Counter, Engine, Event, Jail, JailId, Limits, Line, Lines, LogId, Settings, SourceId, Stats,
};
use blocker_core::filter::Filter;
use blocker_core::filter::fail2ban::{Definition, Fail2ban};
use blocker_core::filter::registry::Filters;
use blocker_core::jail::Repeat;
use blocker_core::time::{BanTime, Timestamp};
use proptest::prelude::*;

const SOURCE: SourceId = SourceId::new(1);
const LOG: LogId = LogId::new(1);

/// An engine with a jail for each of these filters, all on one source.
fn engine(filters: &[Filter]) -> Engine {
    let limits = Limits {
        max_retry: 3,
        find_time: Duration::from_secs(600),
        ban_time: BanTime::For(Duration::from_secs(3600)),
        counter: Counter::Exact,
    };
    let jails = (0..).zip(filters).map(|(number, filter)| Jail {
        id: JailId::new(number).expect("there are fewer filters than jails"),
        name: filter.name().to_owned(),
        filter: Some(filter.clone()),
        sources: vec![SOURCE],
        limits,
        repeat: Repeat::default(),
        forgives: true,
    });
    Engine::new(Settings {
        jails: jails.collect(),
        manual: JailId::MIN,
        allow: Vec::new(),
        ipv6_prefix: 64,
        brake: brake::Limits::default(),
        remember_bans: Duration::from_secs(30 * 24 * 60 * 60),
        bounds: Bounds::default(),
    })
}

/// Some in fail2ban's language: with a word that is looked for, with a prefix, with a line that helps, and without any word.
fn of_fail2ban() -> Vec<Filter> {
    let filter = |name: &str, prefregex: Option<&str>, failregex: &[&str], datepattern: Option<&str>| {
        let definition = Definition {
            name: name.to_owned(),
            prefregex: prefregex.map(str::to_owned),
            failregex: failregex.iter().map(|&source| source.to_owned()).collect(),
            datepattern: datepattern.map(str::to_owned),
            maxlines: 1,
            ..Definition::default()
        };
        Filter::Fail2ban(Fail2ban::compile(definition).expect("it is one").into())
    };
    vec![
        filter("word", None, &["failed from <HOST>$", "^ *(?:\\[\\] )?login failed from <HOST>$"], None),
        filter("inside", None, &["^login \\[\\] failed from <HOST>$"], None),
        filter("begin", None, &["^login \\[2026-11-23 01:06:25\\] failed from <HOST>$"], Some("{^LN-BEG}")),
        filter(
            "prefix",
            Some("^ mx1 sshd\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-CONTENT>.+</F-CONTENT>$"),
            &["^refused <HOST>$", "^<F-NOFAIL>connection</F-NOFAIL> of <HOST>$", "^nothing$"],
            None,
        ),
        filter("none", None, &["(?!login)\\w+ from <HOST>"], None),
    ]
}

fn commands(engine: &mut Engine) -> Vec<Command> {
    std::iter::from_fn(|| engine.poll_command()).collect()
}

/// Judges the lines of a batch, which end as they end in a file, as the daemon does.
fn judge(engine: &mut Engine, bytes: &[u8], ends: &[usize], now: Timestamp) -> Vec<Command> {
    judge_all(engine, Lines::new(SOURCE, LOG, false, bytes, ends), now)
}

fn judge_all(engine: &mut Engine, mut lines: Lines<'_>, now: Timestamp) -> Vec<Command> {
    let mut got = Vec::new();
    loop {
        let may_be_more = engine.handle_next(&mut lines, now);
        got.extend(commands(engine));
        if !may_be_more {
            return got;
        }
    }
}

/// Lines without a header that can be read count as such only if they are looked at.
fn comparable(stats: Stats) -> Stats {
    Stats { no_match: stats.no_match + stats.malformed, malformed: 0, ..stats }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let examples: Vec<String> = Filters::builtin()
        .iter()
        .flat_map(|filter| filter.examples().map(|examples| examples.examples).unwrap_or_default())
        .map(|example| example.line)
        .collect();
    let others = prop::sample::select(vec![
        "Nov 23 01:06:25 mx1 last message repeated 2 times",
        "Nov 23 01:06:25 mx2 last message repeated 3 times",
        "Nov 23 01:06:25 last message repeated 2 times",
        "Nov 23 01:06:25 mx1 dovecot: message repeated 2 times: [ imap-login: Disconnected (auth failed, 1 attempts in 2 secs): \
         user=<bob>, method=PLAIN, rip=192.0.2.9]",
        "Nov 23 01:06:25 mx1 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN, \
         rip=192.0.2.8",
        "Nov 23 01:06:25 mx2 dovecot: pop3-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN, \
         rip=192.0.2.7",
        "Nov 23 01:06:25 mx1 postfix/qmgr[7]: 4AN1G5aa004021: removed",
        "Nov 23 01:06:25 mx2 CRON[7]: (root) CMD (true)",
        "2026-11-23T01:06:25Z mx2 systemd[1]: Started something",
        "no line of a log",
        "2026-11-23 01:06:25 login failed from 192.0.2.6",
        "[2026-11-23 01:06:25] login failed from 192.0.2.6",
        "login [2026-11-23 01:06:25] failed from 192.0.2.6",
        "login failed from 192.0.2.6",
        "Nov 23 01:06:25 mx1 sshd[7]: refused 192.0.2.5",
        "Nov 23 01:06:25 mx1 sshd[7]: message repeated 2 times: [ refused 192.0.2.5]",
        "Nov 23 01:06:25 mx1 sshd[7]: connection of 192.0.2.5",
        "Nov 23 01:06:25 mx1 sshd[7]: nothing",
        "x-logi",
        "n: ssh",
        "\u{fffd}",
    ]);
    prop_oneof![
        3 => others.prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::sample::select(examples).prop_map(String::into_bytes),
    ]
}

/// What stands behind a line in a batch.
fn end() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![&b"\n"[..], b"\r\n", b""])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_passed_over_would_have_changed_nothing(
        batches in prop::collection::vec(prop::collection::vec((line(), end()), 1..12), 1..6),
        which in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let all: Vec<Filter> = Filters::builtin().iter().cloned().chain(of_fail2ban()).collect();
        let mut filters: Vec<Filter> = which.iter().map(|index| index.get(&all).clone()).collect();
        filters.dedup_by(|a, b| a.name() == b.name());
        let [mut each, mut some, mut untold, mut newlines] = [(); 4].map(|()| engine(&filters));
        let mut empty = 0;
        untold.tell_failures(false);
        for (second, batch) in (0..).zip(&batches) {
            let now = Timestamp::from_secs(second);
            let mut expected = Vec::new();
            for (line, _) in batch {
                each.handle_line(Line { source: SOURCE, log: LOG, bytes: line, past: false }, now);
                expected.extend(commands(&mut each));
            }
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (line, end) in batch {
                bytes.extend_from_slice(line);
                bytes.extend_from_slice(end);
                ends.push(bytes.len());
            }
            prop_assert_eq!(&judge(&mut some, &bytes, &ends, now), &expected);
            // A line that has no end gets one here, and an empty line behind it.
            let text: Vec<&[u8]> =
                batch.iter().flat_map(|(line, end)| [line.as_slice(), if end.is_empty() { b"\n\r\n" } else { *end }]).collect();
            empty += batch.iter().filter(|(_, end)| end.is_empty()).count() as u64;
            let text = text.concat();
            let count = text.iter().filter(|byte| **byte == b'\n').count();
            let lines = Lines::by_newlines(SOURCE, LOG, false, &text, count);
            prop_assert_eq!(&judge_all(&mut newlines, lines, now), &expected);
            let is_of_one = |command: &Command| {
                matches!(command, Command::Notify(Event::Found(_) | Event::Ignored { .. }))
            };
            expected.retain(|command| !is_of_one(command));
            prop_assert_eq!(judge(&mut untold, &bytes, &ends, now), expected);
        }
        prop_assert_eq!(comparable(some.stats()), comparable(each.stats()));
        prop_assert_eq!(untold.stats(), some.stats());
        let Stats { lines, no_match, .. } = comparable(some.stats());
        let expected = Stats { lines: lines + empty, no_match: no_match + empty, ..comparable(some.stats()) };
        prop_assert_eq!(comparable(newlines.stats()), expected);
    }
}
