//! Running other programs: what is run is said, and a failure names it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The `cargo` that runs this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Whether this process may do what root may.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `program`, run as root: through sudo, which is said, if this process is not root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    let mut command = if is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg("--").arg(program);
        command
    };
    command.current_dir(root());
    command
}

/// Has Cargo start the programs it builds as root, with these variables of the environment kept; does nothing for root.
pub(crate) fn sudo_runner(command: &mut Command, keep: &[&str]) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    let version = output(Command::new("rustc").arg("-vV")).context("`rustc -vV` does not run")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` tells no host")?;
    let variable = format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_"));
    eprintln!("Not root: what is built here is run through sudo (it may ask for your password).");
    let preserve = if keep.is_empty() { String::new() } else { format!("--preserve-env={} ", keep.join(",")) };
    command.env(variable, format!("sudo {preserve}--"));
    Ok(())
}

/// Says what is run, runs it, and fails unless it ends well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_as(&shown(command), command)
}

/// The same for a command that is better said in other words.
pub(crate) fn run_as(words: &str, command: &mut Command) -> Result<()> {
    eprintln!("$ {words}");
    let status = command.status().with_context(|| format!("starting {words}"))?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    Ok(())
}

/// Runs it silently and returns what it printed; `None` if it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The program called `name`, in `$PATH`, in the folders for administrators' programs or in `more`.
pub(crate) fn find_program(name: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    more.iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn shown(command: &Command) -> String {
    let root = root();
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ").replace(&format!("{}/", root.display()), "")
}
