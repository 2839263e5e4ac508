//! A table of bans that fills up: told before it is full, and when it is, those give way that would have ended first.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    process::Finished,
    wait,
};

use crate::metrics::{ADDRESS, scrape, value};
use crate::siege::LIMIT;

/// Hosts that the table of each family takes, the fewest that may be configured.
const ROOM: u32 = 1024;

/// The first number of hosts that is four fifths of it.
const NEARLY_FULL: u32 = 820;

#[test]
fn a_table_that_is_nearly_full_is_told_in_the_status_the_log_and_the_metrics_until_it_has_room() -> Result<()> {
    for table in [IPV4, IPV6] {
        let net = Net::new()?;
        let daemon = launch(&net)?;
        says(&net, &daemon, table, NOTHING)?;

        ban(&daemon, table, 0..NEARLY_FULL - 1, "1h")?.success()?;
        says(&net, &daemon, table, NOTHING)?;

        ban(&daemon, table, NEARLY_FULL - 1..NEARLY_FULL, "1h")?.success()?;
        let everything = Says { status: true, metrics: true, warnings: 1, notes: 0 };
        says(&net, &daemon, table, everything)?;

        // One less is less than four fifths. The log does not repeat itself for that, nor for the next.
        unban(&daemon, table, 0..1)?;
        says(&net, &daemon, table, Says { status: false, metrics: false, ..everything })?;
        ban(&daemon, table, 0..1, "1h")?.success()?;
        says(&net, &daemon, table, everything)?;

        unban(&daemon, table, 0..NEARLY_FULL / 2)?;
        let over = Says { status: false, metrics: false, warnings: 1, notes: 1 };
        says(&net, &daemon, table, over)?;

        ban(&daemon, table, 0..NEARLY_FULL / 2, "1h")?.success()?;
        says(&net, &daemon, table, Says { warnings: 2, notes: 1, ..everything })?;
        daemon.cli(&["unban", "--all"])?.success()?;
        says(&net, &daemon, table, Says { warnings: 2, notes: 2, ..over })?;
    }
    Ok(())
}

#[test]
fn in_a_full_table_the_bans_soonest_to_end_give_way_loudly_and_permanent_ones_last() -> Result<()> {
    for table in [IPV4, IPV6] {
        let net = Net::new()?;
        let daemon = launch(&net)?;
        // Those that end first are made last.
        let (permanent, late, soon) = (0..ROOM - 20, ROOM - 20..ROOM - 10, ROOM - 10..ROOM);
        ban(&daemon, table, permanent.clone(), "forever")?.success()?;
        ban(&daemon, table, late.clone(), "2d")?.success()?;
        ban(&daemon, table, soon.clone(), "1d")?.success()?;
        ensure!(gave_way(&daemon).is_empty() && kernel(&daemon)?.len() == ROOM as usize, "all of them have room");

        ban(&daemon, table, ROOM..ROOM + 10, "3d")?.success()?;
        holds(&daemon, table, &[permanent.clone(), late.clone(), ROOM..ROOM + 10])?;
        tells(&daemon, table, soon)?;

        ban(&daemon, table, ROOM + 10..ROOM + 20, "forever")?.success()?;
        holds(&daemon, table, &[permanent.clone(), ROOM..ROOM + 20])?;
        tells(&daemon, table, late.start..ROOM)?;

        ban(&daemon, table, ROOM + 20..ROOM + 30, "forever")?.success()?;
        holds(&daemon, table, &[permanent.clone(), ROOM + 10..ROOM + 30])?;
        tells(&daemon, table, late.start..ROOM + 10)?;

        // Of the permanent ones none gives way: the new ban is refused, and that is as loud.
        for length in ["1h", "forever"] {
            let refused = ban(&daemon, table, ROOM + 30..ROOM + 31, length)?;
            ensure!(refused.code == Some(1) && refused.stdout.contains("full"), "{refused:?}");
        }
        holds(&daemon, table, &[permanent, ROOM + 10..ROOM + 30])?;
        let of_refused = "ERROR a table is full of bans without an end";
        let told = || daemon.printed().lines().filter(|line| line.contains(of_refused)).count() == 2;
        wait::until_true("the log to tell of both", LIMIT, told, || daemon.printed())?;
        let problems = daemon.status()?.problems;
        ensure!(problems.iter().any(|problem| problem.starts_with("30 bans gave way")), "{problems:?}");
    }
    Ok(())
}

