//! fail2ban's own client, of the packages of two releases of Debian, asks us; and prints what it prints of a fail2ban.

use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    fail2ban::{Fail2ban, RELEASES},
    lines,
    netns::{Host, Net},
    process::{self, Finished},
};
use nix::unistd::Group;

use crate::fail2ban::Running;
use crate::siege::LIMIT;

const END: &[u8] = b"<F2B_END_COMMAND>";

/// Whom the tests ban.
const VILLAIN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Where `daemon` answers.
fn socket(daemon: &Daemon<'_>) -> PathBuf {
    daemon.directory().join("fail2ban/fail2ban.sock")
}

/// With the limits that fail2ban has unless told otherwise.
fn configure<'net>(net: &'net Net, more: &str) -> Result<Daemon<'net>> {
    let settings = Settings { ban_time: "10m".into(), ..Settings::default() };
    let daemon = Daemon::configure(net, &daemon::binary()?, &settings)?;
    let text = daemon.configuration(&settings);
    let socket = socket(&daemon);
    daemon.write_configuration(&format!("{text}\n[control]\nfail2ban_socket = {socket:?}\n{more}"))?;
    Ok(daemon)
}

fn ask(package: &Fail2ban, daemon: &Daemon<'_>, arguments: &[&str]) -> Result<Finished> {
    package.client(&[&["-s", &socket(daemon).display().to_string()], arguments].concat())
}

