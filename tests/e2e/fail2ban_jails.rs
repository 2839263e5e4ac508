//! The daemon runs fail2ban's jails with their own filters, beside its own jails.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use blocker_tests::{
    answers::Status,
    clock,
    daemon::{self, Daemon, Settings, covers},
    fail2ban::{Fail2ban, RELEASES},
    journal_files::JournalFile,
    listener::Listener,
    log_file::LogFile,
    netns::{ATTACKER_V4, Host, Net, SERVER_V4},
    probe, wait,
};
use serde_json::Value;

use crate::siege::{LIMIT, STRANGER, VILLAIN};

/// The filter of the how-to of 2015 that this project starts from.
const FILTER_OF_2015: &str = r"# Fail2Ban configuration file
[Definition]
failregex = .*(?:pop3-login|imap-login):.*(?:Authentication failure|Aborted login \(auth failed|Aborted login \(tried to use disabled|Disconnected \(auth failed).*rip=(?P<host>\S*),.*
ignoreregex =
";

/// Its jail; `/var/log/maillog` is replaced.
const JAIL_OF_2015: &str = r#"[dovecot]
enabled = true
filter = dovecot
action = iptables-multiport[name=dovecot, port="pop3,pop3s,imap,imaps", protocol=tcp]
         sendmail-whois[name=dovecot, dest=root, sender=fail2ban@example.org]
logpath = /var/log/maillog
maxretry = 10
findtime = 1200
bantime = -10
"#;

/// A configuration with fail2ban's directory and no jail of its own.
fn configure(daemon: &Daemon<'_>, directory: &Path, jails: &str) -> Result<()> {
    let text = daemon.configuration(&Settings::default());
    let (of_daemon, _) = text.split_once("[jails.dovecot]").context("the jail is the last table")?;
    let key = format!("[daemon]\nfail2ban = '{}'\n", directory.display());
    daemon.write_configuration(&format!("{}{jails}", of_daemon.replacen("[daemon]\n", &key, 1)))
}

/// A refused password as Dovecot 2.0 wrote it.
fn refused_of_2015(source: IpAddr) -> String {
    let stamp = clock::log_stamp();
    format!(
        "{stamp} mx1 dovecot: pop3-login: Aborted login (auth failed, 1 attempts): user=<bob>, method=PLAIN, rip={source}, lip=198.51.100.1, TLS"
    )
}

#[test]
fn the_how_to_of_2015_works_to_the_letter() -> Result<()> {
    let package = Fail2ban::of(RELEASES[0].0)?;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let log = daemon.log().path().display().to_string();
    for entry in fs::read_dir(package.directory().join("jail.d"))? {
        fs::remove_file(entry?.path())?;
    }
    package.write("jail.conf", &JAIL_OF_2015.replace("/var/log/maillog", &log))?;
    package.write("filter.d/dovecot.conf", FILTER_OF_2015)?;
    configure(&daemon, &package.directory(), "")?;

    let checked = daemon.cli(&["check"])?.success()?.stdout;
    let warning = "warning: pattern `failregex 1` can be made to name 203.0.113.66 by a client at 192.0.2.9";
    let (_, behind) = checked.split_once(warning).with_context(|| checked.clone())?;
    let attack = behind.lines().nth(1).context("the line follows")?.trim();
    assert!(checked.contains("the built-in filter `dovecot` is not misled so: name it instead"), "{checked}");
    assert!(
        checked.contains("jail dovecot: on, filter dovecot of fail2ban, protects 110,143,993,995/tcp"),
        "{checked}"
    );
    let hostile = package.beside("hostile.log");
    fs::write(&hostile, format!("{attack}\n"))?;
    let filter = package.directory().join("filter.d/dovecot.conf").display().to_string();
    let proof = daemon.cli(&["test", "--json", "--filter", &filter, &hostile.display().to_string()])?.success()?;
    assert!(proof.stdout.contains("\"addr\":\"203.0.113.66\""), "the line proves it: {proof:?}");
    let imported = daemon.cli(&["import", "fail2ban", &package.directory().display().to_string()])?.success()?.stdout;
    for said in ["changed  failregex: warning: `failregex 1` can be made to name 203.0.113.66", "the filter `dovecot`"]
    {
        assert!(imported.contains(said), "{imported}");
    }

    daemon.start()?;
    let status = await_log(&daemon, &log)?;
    assert!(
        status.problems.iter().any(|problem| problem.contains("jail dovecot: action: sendmail-whois: mails to root")),
        "{status:?}"
    );
    let (imap, smtp) = (Listener::start(&net, 143)?, Listener::start(&net, 25)?);
    let reaches = |port| probe::connects(&net, Host::Attacker, SocketAddr::new(SERVER_V4, port));
    assert!(reaches(143) && reaches(25), "nobody is banned yet: {imap:?} {smtp:?}");
    for _ in 0..9 {
        daemon.log().append(refused_of_2015(ATTACKER_V4).as_bytes())?;
    }
    for _ in 0..10 {
        daemon.log().append(refused_of_2015(STRANGER).as_bytes())?;
    }
    daemon.await_ban(STRANGER, LIMIT)?;
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, ATTACKER_V4)), "nine are no ten");
    daemon.log().append(refused_of_2015(ATTACKER_V4).as_bytes())?;
    let ban = daemon.await_ban(ATTACKER_V4, LIMIT)?;
    assert_eq!((ban.jail.as_str(), ban.remaining_s, ban.attempts), ("dovecot", None, 10.0), "{ban:?}");
    wait::until_true("the port to close", LIMIT, || !reaches(143), || format!("{:?}", daemon.bans()))?;
    assert!(reaches(25), "no port of the jail's");
    Ok(())
}