/// Of a list each ban beyond the table's room makes an earlier one give way, or is refused. The log tells how many, and is no list.
#[test]
fn a_list_longer_than_its_table_is_summed_up_in_the_log() -> Result<()> {
    const LEN: u32 = 12 * ROOM;
    let net = Net::new()?;
    let daemon = launch(&net)?;
    let list = daemon.directory().join("list");
    for (numbers, length, held, gave_way, refused) in [
        (0..LEN, "1h", LEN - ROOM..LEN, LEN - ROOM, 0),
        // Those of before give way, and then nobody does.
        (0..LEN, "forever", 0..ROOM, ROOM, LEN - ROOM),
        (LEN..2 * LEN, "1h", 0..ROOM, 0, LEN),
    ] {
        let before = daemon.printed().lines().count();
        std::fs::write(&list, numbers.map(|number| (IPV4.prefix)(number) + "\n").collect::<String>())?;
        let mut command = daemon.command(&["ban", "-", "--for", length]);

        let done = command.stdin(std::fs::File::open(&list)?).output()?;

        ensure!(done.status.code() == Some(i32::from(refused > 0)), "{}", String::from_utf8_lossy(&done.stderr));
        holds(&daemon, IPV4, &[held])?;
        wait::until("the log to tell how many", LIMIT, || {
            let printed = daemon.printed();
            let errors: Vec<&str> = printed.lines().skip(before).filter(|line| line.contains("ERROR")).collect();
            // Those that came alone are told one by one.
            let told = |summed_up: &str, alone: &str| -> u32 {
                let number = |line: &&str| line.split_once(summed_up)?.1.split(' ').next()?.parse().ok();
                let count = |line: &&str| number(line).unwrap_or_else(|| u32::from(line.contains(alone)));
                errors.iter().map(count).sum()
            };
            let told = (told("gave_way=", "soonest to end gives way"), told("refused=", "the new ban is refused"));
            if told == (gave_way, refused) { Ok(()) } else { Err(format!("{told:?}, {errors:#?}")) }
        })?;
        let lines = daemon.printed().lines().count() - before;
        ensure!(lines < 2_000, "{lines} lines for {LEN} bans");
    }
    Ok(())
}

/// What is told of many together is of a list or of an attack of many who are banned, not of many who fail.
#[test]
fn who_gives_way_is_named_among_any_number_of_failures() -> Result<()> {
    let net = Net::new()?;
    let daemon = launch(&net)?;
    ban(&daemon, IPV4, 0..1, "30m")?.success()?;
    ban(&daemon, IPV4, 1..ROOM, "1h")?.success()?;
    let guilty = "203.0.113.5".parse()?;
    let mut log = String::new();
    for number in 0..600 {
        let (source, attempts) =
            if number == 200 { (guilty, 5) } else { (format!("198.18.{}.{}", number >> 8, number & 0xff).parse()?, 1) };
        log += &(lines::refused(source, attempts) + "\n");
    }

    // At once, so that they are judged together.
    daemon.log().append_raw(log.as_bytes())?;

    daemon.await_ban(guilty, LIMIT)?;
    tells(&daemon, IPV4, 0..1)
}

/// A table of hosts.
#[derive(Clone, Copy)]
struct Table {
    /// In the metrics.
    name: &'static str,
    /// In sentences.
    what: &'static str,
    /// The prefix of this number.
    prefix: fn(u32) -> String,
}

const IPV4: Table =
    Table { name: "ipv4", what: "IPv4 hosts", prefix: |number| format!("10.0.{}.{}", number >> 8, number & 0xff) };
const IPV6: Table =
    Table { name: "ipv6", what: "IPv6 /64s", prefix: |number| format!("2001:db8:7:{:x}::/64", number + 1) };

fn launch(net: &Net) -> Result<Daemon<'_>> {
    let mut daemon = Daemon::configure(net, &daemon::binary()?, &Settings::default())?;
    let small = format!("[daemon]\nmax_bans_ipv4 = {ROOM}\nmax_bans_ipv6 = {ROOM}\n");
    let text = daemon.configuration(&Settings::default()).replacen("[daemon]\n", &small, 1);
    daemon.write_configuration(&format!("{text}\n[metrics]\nlisten = \"{ADDRESS}\"\n"))?;
    daemon.start()?;
    Ok(daemon)
}

