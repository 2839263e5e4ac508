//! What the kernel refuses is told, and tried again until it is done.

use anyhow::Result;
use aya::maps::{Map, MapData, lpm_trie};
use blocker_common::{Address4, Ban, LAYOUT, MAX_NETWORKS, MapName};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::Net,
    wait,
};

use crate::siege::LIMIT;

type Networks = lpm_trie::LpmTrie<MapData, Address4, Ban>;

#[test]
fn a_ban_that_the_kernel_refused_is_in_force_as_soon_as_it_can_be() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    // Somebody else fills the map, which the daemon does not know.
    let path = daemon.pins().join(format!("v{LAYOUT}")).join(MapName::Networks4.as_str());
    let mut networks: Networks = Map::from_map_data(MapData::from_pin(path)?)?.try_into()?;
    for number in 0..MAX_NETWORKS {
        networks.insert(&key(number), Ban::default(), 0)?;
    }

    let refused = daemon.cli(&["ban", "203.0.113.0/24"])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("203.0.113.0/24"), "says what was refused: {refused:?}");
    let problems = daemon.status()?.problems;
    assert!(problems.iter().any(|problem| problem.contains("tried again")), "{problems:?}");

    for number in 0..MAX_NETWORKS {
        networks.remove(&key(number))?;
    }
    wait::until("the ban to reach the kernel", LIMIT, || {
        let bans = daemon.kernel_bans().map_err(|error| format!("{error:#}"))?;
        if bans.iter().any(|ban| ban.prefix == "203.0.113.0/24") { Ok(()) } else { Err(format!("{bans:?}")) }
    })?;
    let problems = daemon.status()?.problems;
    assert!(!problems.iter().any(|problem| problem.contains("tried again")), "{problems:?}");
    Ok(())
}

/// One of many networks of 256 addresses.
fn key(number: u32) -> lpm_trie::Key<Address4> {
    lpm_trie::Key::new(24, Address4 { addr: (0x0a00_0000 + (number << 8)).to_be_bytes(), zero: [0; 4] })
}
