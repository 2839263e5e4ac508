//! `cargo xtask test-systemd`: the unit in `dist/` under a real systemd, in a virtual machine.
//!
//! A small Debian with systemd as its first process is booted in qemu, with its software emulation. The daemon is installed
//! there by the commands of the README; then the test program `tests/systemd` runs, the machine is booted again, and the
//! rest of it runs. Nothing of this machine's own system is used, or changed.
//!
//! ```text
//!   image    Debian's packages, installed once into a file that the machine reads
//!   initial  the initial file system: the kernel's modules, the daemon, the tests
//! ```
//!
//! The kernel, the machine and the way its console is read are those of `test-kernels`.

mod image;
mod initial;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::command::{root, run_as};
use crate::kernels::archive::Mirror;
use crate::kernels::machine::Machine;
use crate::kernels::release::{Kernel, Part, Release};
use crate::kernels::{Tested, chosen, summary};
use crate::packages;

/// The root file system is an overlay of a disk on an image; the network within the machine is a pair of devices. There, nothing is
/// loaded when it is asked for, as what closes connections (`tcp_diag`) would be.
const PART: Part = Part {
    folder: "systemd",
    modules: &[
        "autofs4",
        "loop",
        "squashfs",
        "overlay",
        "ext4",
        "virtio_pci",
        "virtio_blk",
        "veth",
        "tcp_diag",
        "udp_diag",
    ],
};

/// Room for what the machine writes.
const DISK_BYTES: u64 = 2 << 30;

/// Options of `cargo xtask test-systemd`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The machine's Debian, by the first numbers of its kernel's version: 6.1 has systemd 252, 6.12 has 257
    #[arg(value_name = "RELEASE", default_value = "6.12")]
    release: String,
    /// Runs a command in the machine, by its shell, instead of the tests
    #[arg(long, value_name = "COMMAND")]
    instead: Option<String>,
    /// Asks Debian's archive for newer packages
    #[arg(long)]
    update: bool,
    /// Debian's archive, as in a sources.list; else the one that this machine's packages come from
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Minutes that it may take
    #[arg(long, value_name = "MINUTES", default_value_t = 40)]
    limit: u64,
}

/// Fetches, boots and tests it.
pub(crate) fn test_systemd(options: &Options) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the machine's Debian is for x86-64, and the tests are built for this machine"
    );
    let Some(&release) = chosen(std::slice::from_ref(&options.release))?.first() else { return Ok(()) };
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::KERNELS)?;
    packages::ensure(packages::SYSTEMD)?;
    let mirror = Mirror::find(options.mirror.as_deref())?;
    let kernel = release.kernel(&PART, &mirror, options.update)?;
    summary(&[test(release, &kernel, &mirror, options)?])
}

fn test<'a>(release: &Release, kernel: &'a Kernel, mirror: &Mirror, options: &Options) -> Result<Tested<'a>> {
    let place = root().join("target").join(PART.folder).join(release.name);
    let image = image::made(&place, release.suite, mirror, options.update)?;
    let disk = place.join("disk");
    format(&disk)?;
    let devices = ["-drive", &format!("file={},format=raw,if=none,id=disk,cache=unsafe", disk.display())]
        .into_iter()
        .chain(["-device", "virtio-blk-pci,drive=disk"])
        .map(str::to_owned)
        .collect();
    let machine = Machine { kernel, devices, limit: Duration::from_secs(60 * options.limit) };
    let initial = initial::archive(kernel, &image, options.instead.as_deref())?;
    let started = Instant::now();
    let report = machine.run(&initial)?;
    Ok(Tested { version: &kernel.version, report, took: started.elapsed() })
}

/// An empty disk: nothing of an earlier run is on it.
fn format(disk: &Path) -> Result<()> {
    if disk.exists() {
        fs::remove_file(disk).with_context(|| format!("removing {}", disk.display()))?;
    }
    File::create(disk)
        .and_then(|file| file.set_len(DISK_BYTES))
        .with_context(|| format!("making {}", disk.display()))?;
    run_as(&format!("mke2fs {}", disk.display()), Command::new(MKE2FS).args(["-q", "-t", "ext4"]).arg(disk))
}

/// Where it is for whoever is not root, too.
const MKE2FS: &str = "/usr/sbin/mke2fs";
