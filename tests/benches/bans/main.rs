//! A million bans: how long they take to load and to lift, how long a start takes with them, and what memory they cost; beside
//! nftables and ipset with as many elements, and beside the system calls alone that every loader of a BPF map needs.
//!
//! Each is given a file by its own program, as an administrator would: `blocker ban - < FILE` to the running daemon, `nft -f
//! FILE`, `ipset restore < FILE`. All take turns in one run, in a network namespace, with the same addresses in the same order;
//! the least of some rounds counts. `blocker` keeps a book beside the kernel's map and says what became of each address,
//! and a restart of it reads all of that back from the kernel; a restart does not concern the others, which have no process. After
//! `detach` nothing is left in the kernel, and a start writes what the database holds, as after a reboot.

mod alone;
mod cost;
#[path = "../sets.rs"]
mod sets;

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    leftovers::Scratch,
    netns::{Host, Net},
    wait,
};

use crate::{
    alone::Alone,
    cost::{Cost, Threads},
    sets::{addresses, run, write_ipset, write_list, write_nft},
};

/// How many.
const BANS: usize = 1_000_000;

/// Rounds, of which the least counts.
const ROUNDS: usize = 3;

/// No program may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let binary = daemon::binary()?;
    let net = Net::new()?;
    let scratch = Scratch::new()?;
    let addresses = addresses(BANS);
    let [list, nft, ipset] = ["list", "nft", "ipset"].map(|name| scratch.join(name));
    write_list(&list, &addresses)?;
    write_nft(&nft, "inet", &addresses, "")?;
    write_ipset(&ipset, &addresses)?;

    let settings = Settings { interfaces: vec!["eth0".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &binary, &settings)?;
    let began = Instant::now();
    daemon.start()?;
    let started_empty = began.elapsed();
    let empty = Cost::of(&daemon)?;

    let mut times = Times::default();
    for round in 0..ROUNDS {
        let threads = Threads::of(&daemon)?;
        times.blocker.note(feed(daemon.command(&["ban", "-"]), &list)?);
        let threads = Threads::of(&daemon)?.since(&threads);
        if round == 0 {
            println!("processor time of the daemon's threads in the first round: {threads}");
        }
        let held = daemon.status()?.bans.ipv4;
        ensure!(held == BANS as u64, "{held} of {BANS} are banned");
        times.nft.note(feed(with(&net, "nft", &["-f", &nft.display().to_string()]), Path::new("/dev/null"))?);
        times.ipset.note(feed(with(&net, "ipset", &["restore"]), &ipset)?);
        check_sets(&net)?;
        let Alone { written, read, removed } = Alone::measure(&addresses)?;
        times.alone_written.note(written);
        times.alone_read.note(read);
        times.alone_removed.note(removed);
        if round + 1 < ROUNDS {
            times.lifted.note(feed(daemon.command(&["unban", "--all"]), Path::new("/dev/null"))?);
            let held = daemon.status()?.bans.ipv4;
            ensure!(held == 0, "{held} are still banned");
        }
    }
    let full = Cost::of(&daemon)?;
    times.listed.note(feed(daemon.command(&["bans", "--json"]), Path::new("/dev/null"))?);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        daemon.stop()?;
        times.stopped.note(began.elapsed());
        let began = Instant::now();
        let status = daemon.start()?;
        times.started.note(began.elapsed());
        ensure!(status.bans.ipv4 == BANS as u64, "{} of {BANS} were adopted", status.bans.ipv4);
    }
    let adopted = Cost::of(&daemon)?;
    for _ in 0..ROUNDS {
        daemon.stop()?;
        daemon.cli(&["detach"])?.success()?;
        let began = Instant::now();
        let status = daemon.start()?;
        times.restored.note(began.elapsed());
        ensure!(status.bans.ipv4 == BANS as u64, "{} of {BANS} were restored", status.bans.ipv4);
    }

    let (nft_time, written) = (times.nft.seconds(), times.alone_written.seconds());
    println!("\n{BANS} IPv4 addresses, least of {ROUNDS} rounds");
    println!("{:34}{:>10}{:>14}{:>18}", "loaded by", "seconds", "of nft's time", "of kernel alone");
    for (name, time) in [
        ("kernel alone", &times.alone_written),
        ("blocker ban -", &times.blocker),
        ("nft -f", &times.nft),
        ("ipset restore", &times.ipset),
    ] {
        let seconds = time.seconds();
        println!("{name:34}{seconds:>10.2}{:>14.2}{:>18.2}", seconds / nft_time, seconds / written);
    }
    println!("\n{:34}{:>10}{:>18}", "blocker with them", "seconds", "of kernel alone");
    for (name, time, alone) in [
        ("start, without bans", &Least::of(started_empty), None),
        ("start, adopting them", &times.started, Some(&times.alone_read)),
        ("start from the database", &times.restored, Some(&times.alone_written)),
        ("stop", &times.stopped, None),
        ("bans --json", &times.listed, None),
        ("unban --all", &times.lifted, Some(&times.alone_removed)),
    ] {
        let seconds = time.seconds();
        let ratio = alone.map_or_else(String::new, |alone| format!("{:.2}", seconds / alone.seconds()));
        println!("{name:34}{seconds:>10.2}{ratio:>18}");
    }
    println!("\n{:34}{:>12}{:>18}", "memory, MiB", "daemon", "kernel's maps");
    for (name, cost) in [("empty", &empty), ("with them", &full), ("after a restart", &adopted)] {
        println!("{name:34}{:>12.0}{:>18.0}", cost.daemon_mib(), cost.maps_mib());
    }
    Ok(())
}

