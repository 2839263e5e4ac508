//! Lines of a mail log that are read and judged in a second, on one core; beside fail2ban's own tester, fail2ban-rs and
//! ripgrep, each at the same file in the same run, with how many of the failures in it each found.
//!
//! Ours is the way from the file to the decision: source, records, filter, counting, bans; what would follow in the kernel
//! does not. All are bound to one core, and the file is in the page cache.

mod log;
mod ours;
mod rivals;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Lines of each log.
const LINES: u64 = 2_000_000;

/// Failures of a hundred lines: a server under attack, and a quiet one.
const PERCENT: [u64; 2] = [30, 2];

/// Runs of each but fail2ban's, which takes minutes; the fastest counts.
const RUNS: usize = 3;

/// What one program did with the file.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// How long it took.
    pub(crate) took: Duration,
    /// Failures it found.
    pub(crate) found: u64,
}

fn main() -> Result<()> {
    let mut cpu = CpuSet::new();
    cpu.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpu).context("staying on one core")?;
    let lines = match std::env::var("BLOCKER_BENCH_LINES") {
        Ok(lines) => lines.parse().context("BLOCKER_BENCH_LINES is no number")?,
        Err(_) => LINES,
    };
    let fail2ban_rs = rivals::installed("fail2ban-rs")?;
    let directory = std::env::temp_dir().join(format!("blocker-ingest-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let measured = PERCENT.iter().try_for_each(|&percent| {
        let log = directory.join("mail.log");
        let (failures, bytes) = log::write(&log, lines, percent)?;
        println!("{lines} lines, {} MB, {failures} failures", bytes / 1_000_000);
        println!("{:24}{:>12}{:>10}{:>12}", "", "lines/s", "MB/s", "found");
        let show = |name: &str, figure: Figure| {
            let seconds = figure.took.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let (rate, megabytes) = (lines as f64 / seconds, bytes as f64 / 1e6 / seconds);
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let found = 100.0 * figure.found as f64 / failures as f64;
            println!("{name:24}{rate:12.0}{megabytes:10.1}{found:11.1}%");
        };
        show("blocker", fastest(|| ours::measure(&log, lines))?);
        show("fail2ban-rs dry-run", fastest(|| rivals::fail2ban_rs(&fail2ban_rs, &log))?);
        show("rg --count", fastest(|| rivals::ripgrep(&log))?);
        show("fail2ban-regex", rivals::fail2ban(&log)?);
        println!();
        Ok(())
    });
    fs::remove_dir_all(&directory)?;
    measured
}

/// The fastest of some runs.
fn fastest(mut run: impl FnMut() -> Result<Figure>) -> Result<Figure> {
    let mut best = run()?;
    for _ in 1..RUNS {
        let figure = run()?;
        if figure.took < best.took {
            best = figure;
        }
    }
    Ok(best)
}
