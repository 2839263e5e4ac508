//! Who may use the control socket: real users, in real groups of the machine.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    netns::{Host, Net},
    process::{self, Finished},
};
use nix::unistd::Group;

use crate::siege::{LIMIT, VILLAIN};

/// Groups that every Debian has.
pub(crate) const CHANGE: &str = "operator";
const LOOK: &str = "adm";

/// A user and a group of theirs that mean nothing.
pub(crate) const USER: u32 = 54_321;

#[test]
fn members_of_the_group_change_those_of_the_other_look_and_nobody_else_does_either() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    share(&daemon, CHANGE, LOOK)?;
    daemon.start()?;
    let villain = VILLAIN.to_string();
    let (change, look) = (gid(CHANGE)?, gid(LOOK)?);
    // By the group of the process, and by one of its further groups.
    let changers = [Who { gid: change, groups: vec![] }, Who { gid: USER, groups: vec![1, look, change] }];
    let lookers =
        [Who { gid: look, groups: vec![] }, Who { gid: USER, groups: (70_000..70_200).chain([look]).collect() }];
    let strangers = [Who { gid: USER, groups: vec![] }, Who { gid: 0, groups: vec![0, 1] }];

    for who in &changers {
        daemon.run_as(&net, who, &["ban", &villain])?.success()?;
        ensure!(daemon.kernel_bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN)), "{who:?} bans");
        daemon.run_as(&net, who, &["reload"])?.success()?;
        daemon.run_as(&net, who, &["unban", &villain])?.success()?;
        ensure!(daemon.kernel_bans()?.is_empty(), "{who:?} lifts");
    }

    daemon.cli(&["ban", "203.0.113.9"])?.success()?;
    for who in &lookers {
        ensure!(daemon.run_as(&net, who, &["status"])?.success()?.stdout.contains("jail dovecot"), "{who:?}");
        ensure!(daemon.run_as(&net, who, &["bans", "--json"])?.success()?.stdout.contains("203.0.113.9"), "{who:?}");
    }
    let changes = [&["ban", villain.as_str()][..], &["unban", "203.0.113.9"], &["unban", "--all"], &["reload"]];
    for arguments in changes {
        for who in &lookers {
            let refused = daemon.run_as(&net, who, arguments)?;
            ensure!(
                refused.code == Some(77) && refused.stderr.contains("may look"),
                "{who:?} {arguments:?}: {refused:?}"
            );
        }
    }
    for who in &strangers {
        for arguments in [&["unban", "--kernel", "203.0.113.9"][..], &["bans", "--kernel"]] {
            let refused = daemon.run_as(&net, who, arguments)?;
            let says_why =
                refused.stderr.contains("Permission denied") && !refused.stderr.contains("no ban is in force");
            ensure!(refused.code == Some(77) && says_why, "{who:?} {arguments:?}: {refused:?}");
        }
    }
    for arguments in changes.into_iter().chain([&["status"][..], &["bans"]]) {
        for who in &strangers {
            let refused = daemon.run_as(&net, who, arguments)?;
            ensure!(refused.code == Some(77), "{who:?} {arguments:?}: {refused:?}");
            ensure!(refused.stdout.is_empty() && refused.stderr.lines().count() == 1, "{who:?}: {refused:?}");
        }
    }
    let kernel: Vec<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
    ensure!(kernel == ["203.0.113.9"], "what was refused changed nothing: {kernel:?}");
    Ok(())
}

#[test]
fn without_groups_the_socket_is_closed_to_others_and_with_them_open_to_be_refused() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    ensure!(mode(&daemon)? == 0o600, "{:o}", mode(&daemon)?);
    let refused = daemon.run_as(&net, &Who { gid: gid(CHANGE)?, groups: vec![] }, &["status"])?;
    ensure!(refused.code == Some(77), "{refused:?}");

    share(&daemon, "", LOOK)?;
    let refused = daemon.cli(&["reload"])?;
    ensure!(refused.code == Some(78) && refused.stderr.contains("`control`"), "at a restart alone: {refused:?}");
    daemon.stop()?;
    daemon.start()?;
    ensure!(mode(&daemon)? == 0o666, "{:o}", mode(&daemon)?);
    daemon.run_as(&net, &Who { gid: gid(LOOK)?, groups: vec![] }, &["status"])?.success()?;
    Ok(())
}

