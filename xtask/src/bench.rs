//! `cargo xtask bench`: figures, each against something named, in one run.

use std::path::{Path, PathBuf};

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
    /// Packets a core drops in a real flood on a veth, and what is left for a client, beside xdp-filter, nftables and ipset
    Flood {
        /// The daemon, instead of one built now
        #[arg(long, value_name = "FILE")]
        blocker: Option<PathBuf>,
    },
    /// A million bans: time to load them and to restart with them, and memory, beside nftables and ipset
    Bans {
        /// The daemon, instead of one built now
        #[arg(long, value_name = "FILE")]
        blocker: Option<PathBuf>,
    },
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
        What::Flood { blocker } => {
            packages::ensure(packages::PACKET_BENCH)?;
            packages::ensure(packages::FILTERS)?;
            with_daemon("flood", blocker.as_deref())
        }
        What::Bans { blocker } => {
            packages::ensure(packages::FILTERS)?;
            with_daemon("bans", blocker.as_deref())
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

/// Runs a bench that runs the daemon.
fn with_daemon(bench: &str, given: Option<&Path>) -> Result<()> {
    let blocker = match given {
        Some(given) => run::absolute(given)?,
        None => run::build(run::Build::Release, None)?,
    };
    let mut command = cargo();
    sudo_runner(&mut command, &["BLOCKER_BIN"])?;
    command.env("BLOCKER_BIN", blocker);
    run_command(command.args(["bench", "--locked", "--package", "blocker-tests", "--bench", bench]))
}

/// The rival that is a crate, and the version that is measured.
const RIVAL: (&str, &str) = ("fail2ban-rs", "1.5.4");

/// Installs it under the target directory, unless it is there. Returns where.
fn install_rival() -> Result<PathBuf> {
    let tools = run::absolute(Path::new("target/bench-tools"))?;
    let (name, version) = RIVAL;
    if !tools.join("bin").join(name).exists() {
        let mut command = cargo();
        command.args(["install", name, "--version", version, "--locked", "--root"]).arg(&tools);
        run_command(&mut command)?;
    }
    Ok(tools)
}
