//! What the unit's sandbox must let the daemon do, and what it must not.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use crate::machine::{OPERATOR, PLAIN, USER, attacker, attempt, await_ban, await_that, fresh, process, shell};

/// In tenths, as `--threshold` has it: what systemd itself calls "OK" ends at 50.
const EXPOSURE: u32 = 30;

#[test]
fn logs_of_others_are_read_also_through_links_and_closed_folders() -> Result<()> {
    shell(
        "mkdir -p /var/log/closed /srv/logs && touch /var/log/of-adm.log /var/log/closed/own.log /srv/logs/far.log && \
         chown syslog:adm /var/log/of-adm.log 2>/dev/null || chown daemon:adm /var/log/of-adm.log; \
         chmod 640 /var/log/of-adm.log && chown -R daemon:daemon /var/log/closed && chmod 700 /var/log/closed && \
         chmod 600 /var/log/closed/own.log && ln -sf /srv/logs/far.log /var/log/link.log",
    )?;
    let logs = "[\"/var/log/of-adm.log\", \"/var/log/closed/own.log\", \"/var/log/link.log\"]";
    fresh(&format!("{PLAIN}[jails.files]\nfilter = \"sshd\"\nlog = {logs}\nmax_retry = 1\n"))?;
    await_that("the logs to be followed", || Ok(shell("blocker status")?.matches("reads /").count() == 3))?;

    for (number, log) in ["/var/log/of-adm.log", "/var/log/closed/own.log", "/srv/logs/far.log"].into_iter().enumerate()
    {
        let addr = format!("203.0.113.{}", 20 + number);
        let line = format!("sshd[77]: Failed password for root from {addr} port 40000 ssh2");
        shell(&format!("echo \"$(date '+%b %e %H:%M:%S') host {line}\" >> {log}"))?;
        await_that(&format!("a ban by {log}"), || Ok(shell("blocker bans")?.contains(&addr)))?;
    }
    Ok(())
}

#[test]
fn the_socket_serves_the_group_and_nobody_else() -> Result<()> {
    fresh(PLAIN)?;

    let said = shell(&format!("su {OPERATOR} -c 'blocker ban 203.0.113.30 && blocker bans'"))?;

    ensure!(said.contains("203.0.113.30"), "{said}");
    let (code, said) = attempt(&format!("su {USER} -c 'blocker bans'"))?;
    ensure!(code == 77 && said.contains("may not"), "{code}: {said}");
    Ok(())
}

#[test]
fn files_are_written_where_the_unit_has_folders_for_them() -> Result<()> {
    fresh(PLAIN)?;

    shell("blocker ban 203.0.113.31")?;

    await_that("a line in the file in fail2ban's form", || {
        Ok(fs::read_to_string("/var/log/blocker/fail2ban.log")?.contains("Ban 203.0.113.31"))
    })?;
    for (path, mode) in [("/var/log/blocker", 0o750), ("/var/lib/blocker", 0o700), ("/run/blocker", 0o755)] {
        let found = fs::metadata(path)?.mode() & 0o777;
        ensure!(found == mode, "{path} has the mode {found:o}");
    }
    let database = fs::metadata("/var/lib/blocker/blocker.db")?.mode() & 0o777;
    ensure!(database == 0o600, "the database has the mode {database:o}");
    Ok(())
}

#[test]
fn of_the_system_nothing_is_writable_but_the_place_of_the_pins() -> Result<()> {
    fresh(PLAIN)?;
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", process()?))?;
    let is_writable = |place: &str| {
        let last = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(place));
        last.and_then(|line| line.split(' ').nth(5)).map(|options| options.split(',').any(|option| option == "rw"))
    };

    for place in ["/", "/sys", "/sys/fs/cgroup", "/sys/kernel/debug", "/proc/sys"] {
        ensure!(is_writable(place) == Some(false), "{place}: {mounts}");
    }
    for place in ["/sys/fs/bpf", "/var/lib/blocker", "/var/log/blocker", "/run/blocker"] {
        ensure!(is_writable(place) == Some(true), "{place}: {mounts}");
    }
    Ok(())
}