/// Least times of each thing that is measured.
#[derive(Default)]
struct Times {
    /// By system calls alone.
    alone_written: Least,
    alone_read: Least,
    alone_removed: Least,
    blocker: Least,
    nft: Least,
    ipset: Least,
    started: Least,
    /// Started with nothing in the kernel.
    restored: Least,
    stopped: Least,
    listed: Least,
    lifted: Least,
}

/// The least of some times.
#[derive(Default)]
struct Least(Option<Duration>);

impl Least {
    fn of(time: Duration) -> Self {
        Self(Some(time))
    }

    fn note(&mut self, time: Duration) {
        self.0 = Some(self.0.map_or(time, |least| least.min(time)));
    }

    fn seconds(&self) -> f64 {
        self.0.unwrap_or_default().as_secs_f64()
    }
}

fn with(net: &Net, program: &str, arguments: &[&str]) -> Command {
    let mut command = net.command(Host::Server, program);
    command.args(arguments);
    command
}

/// Runs a command with a file for its stdin to a good end, its answers thrown away, and says how long it took.
fn feed(mut command: Command, input: &Path) -> Result<Duration> {
    let input = File::open(input).with_context(|| format!("opening {}", input.display()))?;
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let output = child.wait_with_output()?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(took)
}

/// Sees that the other sets are full, and removes them.
fn check_sets(net: &Net) -> Result<()> {
    let header = run(net, "ipset", &["list", "-terse", "banned"])?;
    ensure!(header.contains(&format!("Number of entries: {BANS}")), "{header}");
    println!("{}", header.lines().find(|line| line.starts_with("Size in memory")).unwrap_or_default());
    run(net, "ipset", &["destroy", "banned"])?;
    run(net, "nft", &["delete", "table", "inet", "bench"])?;
    // The kernel frees what was in them after a while, which the next measurement shall not pay for.
    wait::until("the sets to be gone", PATIENCE, || {
        let sets = run(net, "ipset", &["list", "-name"]).map_err(|error| format!("{error:#}"))?;
        if sets.trim().is_empty() { Ok(()) } else { Err(sets) }
    })
}