/// What was printed, with the places that differ made the same: the log, and all digits of times of day.
fn comparable(printed: &str, log: &str) -> String {
    let line = |line: &str| match line.split_once(" \t") {
        Some((prefix, times)) if times.contains(" = ") => {
            let (began, rest) = times.split_once(" + ").unwrap_or((times, ""));
            let (seconds, ends) = rest.split_once(" = ").unwrap_or((rest, ""));
            let shape = |time: &str| time.replace(|c: char| c.is_ascii_digit(), "9");
            format!("{prefix} \t{} + {seconds} = {}", shape(began), shape(ends))
        }
        _ => line.replace(log, "LOG"),
    };
    printed.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_client_of_the_package_prints_what_it_prints_of_a_fail2ban_in_the_same_state() -> Result<()> {
    // What both are asked, in turn: so they are in the same state, each step of the way.
    let steps = [
        "ping",
        "echo hello",
        "status",
        "status dovecot",
        "status nojail",
        "banned",
        "get dovecot banned",
        "get dovecot banip",
        "set dovecot banip 192.0.2.7",
        "set dovecot banip 192.0.2.8 192.0.2.9",
        "set dovecot banip 198.51.100.0/24",
        "set dovecot banip",
        "set nojail banip 192.0.2.8",
        "status",
        "status dovecot",
        "status dovecot basic",
        "banned",
        "banned 192.0.2.8",
        "banned 192.0.2.8 192.0.2.99",
        "get dovecot banned",
        "get dovecot banned 192.0.2.8",
        "get dovecot banned 192.0.2.8 192.0.2.99",
        "get dovecot banip",
        "get dovecot banip ,",
        "get dovecot banip --with-time",
        "get nojail banip",
        "set dovecot banip 192.0.2.7",
        "set dovecot unbanip 192.0.2.99",
        "set dovecot unbanip --report-absent 192.0.2.99",
        "set dovecot unbanip 192.0.2.7 192.0.2.99",
        "status dovecot",
        "unban 192.0.2.8",
        "unban 192.0.2.99",
        "unban 198.51.100.0/24",
        "status dovecot",
        "unban --all",
        "banned",
        "get dovecot bantime",
        "get dovecot maxretry",
        "get dovecot findtime",
        "get dovecot logpath",
        "get dovecot journalmatch",
        "get dovecot ignoreip",
        "get dovecot ignoreself",
        "get dovecot ignorecommand",
        "get dovecot ignorecache",
        "set dovecot addignoreip",
        "set dovecot addignoreip 192.0.2.50",
        "set dovecot addignoreip 192.0.2.50",
        "set dovecot addignoreip 198.51.100.0/24",
        "set dovecot addignoreip 203.0.113.77/24",
        "set dovecot addignoreip 2001:DB8:0::2/64",
        "get dovecot ignoreip",
        "set dovecot delignoreip 192.0.2.99",
        "set dovecot delignoreip 203.0.113.0/24",
        "set dovecot delignoreip 192.0.2.50",
        "set dovecot delignoreip",
        "set nojail addignoreip 192.0.2.1",
        "get nojail ignoreip",
        "set dovecot addignoreip 192.0.2.45",
        "set dovecot ignoreself true",
        "set dovecot attempt 192.0.2.44",
        "status dovecot",
        "flushlogs",
        "get",
        "set dovecot",
    ];
    // A jail that is restarted has fail2ban forget what it counted: so nothing that counts comes behind them.
    let restarts = ["reload", "reload dovecot", "reload --unban", "restart dovecot", "banned"];
    // What only the later fail2ban knows.
    let later = ["status dovecot short", "status dovecot stats", "status --all", "status --all short", "stats"];
    for (release, version) in RELEASES {
        let fail2ban = Running::start(release, &["dovecot"])?;
        let net = Net::new()?;
        let mut daemon = configure(&net, "")?;
        daemon.start()?;
        let (our_log, their_log) =
            (daemon.log().path().display().to_string(), fail2ban.package.beside("x.log").display().to_string());
        let later = later.iter().filter(|_| version != "1.0.2");

        let mut differ = Vec::new();
        for step in later.clone().chain(&steps).chain(later).chain(&restarts) {
            let arguments: Vec<&str> = step.split(' ').collect();
            let theirs = fail2ban.client(&arguments)?;
            let ours = ask(&fail2ban.package, &daemon, &arguments)?;
            // The backend is how logs are read, and ours is none of fail2ban's.
            let ours_out = comparable(&ours.stdout, &our_log).replace("inotify", "polling").replace("|- i']", "|- p']");
            let theirs_out = comparable(&theirs.stdout, &their_log);
            if (ours.code, &ours_out) != (theirs.code, &theirs_out) {
                differ.push(format!(
                    "`{step}`\n{:?} {ours_out}\n{ours:?}\nand not\n{:?} {theirs_out}",
                    ours.code, theirs.code
                ));
            }
        }
        ensure!(differ.is_empty(), "{version}: {}", differ.join("\n\n"));
        daemon.check_alive()?;
    }
    Ok(())
}

#[test]
fn what_the_client_changes_is_changed_in_the_kernel() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        // All jails that the package has: its client sends them with each reload, which is the longest that it sends.
        package.write("jail.local", "[DEFAULT]\nenabled = true\nskip_if_nologs = true\nbackend = systemd\n")?;
        let net = Net::new()?;
        let mut daemon = configure(&net, "")?;
        daemon.start()?;
        let printed = |arguments: &[&str]| -> Result<String> {
            Ok(ask(&package, &daemon, arguments)?.success().context(version)?.stdout)
        };
        let is_banned = || -> Result<bool> { Ok(daemon.kernel_bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN))) };

        assert_eq!(printed(&["set", "dovecot", "banip", "192.0.2.7", "2001:db8:7:7::9"])?, "2\n");
        assert!(is_banned()?, "{version}");
        let ban = daemon.bans()?.into_iter().find(|ban| covers(&ban.prefix, VILLAIN)).context("it is banned")?;
        assert_eq!((ban.jail.as_str(), ban.reason.as_deref()), ("dovecot", Some("fail2ban-client")), "{version}");
        assert_eq!(printed(&["get", "dovecot", "banned", "2001:db8:7:7::1"])?, "1\n", "by its network");
        assert_eq!(printed(&["unban", "2001:db8:7:7::1"])?, "1\n", "{version}");
        assert_eq!(printed(&["set", "dovecot", "unbanip", "192.0.2.7"])?, "1\n", "{version}");
        assert!(!is_banned()? && daemon.kernel_bans()?.is_empty(), "{version}");

        // Who is ignored is banned by nobody, and let go; who is ignored no more is banned again.
        printed(&["set", "dovecot", "banip", "192.0.2.7"])?;
        assert!(is_banned()?, "{version}");
        let ignored = "These IP addresses/networks are ignored:\n`- 192.0.2.7\n";
        assert_eq!(printed(&["set", "dovecot", "addignoreip", "192.0.2.7"])?, ignored, "{version}");
        assert!(daemon.kernel_bans()?.is_empty(), "{version}");
        let refused = ask(&package, &daemon, &["set", "dovecot", "banip", "192.0.2.7"])?;
        assert_eq!(refused.code, Some(255), "{version}: {refused:?}");
        let allowed = daemon.cli(&["allow", "--list", "--json"])?.success()?.stdout;
        assert!(allowed.contains("\"by-command\",\"detail\":\"fail2ban-client\""), "{version}: {allowed}");
        let none = "No IP address/network is ignored\n";
        assert_eq!(printed(&["set", "dovecot", "delignoreip", "192.0.2.7"])?, none, "{version}");
        assert_eq!(printed(&["set", "dovecot", "banip", "192.0.2.7"])?, "1\n", "{version}");
        assert_eq!(printed(&["unban", "192.0.2.7"])?, "1\n", "{version}");

        // As an application tells of failures: the fifth is one too many.
        for _ in 0..4 {
            printed(&["set", "dovecot", "attempt", "192.0.2.7"])?;
        }
        assert!(!is_banned()?, "{version}");
        printed(&["set", "dovecot", "attempt", "192.0.2.7"])?;
        daemon.await_ban(VILLAIN, LIMIT)?;
        assert!(is_banned()?, "{version}");
        assert_eq!(printed(&["reload", "--unban"])?, "OK\n", "{version}");
        assert!(daemon.kernel_bans()?.is_empty(), "{version}: unbanned with the reload");

        // Bans by command are of a jail that shows only then.
        assert_eq!(printed(&["status"])?, "Status\n|- Number of jail:\t1\n`- Jail list:\tdovecot\n", "{version}");
        daemon.cli(&["ban", "192.0.2.7"])?.success()?;
        assert_eq!(
            printed(&["status"])?,
            "Status\n|- Number of jail:\t2\n`- Jail list:\tdovecot, manual\n",
            "{version}"
        );
        assert_eq!(printed(&["banned", "192.0.2.7"])?, "[['manual']]\n", "{version}");
        assert!(printed(&["version"])?.starts_with("1.1.0+blocker."), "{version}");

        assert_eq!(printed(&["reload"])?, "OK\n", "{version}");
        assert!(is_banned()?, "{version}: a reload keeps bans");
    }
    Ok(())
}

