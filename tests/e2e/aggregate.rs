//! Many banned hosts become one ban of their network, which leaves out whom it must not drop.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use crate::siege::{LIMIT, STRANGER, Siege, VILLAIN};

#[test]
fn a_network_of_many_banned_hosts_is_dropped_but_for_who_is_allowed() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let key = "aggregate_after = 3\nmax_retry";
    daemon.write_configuration(&daemon.configuration(&Settings::default()).replacen("max_retry", key, 1))?;
    daemon.start()?;
    let siege = Siege::begin(&net)?;
    daemon.cli(&["allow", &STRANGER.to_string(), "--persist"])?.success()?;
    for number in 1..=3 {
        let source: IpAddr = format!("203.0.113.{number}").parse()?;
        daemon.log().append(lines::refused(source, 5).as_bytes())?;
    }

    let network = "203.0.113.0/24";
    let ban = wait::until("the ban of the network", LIMIT, || {
        let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
        bans.iter().find(|ban| ban.prefix == network).cloned().ok_or_else(|| format!("{bans:?}"))
    })?;

    ensure!(ban.jail == "dovecot" && ban.attempts >= 15.0, "{ban:?}");
    assert_eq!(ban.reason.as_deref(), Some("3 of the network are banned"));
    ensure!(daemon.bans()?.len() == 4, "the narrow ones stay");
    // The villain has done nothing himself; the stranger is allowed.
    siege.settle()?;
    siege.holds_for(Duration::from_millis(500))?;
    let unbanned = daemon.cli(&["unban", "203.0.113.1"])?.success()?;
    let expected = "203.0.113.1: unbanned: the ban of 203.0.113.0/24 stays, and this lies in it: unban that, or `blocker allow` this\n";
    assert_eq!(unbanned.stdout, expected);

    daemon.kill9()?;
    daemon.start()?;
    let again = daemon.bans()?.into_iter().find(|ban| ban.prefix == network).context("it is remembered")?;
    assert_eq!((again.reason, again.origin), (ban.reason, ban.origin));
    siege.holds_for(Duration::from_millis(300))?;
    daemon.cli(&["unban", network])?.success()?;
    siege.await_arrival(VILLAIN)
}
