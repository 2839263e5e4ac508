//! A crash repeats nothing and loses nothing: what the lines caused is written down together with how far they were read.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    log_file::LogFile,
    netns::Net,
    wait,
};

use crate::{memory::reboot, siege::LIMIT};

#[test]
fn what_was_there_at_the_very_first_start_is_not_judged() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    fail(daemon.log(), GUILTY, 9)?;

    daemon.start()?;
    fail(daemon.log(), MARKER, 5)?;

    daemon.await_ban(MARKER, LIMIT)?;
    assert_eq!(banned(&daemon)?, BTreeSet::from([MARKER]));
    Ok(())
}

#[test]
fn what_is_written_while_the_daemon_is_down_is_judged() -> Result<()> {
    with_each_way_down(|daemon| {
        fail(daemon.log(), GUILTY, 5)?;
        fail(daemon.log(), INNOCENT, 4)
    })
}

#[test]
fn a_rotation_while_the_daemon_is_down_loses_no_line_and_repeats_none() -> Result<()> {
    with_each_way_down(|daemon| {
        for _ in 0..4 {
            fail(daemon.log(), GUILTY, 1)?;
            fail(daemon.log(), INNOCENT, 1)?;
            daemon.log().rename_and_create()?;
        }
        fail(daemon.log(), GUILTY, 1)
    })
}

#[test]
fn what_is_rotated_and_compressed_while_the_daemon_is_down_loses_no_line_and_repeats_none() -> Result<()> {
    for program in PACKERS {
        with_each_way_down(|daemon| {
            for _ in 0..4 {
                fail(daemon.log(), GUILTY, 1)?;
                fail(daemon.log(), INNOCENT, 1)?;
                daemon.log().rename_and_create()?;
            }
            fail(daemon.log(), GUILTY, 1)?;
            (1..=4).try_for_each(|rotation| daemon.log().compress(rotation, program))
        })
        .context(program)?;
    }
    Ok(())
}

/// The log is read whole before it is compressed, in a run or between two: under another inode it is the same.
#[test]
fn what_was_read_before_it_was_compressed_is_not_judged_again() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    fail(daemon.log(), INNOCENT, 4)?;
    wait::until_true("the lines to be judged", LIMIT, || failures(&daemon) == 4, String::new)?;
    save(&daemon)?;
    daemon.log().rename_and_create()?;
    restart(&mut daemon)?;
    daemon.log().compress(1, "gzip")?;
    for _ in 0..3 {
        restart(&mut daemon)?;
        daemon.log().rename_and_create()?;
    }
    daemon.kill9()?;
    daemon.log().compress(2, "xz")?;
    daemon.start()?;
    fail(daemon.log(), MARKER, 5)?;

    daemon.await_ban(MARKER, LIMIT)?;

    assert_eq!(banned(&daemon)?, BTreeSet::from([MARKER]));
    Ok(())
}

#[test]
fn a_copytruncate_while_the_daemon_is_down_loses_no_line_and_repeats_none() -> Result<()> {
    with_each_way_down(|daemon| {
        fail(daemon.log(), GUILTY, 3)?;
        fail(daemon.log(), INNOCENT, 3)?;
        daemon.log().copy_and_truncate()?;
        fail(daemon.log(), GUILTY, 2)?;
        fail(daemon.log(), INNOCENT, 1)
    })
}

#[test]
fn what_was_counted_counts_on_after_a_crash_and_after_a_reboot() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    save(&daemon)?;
    for round in 0..5 {
        let before = banned(&daemon)?;
        ensure!(before.is_empty(), "in round {round}: {before:?}");
        fail(daemon.log(), GUILTY, 1)?;
        if round < 4 {
            fail(daemon.log(), INNOCENT, 1)?;
            if round % 2 == 0 { reboot(&mut daemon)? } else { restart(&mut daemon)? }
        }
    }
    daemon.await_ban(GUILTY, LIMIT)?;
    assert_eq!(banned(&daemon)?, BTreeSet::from([GUILTY]));
    Ok(())
}