#[test]
fn what_we_do_otherwise_is_refused_with_our_own_command_and_changes_nothing() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        let net = Net::new()?;
        let settings = Settings { allow: vec!["203.0.113.0/24".into()], ..Settings::default() };
        let mut daemon = configure(&net, "")?;
        let text = fs::read_to_string(daemon.config_path())?;
        daemon.write_configuration(&text.replacen("allow = []", &format!("allow = {:?}", settings.allow), 1))?;
        daemon.start()?;
        ask(&package, &daemon, &["set", "dovecot", "banip", "192.0.2.7"])?.success()?;

        for (command, words) in [
            ("nonsense", "blocker does not know `nonsense`; see `blocker help`"),
            ("stop", "systemctl stop blocker"),
            ("restart", "systemctl stop blocker"),
            ("get dbfile", "`blocker status`"),
            ("set loglevel DEBUG", "`blocker status`"),
            ("get dovecot failregex", "blocker does not tell `failregex`; see `blocker status dovecot`"),
            ("set dovecot bantime 1h", "change `ban_time` in `[jails.dovecot]`, then `blocker reload`"),
            ("set dovecot addignoreip example.org", "example.org"),
            ("set dovecot delignoreip 203.0.113.0/24", "take it out of `daemon.allow`"),
            ("set dovecot ignoreself false", "never bans the machine's own addresses"),
            ("set dovecot ignorecommand /bin/true", "`allow_files` in `[daemon]`"),
            ("set dovecot banip nonsense", "nonsense"),
            ("set dovecot banip 0.0.0.0/0", "0.0.0.0/0"),
            ("set dovecot banip 203.0.113.9 192.0.2.99", "203.0.113.9: allow-listed"),
            ("unban example.org", "example.org"),
            ("status dovecot cymru", "blocker bans"),
        ] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let refused = ask(&package, &daemon, &arguments)?;
            assert_eq!(refused.code, Some(255), "{version}: `{command}`: {refused:?}");
            assert!(
                format!("{}{}", refused.stdout, refused.stderr).contains(words),
                "{version}: `{command}`: {refused:?}"
            );
        }
        // The other address of the same command was banned all the same.
        let bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
        assert_eq!(bans, ["192.0.2.7", "192.0.2.99"], "{version}");
        daemon.check_alive()?;
    }
    Ok(())
}

