//! `cargo xtask ebpf`: builds the XDP program, reproducibly.
//!
//! The stripped object is committed, so that building the daemon needs nothing but stable Rust. The same sources and
//! tools give the same bytes in any folder: the paths that debug information would hold are replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, root, run};
use crate::provenance::{OBJECT, Provenance, digest, sources_digest};
use crate::toolchain::Toolchain;

/// The compiler's flags, besides those that replace paths.
pub(crate) const FLAGS: [&str; 5] = [
    // One object serves every little-endian machine; only access to tracing registers would depend on this.
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
    // Words of packets and keys are loaded whole, which x86-64 and arm64 kernels allow.
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    "-Cdebuginfo=2",
];

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Builds again and compares with the committed object, changing nothing
    #[arg(long)]
    check: bool,
    /// Builds with debug events (aya-log) into target/ebpf/blocker-log.bpf.o, for `BLOCKER_EBPF` and the feature bpf-log
    #[arg(long, conflicts_with = "check")]
    log: bool,
}

impl Options {
    /// `--check`.
    pub(crate) const CHECK: Self = Self { check: true, log: false };
}

/// Builds, and writes or compares the object.
pub(crate) fn ebpf(options: &Options) -> Result<()> {
    let toolchain = Toolchain::find_or_install()?;
    if options.log {
        let object = build(&toolchain, "log")?;
        println!(
            "{}\nEmbed it with: BLOCKER_EBPF={} cargo build -p blocker --features bpf-log",
            object.display(),
            object.display()
        );
        return Ok(());
    }
    let object = build(&toolchain, "program")?;
    let bytes = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
    let built = Provenance {
        rustc: toolchain.rustc_version,
        llvm: toolchain.llvm_version,
        bpf_linker: toolchain.linker_version,
        sources: sources_digest()?,
        object: digest(&bytes),
    };
    if options.check {
        return check(&built);
    }
    let committed = root().join(OBJECT);
    if let Some(folder) = committed.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(&committed, &bytes).with_context(|| format!("writing {OBJECT}"))?;
    built.write()?;
    println!("{OBJECT}: {} bytes, by {} and {}", bytes.len(), built.rustc, built.bpf_linker);
    Ok(())
}

/// Builds the object afresh and returns where it is; for those who embed it instead of the committed one.
pub(crate) fn build_fresh() -> Result<PathBuf> {
    build(&Toolchain::find_or_install()?, "program")
}

fn check(built: &Provenance) -> Result<()> {
    let committed = Provenance::read()?;
    if committed.sources != built.sources {
        bail!("{OBJECT} is stale: its sources changed. Run `cargo xtask ebpf` and commit what it writes");
    }
    if !committed.is_by_same_tools(built) {
        println!(
            "{OBJECT} is of these sources, but by other tools, so its bytes cannot be compared: \
             it is by {} and {}, here are {} and {}. It builds here, too.",
            committed.rustc, committed.bpf_linker, built.rustc, built.bpf_linker
        );
        return Ok(());
    }
    if committed.object != built.object {
        bail!("{OBJECT} is not what its sources give with the very tools it was built by. Run `cargo xtask ebpf`");
    }
    println!("{OBJECT} is what its sources give, byte for byte");
    Ok(())
}

fn build(toolchain: &Toolchain, feature: &str) -> Result<PathBuf> {
    let root = root();
    let target = root.join("target/ebpf");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(toolchain.linker_folder.clone()).chain(std::env::split_paths(&path)))
            .context("PATH cannot be extended by bpf-linker's folder")?;
    run(cargo()
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(toolchain, &root))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .args(["build", "--package", "blocker-ebpf", "--bin", "blocker-ebpf", "--features", feature])
        .args(["--profile", "ebpf", "--target", "bpfel-unknown-none", "-Z", "build-std=core", "--locked"]))?;
    let linked = target.join("bpfel-unknown-none/ebpf/blocker-ebpf");
    let name = if feature == "log" { "blocker-log.bpf.o" } else { "blocker.bpf.o" };
    let stripped = target.join(name);
    // Debug information goes; BTF and BTF.ext, which loaders and bpftool read, stay.
    run(Command::new(&toolchain.strip).arg("-g").arg("-o").arg(&stripped).arg(&linked))?;
    Ok(stripped)
}

/// Flags of the BPF target, separated as Cargo wants them.
fn rust_flags(toolchain: &Toolchain, root: &Path) -> String {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"), PathBuf::from);
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let remaps = [remap(root, "/blocker"), remap(&cargo_home, "/cargo"), remap(&toolchain.sysroot, "/rust")];
    // Sources of packages lie in a folder that is named after where they came from, which is not the object's business.
    // The last that matches counts.
    let registries = registries(&cargo_home).into_iter().map(|folder| remap(&folder, "/crates"));
    FLAGS.into_iter().map(str::to_owned).chain(remaps).chain(registries).collect::<Vec<_>>().join("\x1f")
}

/// The folders that Cargo unpacks packages into.
fn registries(cargo_home: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
    folders.sort_unstable();
    folders
}
