//! Beside other XDP programs as a component of libxdp's dispatcher: `blocker` says how it becomes one, and sees when it has.
//!
//! A kernel may not take programs that extend others. Then `xdp-loader` attaches the program alone, and all that can be seen
//! is that `blocker` does not take that for a component.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use blocker_common::LAYOUT;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::{Host, Net},
    process, wait,
};

use crate::siege::{LIMIT, Siege, VILLAIN};

#[test]
fn as_a_component_of_libxdps_dispatcher_bans_hold() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let by_dispatcher =
        daemon.configuration(&Settings::default()).replacen("[daemon]\n", "[daemon]\nattach = [\"dispatcher\"]\n", 1);
    daemon.write_configuration(&by_dispatcher)?;

    let status = daemon.start_unattached()?;

    let eth0 = &status.interfaces[0];
    let why = eth0.error.as_deref().context("nobody has added the component yet")?;
    let object = daemon.directory().join("run/eth0.bpf.o");
    let pins = daemon.pins().join(format!("v{LAYOUT}"));
    let told = format!("`xdp-loader load -n blocker -p {} eth0 {}`", pins.display(), object.display());
    assert!(why.contains(&told), "the very command is told, {told}: {why}");

    let unload = Unload { net: &net };
    let words = told.trim_matches('`').split(' ').skip(1);
    process::run(unload.command(words), Duration::from_secs(30))?.success()?;
    if !unload.has_dispatcher()? {
        println!("this kernel takes no programs that extend others: xdp-loader attached ours alone");
        wait::holds("no component", Duration::from_secs(2), || match daemon.status() {
            Ok(status) if status.interfaces[0].mode.is_none() => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        return Ok(());
    }
    let is_component = || match daemon.status() {
        Ok(status) if status.interfaces[0].mode.as_deref() == Some("dispatcher") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait::until("the component to be seen", LIMIT, is_component)?;

    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();
    for _ in 0..3 {
        daemon.kill9()?;
        daemon.start()?;
    }
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(siege.arrived(), arrived, "the component goes on without the daemon");
    assert_eq!(daemon.status()?.interfaces[0].mode.as_deref(), Some("dispatcher"));

    daemon.stop()?;
    daemon.cli(&["detach"])?.success()?;
    siege.await_arrival(VILLAIN).context("a component whose maps were given up drops nothing")
}

/// Takes every program off the server's interface when it goes.
struct Unload<'net> {
    net: &'net Net,
}

impl Unload<'_> {
    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.net.command(Host::Server, "xdp-loader");
        command.args(arguments);
        command
    }

    fn has_dispatcher(&self) -> Result<bool> {
        let status = process::run(self.command(["status", "eth0"]), Duration::from_secs(30))?.success()?;
        assert!(status.stdout.contains("blocker"), "it is attached in either case: {status:?}");
        Ok(status.stdout.contains("xdp_dispatcher"))
    }
}

impl Drop for Unload<'_> {
    fn drop(&mut self) {
        let unloaded = process::run(self.command(["unload", "--all", "eth0"]), Duration::from_secs(30));
        if let Err(error) = unloaded {
            eprintln!("what xdp-loader has attached stays: {error:#}");
        }
    }
}
