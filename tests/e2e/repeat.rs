//! Who comes back is banned for longer, and at last by the jail that counts bans.

use std::time::Duration;

use anyhow::{Result, ensure};
use blocker_tests::{
    answers::Ban,
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
    wait,
};

use crate::{
    memory::reboot,
    siege::{LIMIT, Siege, VILLAIN},
};

#[test]
fn the_second_ban_is_longer_and_the_third_is_of_all_ports_also_over_a_reboot() -> Result<()> {
    let net = Net::new()?;
    // Longer than the two seconds that a line's attempts took: those made before a ban count no more.
    let settings = Settings { ban_time: "3s".into(), ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    let text = daemon.configuration(&settings)
        + "ban_time_increment = true\nban_time_multipliers = [1, 2, 3600]\n\n[jails.recidive]\nmax_retry = 3\n";
    daemon.write_configuration(&text)?;
    daemon.start()?;
    let siege = Siege::begin(&net)?;

    for round in 1..=3 {
        daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
        wait::until("the ban", LIMIT, || {
            let status = daemon.status().map_err(|error| format!("{error:#}"))?;
            let bans = status.jail("dovecot").bans;
            // Counted since the start, and it starts anew in each round.
            if bans == 1 { Ok(()) } else { Err(format!("{bans} bans in round {round}")) }
        })?;
        if round < 3 {
            let gone = || daemon.bans().is_ok_and(|bans| bans.is_empty());
            wait::until_true("the ban to end", LIMIT, gone, || daemon.printed())?;
            reboot(&mut daemon)?;
        }
    }

    let bans = daemon.bans()?;
    let of = |jail: &str| bans.iter().find(|ban| ban.jail == jail && covers(&ban.prefix, VILLAIN));
    let remaining = |ban: Option<&Ban>| ban.and_then(|ban| ban.remaining_s).unwrap_or_default();
    ensure!((10_700.0..=10_800.0).contains(&remaining(of("dovecot"))), "{bans:#?}");
    ensure!((600_000.0..=604_800.0).contains(&remaining(of("recidive"))), "{bans:#?}");
    let arrived = siege.arrived();
    siege.await_sent(siege.sent() + 50)?;
    wait::holds("the ban of every port", Duration::from_millis(200), || siege.unchanged(arrived))?;

    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;
    reboot(&mut daemon)?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    wait::until_true(
        "a first ban's end",
        LIMIT,
        || daemon.bans().is_ok_and(|bans| bans.is_empty()),
        || daemon.printed(),
    )
}
