//! The loader by itself, without a daemon, where its calls for many entries come to their limits.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Result;
use blocker::kernel::{Capacity, Kernel, Pins, detach, view::View};
use blocker_common::MapName;
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
