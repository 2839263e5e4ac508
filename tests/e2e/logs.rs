//! Where lines come from: commands, syslog's protocols, standard input, and files on any file system, of any length.

mod commands;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    answers::Status,
    clock,
    daemon::{self, Daemon, Settings},
    lines,
    netns::{Host, Net},
    process, wait,
};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::siege::LIMIT;

/// Failed long ago.
const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
/// Failed often enough, some minutes ago.
const RECENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 11));
/// Failed four times: once more would be a ban.
const NEARLY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 12));
/// Fails now.
const LIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 13));
const LATER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 14));

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn standard_input_is_judged_to_its_end_and_the_bans_stay() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let path = daemon.directory().join("input");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Opened for both, so that opening waits for nobody.
    let mut input = OpenOptions::new().read(true).write(true).open(&path)?;
    daemon.start_reading(&path)?;
    assert_eq!(daemon.status()?.jail("dovecot").streams, ["standard input"]);

    input.write_all((written(OLD, HOUR).repeat(5) + &recent(RECENT).repeat(5)).as_bytes())?;
    daemon.await_ban(RECENT, LIMIT)?;
    // The last line has no end.
    input
        .write_all((written(LATER, Duration::ZERO).repeat(4) + written(LATER, Duration::ZERO).trim_end()).as_bytes())?;
    drop(input);
    daemon.await_end()?;

    let mut banned: Vec<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
    banned.sort_unstable();
    assert_eq!(banned, [RECENT.to_string(), LATER.to_string()], "without a daemon");
    Ok(())
}

#[test]
fn a_file_as_standard_input_is_judged_by_the_time_in_its_lines() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let path = daemon.directory().join("input");
    fs::write(&path, written(OLD, HOUR).repeat(5) + &recent(RECENT).repeat(5) + &recent(NEARLY).repeat(4))?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" <\"$0\""]).arg(&path);
    let command = daemon.command(&["run", "--stdin"]);
    shell.arg(command.get_program()).args(command.get_args());

    process::run(shell, LIMIT)?.success()?;

    let banned: Vec<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
    assert_eq!(banned, [RECENT.to_string()]);
    Ok(())
}

#[test]
fn messages_that_logger_sends_by_syslog_s_protocols_count() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let path = daemon.directory().join("log.sock").display().to_string();
    let unix: &[&str] = &["--socket", &path, "--socket-errors=on"];
    let udp: &[&str] = &["--server", "127.0.0.1", "--port", "5514", "--udp"];
    let tcp: &[&str] = &["--server", "::1", "--port", "5514", "--tcp"];
    let (old, counted): (&[&str], &[&str]) = (&["--rfc3164"], &["--octet-count"]);
    let (at_udp, at_tcp) = ("udp://127.0.0.1:5514", "tcp://[::1]:5514");
    let rows = [
        (path.as_str(), unix, &[][..]),
        (path.as_str(), unix, old),
        (at_udp, udp, &[]),
        (at_udp, udp, old),
        (at_tcp, tcp, &[]),
        (at_tcp, tcp, old),
        (at_tcp, tcp, counted),
    ];
    for (number, (socket, way, form)) in (20..).zip(rows) {
        daemon.write_configuration(
            &daemon.configuration_with_input(&Settings::default(), &format!("syslog = {socket:?}")),
        )?;
        if daemon.pid().is_none() {
            daemon.start()?;
        }
        daemon.cli(&["reload"])?.success()?;
        await_status(&daemon, "the socket to be read", |status| {
            status.jail("dovecot").streams == [format!("syslog {socket}")]
        })?;
        let source = IpAddr::V4(Ipv4Addr::new(203, 0, 113, number));
        let line = lines::refused(source, 5);
        let (_, message) = line.split_once("dovecot: ").context("the line is Dovecot's")?;
        let mut logger = net.command(Host::Server, "logger");
        logger.args(["--tag", "dovecot", "--priority", "mail.info"]).args(way).args(form).arg(message);

        process::run(logger, LIMIT)?.success()?;

        daemon.await_ban(source, LIMIT).with_context(|| format!("{socket} {form:?}"))?;
    }
    daemon
        .write_configuration(&daemon.configuration_with_input(&Settings::default(), &format!("syslog = {path:?}")))?;
    daemon.cli(&["reload"])?.success()?;
    wait::until_true("the socket", LIMIT, || Path::new(&path).exists(), || daemon.printed())?;
    daemon.stop()?;
    assert!(!Path::new(&path).exists(), "it goes with the daemon");
    Ok(())
}

