//! Every line is judged once, whatever logrotate does to the file while it is written.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use crate::siege::LIMIT;

#[test]
fn rename_and_create_loses_no_line_and_repeats_none() -> Result<()> {
    bans_are_right_under(|daemon, _| daemon.log().rename_and_create())
}

#[test]
fn lines_written_to_the_renamed_file_before_reopening_count() -> Result<()> {
    bans_are_right_under(
        |daemon, round| {
            if round.is_multiple_of(2) { daemon.log().rename_only() } else { daemon.log().reopen() }
        },
    )
}

#[test]
fn copytruncate_loses_no_line_and_repeats_none() -> Result<()> {
    // What is truncated away unread is lost to any reader: the daemon has read the first half of the round by then.
    bans_are_right_under(|daemon, round| {
        await_failures(daemon, round * LINES_PER_ROUND + HALF_ROUND)?;
        daemon.log().copy_and_truncate()
    })
}

#[test]
fn a_file_truncated_and_filled_beyond_its_old_size_is_read_from_its_start() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.log().append(lines::refused(guilty(0), 1).as_bytes())?;
    await_failures(&daemon, 1)?;

    daemon.log().copy_and_truncate()?;
    // At once, and more than before: to a look at the size alone, nothing was truncated.
    let burst: String = (0..5).map(|_| lines::refused(guilty(1), 1) + "\n").collect();
    daemon.log().append_raw(burst.as_bytes())?;

    daemon.await_ban(guilty(1), LIMIT)?;
    assert_eq!(daemon.status()?.jail("dovecot").failures, 6, "one line before the truncation, five after");
    Ok(())
}

#[test]
fn a_line_written_in_two_halves_around_a_rotation_is_one_line() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let line = lines::refused(guilty(0), 5) + "\n";
    let (first, second) = line.as_bytes().split_at(line.len() / 2);

    daemon.log().append_raw(first)?;
    daemon.log().rename_only()?;
    daemon.log().append_raw(second)?;
    daemon.log().reopen()?;
    daemon.log().append(lines::refused(guilty(1), 5).as_bytes())?;

    daemon.await_ban(guilty(0), LIMIT)?;
    daemon.await_ban(guilty(1), LIMIT)?;
    Ok(())
}

/// As many as the attempts that make a ban.
const ROUNDS: u64 = 5;

/// Each fails once in every round: a ban in the last one.
const GUILTY: u8 = 20;

/// Written before the file is rotated; the second half follows at once.
const HALF_ROUND: u64 = GUILTY as u64 / 2;

/// The guilty, and one innocent, another in every round.
const LINES_PER_ROUND: u64 = GUILTY as u64 + 1;

fn guilty(number: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, 10 + number).into()
}

fn innocent(round: u64) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, u8::try_from(round).expect("few rounds") + 30).into()
}

/// Writes rounds of failures, each with `rotate` in its middle, and has the daemon read each to its end.
fn bans_are_right_under(rotate: impl Fn(&Daemon<'_>, u64) -> Result<()>) -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let fails = |source, attempts| daemon.log().append(lines::refused(source, attempts).as_bytes());
    for round in 0..ROUNDS {
        for number in 0..GUILTY {
            if u64::from(number) == HALF_ROUND {
                rotate(&daemon, round)?;
            }
            fails(guilty(number), 1)?;
        }
        // Four attempts: a line read twice would be a ban.
        fails(innocent(round), 4)?;
        await_failures(&daemon, (round + 1) * LINES_PER_ROUND)?;
    }
    assert_bans_are_right(&daemon)
}

fn await_failures(daemon: &Daemon<'_>, lines: u64) -> Result<()> {
    wait::until(&format!("{lines} lines to be counted"), LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.jail("dovecot").failures >= lines { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}

fn assert_bans_are_right(daemon: &Daemon<'_>) -> Result<()> {
    let expected: BTreeSet<String> = (0..GUILTY).map(|number| guilty(number).to_string()).collect();
    wait::until("every guilty address to be banned", LIMIT, || {
        let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
        let banned: BTreeSet<String> = bans.into_iter().map(|ban| ban.prefix).collect();
        if banned == expected { Ok(()) } else { Err(format!("banned are {banned:?}")) }
    })?;
    let failures = daemon.status()?.jail("dovecot").failures;
    assert_eq!(failures, ROUNDS * LINES_PER_ROUND, "every line counts once");
    Ok(())
}