/// Sends `bytes` and the marker, and returns the answer to it.
fn exchange(daemon: &Daemon<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket(daemon))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(&[bytes, END].concat())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(END) {
        let size = stream.read(&mut piece)?;
        ensure!(size > 0, "no whole answer: {}", answer.escape_ascii());
        answer.extend_from_slice(&piece[..size]);
    }
    Ok(answer)
}

#[test]
fn nothing_in_a_pickle_runs_and_hostile_ones_harm_nobody() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configure(&net, "")?;
    daemon.start()?;
    let canary = daemon.directory().join("canary");
    let touch = format!("touch {}", canary.display());
    let memory = || -> Result<u64> {
        let pid = daemon.pid().context("it runs")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        Ok(line.trim_end_matches("kB").trim().parse()?)
    };
    let before = memory()?;
    let text = |text: &[u8]| [b"X", &u32::try_from(text.len()).unwrap_or(0).to_le_bytes()[..], text].concat();
    let hostile: Vec<Vec<u8>> = vec![
        // system(), by the instructions of three protocols.
        format!("cposix\nsystem\n(S'{touch}'\ntR.").into_bytes(),
        format!("(S'{touch}'\niposix\nsystem\n.").into_bytes(),
        [&b"\x80\x04"[..], &text(b"posix"), &text(b"system"), b"\x93", &text(touch.as_bytes()), b"\x85R."].concat(),
        [&b"\x80\x02](cposix\nsystem\n"[..], &text(touch.as_bytes()), b"\x85Re."].concat(),
        // A gigabyte, and more, promised and not there.
        b"\x80\x05]X\0\0\0\x40aa.".to_vec(),
        b"\x80\x05]\x8d\xff\xff\xff\xff\xff\xff\xff\x7faa.".to_vec(),
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f]\x8c\x04pinga".to_vec(),
        // Lists in lists, marks upon marks, and tuples around each other.
        [&b"]".repeat(100_000)[..], &b"a".repeat(99_999), b"."].concat(),
        b"(".repeat(400_000),
        [&b"]"[..], &b"\x85".repeat(400_000), b"."].concat(),
        // One text over and over, and kept over and over.
        [&b"]"[..], &text(&[b'x'; 60_000]), b"q\0a", &b"h\0a".repeat(60_000), b"."].concat(),
        [&b"]"[..], &text(&[b'x'; 60_000]), &b"\x94".repeat(60_000), b"a."].concat(),
        // Very many values; of lists each takes the most.
        [&b"]("[..], &b"N".repeat(400_000), b"e."].concat(),
        [&b"]("[..], &b"(l".repeat(200_000), b"e."].concat(),
        // A list in itself; no list; nothing; rubbish; cut.
        b"]q\0h\0a.".to_vec(),
        b"\x8c\x04ping.".to_vec(),
        Vec::new(),
        (0..=255).collect(),
        b"\x80\x05\x95\x0b\0\0\0\0\0\0\0]\x94\x8c\x04pin".to_vec(),
        b"\x80\x05]\x8c\x02\xff\xffa.".to_vec(),
    ];

    for bytes in &hostile {
        let start = bytes[..bytes.len().min(60)].escape_ascii();
        let answer = exchange(&daemon, bytes).with_context(|| format!("{start}"))?;
        ensure!(
            answer.starts_with(b"\x80\x03K\x01cbuiltins\nException\n")
                && String::from_utf8_lossy(&answer).contains("no command of fail2ban-client"),
            "{start}: {}",
            answer.escape_ascii()
        );
    }
    // It is not read to its end: so the answer may come too late for who is still writing.
    let is_cut = |error: &anyhow::Error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
    };
    match exchange(&daemon, &[b'x'; 1024 * 1024]) {
        Ok(answer) => ensure!(answer.escape_ascii().to_string().contains("at most"), "{}", answer.escape_ascii()),
        Err(error) => ensure!(is_cut(&error), "{error:#}"),
    }
    let pong = exchange(&daemon, b"\x80\x05]\x94\x8c\x04ping\x94a.")?;
    ensure!(pong.escape_ascii().to_string().contains("pong"), "{}", pong.escape_ascii());
    ensure!(!canary.exists(), "something ran");
    let grown = memory()? - before;
    ensure!(grown < 64 * 1024, "grown by {grown} KiB");
    daemon.check_alive()
}