#[test]
fn the_longest_line_that_is_configured_counts_and_one_byte_more_does_not() -> Result<()> {
    const LONGEST: usize = 65_536;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&text.replacen("[daemon]", &format!("[daemon]\nmax_line_bytes = {LONGEST}"), 1))?;
    daemon.start()?;
    let line = |source, bytes: usize| {
        let rest = lines::refused_for("", source, 5).len();
        let line = lines::refused_for(&"u".repeat(bytes - rest), source, 5);
        assert_eq!(line.len(), bytes);
        line
    };

    daemon.log().append(line(OLD, LONGEST + 1).as_bytes())?;
    daemon.log().append(line(LIVE, LONGEST).as_bytes())?;

    daemon.await_ban(LIVE, LIMIT)?;
    assert!(!is_banned(&daemon, OLD)?);
    await_status(&daemon, "the longer line to be counted", |status| status.lines.overlong == 1)?;
    Ok(())
}

#[test]
fn a_file_in_utf16_is_told_and_read_when_it_is_text() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    daemon.log().append_raw(b"\xff\xfe")?;
    daemon.log().append_raw(&wide(&written(OLD, Duration::ZERO)))?;
    daemon.start()?;
    await_status(&daemon, "the problem", |status| {
        status.problems.iter().any(|problem| problem.ends_with("this is UTF-16: have it written as UTF-8"))
    })?;
    daemon.log().append_raw(&wide(&written(OLD, Duration::ZERO).repeat(5)))?;

    daemon.log().copy_and_truncate()?;
    daemon.log().append(lines::refused(LIVE, 5).as_bytes())?;

    daemon.await_ban(LIVE, LIMIT)?;
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.problems.len()), (1, 0), "{status:?}");
    Ok(())
}

#[test]
fn a_file_that_may_not_be_read_at_the_start_is_read_from_there_when_it_may() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    // Root without the right to read what is another's.
    daemon.log().append(lines::refused(RECENT, 5).as_bytes())?;
    std::os::unix::fs::chown(daemon.log().path(), Some(65_534), Some(65_534))?;
    fs::set_permissions(daemon.log().path(), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut setpriv = Command::new("setpriv");
    let without = "-dac_override,-dac_read_search";
    setpriv.args(["--bounding-set", without, "--inh-caps", without]);
    daemon.start_by(setpriv, &["run"])?;
    await_status(&daemon, "the problem", |status| {
        status.problems.iter().any(|problem| problem.ends_with("Permission denied (os error 13)"))
    })?;

    fs::set_permissions(daemon.log().path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    daemon.log().append(lines::refused(LIVE, 5).as_bytes())?;

    daemon.await_ban(LIVE, LIMIT)?;
    assert_eq!(daemon.status()?.jail("dovecot").failures, 1, "what was there before is not read");
    Ok(())
}

#[test]
fn on_a_file_system_that_announces_nothing_lines_count_within_a_second_and_status_says_so() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let overlay = Overlay::mount(daemon.directory())?;
    fs::write(overlay.lower("mail.log"), written(OLD, Duration::ZERO).repeat(5))?;
    let seen = overlay.merged("mail.log");
    let input = format!("log = {seen:?}");
    daemon.write_configuration(&daemon.configuration_with_input(&Settings::default(), &input))?;
    daemon.start()?;
    let path = seen.display().to_string();
    await_status(&daemon, "the file system", |status| {
        status.jail("dovecot").unannounced.get(&path).is_some_and(|name| name == "overlay")
    })?;
    let shown = daemon.cli(&["status"])?.success()?.stdout;
    assert!(shown.contains(&format!("reads {path} (overlay: looked at every second)")), "{shown}");

    // The first write makes a copy in the upper layer: the file goes on there.
    let append = |path: PathBuf, source| -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(path)?;
        Ok(file.write_all(written(source, Duration::ZERO).repeat(5).as_bytes())?)
    };
    append(seen.clone(), LIVE)?;
    daemon.await_ban(LIVE, LIMIT)?;

    // Past the mount: of this the kernel announces nothing to who watches it.
    append(overlay.upper("mail.log"), LATER)?;
    daemon.await_ban(LATER, LIMIT)?;
    assert!(!is_banned(&daemon, OLD)?);
    daemon.stop()
}

