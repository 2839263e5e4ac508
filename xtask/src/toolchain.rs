//! Finds, or installs, what compiles Rust to BPF: a compiler that may use unstable features, the sources of its own
//! `core`, bpf-linker on the same LLVM, and llvm-strip.
//!
//! Looked for in this order: `$BLOCKER_BPF_RUSTC`; rustup's nightly, if it has the component rust-src; Debian's pair
//! rustc-web and rust-web-src. If none is there, the first that can be installed is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, find_program, output, root, run};
use crate::packages;

/// The version built where none is given in `$BLOCKER_BPF_LINKER`.
const BPF_LINKER_VERSION: &str = "0.13.0";

/// Where Debian's rustc-web is.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// All that is needed to build the XDP program.
pub(crate) struct Toolchain {
    /// The compiler.
    pub(crate) rustc: PathBuf,
    /// Its sysroot, which holds the sources of `core`.
    pub(crate) sysroot: PathBuf,
    /// What `rustc --version` says.
    pub(crate) rustc_version: String,
    /// LLVM's version, of the compiler.
    pub(crate) llvm_version: String,
    /// The folder with bpf-linker.
    pub(crate) linker_folder: PathBuf,
    /// What `bpf-linker --version` says.
    pub(crate) linker_version: String,
    /// llvm-strip of the same LLVM.
    pub(crate) strip: PathBuf,
}

impl Toolchain {
    /// Finds the parts, and installs what is missing if it can.
    ///
    /// # Errors
    ///
    /// One sentence about the part that is missing and could not be installed.
    pub(crate) fn find_or_install() -> Result<Self> {
        let rustc = find_rustc_or_install()?;
        let version = output(Command::new(&rustc).arg("-vV"))
            .with_context(|| format!("`{} -vV` does not run", rustc.display()))?;
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
                .with_context(|| format!("`{} -vV` does not say its {name}", rustc.display()))
        };
        let llvm_version = field("LLVM version:")?;
        let rustc_version = version.lines().next().unwrap_or_default().to_owned();
        let llvm_major = llvm_version.split('.').next().unwrap_or_default().to_owned();
        let linker_folder = find_linker_or_install(&llvm_major)?;
        let linker_version = output(Command::new(linker_folder.join("bpf-linker")).arg("--version"))
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .context("`bpf-linker --version` does not run")?;
        let strip = find_strip(&llvm_major)?;
        let sysroot = sysroot(&rustc).context("the compiler does not tell its sysroot")?;
        Ok(Self { rustc, sysroot, rustc_version, llvm_version, linker_folder, linker_version, strip })
    }
}

fn find_rustc_or_install() -> Result<PathBuf> {
    if let Some(explicit) = std::env::var_os("BLOCKER_BPF_RUSTC") {
        let rustc = PathBuf::from(explicit);
        if !has_core_sources(&rustc) {
            bail!("BLOCKER_BPF_RUSTC={} has no sources of its `core` (component rust-src)", rustc.display());
        }
        return Ok(rustc);
    }
    if let Some(rustc) = rustup_nightly().filter(|rustc| has_core_sources(rustc)) {
        return Ok(rustc);
    }
    let debian = PathBuf::from(DEBIAN_RUSTC);
    if has_core_sources(&debian) {
        return Ok(debian);
    }
    if find_program("apt-get", &[]).is_some() && packages::install(&["rustc-web", "rust-web-src"]).is_ok() {
        if has_core_sources(&debian) {
            return Ok(debian);
        }
        bail!("the packages rustc-web and rust-web-src are installed, but {DEBIAN_RUSTC} has no sources of `core`");
    }
    bail!(
        "no compiler with the sources of its `core`: run `rustup toolchain install nightly --component rust-src`, \
         or set BLOCKER_BPF_RUSTC to one that has them"
    )
}

fn rustup_nightly() -> Option<PathBuf> {
    let path = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))?;
    Some(PathBuf::from(path.trim()))
}

fn has_core_sources(rustc: &Path) -> bool {
    sysroot(rustc).is_some_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file())
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    output(Command::new(rustc).args(["--print", "sysroot"])).map(|path| PathBuf::from(path.trim()))
}

fn find_linker_or_install(llvm_major: &str) -> Result<PathBuf> {
    if let Some(explicit) = std::env::var_os("BLOCKER_BPF_LINKER") {
        let linker = PathBuf::from(explicit);
        let folder = linker.parent().filter(|_| linker.is_file());
        return folder.map(Path::to_owned).with_context(|| format!("no file BLOCKER_BPF_LINKER={}", linker.display()));
    }
    let place = root().join(format!("target/tools/bpf-linker-{BPF_LINKER_VERSION}-llvm-{llvm_major}"));
    let folder = place.join("bin");
    if folder.join("bpf-linker").is_file() {
        return Ok(folder);
    }
    let llvm = PathBuf::from(format!("/usr/lib/llvm-{llvm_major}"));
    if !llvm.join("include/llvm-c/Core.h").is_file() || !llvm.join("lib/libPolly.a").is_file() {
        packages::install(&[&format!("llvm-{llvm_major}-dev"), &format!("libpolly-{llvm_major}-dev")]).with_context(
            || format!("bpf-linker must be built on LLVM {llvm_major}; or set BLOCKER_BPF_LINKER to one that is"),
        )?;
    }
    eprintln!("Building bpf-linker {BPF_LINKER_VERSION} on LLVM {llvm_major} (a minute)");
    run(cargo()
        .env("LLVM_PREFIX", &llvm)
        .args(["install", "bpf-linker", "--locked", "--version", BPF_LINKER_VERSION, "--no-default-features"])
        .args(["--features", &format!("llvm-{llvm_major}"), "--root"])
        .arg(&place))?;
    Ok(folder)
}

fn find_strip(llvm_major: &str) -> Result<PathBuf> {
    let folders = [PathBuf::from(format!("/usr/lib/llvm-{llvm_major}/bin"))];
    find_program("llvm-strip", &folders)
        .or_else(|| find_program(&format!("llvm-strip-{llvm_major}"), &[]))
        .with_context(|| format!("no llvm-strip: install the package llvm-{llvm_major}"))
}