/// As somebody has it who follows the how-to today: beside all that the package brings, which reads the journal for Dovecot since 1.1.
#[test]
fn the_how_to_of_2015_works_beside_what_the_packages_bring() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        let log = daemon.log().path().display().to_string();
        let jail = JAIL_OF_2015.replace("/var/log/maillog", &log) + "[sshd]\nenabled = false\n";
        package.write("jail.local", &jail)?;
        package.write("filter.d/dovecot.conf", FILTER_OF_2015)?;
        configure(&daemon, &package.directory(), "")?;

        daemon.start()?;

        await_log(&daemon, &log).context(version)?;
        for _ in 0..10 {
            daemon.log().append(refused_of_2015(STRANGER).as_bytes())?;
        }
        let ban = daemon.await_ban(STRANGER, LIMIT)?;
        assert_eq!((ban.jail.as_str(), ban.remaining_s, ban.attempts), ("dovecot", None, 10.0), "{version}: {ban:?}");
    }
    Ok(())
}

/// Waits until the jail reads its log, which may be after the interfaces are guarded.
fn await_log(daemon: &Daemon<'_>, log: &str) -> Result<Status> {
    wait::until("the log to be read", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.jail("dovecot").files == [log] { Ok(status) } else { Err(format!("{status:?}")) }
    })
}

/// Lines by which the stock filters of both releases know a failure of `source`.
fn stock_lines(source: IpAddr) -> [(&'static str, String); 3] {
    let stamp = clock::log_stamp();
    [
        ("sshd", format!("{stamp} mx1 sshd[4711]: Failed password for root from {source} port 51234 ssh2")),
        (
            "dovecot",
            format!(
                "{stamp} mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<bob>, \
                 method=PLAIN, rip={source}, lip=198.51.100.1, session=<Hc0eYwAAAAAA>"
            ),
        ),
        (
            "postfix",
            format!(
                "{stamp} mx1 postfix/smtpd[815]: warning: unknown[{source}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"
            ),
        ),
    ]
}

#[test]
fn the_stock_jails_of_two_releases_ban_by_their_own_filters_and_are_reloaded() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        let write = |sshd: &str| {
            let jail = |name: &str, more: &str| {
                let log = package.beside(&format!("{name}.log"));
                format!("[{name}]\nenabled = true\nbackend = polling\nlogpath = {}\n{more}\n", log.display())
            };
            let jails =
                [jail("sshd", sshd), jail("dovecot", "action = %(action_mw)s"), jail("postfix", "mode = aggressive")];
            package.write("jail.local", &jails.concat())
        };
        write("maxretry = 3")?;
        let logs = ["sshd", "dovecot", "postfix"].map(|name| LogFile::create(package.beside(&format!("{name}.log"))));
        let logs = logs.into_iter().collect::<Result<Vec<_>>>()?;
        let tell = |source: IpAddr, times: usize| {
            (0..times).try_for_each(|_| {
                logs.iter()
                    .zip(stock_lines(source))
                    .try_for_each(|(log, (_, line))| log.append(line.as_bytes()).map(drop))
            })
        };
        configure(&daemon, &package.directory(), "")?;
        let status = daemon.start()?;
        assert!(
            status
                .problems
                .iter()
                .any(|problem| problem.starts_with("fail2ban's jail dovecot: action: sendmail-whois")),
            "{version}: {status:?}"
        );

        tell(VILLAIN, 5)?;
        for (jail, ports) in
            [("sshd", "22/tcp"), ("dovecot", "110,143,465,587,993,995,4190/tcp"), ("postfix", "25,465,587/tcp")]
        {
            wait::until(&format!("{version}: the ban by {jail}"), LIMIT, || {
                let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
                let found = bans.iter().any(|ban| ban.jail == jail && covers(&ban.prefix, VILLAIN));
                found.then_some(()).ok_or_else(|| format!("{bans:?}\n{}", daemon.printed()))
            })?;
            let checked = daemon.cli(&["check"])?.success()?.stdout;
            let said = format!("jail {jail}: on, filter {jail} of fail2ban, protects {ports}");
            assert!(checked.contains(&said), "{version}: {said}: {checked}");
        }
        let log = package.beside("sshd.log").display().to_string();
        let tested = daemon.cli(&["test", "--json", "--jail", "sshd", &log])?.success()?.stdout;
        let summary: Value = serde_json::from_str(tested.lines().last().context("a summary")?)?;
        assert_eq!(summary["summary"]["failures"], 5, "{version}: {tested}");

        let filter = fs::read_to_string(package.directory().join("filter.d/sshd.conf"))?;
        package.write("filter.d/sshd.conf", &format!("{filter}\nnonsense\n"))?;
        let refused = daemon.cli(&["reload"])?;
        assert_ne!(refused.code, Some(0), "{version}: {refused:?}");
        for said in ["the jail sshd, which runs, is faulty", "filter.d/sshd.conf, line "] {
            assert!(refused.stderr.contains(said), "{version}: {said}: {refused:?}");
        }
        tell(STRANGER, 3)?;
        assert_eq!(daemon.await_ban(STRANGER, LIMIT)?.jail, "sshd", "{version}: all is as it was");

        package.write("filter.d/sshd.conf", &filter)?;
        write("maxretry = 1")?;
        daemon.cli(&["reload"])?.success()?;
        tell(ATTACKER_V4, 1)?;
        assert_eq!(daemon.await_ban(ATTACKER_V4, LIMIT)?.jail, "sshd", "{version}: the new limit");

        package.write("jail.local", "[sshd]\nenabled = true\nenabled = true\n")?;
        let refused = daemon.cli(&["reload"])?;
        assert_eq!(refused.code, Some(78), "{version}: {refused:?}");
        assert!(refused.stderr.contains("jail.local, line 3: [sshd] `enabled`"), "{version}: {refused:?}");
    }
    Ok(())
}

