//! The power may fail at any instant: the database opens, and holds every change that a command was told to be done.
//!
//! A daemon runs with what it does to its database traced, commands change bans, and the log is checkpointed on the way. From
//! the trace it is known what was synced at each instant; of what was not, nothing, all, or any sectors are taken
//! to have reached the disk. The database of each such instant is opened by the daemon's own code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use blocker::{clock::Reading, store};
use blocker_core::engine::{Entry, JailId, SourceId};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    disk::{Deed, Disk, Lost, read_trace, traced},
    leftovers::Scratch,
    lines,
    netns::Net,
};

use crate::crashes::Random;

/// Commands, one after the other.
const STEPS: usize = 96;

/// Addresses of a command that bans: under 64, so that each has a row, and an account.
const MANY: usize = 60;

/// How many instants are looked at, beside all at which something was synced.
const MOMENTS: usize = 100;

type Bans = BTreeSet<String>;

#[test]
fn after_a_power_loss_at_any_instant_every_change_that_was_told_to_be_done_is_there() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let state = daemon.directory().join("state");
    let files: Vec<PathBuf> =
        ["blocker.db", "blocker.db-wal", "blocker.db-journal"].iter().map(|name| state.join(name)).collect();
    let trace = daemon.directory().join("trace");
    daemon.start_by(traced(&trace, &files), &["run"])?;

    // What is banned after each command, and where the trace was when it returned.
    let mut steps: Vec<(usize, Bans)> = vec![(0, Bans::new())];
    for step in 0..STEPS {
        let mut bans = steps.last().map(|(_, bans)| bans.clone()).unwrap_or_default();
        // What lines cause is written in between, and nobody waits for it.
        daemon.log().append(lines::refused([198, 51, 100, step as u8].into(), 5).as_bytes())?;
        let (verb, whom) = match step % 4 {
            3 => ("unban", bans.iter().step_by(3).cloned().collect::<Vec<_>>()),
            _ => ("ban", (0..MANY).map(|number| format!("10.{number}.{step}.{}", number * 7 % 256)).collect()),
        };
        let words: Vec<&str> = [verb].into_iter().chain(whom.iter().map(String::as_str)).collect();
        daemon.cli(&words)?.success()?;
        let told = fs::metadata(&trace)?.len() as usize;
        for one in whom {
            if verb == "ban" {
                bans.insert(one);
            } else {
                bans.remove(&one);
            }
        }
        steps.push((told, bans));
    }
    daemon.stop()?;

    let deeds = read_trace(&fs::read_to_string(&trace)?)?;
    let syncs = deeds.iter().filter(|(_, deed)| matches!(deed, Deed::Synced(_))).count();
    // Into the database itself, between two commands: not when it was made, nor at the end.
    let between = steps[1].0..steps[STEPS].0;
    let is_of_checkpoint = |(at, deed): &&(usize, Deed)| {
        between.contains(at) && matches!(deed, Deed::Wrote(path, ..) if *path == files[0])
    };
    let checkpointed = deeds.iter().filter(is_of_checkpoint).count();
    ensure!(syncs > STEPS && checkpointed > 20, "{syncs} syncs, {checkpointed} writes by checkpoints");

    let mut random = Random::new();
    let mut disk = Disk::default();
    let (mut looked, mut with_less) = (0, 0);
    for (number, (at, deed)) in deeds.iter().enumerate() {
        let is_chosen = matches!(deed, Deed::Synced(_)) || random.below(deeds.len()) < MOMENTS;
        // Before it is done, and after.
        if is_chosen {
            let told = steps.iter().rposition(|(told, _)| told <= at).unwrap_or(0);
            for lost in [Lost::All, Lost::Nothing, Lost::Some, Lost::Some] {
                let found = left(&disk, lost, &mut random)
                    .with_context(|| format!("deed {number} of {}, {lost:?}, seed {}", deeds.len(), random.seed))?;
                // The next command may be under way.
                let is_right = |step: usize| steps.get(step).is_some_and(|(_, bans)| *bans == found);
                ensure!(
                    is_right(told) || is_right(told + 1),
                    "deed {number} of {}, {lost:?}, seed {}: {} bans; {} after step {told}",
                    deeds.len(),
                    random.seed,
                    found.len(),
                    steps[told].1.len()
                );
                looked += 1;
                with_less += usize::from(!is_right(told + 1));
            }
        }
        disk.take(deed);
    }
    let found = left(&disk, Lost::All, &mut random)?;
    ensure!(found == steps[STEPS].1, "in the end all is there: {} bans", found.len());
    eprintln!("{} deeds, {syncs} syncs, {checkpointed} writes by checkpoints, {looked} disks looked at", deeds.len());
    ensure!(looked > 500 && with_less > 0, "{looked} disks, {with_less} without the command under way");
    Ok(())
}

/// The bans by command that are found after a power loss.
fn left(disk: &Disk, lost: Lost, random: &mut Random) -> Result<Bans> {
    let scratch = Scratch::new()?;
    disk.after_power_loss(lost, &mut |bound| random.below(bound), scratch.path())?;
    bans_in(scratch.path())
}

fn bans_in(state: &Path) -> Result<Bans> {
    let jail = |name: &str| if name == "manual" { Some(JailId::MAX) } else { Some(JailId::MIN) };
    let (opened, loaded) =
        store::open(state, Reading::take(), jail, |_| Some(SourceId::new(0))).map_err(anyhow::Error::msg)?;
    ensure!(opened.set_aside.is_none(), "{:?}", opened.set_aside);
    let by_command = |(key, entry): &((blocker_core::prefix::Prefix, JailId), Entry)| {
        (key.1 == JailId::MAX && matches!(entry, Entry::InForce(_))).then(|| key.0.to_string())
    };
    Ok(loaded.memory.bans.iter().filter_map(by_command).collect())
}
