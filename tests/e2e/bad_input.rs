//! What is wrong is said in one line, with what to do about it, and a documented exit code.

use std::{fs, process::Command};

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::{Host, Net},
    process::{self, Finished},
    wait,
};

use crate::siege::LIMIT;

#[test]
fn without_root_the_missing_capability_is_named() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let mut command = as_nobody(&net, Host::Server, &daemon)?;
    command.arg("--config").arg(daemon.config_path()).arg("run");

    let refused = process::run(command, LIMIT)?;

    assert_eq!(refused.code, Some(77), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "one line: {refused:?}");
    assert!(refused.stderr.to_uppercase().contains("CAP_"), "names a capability: {refused:?}");
    Ok(())
}

#[test]
fn a_configuration_error_names_file_line_and_key() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let right = daemon.configuration(&Settings::default());
    let with = |from: &str, to: &str| right.replacen(from, to, 1);
    let cases = [
        (with("max_retry", "max_retires"), "max_retires", "max_retry"),
        (with("max_retry = 5", "max_retry = \"many\""), "max_retry", "number"),
        (with("\"10m\"", "\"10 parsecs\""), "find_time", "10 parsecs"),
        (with("\"enforce\"", "\"enforced\""), "mode", "enforce"),
        (with("allow = []", "allow = [\"203.0.113.999\"]"), "allow", "203.0.113.999"),
        (with("\"imaps\"", "\"imapsy\""), "ports", "imapsy"),
        (with("[jails.dovecot]", "[jials.dovecot]"), "jials", "jails"),
    ];
    for (text, key, hint) in cases {
        daemon.write_configuration(&text)?;
        for command in ["run", "check"] {
            let refused = daemon.cli(&[command])?;
            let said = format!("{}{}", refused.stdout, refused.stderr);
            let line = 1 + text.lines().position(|line| line.contains(hint) || line.contains(key)).unwrap_or(0);
            assert_eq!(refused.code, Some(78), "`{command}` with {key}: {refused:?}");
            assert!(said.contains("blocker.toml"), "the file is named: {said}");
            assert!(said.contains(&format!("line {line}:")), "line {line} is named: {said}");
            assert!(said.contains(key), "`{key}` is named: {said}");
            assert!(said.contains(hint), "`{hint}` is named: {said}");
        }
    }
    Ok(())
}

#[test]
fn a_missing_interface_is_named_and_attached_when_it_appears() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { interfaces: vec!["eth0".into(), "eth7".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    daemon.start_unattached()?;
    wait::until("eth0 to be attached and eth7 to be missed", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let mode = |name: &str| {
            status.interfaces.iter().find(|i| i.name == name).map(|i| (i.mode.is_some(), i.error.is_some()))
        };
        match (mode("eth0"), mode("eth7")) {
            (Some((true, false)), Some((false, true))) => Ok(()),
            _ => Err(format!("{:?}", status.interfaces)),
        }
    })?;
    assert!(daemon.printed().contains("eth7"), "the log names it: {}", daemon.printed());

    net.ip(Host::Server, "link add eth7 type veth peer name eth7-peer\nlink set eth7 up\n")?;

    wait::until("eth7 to be attached", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let attached = status.interfaces.iter().any(|interface| interface.name == "eth7" && interface.mode.is_some());
        if attached { Ok(()) } else { Err(format!("{:?}\n{}", status.interfaces, daemon.printed())) }
    })
}

#[test]
fn wrong_arguments_are_a_usage_error() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    for arguments in [&["--frobnicate"][..], &["run", "--bogus"], &["frobnicate"], &["ban"], &["bans", "--kernels"]] {
        let refused = daemon.cli(arguments)?;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(!refused.stderr.is_empty(), "{arguments:?}: says why");
    }
    Ok(())
}

#[test]
fn with_no_daemon_running_the_commands_say_so() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    for arguments in [&["status"][..], &["bans"], &["ban", "203.0.113.9"], &["unban", "203.0.113.9"]] {
        let refused = daemon.cli(arguments)?;
        assert_eq!(refused.code, Some(3), "{arguments:?}: {refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{arguments:?}: one line: {refused:?}");
    }
    Ok(())
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;

    let second: Finished = daemon.cli(&["run"])?;

    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another blocker runs"), "says why: {second:?}");
    daemon.check_alive()?;
    daemon.status()?;
    Ok(())
}

#[test]
fn a_daemon_with_other_pins_does_not_take_the_socket_of_the_first() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let pins = daemon.pins().display().to_string();
    let other = daemon.configuration(&Settings::default()).replace(&pins, &format!("{pins}-other"));
    let config = daemon.directory().join("other.toml");
    fs::write(&config, other)?;
    let mut command = net.command(Host::Server, daemon::binary()?);
    command.arg("--config").arg(&config).arg("run");

    let second = process::run(command, LIMIT)?;

    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another blocker has its socket"), "says why: {second:?}");
    daemon.check_alive()?;
    daemon.status()?;
    let mut detach = net.command(Host::Server, daemon::binary()?);
    detach.arg("--config").arg(&config).arg("detach");
    process::run(detach, LIMIT)?.success()?;
    Ok(())
}

#[test]
fn a_directory_that_may_not_be_made_is_named() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let runtime = daemon.directory().join("run").display().to_string();
    // Nobody makes a directory here, root included.
    let denied = daemon.configuration(&Settings::default()).replace(&runtime, "/sys/blocker");
    assert!(denied.contains("/sys/blocker"), "{denied}");
    daemon.write_configuration(&denied)?;

    let refused = daemon.cli(&["run"])?;

    assert_eq!(refused.code, Some(77), "{refused:?}");
    assert!(refused.stderr.contains("/sys/blocker"), "{refused:?}");
    Ok(())
}

/// `blocker`, to be run on `host` as `nobody`, without any capability; its arguments are still to be given.
pub(crate) fn as_nobody(net: &Net, host: Host, daemon: &Daemon<'_>) -> Result<Command> {
    // A copy, since the target directory may be closed to others.
    let copy = daemon.directory().join("blocker");
    if !copy.exists() {
        fs::copy(daemon::binary()?, &copy)?;
    }
    let mut command = net.command(host, "setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]).arg(copy);
    Ok(command)
}