fn ban(daemon: &Daemon<'_>, table: Table, numbers: std::ops::Range<u32>, length: &str) -> Result<Finished> {
    let list: Vec<String> = numbers.map(table.prefix).collect();
    let words: Vec<&str> = ["ban", "--for", length].into_iter().chain(list.iter().map(String::as_str)).collect();
    daemon.cli(&words)
}

fn unban(daemon: &Daemon<'_>, table: Table, numbers: std::ops::Range<u32>) -> Result<()> {
    let list: Vec<String> = numbers.map(table.prefix).collect();
    let words: Vec<&str> = ["unban"].into_iter().chain(list.iter().map(String::as_str)).collect();
    daemon.cli(&words)?.success().map(drop)
}

/// Who says that a table is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Says {
    status: bool,
    metrics: bool,
    /// Lines of the log at WARN since the start.
    warnings: usize,
    /// And those at INFO that it has room again.
    notes: usize,
}

const NOTHING: Says = Says { status: false, metrics: false, warnings: 0, notes: 0 };

/// Waits until all of them say it, or none. The log is written by a thread of its own, and the metrics are a second old.
fn says(net: &Net, daemon: &Daemon<'_>, table: Table, wanted: Says) -> Result<()> {
    let sentence = format!(" of {ROOM} bans of {} are taken", table.what);
    let told = || -> Result<Says> {
        let printed = daemon.printed();
        let lines = |level: &str, end: &str| {
            let is_one = |line: &&str| line.contains(level) && line.contains(&sentence) && line.contains(end);
            printed.lines().filter(is_one).count()
        };
        let full = value(&scrape(net, ADDRESS)?, &format!("blocker_table_nearly_full{{table=\"{}\"}}", table.name));
        ensure!(!full.is_nan(), "the metrics have no such table");
        Ok(Says {
            status: daemon.status()?.problems.iter().any(|problem| problem.contains(&sentence)),
            metrics: full > 0.5,
            warnings: lines("WARN", "gives way"),
            notes: lines("INFO", "there is room again"),
        })
    };
    wait::until(&format!("{wanted:?} of {}", table.what), LIMIT, || match told() {
        Ok(said) if said == wanted => Ok(()),
        Ok(said) => Err(format!("{said:?}\n{}", daemon.printed())),
        Err(error) => Err(format!("{error:#}")),
    })?;
    wait::holds("the log", Duration::from_millis(200), || match told() {
        Ok(said) if said == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// That exactly these are banned in the kernel, and in the book.
fn holds(daemon: &Daemon<'_>, table: Table, numbers: &[std::ops::Range<u32>]) -> Result<()> {
    let wanted: BTreeSet<String> = numbers.iter().cloned().flatten().map(table.prefix).collect();
    let (in_kernel, book) = (kernel(daemon)?, daemon.bans()?.into_iter().map(|ban| ban.prefix).collect());
    for held in [&in_kernel, &book] {
        let missing: Vec<_> = wanted.difference(held).take(9).collect();
        let surplus: Vec<_> = held.difference(&wanted).take(9).collect();
        ensure!(missing.is_empty() && surplus.is_empty(), "missing are {missing:?}, and {surplus:?} too many");
    }
    Ok(())
}

fn kernel(daemon: &Daemon<'_>) -> Result<BTreeSet<String>> {
    Ok(daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect())
}

/// Waits until the log has an error for each of these, and no other, and a warning that its ban is over.
fn tells(daemon: &Daemon<'_>, table: Table, numbers: std::ops::Range<u32>) -> Result<()> {
    let wanted: BTreeSet<String> = numbers.map(table.prefix).collect();
    wait::until("the log to tell of each", LIMIT, || {
        let printed = daemon.printed();
        let is_unbanned = |prefix: &String| {
            let line = format!("Unban {prefix} why=\"gave way in a full table\"");
            printed.lines().any(|logged| logged.contains("WARN") && logged.contains(&line))
        };
        if gave_way(daemon) == wanted && wanted.iter().all(is_unbanned) { Ok(()) } else { Err(printed) }
    })
}

/// For whom the log has an error that the table was full and his ban gave way.
fn gave_way(daemon: &Daemon<'_>) -> BTreeSet<String> {
    let said = "a table of bans is full: the ban soonest to end gives way";
    let printed = daemon.printed();
    let of_it = printed.lines().filter(|line| line.contains("ERROR") && line.contains(said));
    of_it.filter_map(|line| Some(line.split_once("gave_way=")?.1.trim_end().to_owned())).collect()
}
