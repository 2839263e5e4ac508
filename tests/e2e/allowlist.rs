//! An allow-listed address is never banned, and never dropped, even inside a wider ban.

use std::net::IpAddr;

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
};

use crate::siege::{LIMIT, STRANGER, Siege, VILLAIN};

#[test]
fn an_allowed_attacker_is_not_banned() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec![VILLAIN.to_string(), "2001:db8:3::/48".into()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let siege = Siege::begin(&net)?;
    let (allowed_v6, marker): (IpAddr, IpAddr) = ("2001:db8:3:9::1".parse()?, "203.0.113.6".parse()?);

    for source in [VILLAIN, allowed_v6, marker] {
        daemon.log().append(lines::refused(source, 50).as_bytes())?;
    }
    daemon.await_ban(marker, LIMIT)?;

    let bans = daemon.bans()?;
    assert_eq!(bans.len(), 1, "only the marker is banned: {bans:?}");
    siege.await_arrival(VILLAIN)
}

#[test]
fn an_allowed_address_inside_a_wider_ban_is_never_dropped() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec![STRANGER.to_string()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let siege = Siege::begin(&net)?;

    daemon.cli(&["ban", "203.0.113.0/24"])?.success()?;
    siege.settle()?;

    // The stranger gets through from within the banned network; the villain beside it does not.
    siege.holds_for(std::time::Duration::from_secs(1))?;
    daemon.cli(&["unban", "203.0.113.0/24"])?.success()?;
    siege.await_arrival(VILLAIN)
}

#[test]
fn a_ban_of_an_allowed_address_is_refused() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec!["203.0.113.64/26".into()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;

    let refused = daemon.cli(&["ban", &VILLAIN.to_string()])?;

    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains(&VILLAIN.to_string()), "the address is named: {refused:?}");
    assert!(refused.stdout.contains("203.0.113.64/26"), "what allows it is named: {refused:?}");
    assert!(!refused.stderr.is_empty(), "the failure is said where failures are: {refused:?}");
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN)));
    assert!(!daemon.kernel_bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN)));
    Ok(())
}