#[test]
fn clients_that_hang_keep_nobody_out_for_long_and_delay_no_ban() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configure(&net, "")?;
    daemon.start()?;
    // More than are served at once: some say nothing, some stop in the middle, some never take their answers.
    let mut hanging = Vec::new();
    for number in 0..20 {
        let mut stream = UnixStream::connect(socket(&daemon))?;
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"\x80\x05]\x94")?,
            _ => stream.write_all(&[&b"\x80\x05]\x94\x8c\x04ping\x94a."[..], END].concat().repeat(100))?,
        }
        hanging.push(stream);
    }

    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    let asked = Instant::now();
    daemon.cli(&["status"])?.success()?;
    ensure!(asked.elapsed() < Duration::from_secs(10), "the control socket is another: {:?}", asked.elapsed());
    let pong = exchange(&daemon, b"\x80\x05]\x94\x8c\x04ping\x94a.")?;
    ensure!(pong.escape_ascii().to_string().contains("pong"), "{}", pong.escape_ascii());
    drop(hanging);
    daemon.check_alive()
}

#[test]
fn a_fail2ban_that_runs_keeps_its_socket_and_a_dead_ones_is_taken() -> Result<()> {
    let (release, _) = RELEASES[1];
    let fail2ban = Running::start(release, &["dovecot"])?;
    let net = Net::new()?;
    let settings = Settings::default();
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    let text = daemon.configuration(&settings);
    daemon.write_configuration(&format!("{text}\n[control]\nfail2ban_socket = {:?}\n", fail2ban.socket))?;

    let refused = daemon.cli(&["run"])?;
    ensure!(refused.code == Some(1), "{refused:?}");
    ensure!(
        refused.stderr.contains("control.fail2ban_socket") && refused.stderr.contains("another process listens there"),
        "{refused:?}"
    );
    ensure!(fail2ban.client(&["ping"])?.success()?.stdout.contains("pong"), "fail2ban goes on");

    let dead = socket(&daemon);
    fs::create_dir_all(dead.parent().context("it has a directory")?)?;
    drop(UnixListener::bind(&dead)?);
    daemon.write_configuration(&format!("{text}\n[control]\nfail2ban_socket = {dead:?}\n"))?;
    daemon.start()?;
    ensure!(ask(&fail2ban.package, &daemon, &["ping"])?.success()?.stdout == "Server replied: pong\n");
    ensure!(fs::metadata(&dead)?.permissions().mode() & 0o777 == 0o600, "root's alone, as fail2ban's");
    daemon.stop()?;
    ensure!(!dead.exists(), "it goes with the daemon");

    Ok(())
}

#[test]
fn with_groups_anybody_may_connect_and_the_daemon_says_who_may_ask() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configure(&net, "look_group = \"adm\"\n")?;
    daemon.start()?;
    ensure!(fs::metadata(socket(&daemon))?.permissions().mode() & 0o777 == 0o666);
    let look = Group::from_name("adm")?.context("every Debian has it")?.gid.as_raw();
    let status = b"]X\x06\0\0\0statusa.";
    let unban = b"](X\x05\0\0\0unbanX\x05\0\0\0--alle.";
    daemon.cli(&["ban", "192.0.2.7"])?.success()?;
    for (gid, command, answer) in [
        (look, &status[..], "Number of jail"),
        (look, unban, "may look, and not change anything"),
        (54_321, status, "may not control the daemon"),
        (54_321, unban, "may not control the daemon"),
    ] {
        let told = exchange_as(&net, gid, &daemon, command)?;
        ensure!(told.contains(answer), "group {gid}, {}: {told}", command.escape_ascii());
    }
    ensure!(daemon.bans()?.len() == 1, "nothing was changed");
    Ok(())
}

/// [`exchange`], as a user who is nobody, in a group.
fn exchange_as(net: &Net, gid: u32, daemon: &Daemon<'_>, bytes: &[u8]) -> Result<String> {
    const PROGRAM: &str = "socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die $!; \
        syswrite(S, pack('H*', $ARGV[1])); while (sysread(S, $answer, 4096)) { print $answer }";
    let hex: String =
        [bytes, END, b"<F2B_CLOSE_COMMAND>", END].concat().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = net.command(Host::Server, "setpriv");
    command.args(["--reuid=54321", &format!("--regid={gid}"), "--clear-groups", "--inh-caps=-all", "--"]);
    command.args(["perl", "-MSocket", "-e", PROGRAM]).arg(socket(daemon)).arg(hex);
    Ok(process::run(command, LIMIT)?.success()?.stdout)
}
