//! `cargo xtask fuzz`: libFuzzer on everything that parses, from seeds, for a while.
//!
//! The targets are in `fuzz/`, a workspace of its own. Coverage needs nothing unstable, AddressSanitizer does: the compiler
//! is told to take it (`RUSTC_BOOTSTRAP`), and where it comes without the sanitizer's runtime, as some distributions' do,
//! fuzzing goes on without.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, find_program, output, root, run as run_command};
use crate::packages;

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Most seconds for one input: all take microseconds.
const TIMEOUT_S: u32 = 10;

/// What of the targets is looked at where no fuzzer is: not the tests inside files that belong to other packages.
pub(crate) const CHECKED: [&str; 3] = ["--lib", "--examples", "--test=seeds"];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One target, by its name in fuzz/fuzz_targets; else all, one after the other
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Fuzzes. What is found is kept in fuzz/corpus, an input that breaks a promise in fuzz/artifacts.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::FUZZ)?;
    let targets = chosen(options.target.as_deref())?;
    let path = with_cargo_fuzz()?;
    let sanitizer = if has_address_sanitizer()? {
        "address"
    } else {
        eprintln!("This compiler has no AddressSanitizer: reads outside of what is parsed are not looked for.");
        "none"
    };
    let corpus = root().join("fuzz/corpus");
    run_command(in_fuzz(&mut cargo(), "run").args(["--quiet", "--example", "seeds", "--"]).arg(&corpus))?;
    for target in targets {
        let mut command = cargo();
        command.env("PATH", &path).env("RUSTC_BOOTSTRAP", "1");
        command.args(["fuzz", "run", "--features", "libfuzzer", "--sanitizer", sanitizer, "--target-dir"]);
        command.arg(root().join("target/fuzz")).args([&target, "--"]);
        command.arg(format!("-max_total_time={}", options.seconds)).arg(format!("-timeout={TIMEOUT_S}"));
        run_command(command.arg("-print_final_stats=1"))?;
    }
    Ok(())
}

/// `cargo COMMAND` on the workspace of the targets, which shares the main one's build folder.
pub(crate) fn in_fuzz<'a>(cargo: &'a mut Command, command: &str) -> &'a mut Command {
    cargo.arg(command).args(["--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"])
}

/// The target called so, or all.
fn chosen(name: Option<&str>) -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let file = entry.with_context(|| format!("reading {}", folder.display()))?.file_name();
        targets.extend(file.to_str().and_then(|file| file.strip_suffix(".rs")).map(str::to_owned));
    }
    targets.sort_unstable();
    match name {
        None => Ok(targets),
        Some(name) if targets.iter().any(|target| target == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("no target `{name}`: there are {}", targets.join(", ")),
    }
}

/// `$PATH` with cargo-fuzz in it, which is built if it is not there.
fn with_cargo_fuzz() -> Result<OsString> {
    let place = root().join("target/tools/cargo-fuzz");
    let folder = place.join("bin");
    if find_program("cargo-fuzz", std::slice::from_ref(&folder)).is_none() {
        eprintln!("Building cargo-fuzz {CARGO_FUZZ_VERSION} (a minute)");
        run_command(
            cargo().args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION, "--root"]).arg(&place),
        )?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).context("extending $PATH")
}

/// Whether the compiler comes with the sanitizer's runtime.
fn has_address_sanitizer() -> Result<bool> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir"])).context("`rustc` does not run")?;
    let folder = PathBuf::from(libraries.trim());
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let is_runtime = |name: OsString| name.to_string_lossy().ends_with("_rt.asan.a");
    Ok(entries.filter_map(Result::ok).any(|entry| is_runtime(entry.file_name())))
}