#[test]
fn strangers_who_hang_take_no_place_of_those_who_may_ask() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    share(&daemon, CHANGE, "")?;
    let (directory, socket) = (daemon.directory().to_owned(), daemon.directory().join("fail2ban.sock"));
    let text = fs::read_to_string(daemon.config_path())?;
    let named = format!("[control]\nfail2ban_socket = \"{}\"\n", socket.display());
    daemon.write_configuration(&text.replacen("[control]\n", &named, 1))?;
    daemon.start()?;
    for path in [&socket, &directory.join("run/control.sock")] {
        ensure!(fs::metadata(path)?.permissions().mode() & 0o777 == 0o666, "{}", path.display());
        // Many times as many connections as there are places, none of which says anything, and which are made anew when they are closed.
        let script = format!(
            "import select, socket, sys, time\n\
             def one():\n    s = socket.socket(socket.AF_UNIX); s.connect({path:?}); return s\n\
             held = [one() for _ in range(64)]\n\
             print('held', flush=True)\n\
             end = time.monotonic() + 120\n\
             while time.monotonic() < end:\n    \
                 for s in select.select(held, [], [], 0.1)[0]:\n        held.remove(s); s.close(); held.append(one())\n"
        );
        let mut command = net.command(Host::Server, "setpriv");
        let reuid = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()];
        command.args(reuid).args(["--inh-caps=-all", "--", "/usr/bin/python3", "-c", &script]);
        let mut strangers = command.stdout(Stdio::piped()).spawn().context("starting strangers")?;
        let mut first = String::new();
        BufReader::new(strangers.stdout.take().context("it is piped")?).read_line(&mut first)?;
        ensure!(first == "held\n", "they hang: {first:?}");

        let began = Instant::now();
        let member = Who { gid: gid(CHANGE)?, groups: vec![] };
        let served = if path == &socket {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LIMIT))?;
            // Of root, the pickle of ["ping"].
            (&stream).write_all(b"\x80\x02]q\x00X\x04\x00\x00\x00pingq\x01a.<F2B_END_COMMAND>")?;
            let mut answer = [0; 256];
            let size = (&stream).read(&mut answer)?;
            answer[..size].windows(4).any(|four| four == b"pong")
        } else {
            (0..5).all(|_| daemon.run_as(&net, &member, &["bans"]).is_ok_and(|done| done.code == Some(0)))
        };
        let took = began.elapsed();
        strangers.kill()?;
        strangers.wait()?;
        ensure!(served, "{} serves those who may ask", path.display());
        // Each place would be held for ten seconds.
        ensure!(took < Duration::from_secs(8), "{}: {took:?}", path.display());
    }
    Ok(())
}

#[test]
fn a_group_that_does_not_exist_is_a_fault_of_the_configuration() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    share(&daemon, "no-such-group-here", "")?;

    for command in ["check", "run"] {
        let refused = daemon.cli(&[command])?;
        ensure!(refused.code == Some(78), "{command}: {refused:?}");
        let told = "`control.group` is \"no-such-group-here\"";
        ensure!(refused.stderr.contains(told) && refused.stderr.contains("groupadd"), "{command}: {refused:?}");
    }
    Ok(())
}

/// Somebody who is not root.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Running `blocker` as somebody else.
pub(crate) trait RunAs {
    fn run_as(&self, net: &Net, who: &Who, arguments: &[&str]) -> Result<Finished>;

    /// The same command, not yet started.
    fn command_as(&self, net: &Net, who: &Who, arguments: &[&str]) -> Result<Command>;
}

impl RunAs for Daemon<'_> {
    fn run_as(&self, net: &Net, who: &Who, arguments: &[&str]) -> Result<Finished> {
        process::run(self.command_as(net, who, arguments)?, LIMIT)
    }

    fn command_as(&self, net: &Net, Who { gid, groups }: &Who, arguments: &[&str]) -> Result<Command> {
        // A copy, since the target directory may be closed to others.
        let copy = self.directory().join("blocker");
        if !copy.exists() {
            fs::copy(daemon::binary()?, &copy)?;
        }
        let mut command = net.command(Host::Server, "setpriv");
        command.args([format!("--reuid={USER}"), format!("--regid={gid}"), "--inh-caps=-all".to_owned()]);
        if groups.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.arg(format!("--groups={}", groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",")));
        }
        command.arg("--").arg(copy).arg("--config").arg(self.config_path()).args(arguments);
        Ok(command)
    }
}

pub(crate) fn share(daemon: &Daemon<'_>, group: &str, look_group: &str) -> Result<()> {
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&format!("{text}\n[control]\ngroup = {group:?}\nlook_group = {look_group:?}\n"))
}

pub(crate) fn gid(name: &str) -> Result<u32> {
    Ok(Group::from_name(name)?.with_context(|| format!("no group {name}"))?.gid.as_raw())
}

fn mode(daemon: &Daemon<'_>) -> Result<u32> {
    Ok(fs::metadata(daemon.directory().join("run/control.sock"))?.permissions().mode() & 0o777)
}
