//! A real journald: what it says of a sender is the kernel's word, and a sender's own fields are not.

use blocker_tests::journald::Journald;

use super::*;

const NOBODY: u32 = 65_534;

#[test]
fn a_line_forged_by_a_local_user_bans_nobody() -> Result<()> {
    let net = Net::new()?;
    let journald = Journald::start()?;
    let reads = "journal = [\"_SYSTEMD_UNIT=dovecot.service\", \"+\", \"SYSLOG_IDENTIFIER=dovecot\"]\n";
    let daemon = reading(&net, reads)?;
    let _running = run(&daemon, &journald)?;

    // By syslog; also from within Dovecot's unit, as a program that a user's sieve script starts would.
    let mut outsider = journald.speaker(None, NOBODY)?;
    let mut insider = journald.speaker(Some("dovecot.service"), NOBODY)?;
    for _ in 0..5 {
        outsider.say(&refused(VICTIM))?;
        insider.say(&refused(VICTIM))?;
        // By journald's own protocol, with the trusted fields among what is sent.
        let message = format!("MESSAGE={}", refused(VICTIM));
        journald
            .send_fields(NOBODY, &["SYSLOG_IDENTIFIER=dovecot", &message, "_UID=0", "_SYSTEMD_UNIT=dovecot.service"])?;
    }
    // Root, but not Dovecot.
    journald.speaker(None, ROOT)?.say(&refused(VICTIM))?;

    // Dovecot's log process, over a rotation.
    let mut dovecot = journald.speaker(Some("dovecot.service"), ROOT)?;
    dovecot.say(&refused(LIVE))?;
    await_failures(&daemon, 1)?;
    journald.rotate()?;
    for _ in 0..4 {
        dovecot.say(&refused(LIVE))?;
    }

    daemon.await_ban(LIVE, LIMIT)?;
    assert!(!is_banned(&daemon, VICTIM)?);
    let status = daemon.status()?;
    assert_eq!(status.jail("dovecot").failures, 5, "{status:?}");
    await_problem(&daemon, "16 entries of the journal do not count")
}

#[test]
fn what_journald_took_over_a_rotation_while_the_daemon_was_down_is_judged_once() -> Result<()> {
    let net = Net::new()?;
    let journald = Journald::start()?;
    let daemon = reading(&net, "")?;
    let running = run(&daemon, &journald)?;
    let mut dovecot = journald.speaker(Some("dovecot.service"), ROOT)?;
    for source in [LIVE, VICTIM, LIVE, VICTIM] {
        dovecot.say(&refused(source))?;
    }
    await_failures(&daemon, 4)?;
    // The number that it tells itself is that of its namespace.
    let outside = running.pid();
    let child = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children"))?.trim().to_owned();
    drop(running);
    await_end_of(&child, "blocker")?;

    for source in [LIVE, VICTIM] {
        dovecot.say(&refused(source))?;
    }
    journald.rotate()?;
    for source in [LIVE, VICTIM, LIVE] {
        dovecot.say(&refused(source))?;
    }
    let running = begin(&daemon, &journald)?;

    daemon.await_ban(LIVE, LIMIT).with_context(|| running.printed())?;
    assert!(!is_banned(&daemon, VICTIM)?, "four are borne: {:?}", daemon.status()?);
    dovecot.say(&refused(VICTIM))?;
    daemon.await_ban(VICTIM, LIMIT)?;
    Ok(())
}

/// Debian 12 as installed: no syslog daemon, so no file, and nothing about logs in the configuration.
#[test]
fn a_machine_with_a_journal_alone_is_protected_as_shipped() -> Result<()> {
    let net = Net::new()?;
    let journald = Journald::start()?;
    let daemon = reading(&net, "")?;
    let _running = run(&daemon, &journald)?;

    let mut outsider = journald.speaker(None, NOBODY)?;
    let mut dovecot = journald.speaker(Some("dovecot.service"), ROOT)?;
    for _ in 0..5 {
        outsider.say(&refused(VICTIM))?;
        dovecot.say(&refused(LIVE))?;
    }

    daemon.await_ban(LIVE, LIMIT)?;
    let status = daemon.status()?;
    assert!(!is_banned(&daemon, VICTIM)? && status.problems.is_empty(), "{status:?}");
    Ok(())
}

/// A daemon that is not started, with this in the place of its jail's log.
fn reading<'net>(net: &'net Net, instead: &str) -> Result<Daemon<'net>> {
    let settings = Settings::default();
    let daemon = Daemon::configure(net, &daemon::binary()?, &settings)?;
    let log = format!("log = [\"{}\"]\n", daemon.log().path().display());
    daemon.write_configuration(&daemon.configuration(&settings).replace(&log, instead))?;
    Ok(daemon)
}

/// Starts it where the journal is this journald's, and waits until no entry is missed.
fn run(daemon: &Daemon<'_>, journald: &Journald) -> Result<Process> {
    let running = begin(daemon, journald)?;
    await_journal(daemon).with_context(|| running.printed())?;
    Ok(running)
}

fn begin(daemon: &Daemon<'_>, journald: &Journald) -> Result<Process> {
    Process::spawn("blocker", journald.around(&daemon.command(&["run"])))
}
