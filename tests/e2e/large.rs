//! The loader by itself, without a daemon, where its calls for many entries come to their limits.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Result;
use aya::maps::{Array, Map, MapData};
use blocker::kernel::{Capacity, Kernel, Pins, Sweep, detach, view::View};
use blocker_common::{Config, MapName, flags, presence::Place};
use blocker_core::{
    engine::{JailId, JailSet},
    prefix::Prefix,
    time::Until,
};
use blocker_tests::{
    leftovers::{BPFFS, unique_name},
    process,
};

const LIMIT: Duration = Duration::from_secs(60);

type Wanted = (Prefix, JailSet, Until);

fn forever(prefix: Prefix) -> Wanted {
    (prefix, JailSet::EMPTY.with(JailId::MAX), Until::Forever)
}

/// Does it with pins of its own, which go in the end.
fn with_pins(test: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let pins = Path::new(BPFFS).join(unique_name());
    let outcome = test(&pins);
    detach(&pins)?;
    outcome
}

/// By default the table of /64s takes 262,144; an administrator may have it take up to 16 million.
#[test]
fn a_table_that_is_twice_as_large_as_usual_is_taken_over_whole() -> Result<()> {
    const LEN: u32 = 550_000;
    const CAPACITY: Capacity = Capacity { ipv4: 1024, ipv6: 600_000 };
    let network = |number: u32| {
        let bits = 0x2001_0db8_u128 << 96 | u128::from(number) << 64;
        Prefix::new(Ipv6Addr::from_bits(bits).into(), 64).map(forever)
    };
    with_pins(|pins| {
        let mut kernel = Kernel::open(pins, CAPACITY)?;
        let bans: Vec<Wanted> = (0..LEN).map(network).collect::<Result<_, _>>()?;
        for some in bans.chunks(4096) {
            assert!(kernel.enforce(some).is_empty(), "all are written");
        }
        drop(kernel);

        assert_eq!(View::open(pins)?.bans()?.len(), LEN as usize);
        let mut kernel = Kernel::open(pins, CAPACITY)?;
        assert_eq!(kernel.take_adopted().len(), LEN as usize, "the next daemon knows all of them");
        let known: Vec<Prefix> = bans.iter().map(|(prefix, _, _)| *prefix).collect();
        for some in known.chunks(4096) {
            assert!(kernel.lift(some).is_empty(), "all are lifted");
        }
        assert_eq!(View::open(pins)?.bans()?.len(), 0);
        Ok(())
    })
}

#[test]
fn what_the_kernel_refuses_all_together_is_not_taken_for_done() -> Result<()> {
    const LEN: u32 = 20;
    let host = |number: u32| Prefix::host(Ipv4Addr::from(0x0a00_0000 + number).into());
    with_pins(|pins| {
        let mut kernel = Kernel::open(pins, Capacity { ipv4: 1024, ipv6: 1024 })?;
        let bans: Vec<Wanted> = (0..LEN).map(host).map(forever).collect();
        assert!(kernel.enforce(&bans).is_empty(), "all are written");
        let mut freeze = Command::new("bpftool");
        freeze.args(["map", "freeze", "pinned"]).arg(Pins::new(pins).map(MapName::Bans4));
        process::run(freeze, LIMIT)?.success()?;

        let further: Vec<Wanted> = (LEN..2 * LEN).map(host).map(forever).collect();
        assert_eq!(kernel.enforce(&further).len(), LEN as usize, "none is written");
        let known: Vec<Prefix> = bans.iter().map(|(prefix, _, _)| *prefix).collect();
        assert_eq!(kernel.lift(&known).len(), LEN as usize, "none is lifted");
        let held: Vec<Prefix> = View::open(pins)?.bans()?.into_iter().map(|ban| ban.prefix).collect();
        assert_eq!(held, known);
        Ok(())
    })
}

/// The networks are read together, and lifted with the next piece: between the two somebody else may ban and lift one of them.
#[test]
fn a_network_that_is_banned_and_lifted_between_two_pieces_hides_no_other_one() -> Result<()> {
    with_pins(|pins| {
        let mut kernel = Kernel::open(pins, Capacity { ipv4: 1024, ipv6: 1024 })?;
        let (stays, goes): (Prefix, Prefix) = ("192.0.2.0/24".parse()?, "192.0.2.128/25".parse()?);
        for pieces in 0.. {
            assert!(kernel.enforce(&[forever(stays), forever(goes)]).is_empty(), "both are written");
            let mut sweep = Sweep::default();
            let mut is_over_before = false;
            for piece in 0.. {
                if piece == pieces {
                    assert!(kernel.enforce(&[forever(goes)]).is_empty() && kernel.lift(&[goes]).is_empty());
                }
                if sweep.is_over() {
                    is_over_before = piece < pieces;
                    break;
                }
                assert!(kernel.sweep(&mut sweep, |prefix| prefix == stays)?.is_empty(), "nothing is refused");
            }

            assert_eq!(kernel.dropped(stays, &kernel.tallies()?)?.map(|traces| traces.packets), Some(0), "it is there");
            assert!(is_searched_for(pins)?, "and looked for, after {pieces} pieces");
            if is_over_before {
                return Ok(());
            }
        }
        Ok(())
    })
}

/// Whether the program looks for IPv4 networks at all, and at 192.0.2.0/24.
fn is_searched_for(pins: &Path) -> Result<bool> {
    let map = |name| Map::from_map_data(MapData::from_pin(Pins::new(pins).map(name))?);
    let config: Array<MapData, Config> = map(MapName::Config)?.try_into()?;
    let present: Array<MapData, u64> = map(MapName::Present4)?.try_into()?;
    let place = Place::of4([192, 0, 2, 0]);
    Ok(config.get(&0, 0)?.flags & flags::NETWORKS4 != 0 && present.get(&place.word(), 0)? & place.mask() != 0)
}
