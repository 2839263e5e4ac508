//! Writes the seeds of each target to a folder of its own below the one named: where the fuzzer begins.

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let corpus = std::env::args_os().nth(1).map(PathBuf::from).ok_or_else(|| Error::other("usage: seeds FOLDER"))?;
    for target in blocker_fuzz::TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