/// Has the package's jail of sshd read a journal of the daemon's own, and says where that is.
pub(crate) fn journal_of_sshd(package: &Fail2ban, daemon: &Daemon<'_>) -> Result<PathBuf> {
    let journal = daemon.directory().join("journal");
    let jail = format!("[sshd]\nenabled = true\nbackend = systemd[journalpath={}]\nmaxretry = 3\n", journal.display());
    package.write("jail.local", &jail)?;
    Ok(journal)
}

/// As Debian 13 has it, but for the place of the journal's files.
#[test]
fn a_stock_jail_reads_the_journal_as_its_filter_wants_it() -> Result<()> {
    let package = Fail2ban::of(RELEASES[1].0)?;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let journal = journal_of_sshd(&package, &daemon)?;
    configure(&daemon, &package.directory(), "")?;
    let mut file = JournalFile::create(&journal, "system")?;
    daemon.start()?;
    wait::until("the journal to be read", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let reads = status.jail("sshd").journal.iter().any(|read| read.contains("_SYSTEMD_UNIT=ssh"));
        reads.then_some(()).ok_or_else(|| format!("{status:?}\n{}", daemon.printed()))
    })?;

    let mut say = |unit: &str, comm: &str, message: &str| {
        let fields = [
            ("_SYSTEMD_UNIT", unit),
            ("_COMM", comm),
            ("_UID", "0"),
            ("SYSLOG_IDENTIFIER", "sshd"),
            ("MESSAGE", message),
        ];
        file.append_fields(&fields, Duration::ZERO)
    };
    for _ in 0..3 {
        say("session-1.scope", "logger", &format!("Failed password for root from {STRANGER} port 51234 ssh2"))?;
        say("ssh.service", "sshd", &format!("Failed password for root from {VILLAIN} port 51234 ssh2"))?;
    }

    assert_eq!(daemon.await_ban(VILLAIN, LIMIT)?.jail, "sshd");
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, STRANGER)), "that was anybody");
    Ok(())
}

#[test]
fn a_jail_of_ours_may_have_a_filter_of_fail2bans_by_its_file() -> Result<()> {
    let package = Fail2ban::of(RELEASES[1].0)?;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let jail = |file: &str| {
        let (log, file) = (daemon.log().path().display(), package.directory().join(file).display().to_string());
        format!(
            "{}[jails.shell]\nfilter = '{file}'\nlog = '{log}'\nmax_retry = 2\n",
            daemon.configuration(&Settings::default())
        )
    };
    daemon.write_configuration(&jail("filter.d/nosuch.conf[mode=aggressive]"))?;
    let refused = daemon.cli(&["reload"])?;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    for said in ["`jails.shell.filter`: ", "filter.d/nosuch.conf: No such file"] {
        assert!(refused.stderr.contains(said), "{said}: {refused:?}");
    }

    // Only in this mode is it a failure to ask for nothing.
    daemon.write_configuration(&jail("filter.d/sshd.conf[mode=aggressive]"))?;
    daemon.cli(&["reload"])?.success()?;
    for _ in 0..2 {
        let stamp = clock::log_stamp();
        let line = format!("{stamp} mx1 sshd[4711]: Connection closed by {VILLAIN} port 51234 [preauth]");
        daemon.log().append(line.as_bytes())?;
    }
    assert_eq!(daemon.await_ban(VILLAIN, LIMIT)?.jail, "shell");
    Ok(())
}
