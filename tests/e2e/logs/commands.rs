//! Commands whose output is a log.

use super::*;

#[test]
fn a_command_s_history_counts_from_when_it_was_written_and_its_lines_from_when_they_come() -> Result<()> {
    let net = Net::new()?;
    let printed = written(OLD, HOUR).repeat(5) + &recent(RECENT).repeat(5) + &recent(NEARLY).repeat(4);
    let (mut daemon, program) = of_a_program(&net, &printed)?;

    daemon.start()?;

    daemon.await_ban(RECENT, LIMIT)?;
    await_status(&daemon, "the whole history to be judged", |status| {
        let jail = status.jail("dovecot");
        (jail.failures, jail.too_old) == (9, 5)
    })?;
    assert!(daemon.status()?.jail("dovecot").streams[0].starts_with("command sh "), "{:?}", daemon.status()?);
    // In the meantime the history is over: more than a second without a line.
    wait::holds("nobody's ban for what is long ago", Duration::from_secs(3), || is_free(&daemon, OLD))?;
    program.log(&written(LIVE, HOUR).repeat(5))?;
    daemon.await_ban(LIVE, LIMIT)?;
    assert!(!is_banned(&daemon, NEARLY)?);
    Ok(())
}

#[test]
fn a_command_that_ends_is_told_and_begun_again_and_what_it_repeats_does_not_count_again() -> Result<()> {
    let net = Net::new()?;
    let (mut daemon, program) = of_a_program(&net, &recent(NEARLY).repeat(4))?;
    daemon.start()?;
    await_failures(&daemon, 4)?;
    let first = program.pid()?;

    kill9(first)?;

    await_status(&daemon, "the end to be told", |status| {
        status.problems.iter().any(|problem| problem.contains("was ended by signal 9; it is begun again after 1 s"))
    })?;
    wait::until("another process of the program", LIMIT, || match program.pid() {
        Ok(pid) if pid != first => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    program.log(&written(LATER, Duration::ZERO).repeat(5))?;
    daemon.await_ban(LATER, LIMIT)?;
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.problems.len()), (9, 0), "{status:?}");
    assert!(!is_banned(&daemon, NEARLY)?, "its four failures are four, however often they are printed");
    Ok(())
}

#[test]
fn what_a_command_repeats_after_a_restart_of_the_daemon_does_not_count_again() -> Result<()> {
    for is_killed in [false, true] {
        let net = Net::new()?;
        let (mut daemon, program) = of_a_program(&net, &recent(NEARLY).repeat(4))?;
        daemon.start()?;
        await_failures(&daemon, 4)?;
        // On disk when it returns, and with it all that was before.
        daemon.cli(&["unban", "198.51.100.250"])?.success()?;

        if is_killed {
            daemon.kill9()?;
        } else {
            daemon.stop()?;
        }
        // New to the daemon, and between what is not.
        program.log(&recent(RECENT).repeat(5))?;
        daemon.start()?;

        daemon.await_ban(RECENT, LIMIT)?;
        program.log(&recent(LATER).repeat(5))?;
        daemon.await_ban(LATER, LIMIT)?;
        let status = daemon.status()?;
        assert_eq!(status.jail("dovecot").failures, 10, "killed: {is_killed}, {status:?}");
        assert!(!is_banned(&daemon, NEARLY)?, "its four failures are four, however often they are printed");
    }
    Ok(())
}

#[test]
fn a_command_ends_with_the_daemon_and_with_the_reload_that_takes_it_away() -> Result<()> {
    let net = Net::new()?;
    let (mut daemon, program) = of_a_program(&net, &recent(RECENT).repeat(5))?;

    daemon.start()?;
    daemon.await_ban(RECENT, LIMIT)?;
    let first = program.pid()?;
    assert!(runs(first));
    daemon.stop()?;
    await_gone(first)?;

    daemon.start()?;
    let second = wait::until("another process of the program", LIMIT, || match program.pid() {
        Ok(pid) if pid != first && runs(pid) => Ok(pid),
        other => Err(format!("{other:?}")),
    })?;
    daemon.cli(&["reload"])?.success()?;
    assert!(runs(second), "a reload that keeps it leaves it alone");
    daemon.write_configuration(&daemon.configuration(&Settings::default()))?;
    daemon.cli(&["reload"])?.success()?;
    await_gone(second)
}

fn kill9(pid: i32) -> Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?)
}

/// Whether the process is there, and more than a dead child whose parent has not looked.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn await_gone(pid: i32) -> Result<()> {
    wait::until_true("the end of the program", LIMIT, || !runs(pid), || pid.to_string())
}

/// A program as `docker logs --follow` is one: prints what was logged, then what is being logged.
struct Program {
    script: PathBuf,
    log: PathBuf,
    pid: PathBuf,
}

impl Program {
    fn write(daemon: &Daemon<'_>) -> Result<Self> {
        let [script, log, pid] = ["program.sh", "program.log", "program.pid"].map(|name| daemon.directory().join(name));
        fs::write(&log, "")?;
        fs::write(&script, "echo $$ >\"$1.new\" && mv \"$1.new\" \"$1\"\nexec tail -n +1 -f \"$2\"\n")?;
        Ok(Self { script, log, pid })
    }

    /// The line of the configuration.
    fn input(&self) -> String {
        format!("command = [\"sh\", {:?}, {:?}, {:?}]", self.script, self.pid, self.log)
    }

    fn log(&self, text: &str) -> Result<()> {
        Ok(OpenOptions::new().append(true).open(&self.log)?.write_all(text.as_bytes())?)
    }

    fn pid(&self) -> Result<i32> {
        Ok(fs::read_to_string(&self.pid)?.trim().parse()?)
    }
}

/// A daemon that is to read what a program prints, which has printed this.
fn of_a_program<'net>(net: &'net Net, printed: &str) -> Result<(Daemon<'net>, Program)> {
    let daemon = Daemon::configure(net, &daemon::binary()?, &Settings::default())?;
    let program = Program::write(&daemon)?;
    program.log(printed)?;
    daemon.write_configuration(&daemon.configuration_with_input(&Settings::default(), &program.input()))?;
    Ok((daemon, program))
}
