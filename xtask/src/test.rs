//! `cargo xtask test` and `cargo xtask lint`: every test and every check, each with its set-up.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, find_program, root, run as run_command, sudo_runner};
use crate::{ebpf, fail2ban, fuzz, packages, run};

/// The version of cargo-deny that is installed where there is none.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no privileges, no namespaces and no kernel
    #[arg(long)]
    unprivileged: bool,
    /// Only this many generated and changed frames, on which rules, host build and kernel must agree; millions are fine
    #[arg(long, value_name = "NUMBER", conflicts_with = "unprivileged")]
    frames: Option<u32>,
}

/// Runs every test.
pub(crate) fn test(options: &Options) -> Result<()> {
    if options.unprivileged {
        packages::ensure(packages::BUILD)?;
        packages::ensure(packages::TESTS)?;
        return unprivileged();
    }
    packages::ensure(packages::BUILD)?;
    if let Some(frames) = options.frames {
        return agreement(frames);
    }
    packages::ensure(packages::TESTS)?;
    packages::ensure(packages::LAB)?;
    packages::ensure(packages::END_TO_END)?;
    fail2ban::ensure()?;
    unprivileged()?;
    let blocker = run::build(run::Build::Debug, None)?;
    // These load XDP programs and make network namespaces.
    let mut command = cargo();
    sudo_runner(&mut command, &["BLOCKER_BIN"])?;
    // `devices` needs what not every kernel has: it is run by `cargo xtask test-kernels`.
    let tests = ["--lib", "--test", "prog_run", "--test", "e2e"];
    run_command(
        command.env("BLOCKER_BIN", blocker).args(["test", "--locked", "--package", "blocker-tests"]).args(tests),
    )
}

/// In an optimized build, because most of the time goes into making the frames.
fn agreement(frames: u32) -> Result<()> {
    let mut command = cargo();
    sudo_runner(&mut command, &["BLOCKER_FRAMES"])?;
    let test = ["test", "--locked", "--release", "--package", "blocker-tests", "--test", "prog_run"];
    run_command(command.env("BLOCKER_FRAMES", frames.to_string()).args(test).args(["--", "--nocapture", "agreement"]))
}

fn unprivileged() -> Result<()> {
    run_command(cargo().args(["test", "--locked"]))?;
    run_command(cargo().args(["test", "--locked", "--package", "blocker-ebpf"]))?;
    run_command(fuzz::in_fuzz(&mut cargo(), "test"))
}

/// Runs every check that is not a test.
pub(crate) fn lint() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    run_command(cargo().args(["fmt", "--check"]))?;
    run_command(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    run_command(cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run_command(fuzz::in_fuzz(&mut cargo(), "clippy").args(fuzz::CHECKED).args(["--", "-D", "warnings"]))?;
    deny()?;
    ebpf::ebpf(&ebpf::Options::CHECK)
}

fn deny() -> Result<()> {
    let place = root().join("target/tools/cargo-deny");
    if find_program("cargo-deny", &[place.join("bin")]).is_none() {
        eprintln!("Building cargo-deny {CARGO_DENY_VERSION} (a few minutes)");
        run_command(
            cargo().args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY_VERSION, "--root"]).arg(&place),
        )?;
    }
    let Some(program) = find_program("cargo-deny", &[place.join("bin")]) else {
        bail!("cargo-deny was installed, but is not in {}", place.display());
    };
    let deny = || {
        let mut command = Command::new(&program);
        command.current_dir(root()).args(["--locked", "--all-features", "check"]);
        command
    };
    run_command(deny().args(["licenses", "bans", "sources"]))?;
    // The advisories are in a repository that not every machine reaches; what they say of us fails, their absence not.
    let output = deny().arg("advisories").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("advisories ok");
    } else if said.contains("failed to fetch advisory database") || said.contains("unable to fetch") {
        println!("advisories not checked: their database cannot be reached from here");
    } else {
        bail!("cargo-deny found advisories:\n{said}");
    }
    Ok(())
}
