//! `cargo xtask bench`: figures, each against something named, in one run.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{cargo, run as run_command, sudo_runner};
use crate::{packages, run};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Time from a line in the log to the first packet dropped, over many attackers
    Latency {
        /// Attackers, each with an address of its own
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=360))]
        attackers: u16,
        /// The daemon, instead of one built now
        #[arg(long, value_name = "FILE")]
        blocker: Option<PathBuf>,
    },
    /// Nanoseconds the XDP program takes for a packet, at up to a million bans, beside xdp-filter
    Packet,
    /// Lines of a mail log judged in a second on one core, beside fail2ban, fail2ban-rs and ripgrep
    Ingest,
}

/// Measures.
pub(crate) fn bench(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    match &options.what {
        What::Latency { attackers, blocker } => {
            packages::ensure(packages::LAB)?;
            let why = "measuring makes network namespaces and loads an XDP program";
            let blocker = run::daemon_as_root(blocker.as_deref(), why)?;
            blocker_tests::latency::latency(&blocker, usize::from(*attackers))
        }
        What::Packet => {
            packages::ensure(packages::PACKET_BENCH)?;
            let mut command = cargo();
            sudo_runner(&mut command, &[])?;
            run_command(command.args(["bench", "--locked", "--package", "blocker-tests", "--bench", "packet"]))
        }
        What::Ingest => {
            packages::ensure(packages::INGEST_BENCH)?;
            let tools = install_rival()?;
            let mut command = cargo();
            command.env("BLOCKER_BENCH_TOOLS", tools);
            run_command(command.args(["bench", "--locked", "--package", "blocker-tests", "--bench", "ingest"]))
        }
    }
}

/// The rival that is a crate, and the version that is measured.
const RIVAL: (&str, &str) = ("fail2ban-rs", "1.5.4");

/// Installs it under the target directory, unless it is there. Returns where.
fn install_rival() -> Result<PathBuf> {
    let tools = run::absolute(std::path::Path::new("target/bench-tools"))?;
    let (name, version) = RIVAL;
    if !tools.join("bin").join(name).exists() {
        let mut command = cargo();
        command.args(["install", name, "--version", version, "--locked", "--root"]).arg(&tools);
        run_command(&mut command)?;
    }
    Ok(tools)
}
