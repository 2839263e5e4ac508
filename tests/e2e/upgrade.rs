//! An upgrade replaces the program within the link: the link stays the one it was, however the program or its maps change, and
//! meanwhile not one banned packet passes.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{
        Xdp,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
};
use blocker::kernel::program_name;
use blocker_common::{LAYOUT, MapName, PROGRAM, PROGRAM_NO_FRAGS};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    kernel::has_tcx,
    netns::Net,
};

use crate::siege::{Siege, VILLAIN};

/// Rounds of every kind of upgrade.
const ROUNDS: u32 = 3;

#[test]
fn an_upgrade_changes_the_program_of_a_native_link_and_never_the_link() -> Result<()> {
    link_outlives_upgrades("native")
}

#[test]
fn an_upgrade_changes_the_program_of_a_tcx_link_and_never_the_link() -> Result<()> {
    if has_tcx() { link_outlives_upgrades("tcx") } else { Ok(()) }
}

fn link_outlives_upgrades(mode: &str) -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let configuration = |more: &str| {
        let head = format!("[daemon]\nattach = [\"{mode}\"]\n{more}");
        daemon.configuration(&Settings::default()).replacen("[daemon]\n", &head, 1)
    };
    let texts: Vec<String> =
        (0..=ROUNDS).map(|round| configuration(&format!("max_bans_ipv4 = {}\n", 2048 << round))).collect();
    daemon.write_configuration(&texts[0])?;
    daemon.start()?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let (arrived, sent) = (siege.arrived(), siege.sent());
    let first = Link::of(&daemon)?;
    let mut programs = BTreeSet::from([first.program]);

    for round in 0..ROUNDS {
        let mut expect_replaced = |how: &str, link: Link| -> Result<()> {
            ensure!(link.number == first.number, "{how}, round {round}: {first:?} has become {link:?}");
            ensure!(programs.insert(link.program), "{how}, round {round}: the program is an earlier one, {link:?}");
            ensure!(siege.arrived() == arrived, "{how}, round {round}: a banned packet reached the server");
            Ok(())
        };
        daemon.kill9()?;
        daemon.start()?;
        expect_replaced("after a crash", Link::of(&daemon)?)?;

        daemon.stop()?;
        if mode == "native" {
            replace_by_another(&daemon)?;
            expect_replaced("by another version", Link::of(&daemon)?)?;
            siege.holds_for(Duration::from_millis(100))?;
        }
        daemon.start()?;
        expect_replaced("by an upgrade of the same layout", Link::of(&daemon)?)?;

        daemon.stop()?;
        let [ours, earlier] = [LAYOUT, LAYOUT - 1].map(|layout| daemon.pins().join(format!("v{layout}")));
        fs::rename(&ours, &earlier)?;
        if LAYOUT - 1 == 2 {
            // Layout 2 has no such map.
            fs::remove_file(earlier.join(MapName::SctpPorts.as_str()))?;
        }
        daemon.start()?;
        ensure!(!earlier.exists(), "everything is in {}", ours.display());
        expect_replaced("by an upgrade of the layout", Link::of(&daemon)?)?;

        daemon.stop()?;
        daemon.write_configuration(&texts[round as usize + 1])?;
        daemon.start()?;
        expect_replaced("by a change of capacity", Link::of(&daemon)?)?;
    }
    siege.await_sent(sent + 1000)?;
    siege.holds_for(Duration::from_millis(300))?;
    ensure!(siege.arrived() == arrived, "no banned packet reached the server");
    ensure!(daemon.status()?.interfaces[0].mode.as_deref() == Some(mode), "and the mode is what it was");

    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;
    siege.await_arrival(VILLAIN)
}

/// A link as the kernel tells of it (`bpf_link_info`).
#[derive(Debug)]
pub(crate) struct Link {
    /// Its number, which no other link has had since the boot.
    pub(crate) number: u32,
    /// The number of the program that runs there.
    pub(crate) program: u32,
}

impl Link {
    /// The daemon's only one.
    pub(crate) fn of(daemon: &Daemon<'_>) -> Result<Self> {
        let pin = pin(daemon)?;
        let link = PinnedLink::from_pin(&pin).with_context(|| format!("opening {}", pin.display()))?;
        let info = FdLink::from(link).info()?;
        Ok(Self { number: info.id(), program: info.program_id() })
    }
}

/// Where the daemon's only link is pinned.
pub(crate) fn pin(daemon: &Daemon<'_>) -> Result<PathBuf> {
    let directory = daemon.pins().join(format!("v{LAYOUT}"));
    let entries: Vec<_> = fs::read_dir(&directory)?.collect::<Result<_, _>>()?;
    let mut links = entries.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("link-"));
    let link = links.next().with_context(|| format!("no link is in {}", directory.display()))?.path();
    ensure!(links.next().is_none(), "one interface has one link");
    Ok(link)
}

/// Has another program run in the link, over the same maps, as if another version of `blocker` had been there last.
fn replace_by_another(daemon: &Daemon<'_>) -> Result<()> {
    let object = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../blocker/bpf/blocker.bpf.o"))?;
    let maps = daemon.pins().join(format!("v{LAYOUT}"));
    let mut ebpf = EbpfLoader::new().default_map_pin_directory(maps).load(&object)?;
    let xdp: &mut Xdp = ebpf.program_mut(PROGRAM_NO_FRAGS).context("the object has it")?.try_into()?;
    xdp.load()?;
    let before = Link::of(daemon)?;
    let link = XdpLink::try_from(FdLink::from(PinnedLink::from_pin(pin(daemon)?)?))?;
    let id = xdp.attach_to_link(link)?;
    // The pin holds the link.
    drop(FdLink::try_from(xdp.take_link(id)?)?);
    let names = (program_name(before.program)?, program_name(Link::of(daemon)?.program)?);
    ensure!(names == (Some(PROGRAM.to_owned()), Some(PROGRAM_NO_FRAGS.to_owned())), "{names:?}");
    Ok(())
}
