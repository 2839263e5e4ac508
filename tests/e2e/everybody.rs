//! Long lists, and lifting all bans: everybody else is served meanwhile, and what is banned meanwhile stays banned.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, bail};
use blocker::kernel::{Capacity, Kernel, Sweep, detach, view::View};
use blocker_core::{
    engine::{JailId, JailSet},
    prefix::Prefix,
    time::Until,
};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    leftovers::{BPFFS, unique_name},
    lines,
    netns::Net,
    wait,
};

use crate::siege::LIMIT;

/// Addresses of a list that is fed until it is told to end: more than can be banned before everybody else has been served.
const MOST: u32 = 1_000_000;

#[test]
fn while_a_list_runs_single_requests_are_answered_and_a_log_s_bans_reach_the_kernel() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (by_hand, by_log): (IpAddr, IpAddr) = ("203.0.113.7".parse()?, "203.0.113.8".parse()?);
    let mut command = daemon.command(&["ban", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut list = child.stdin.take().context("stdin is a pipe")?;
    let is_enough = AtomicBool::new(false);

    let fed = thread::scope(|scope| -> Result<u32> {
        let feeder = scope.spawn(|| -> Result<u32> {
            let mut fed = 0;
            while fed < MOST && !is_enough.load(Ordering::Relaxed) {
                let mut text = String::new();
                for number in fed..fed + 4096 {
                    writeln!(text, "{}", Ipv4Addr::from(0x0a00_0000 + number))?;
                }
                list.write_all(text.as_bytes())?;
                fed += 4096;
            }
            drop(list);
            Ok(fed)
        });
        let served = serve_everybody(&daemon, &by_hand.to_string(), by_log);
        is_enough.store(true, Ordering::Relaxed);
        let fed = feeder.join().expect("the feeder does not panic")?;
        served.map(|()| fed)
    })?;

    assert!(fed < MOST, "everybody was served before the end of the list");
    assert!(child.wait()?.success());
    assert_eq!(daemon.status()?.bans.ipv4, u64::from(fed) + 1, "the list, and whom the log told of");
    Ok(())
}

/// Everything that somebody may ask for while a list runs, and a ban that a log earns.
fn serve_everybody(daemon: &Daemon<'_>, by_hand: &str, by_log: IpAddr) -> Result<()> {
    wait::until("the list to run", LIMIT, || match daemon.status() {
        Ok(status) if status.bans.ipv4 >= 8192 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    daemon.cli(&["ban", by_hand])?.success()?;
    let story = daemon.cli(&["why", by_hand, "--json"])?.success()?.stdout;
    assert!(story.contains(by_hand), "{story}");
    daemon.cli(&["unban", by_hand])?.success()?;
    daemon.log().append(lines::refused(by_log, 5).as_bytes())?;
    wait::until("the ban of the log to be told", LIMIT, || {
        // Which is when it is in the kernel.
        if daemon.printed().contains(&format!("] Ban {by_log}")) { Ok(()) } else { Err(daemon.printed()) }
    })
}

#[test]
fn what_is_banned_while_all_is_lifted_stays_and_nothing_else_does() -> Result<()> {
    const LEN: u32 = 60_000;
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut command = daemon.command(&["ban", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut list: String = (0..LEN).map(|number| format!("{}\n", Ipv4Addr::from(0x0a00_0000 + number))).collect();
    // Of each of the kernel's tables.
    list.push_str("2001:db8:7::/64\n2001:db8:8::/48\n192.0.2.0/24\n");
    child.stdin.take().context("stdin is a pipe")?.write_all(list.as_bytes())?;
    assert!(child.wait()?.success());
    let mut lifting = daemon.command(&["unban", "--all"]).stdout(Stdio::piped()).spawn()?;
    wait::until("the book to be empty", LIMIT, || match daemon.status() {
        Ok(status) if status.bans.ipv4 == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;

    // One that was among them, and one that was not.
    daemon.cli(&["ban", "10.0.234.95", "203.0.113.7"])?.success()?;

    assert!(lifting.wait()?.success());
    let expected = ["10.0.234.95", "203.0.113.7"];
    for _ in 0..2 {
        let kernel = daemon.kernel_bans()?;
        assert_eq!(kernel.iter().map(|ban| ban.prefix.as_str()).collect::<Vec<_>>(), expected);
        let bans = daemon.bans()?;
        assert_eq!(bans.iter().map(|ban| ban.prefix.as_str()).collect::<Vec<_>>(), expected);
        daemon.kill9()?;
        daemon.start()?;
    }
    crate::memory::reboot(&mut daemon)?;
    let bans = daemon.bans()?;
    assert_eq!(bans.iter().map(|ban| ban.prefix.as_str()).collect::<Vec<_>>(), expected, "so it is on disk");
    Ok(())
}

/// The loader by itself, without a daemon: between two pieces others are written.
#[test]
fn all_bans_are_lifted_in_pieces_between_which_others_are_written() -> Result<()> {
    const LEN: u32 = 20_000;
    let pins = Path::new(BPFFS).join(unique_name());
    let outcome = lift_in_pieces(&pins, LEN);
    detach(&pins)?;
    outcome
}

fn lift_in_pieces(pins: &Path, len: u32) -> Result<()> {
    let mut kernel = Kernel::open(pins, Capacity::configured(Some(2 * len), Some(1024)))?;
    let jail = JailSet::EMPTY.with(JailId::MAX);
    let host = |number: u32| Prefix::host(Ipv4Addr::from(0x0a00_0000 + number).into());
    let bans: Vec<_> = (0..len).map(|number| (host(number), jail, Until::Forever)).collect();
    for some in bans.chunks(4096) {
        assert!(kernel.enforce(some).is_empty(), "all are written");
    }
    let mut sweep = Sweep::default();
    let mut later: Vec<Prefix> = Vec::new();
    while !sweep.is_over() {
        // One that waits to be lifted, or was; and one that was not there.
        for number in [later.len() as u32, len + later.len() as u32] {
            later.push(host(number));
            assert!(kernel.enforce(&[(host(number), jail, Until::Forever)]).is_empty(), "it is written");
        }
        let refused = kernel.sweep(&mut sweep, |prefix| later.contains(&prefix))?;
        assert!(refused.is_empty(), "{refused:?}");
        if later.len() > 1000 {
            bail!("it does not come to an end");
        }
    }
    drop(kernel);

    assert!(later.len() >= 2 * 4, "{} bans took {} pieces", len, later.len() / 2);
    later.sort_unstable();
    later.dedup();
    let left: Vec<Prefix> = View::open(pins)?.bans()?.into_iter().map(|ban| ban.prefix).collect();
    assert_eq!(left, later);
    Ok(())
}
