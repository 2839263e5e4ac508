//! What the journal and a file both have.

use super::*;

#[test]
fn what_is_in_the_file_and_in_the_journal_counts_once() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = with_both(&net)?;
    start(&mut daemon)?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;

    let line = |source| lines::refused(source, 1);
    let both: Vec<String> = (0..4).map(|_| line(VICTIM)).collect();
    for line in &both {
        file.append(message(line), ROOT, NOW)?;
        daemon.log().append(line.as_bytes())?;
    }
    // Each of them alone, and they add up.
    file.append(&refused(LIVE), ROOT, NOW)?;
    file.append(&refused(LIVE), ROOT, NOW)?;
    for _ in 0..3 {
        daemon.log().append(line(LIVE).as_bytes())?;
    }

    daemon.await_ban(LIVE, LIMIT)?;
    await_failures(&daemon, 9)?;
    assert!(!is_banned(&daemon, VICTIM)?, "four are borne: {:?}", daemon.status()?);
    Ok(())
}

#[test]
fn what_both_logs_took_while_the_daemon_was_down_counts_once() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = with_both(&net)?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    let both = |file: &mut JournalFile, daemon: &Daemon<'_>, source| {
        let line = lines::refused(source, 1);
        file.append(message(&line), ROOT, NOW)?;
        daemon.log().append(line.as_bytes())
    };
    both(&mut file, &daemon, OLD)?;
    await_file(&file)?;
    start(&mut daemon)?;
    end(&mut daemon, false)?;

    for _ in 0..4 {
        both(&mut file, &daemon, VICTIM)?;
    }
    start(&mut daemon)?;

    wait::until("all lines to be judged", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.lines.judged == 8 { Ok(()) } else { Err(format!("{status:?}")) }
    })?;
    assert_eq!(daemon.status()?.jail("dovecot").failures, 4);
    assert!(!is_banned(&daemon, VICTIM)?, "four are borne: {:?}", daemon.status()?);
    both(&mut file, &daemon, VICTIM)?;
    daemon.await_ban(VICTIM, LIMIT)?;
    Ok(())
}

/// Which log tells of a failure before the daemon goes down, and which one after it is back.
#[test]
fn what_one_log_told_before_a_restart_and_the_other_after_it_counts_once() -> Result<()> {
    for (is_file_first, is_killed) in [(true, true), (false, true), (true, false)] {
        let net = Net::new()?;
        let mut daemon = with_both(&net)?;
        start(&mut daemon)?;
        let mut file = JournalFile::create(&journal(&daemon), "system")?;
        let tell = |file: &mut JournalFile, daemon: &Daemon<'_>, line: &str, in_file: bool| -> Result<()> {
            if in_file { daemon.log().append(line.as_bytes()).map(drop) } else { file.append(message(line), ROOT, NOW) }
        };
        let told: Vec<String> = (0..4).map(|_| lines::refused(VICTIM, 1)).collect();
        for line in &told {
            tell(&mut file, &daemon, line, is_file_first)?;
        }
        await_failures(&daemon, 4)?;
        // On disk when it returns, and with it all that was before.
        daemon.cli(&["unban", "198.51.100.250"])?.success()?;
        end(&mut daemon, is_killed)?;

        start(&mut daemon)?;
        for line in &told {
            tell(&mut file, &daemon, line, !is_file_first)?;
        }
        // What follows is behind them in the same log.
        for _ in 0..5 {
            tell(&mut file, &daemon, &lines::refused(LIVE, 1), !is_file_first)?;
        }

        daemon.await_ban(LIVE, LIMIT)?;
        let state = (is_file_first, is_killed, daemon.status()?);
        assert!(!is_banned(&daemon, VICTIM)?, "four are borne: {state:?}");
        // And they do count: one more in the log that told them first is the fifth.
        tell(&mut file, &daemon, &lines::refused(VICTIM, 1), is_file_first)?;
        daemon.await_ban(VICTIM, LIMIT)?;
    }
    Ok(())
}

/// A daemon whose jail reads the journal in its own directory and its file; not started.
fn with_both(net: &Net) -> Result<Daemon<'_>> {
    let daemon = configured(net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    let text = fs::read_to_string(daemon.config_path())?;
    let log = format!("[jails.dovecot]\nlog = {:?}\n", daemon.log().path());
    daemon.write_configuration(&text.replace("[jails.dovecot]\n", &log))?;
    Ok(daemon)
}
