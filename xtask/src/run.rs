//! `cargo xtask run`: builds the daemon and runs it on this machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{as_root, cargo, is_root, root, run as run_command};
use crate::{ebpf, packages};

/// The shipped default configuration, from the workspace's root.
const DEFAULT_CONFIG: &str = "dist/blocker.toml";

/// The logs that it watches.
const DEFAULT_LOGS: [&str; 2] = ["/var/log/mail.log", "/var/log/maillog"];

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Configuration instead of the shipped default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Builds the XDP program afresh and embeds that instead of the committed object
    #[arg(long)]
    fresh_ebpf: bool,
}

/// How to build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Quickly, with checks, for tests.
    Debug,
    /// Optimised.
    Release,
}

/// Builds, then becomes the daemon.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let object = if options.fresh_ebpf { Some(ebpf::build_fresh()?) } else { None };
    let blocker = build(Build::Release, object.as_deref())?;
    let config = options.config.clone().unwrap_or_else(|| root().join(DEFAULT_CONFIG));
    if options.config.is_none() && !DEFAULT_LOGS.iter().any(|log| Path::new(log).exists()) {
        println!(
            "There is no mail log here ({}): the daemon waits for one. \
             To see it work without a mail server, stop it with Ctrl-C and run `cargo xtask lab`.",
            DEFAULT_LOGS.join(", ")
        );
    }
    println!(
        "Stop it with Ctrl-C: bans stay in force. In another terminal: `{program} --config {config} status`, or bans; \
         `… detach` removes everything.",
        program = shown(&blocker),
        config = shown(&config)
    );
    if !is_root() {
        eprintln!("Not root: starting the daemon through sudo (it may ask for your password).");
    }
    let error = as_root(&blocker).arg("--config").arg(&config).arg("run").exec();
    Err(error).with_context(|| format!("starting {}", blocker.display()))
}

/// A path as it is typed from the workspace's root.
fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(root()).unwrap_or(path).display()
}

/// Builds the daemon and returns where it is.
///
/// `object` is an XDP object to embed instead of the committed one.
pub(crate) fn build(build: Build, object: Option<&Path>) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "--package", "blocker"]);
    if build == Build::Release {
        command.arg("--release");
    }
    if let Some(object) = object {
        command.env("BLOCKER_EBPF", object);
    }
    run_command(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(if build == Build::Release { "release" } else { "debug" }).join("blocker"))
}

/// Runs this same task once more through sudo, with the daemon that was built, and says so.
pub(crate) fn again_as_root(why: &str, blocker: &Path) -> Result<()> {
    eprintln!("Not root, and {why}: going on through sudo (it may ask for your password).");
    let this = std::env::current_exe().context("finding this program")?;
    let error = as_root(this).args(std::env::args_os().skip(1)).arg("--blocker").arg(blocker).exec();
    Err(error).context("there is no sudo here: run the same command as root")
}
