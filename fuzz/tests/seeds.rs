//! The targets over their seeds, and over what is left of them: no fuzzer is needed to see that they hold.

use blocker_common::Outcome;
use blocker_fuzz::{TARGETS, frames};

#[test]
fn every_promise_holds_for_the_seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} sets out from nothing", target.name);
        for seed in seeds {
            (target.check)(&seed);
        }
    }
}

#[test]
fn every_promise_holds_for_seeds_cut_short_or_with_a_byte_changed() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            for cut in (0..seed.len()).step_by(seed.len() / 8 + 1) {
                (target.check)(&seed[..cut]);
                let mut changed = seed.clone();
                changed[cut] = changed[cut].wrapping_mul(31).wrapping_add(number as u8);
                (target.check)(&changed);
            }
        }
    }
}

/// A fuzzer that sets out from one corner may stay there.
#[test]
fn the_frames_to_begin_with_come_to_every_outcome() {
    let seen: Vec<Outcome> = frames::seeds().iter().filter_map(|seed| frames::outcome(seed)).collect();
    for outcome in Outcome::ALL {
        assert!(seen.contains(&outcome), "{outcome:?} never comes up in {} frames", seen.len());
    }
}

#[test]
fn every_target_is_built_for_the_fuzzer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_targets");
    let files = std::fs::read_dir(folder).expect("the folder is here").map(|file| file.expect("it can be read"));
    let mut files: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    files.sort_unstable();

    assert_eq!(files, TARGETS.map(|target| format!("{}.rs", target.name)));
}