#[test]
fn a_mail_goes_out_by_sendmail_and_a_hook_is_run() -> Result<()> {
    let server = TcpListener::bind("127.0.0.1:2525").context("listening as a mail server")?;
    let mail = thread::spawn(move || one_mail(&server));
    fs::write("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nfrom blocker@mx1.example.org\n")?;
    fs::write("/usr/local/bin/hook", "#!/bin/sh\ncat >> /var/lib/blocker/hook.json\n")?;
    shell("chmod 755 /usr/local/bin/hook && rm -f /var/lib/blocker/hook.json")?;
    let notify = "[notify.mail]\nto = [\"root@example.org\"]\nevery = \"1s\"\non = [\"ban\"]\n\
                  [notify.exec.hook]\ncommand = [\"/usr/local/bin/hook\"]\non = [\"ban\"]\n";
    fresh(&format!("{PLAIN}{notify}"))?;

    shell("blocker ban 203.0.113.32")?;

    await_that("the hook to be told", || {
        Ok(fs::read_to_string("/var/lib/blocker/hook.json").is_ok_and(|told| told.contains("203.0.113.32")))
    })?;
    await_that("the mail", || {
        ensure!(mail.is_finished(), "{}", shell("blocker status | grep notify")?);
        Ok(true)
    })?;
    let text = mail.join().unwrap_or_else(|_| Ok(String::new()))?;
    ensure!(text.contains("203.0.113.32") && text.contains("root@example.org"), "{text}");
    fresh(PLAIN)
}

/// What a client says to a mail server that takes everything.
fn one_mail(server: &TcpListener) -> Result<String> {
    let (stream, _) = server.accept()?;
    let (mut said, mut is_text) = (String::new(), false);
    let mut answer = stream.try_clone()?;
    answer.write_all(b"220 here\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        said.push_str(&line);
        said.push('\n');
        let reply = match line.get(..4).unwrap_or(&line) {
            "." if is_text => {
                is_text = false;
                "250 taken\r\n"
            }
            _ if is_text => continue,
            "DATA" => {
                is_text = true;
                "354 go on\r\n"
            }
            "QUIT" => {
                answer.write_all(b"221 bye\r\n")?;
                break;
            }
            _ => "250 yes\r\n",
        };
        answer.write_all(reply.as_bytes())?;
    }
    Ok(said)
}

#[test]
fn the_doctor_finds_no_fault() -> Result<()> {
    fresh(PLAIN)?;

    let said = shell("blocker doctor")?;

    ensure!(said.lines().any(|line| line.starts_with("ok ")), "it says what it has looked at: {said}");
    ensure!(!said.lines().any(|line| line.starts_with("problem ") || line.starts_with("warn ")), "{said}");
    Ok(())
}

#[test]
fn connections_of_the_banned_are_closed() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(15);
    let mut ssh = crate::machine::login(villain, crate::machine::PASSWORD, "sleep 10000")?;
    let mut connected = ssh.spawn().context("starting ssh")?;
    await_that(
        "a session",
        || Ok(shell("ss -tn state established '( sport = :22 )'")?.contains(&villain.to_string())),
    )?;
    // Not by `ban`, which spares who is logged in: by the rules of a machine that spares nobody.
    fresh(&PLAIN.replace("[daemon]\n", "[daemon]\nallow_logins = false\n"))?;

    shell(&format!("blocker ban {villain}"))?;

    await_that("its connection to be closed", || {
        Ok(!shell("ss -tn state established '( sport = :22 )'")?.contains(&villain.to_string()))
    })?;
    connected.kill().context("ending ssh")?;
    connected.wait().context("waiting for ssh")?;
    Ok(())
}

#[test]
fn the_exposure_is_bounded() -> Result<()> {
    let said = shell(&format!("systemd-analyze security --no-pager --threshold={EXPOSURE} blocker"))?;
    println!("{}", said.lines().rfind(|line| line.contains("exposure level")).unwrap_or_default());
    Ok(())
}

#[test]
fn a_ban_by_a_failed_login_is_made_with_all_of_it_on() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(16);

    crate::machine::fails_thrice(villain)?;

    await_ban(villain)
}