#[test]
fn kill_9_at_any_moment_under_rotation_leaves_the_bans_of_an_undisturbed_run() -> Result<()> {
    let bans = killed_at_random(100_000, Rotation::RenameAndCompress)?;
    let missing: Vec<_> = bans.guilty.difference(&bans.banned).take(9).collect();
    let surplus: Vec<_> = bans.banned.difference(&bans.guilty).take(9).collect();
    ensure!(missing.is_empty(), "a line was lost for each of {missing:?}");
    ensure!(surplus.is_empty(), "a line was judged twice for each of {surplus:?}");
    Ok(())
}

/// What is truncated away unread is lost to any reader. But nobody is banned whom the lines do not ban.
#[test]
fn kill_9_at_any_moment_under_copytruncate_bans_nobody_else() -> Result<()> {
    let bans = killed_at_random(30_000, Rotation::CopyTruncate)?;
    let surplus: Vec<_> = bans.banned.difference(&bans.guilty).take(9).collect();
    ensure!(surplus.is_empty(), "a line was judged twice for each of {surplus:?}");
    ensure!(!bans.banned.is_empty(), "and some are banned");
    Ok(())
}

/// Fails as often as earns a ban.
const GUILTY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
/// Fails once less.
const INNOCENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 4));
/// Whose ban tells that all before was read.
const MARKER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Stops and kills the daemon, has something happen to its log, and sees that the guilty are banned and the innocent not.
fn with_each_way_down(meanwhile: impl Fn(&Daemon<'_>) -> Result<()>) -> Result<()> {
    for is_killed in [false, true] {
        let net = Net::new()?;
        let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
        fail(daemon.log(), "198.51.100.9".parse()?, 1)?;
        wait::until_true("the first line to be judged", LIMIT, || failures(&daemon) == 1, String::new)?;
        save(&daemon)?;
        if is_killed {
            daemon.kill9()?;
        } else {
            daemon.stop()?;
        }

        meanwhile(&daemon)?;
        daemon.start()?;
        fail(daemon.log(), MARKER, 5)?;

        daemon.await_ban(MARKER, LIMIT)?;
        assert_eq!(banned(&daemon)?, BTreeSet::from([GUILTY, MARKER]), "killed: {is_killed}");
        restart(&mut daemon)?;
        assert_eq!(banned(&daemon)?, BTreeSet::from([GUILTY, MARKER]), "killed: {is_killed}, and restarted");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rotation {
    /// And what was rotated before is compressed, as by `delaycompress`.
    RenameAndCompress,
    CopyTruncate,
}

struct Bans {
    /// Who failed as often as earns a ban.
    guilty: BTreeSet<IpAddr>,
    banned: BTreeSet<IpAddr>,
}

/// Writes so many failures, at most four or at least five of each address, in a mixed order, and meanwhile rotates the log
/// every second and kills the daemon at moments that nobody knows.
fn killed_at_random(lines: usize, rotation: Rotation) -> Result<Bans> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    // Thousands earn a ban within a minute.
    let text = daemon.configuration(&Settings::default()) + "\n[brake]\nbans_per_minute = \"off\"\n";
    daemon.write_configuration(&text)?;
    daemon.start()?;
    save(&daemon)?;
    let log = std::sync::Arc::clone(daemon.log());
    let mut random = Random::new();
    // Five lines of the even ones, four of the odd ones.
    let address = |number: usize| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap_or(0)));
    let pairs = lines / 9;
    let mut order: Vec<usize> =
        (0..pairs).flat_map(|pair| [2 * pair; 5].into_iter().chain([2 * pair + 1; 4])).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }

    let (kills, is_written) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| -> Result<()> {
        let writing = scope.spawn(|| -> Result<()> {
            for (number, &who) in order.iter().enumerate() {
                // Spread over all kills, so that there are lines before, between and after them.
                let is_due = || number * (KILLS + 1) <= order.len() * (kills.load(Ordering::Acquire) + 1);
                wait::until_true("the next kill", LIMIT * 6, is_due, String::new)?;
                log.append_raw((lines::refused(address(who), 1) + "\n").as_bytes())?;
                if number % 64 == 0 {
                    thread::sleep(Duration::from_millis(4));
                }
            }
            Ok(())
        });
        let log = &log;
        let is_written = &is_written;
        let rotating = scope.spawn(move || -> Result<()> {
            while !is_written.load(Ordering::Acquire) {
                thread::sleep(Duration::from_secs(1));
                match rotation {
                    Rotation::RenameAndCompress => {
                        log.rename_and_create()?;
                        let rotations = log.rotations();
                        if rotations > 1 {
                            log.compress(rotations - 1, PACKERS[rotations as usize % PACKERS.len()])?;
                        }
                    }
                    Rotation::CopyTruncate => log.copy_and_truncate()?,
                }
            }
            Ok(())
        });
        let killed = (0..KILLS).try_for_each(|kill| -> Result<()> {
            thread::sleep(Duration::from_millis(random.below(1_000) as u64));
            daemon.kill9()?;
            // Every other time it comes to work; else it may be killed while it starts.
            if kill % 2 == 1 {
                daemon.start_without_waiting()?;
            } else {
                daemon.start_unattached()?;
            }
            kills.store(kill + 1, Ordering::Release);
            Ok(())
        });
        let written = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"));
        is_written.store(true, Ordering::Release);
        killed?;
        written??;
        rotating.join().map_err(|_| anyhow::anyhow!("the rotator panicked"))?
    })
    .with_context(|| format!("seed {}", random.seed))?;
    fail(&log, MARKER, 5)?;

    wait::until("all to be read", ALL_READ_WITHIN, || {
        daemon.check_alive().map_err(|error| format!("{error:#}"))?;
        let banned = banned(&daemon).map_err(|error| format!("{error:#}"))?;
        if banned.contains(&MARKER) { Ok(()) } else { Err(format!("{} bans", banned.len())) }
    })
    .with_context(|| format!("seed {}", random.seed))?;
    let mut banned = banned(&daemon)?;
    let kernel = daemon.kernel_bans()?.len();
    ensure!(kernel == banned.len(), "the kernel has {kernel} bans, the daemon {}", banned.len());
    banned.retain(|source| *source != MARKER);
    eprintln!("{lines} lines, {KILLS} kills, seed {}: {} bans", random.seed, banned.len());
    Ok(Bans { guilty: (0..pairs).map(|pair| address(2 * pair)).collect(), banned })
}

