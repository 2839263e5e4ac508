//! One address banned by two jails with different ports and ends. While the daemon lives, each port opens at the end of its own
//! jail's ban. Without it the kernel has one entry for both, and no port is held beyond the later end.

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use blocker::kernel::view::View;
use blocker_tests::{
    clock,
    daemon::{self, Daemon, Settings, covers},
    lines,
    listener::Listener,
    log_file::LogFile,
    netns::{ATTACKER_V4, ATTACKER_V6, Host, Net, SERVER_V4, SERVER_V6},
    wait,
};

use crate::siege::LIMIT;

/// The ports of the jails: of `dovecot`, whose bans are short, and of `submission`, whose bans are long.
const SHORT: u16 = 143;
const LONG: u16 = 587;

/// How long. On a slow machine all of a test's preparations fit into the first, and a few tries to connect between both ends.
const SHORT_BAN: &str = "12s";
const LONG_BAN: &str = "30s";

#[test]
fn each_jail_s_ports_open_at_the_end_of_its_own_ban() -> Result<()> {
    let net = Net::new()?;
    let (mut daemon, submission) = launch(&net)?;
    let _services = [Listener::start(&net, SHORT)?, Listener::start(&net, LONG)?];
    let mut opening = Vec::new();
    for (attacker, server) in PEERS {
        fail(daemon.log(), attacker)?;
        let short_end = await_entry(&daemon, attacker, &["dovecot"])?;
        fail(&submission, attacker)?;
        let long_end = await_entry(&daemon, attacker, &["dovecot", "submission"])?;
        ensure!(long_end > short_end, "the kernel has the later end");
        let knockers = [knock(&net, server, SHORT)?, knock(&net, server, LONG)?];
        opening.push((attacker, short_end, long_end, knockers));
    }

    let mut still_closed = Vec::new();
    for (attacker, short_end, long_end, [short, long]) in opening {
        let opened = opened(short)?;
        ensure!(opened >= short_end, "{attacker}: {SHORT} opened {} ns early", short_end - opened);
        ensure!(opened < long_end, "{attacker}: {SHORT} was held until the other jail's ban was over");
        let left = await_entry(&daemon, attacker, &["submission"])?;
        ensure!(left == long_end, "{attacker}: what is left ends as it did");
        still_closed.push((attacker, long_end, long));
    }
    for (attacker, long_end, long) in still_closed {
        let opened = opened(long)?;
        ensure!(opened >= long_end, "{attacker}: {LONG} opened {} ns early", long_end - opened);
    }
    daemon.check_alive()
}

#[test]
fn without_the_daemon_no_port_is_held_beyond_the_latest_end() -> Result<()> {
    let net = Net::new()?;
    let (mut daemon, submission) = launch(&net)?;
    let _services = [Listener::start(&net, SHORT)?, Listener::start(&net, LONG)?];
    let mut ends = Vec::new();
    for (attacker, server) in PEERS {
        // The other way round: what ends first comes last.
        fail(&submission, attacker)?;
        let long_end = await_entry(&daemon, attacker, &["submission"])?;
        fail(daemon.log(), attacker)?;
        let end = await_entry(&daemon, attacker, &["dovecot", "submission"])?;
        ensure!(end == long_end, "{attacker}: the second ban lengthens nothing");
        ends.push((attacker, server, end));
    }
    daemon.kill9()?;
    let mut opening = Vec::new();
    for &(attacker, server, end) in &ends {
        ensure!(clock::boot_ns() < end, "it was killed while both bans were in force");
        opening.push((attacker, end, SHORT, knock(&net, server, SHORT)?));
        opening.push((attacker, end, LONG, knock(&net, server, LONG)?));
    }

    for (attacker, end, port, knocker) in opening {
        let opened = opened(knocker).with_context(|| format!("{attacker} is held at port {port} by a dead daemon"))?;
        ensure!(port == SHORT || opened >= end, "{attacker}: {port} opened {} ns early", end - opened);
    }
    // Nobody is there to take the entries away: it is their ends that hold.
    for (attacker, _, end) in ends {
        let entry = entry(&daemon, attacker)?.context("nobody has removed it")?;
        ensure!(entry == (vec!["dovecot".to_owned(), "submission".to_owned()], end), "{attacker}: {entry:?}");
    }
    Ok(())
}

/// Who fails, and where he connects to.
const PEERS: [(IpAddr, IpAddr); 2] = [(ATTACKER_V4, SERVER_V4), (ATTACKER_V6, SERVER_V6)];

/// The daemon with both jails, each with a log of its own; that of `submission`.
fn launch(net: &Net) -> Result<(Daemon<'_>, LogFile)> {
    let settings = Settings { ban_time: SHORT_BAN.into(), ports: vec!["imap".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(net, &daemon::binary()?, &settings)?;
    let log = LogFile::create(daemon.directory().join("submission.log"))?;
    let text = daemon.configuration(&settings);
    daemon.write_configuration(&format!(
        "{text}\n[jails.submission]\nfilter = \"dovecot\"\nlog = [\"{}\"]\nmax_retry = 5\nban_time = \"{LONG_BAN}\"\n\
         ports = [\"submission\"]\n",
        log.path().display()
    ))?;
    daemon.start()?;
    Ok((daemon, log))
}

fn fail(log: &LogFile, attacker: IpAddr) -> Result<()> {
    log.append(lines::refused(attacker, 5).as_bytes()).map(drop)
}

/// Waits until the kernel's entry for `attacker` is of these jails, and returns its end on `CLOCK_BOOTTIME`, in nanoseconds.
fn await_entry(daemon: &Daemon<'_>, attacker: IpAddr, jails: &[&str]) -> Result<u64> {
    wait::until(&format!("a ban of {attacker} by {jails:?}"), LIMIT, || match entry(daemon, attacker) {
        Ok(Some((of, end))) if of == jails => Ok(end),
        other => Err(format!("{other:?}\n{}", daemon.printed())),
    })
}

/// The jails and the end in the kernel's entry for `attacker`.
fn entry(daemon: &Daemon<'_>, attacker: IpAddr) -> Result<Option<(Vec<String>, u64)>> {
    let view = View::open(daemon.pins())?;
    let jails = view.jail_names()?;
    let found = view.bans()?.into_iter().find(|ban| covers(&ban.prefix.to_string(), attacker));
    Ok(found.map(|ban| {
        let mut of = jails.of(ban.entry.scope);
        of.sort();
        (of, ban.entry.deadline_ns)
    }))
}

/// The attacker tries to connect to a port of the server until that succeeds. A try ends before its packet would be sent
/// once more, so a connection tells that the port was open when the try began.
fn knock(net: &Net, server: IpAddr, port: u16) -> Result<JoinHandle<Option<u64>>> {
    let target = SocketAddr::new(server, port);
    net.spawn(Host::Attacker, move || {
        let last = clock::boot_ns() + u64::try_from((LONGEST + LIMIT).as_nanos()).ok()?;
        while clock::boot_ns() < last {
            if TcpStream::connect_timeout(&target, TRY).is_ok() {
                return Some(clock::boot_ns());
            }
        }
        None
    })
}

/// When it did, on `CLOCK_BOOTTIME`, in nanoseconds.
fn opened(knocker: JoinHandle<Option<u64>>) -> Result<u64> {
    knocker.join().map_err(|_| anyhow!("the attacker's thread panicked"))?.context("the port did not open")
}

/// Before a SYN is repeated, which takes a second.
const TRY: Duration = Duration::from_millis(250);

/// [`LONG_BAN`].
const LONGEST: Duration = Duration::from_secs(30);
