//! `cargo xtask run`: builds the daemon and runs it on this machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{as_root, cargo, is_root, output, root, run as run_command};
use crate::{ebpf, packages};

/// The shipped default configuration, from the workspace's root.
const DEFAULT_CONFIG: &str = "dist/blocker.toml";

/// What somebody who is not root and has no sudo can do.
const NO_SUDO: &str = "there is no sudo here: run the same command as root";

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
    /// With checks, and a little optimised: for tests in emulated machines.
    Emulated,
}

impl Build {
    /// Cargo's name of the profile.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Debug => "dev",
            Self::Release => "release",
            Self::Emulated => "emulated",
        }
    }

    /// Where in the target directory Cargo puts it.
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release | Self::Emulated => self.profile(),
        }
    }
}

/// Builds, then becomes the daemon.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let object = if options.fresh_ebpf { Some(ebpf::build_fresh()?) } else { None };
    let blocker = build(Build::Release, object.as_deref())?;
    let config = match &options.config {
        Some(config) => absolute(config)?,
        None => root().join(DEFAULT_CONFIG),
    };
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
    let what = if is_root() { format!("starting {}", blocker.display()) } else { NO_SUDO.to_owned() };
    Err(error).context(what)
}

/// `path`, as seen from where this task was called: what it starts runs in the workspace's root.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
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
    command.args(["build", "--locked", "--profile", build.profile(), "--package", "blocker"]);
    if let Some(object) = object {
        command.env("BLOCKER_EBPF", object);
    }
    run_command(&mut command)?;
    Ok(target_directory()?.join(build.folder()).join("blocker"))
}

/// Where Cargo puts what it builds, by its environment and configuration.
fn target_directory() -> Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--locked", "--no-deps", "--format-version=1"]))
        .context("`cargo metadata` does not run")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("reading `cargo metadata`")?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("`cargo metadata` tells no target directory")
}

/// The daemon for a task that only root may do: the one it was `given`, or one built now. If this process is not root, the
/// whole task is started once more through sudo, and says `why`.
pub(crate) fn daemon_as_root(given: Option<&Path>, why: &str) -> Result<PathBuf> {
    let blocker = match given {
        Some(given) => absolute(given)?,
        None => build(Build::Release, None)?,
    };
    if is_root() {
        return Ok(blocker);
    }
    eprintln!("Not root, and {why}: going on through sudo (it may ask for your password).");
    let this = std::env::current_exe().context("finding this program")?;
    let mut command = as_root(this);
    command.current_dir(std::env::current_dir().context("finding the current directory")?);
    command.args(std::env::args_os().skip(1));
    if given.is_none() {
        command.arg("--blocker").arg(blocker);
    }
    Err(command.exec()).context(NO_SUDO)
}