/// What logs are compressed with.
const PACKERS: [&str; 4] = ["gzip", "xz", "bzip2", "zstd"];

/// A debug build on a busy machine may have much left to read after the last kill.
const ALL_READ_WITHIN: Duration = Duration::from_secs(180);

/// How often the daemon is killed.
const KILLS: usize = 12;

fn restart(daemon: &mut Daemon<'_>) -> Result<()> {
    daemon.kill9()?;
    daemon.start()?;
    Ok(())
}

fn fail(log: &LogFile, source: IpAddr, times: u32) -> Result<()> {
    (0..times).try_for_each(|_| log.append(lines::refused(source, 1).as_bytes()).map(drop))
}

/// What a command changes is on disk when it returns, and with it all that was before.
fn save(daemon: &Daemon<'_>) -> Result<()> {
    daemon.cli(&["unban", "198.51.100.250"])?.success().map(drop)
}

fn failures(daemon: &Daemon<'_>) -> u64 {
    daemon.status().map_or(0, |status| status.jail("dovecot").failures)
}

fn banned(daemon: &Daemon<'_>) -> Result<BTreeSet<IpAddr>> {
    daemon
        .bans()?
        .into_iter()
        .map(|ban| ban.prefix.parse().with_context(|| format!("reading {}", ban.prefix)))
        .collect()
}

/// Numbers that differ in every run; the seed is told if a test fails.
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64) | 1;
        Self { seed, state: seed }
    }

    /// A number below `bound` (Vigna's xorshift64*).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}
