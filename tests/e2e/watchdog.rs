//! The daemon looks every minute, and whenever the network changes, that its link is there and runs its program. Whatever was done
//! to it is an error in the log, and mended.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use aya::programs::{
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use blocker::kernel::{Program, load_unpinned};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::{Host, Net},
    process, wait,
};

use crate::{
    siege::{LIMIT, Siege, VILLAIN},
    upgrade::{Link, pin},
};

#[test]
fn a_link_that_is_taken_away_is_put_back() -> Result<()> {
    let net = Net::new()?;
    let (daemon, siege) = besieged(&net)?;

    fs::remove_file(pin(&daemon)?)?;

    is_mended(&net, &daemon, &siege, "its link is gone")
}

#[test]
fn a_link_that_is_detached_is_replaced() -> Result<()> {
    let net = Net::new()?;
    let (daemon, siege) = besieged(&net)?;
    let before = Link::of(&daemon)?;

    let mut detach = net.command(Host::Server, "bpftool");
    detach.args(["link", "detach", "pinned"]).arg(pin(&daemon)?);
    process::run(detach, LIMIT)?.success()?;
    siege.await_arrival(VILLAIN).context("a link that is detached drops nothing")?;

    is_mended(&net, &daemon, &siege, "its link holds no interface any more")?;
    assert_ne!(Link::of(&daemon)?.number, before.number, "a detached link cannot be attached again");
    Ok(())
}

#[test]
fn a_program_that_another_has_taken_the_place_of_is_put_back_into_its_link() -> Result<()> {
    let net = Net::new()?;
    let (daemon, siege) = besieged(&net)?;
    let before = Link::of(&daemon)?;

    // One without any ban.
    let mut other = load_unpinned()?;
    let xdp = other.programs.loaded(Program::NoFrags)?;
    let id = xdp.attach_to_link(XdpLink::try_from(FdLink::from(PinnedLink::from_pin(pin(&daemon)?)?))?)?;
    drop(FdLink::try_from(xdp.take_link(id)?)?);
    let others = xdp.info()?.id();
    assert_eq!((Link::of(&daemon)?.number, Link::of(&daemon)?.program), (before.number, others));
    siege.await_arrival(VILLAIN).context("the other program drops nothing")?;

    is_mended(&net, &daemon, &siege, &format!("program {others} runs in its place"))?;
    let after = Link::of(&daemon)?;
    assert!(after.number == before.number && after.program != others, "{before:?}, {after:?}");
    Ok(())
}

fn besieged(net: &Net) -> Result<(Daemon<'_>, Siege)> {
    let daemon = Daemon::launch(net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(net)?;
    siege.ban_villain(&daemon)?;
    Ok((daemon, siege))
}

/// That the daemon says what was wrong, and that the ban holds again.
fn is_mended(net: &Net, daemon: &Daemon<'_>, siege: &Siege, why: &str) -> Result<()> {
    // The drops of the link that is gone are no evidence for what is put back.
    let before = daemon.await_drop(VILLAIN, LIMIT)?.packets;

    // The network changes, or it would be a minute.
    net.ip(Host::Server, "link set lo down\nlink set lo up\n")?;

    let is_told = || {
        let printed = daemon.printed();
        printed
            .lines()
            .any(|line| line.contains("ERROR") && line.contains("is not attached any more") && line.contains(why))
    };
    wait::until_true("the alarm", LIMIT, is_told, || daemon.printed())?;
    wait::until("what is put back to drop", LIMIT, || {
        let dropped = daemon.await_drop(VILLAIN, LIMIT).map_err(|error| format!("{error:#}"))?.packets;
        // Some may have been on the way.
        if dropped > before + 100 { Ok(()) } else { Err(format!("{dropped} packets dropped, {before} before")) }
    })?;
    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))
}