#[test]
fn a_thousand_files_are_followed_in_bounded_memory() -> Result<()> {
    const FILES: usize = 1_000;
    /// Of which each has half a line of this length.
    const HALF: usize = 8_191;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    daemon.start()?;
    let before = resident_kib(&daemon)?;
    daemon.stop()?;
    let directory = daemon.directory().join("logs");
    fs::create_dir(&directory)?;
    let files: Vec<PathBuf> = (0..FILES).map(|number| directory.join(format!("{number}.log"))).collect();
    for file in &files {
        File::create(file)?;
    }
    let input = format!("log = [\"{}/*.log\"]", directory.display());
    daemon.write_configuration(&daemon.configuration_with_input(&Settings::default(), &input))?;
    daemon.start()?;
    await_status(&daemon, "all files to be followed", |status| status.jail("dovecot").files.len() == FILES)?;

    // A line and a half: where the line was judged, the half is kept.
    let text = [b"whole\n", &[b'x'; HALF][..]].concat();
    for file in &files {
        OpenOptions::new().append(true).open(file)?.write_all(&text)?;
    }
    await_status(&daemon, "all files to be read", |status| status.lines.judged == FILES as u64)?;
    let grown = resident_kib(&daemon)?.saturating_sub(before);
    println!("{FILES} files, half a line of {HALF} bytes in each: {before} KiB and {grown} KiB more");
    // What the start itself took and gave back is in the first figure, so there may be no growth at all.
    assert!(grown < 24 * 1024, "{grown} KiB more than without them");

    for file in files.iter().rev().take(5) {
        let line = format!("\n{}", written(LIVE, Duration::ZERO));
        OpenOptions::new().append(true).open(file)?.write_all(line.as_bytes())?;
    }
    daemon.await_ban(LIVE, LIMIT)?;
    daemon.stop()
}

/// A file system of two layers; unmounted on drop.
struct Overlay {
    root: PathBuf,
}

impl Overlay {
    fn mount(directory: &Path) -> Result<Self> {
        let root = directory.join("overlay");
        let overlay = Self { root };
        fs::create_dir(&overlay.root)?;
        // Of memory, since an overlay cannot have its upper layer on another overlay.
        run("mount", &["-t", "tmpfs", "tmpfs", &overlay.root.display().to_string()])?;
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(overlay.root.join(name))?;
        }
        let root = overlay.root.display();
        let layers = format!("lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work");
        run("mount", &["-t", "overlay", "overlay", "-o", &layers, &format!("{root}/merged")])?;
        Ok(overlay)
    }

    fn lower(&self, name: &str) -> PathBuf {
        self.root.join("lower").join(name)
    }

    fn upper(&self, name: &str) -> PathBuf {
        self.root.join("upper").join(name)
    }

    fn merged(&self, name: &str) -> PathBuf {
        self.root.join("merged").join(name)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for path in [self.root.join("merged"), self.root.clone()] {
            // Also while a daemon that a failed test left has files open in it.
            if let Err(error) = run("umount", &["--lazy", &path.display().to_string()]) {
                eprintln!("{} was not unmounted: {error:#}", path.display());
            }
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    process::run(command, LIMIT)?.success()?;
    Ok(())
}

/// A refused password, logged some time ago: a line with its end.
fn written(source: IpAddr, ago: Duration) -> String {
    let line = lines::refused(source, 1);
    let (_, rest) = line.split_once(' ').expect("a line begins with its stamp");
    format!("{} {rest}\n", clock::log_stamp_of(ago))
}

/// The same, minutes ago.
fn recent(source: IpAddr) -> String {
    written(source, Duration::from_secs(300))
}

fn is_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<bool> {
    Ok(daemon.bans()?.iter().any(|ban| ban.prefix == source.to_string()))
}

fn is_free(daemon: &Daemon<'_>, source: IpAddr) -> Result<(), String> {
    match is_banned(daemon, source) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn await_status(daemon: &Daemon<'_>, what: &str, claim: impl Fn(&Status) -> bool) -> Result<()> {
    wait::until(what, LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if claim(&status) { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}

fn await_failures(daemon: &Daemon<'_>, failures: u64) -> Result<()> {
    await_status(daemon, &format!("{failures} failures"), |status| status.jail("dovecot").failures == failures)
}

/// The daemon's memory, without what it has from files.
fn resident_kib(daemon: &Daemon<'_>) -> Result<u64> {
    // Its namespace is entered by another program, which becomes it.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.status()?.pid))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("the kernel tells the memory")?;
    let number = line.trim().trim_end_matches(" kB").parse()?;
    ensure!(number > 0, "{line}");
    Ok(number)
}
