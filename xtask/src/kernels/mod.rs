//! `cargo xtask test-kernels`: the tests of the kernel's part on other kernels than this machine's.
//!
//! Debian's kernels are booted in qemu, with its software emulation: no KVM is needed, and nothing of this machine's own
//! kernel is used, or changed. A kernel finds everything in its initial file system: the test programs, the daemon, a few
//! programs of this machine with their libraries, and the modules for devices that the tests make.
//!
//! ```text
//!   archive   packages of another release of Debian, by apt, with a state of its own
//!   release   which kernels; each unpacked once into target/kernels
//!   rootfs    what is in the machine          cpio   the form the kernel reads it in
//!   machine   boots it, and reads the tests' results from its console
//! ```

pub(crate) mod archive;
pub(crate) mod cpio;
pub(crate) mod machine;
pub(crate) mod release;
pub(crate) mod rootfs;

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::packages;

use self::archive::Mirror;
use self::machine::{Machine, Report};
use self::release::{Kernel, PART, RELEASES, Release};
use self::rootfs::{Plan, Rootfs};

/// Options of `cargo xtask test-kernels`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The kernels, by the first numbers of their version; all if none is named
    #[arg(value_name = "RELEASE")]
    releases: Vec<String>,
    #[command(flatten)]
    plan: Plan,
    /// Asks Debian's archive for newer packages of the kernels that are there already
    #[arg(long)]
    update: bool,
    /// Debian's archive, as in a sources.list; else the one that this machine's packages come from
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Minutes that one kernel may take
    #[arg(long, value_name = "MINUTES", default_value_t = 20)]
    limit: u64,
    /// Machines that run at the same time; as many as there are CPUs if it is not said
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
}

/// Fetches, boots and tests each kernel.
pub(crate) fn test_kernels(options: &Options) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels are Debian's for x86-64, and the tests are built for this machine"
    );
    let releases = chosen(&options.releases)?;
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::KERNELS)?;
    let mirror = Mirror::find(options.mirror.as_deref())?;
    let kernels = releases
        .iter()
        .map(|release| release.kernel(&PART, &mirror, options.update))
        .collect::<Result<Vec<Kernel>>>()?;
    let rootfs = Rootfs::build(&options.plan)?;
    let limit = Duration::from_secs(60 * options.limit);
    let machine = |kernel| Machine { kernel, devices: two_cards(), limit };
    let machines: Vec<Machine<'_>> = kernels.iter().map(machine).collect();
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    summary(&run(&machines, &rootfs, options.jobs.unwrap_or(cpus))?)
}

/// Two network cards on one wire. A kernel that wants to boot again has ended.
fn two_cards() -> Vec<String> {
    let mut devices = vec!["-no-reboot".to_owned()];
    for (name, address) in [("left", "52:54:00:00:00:01"), ("right", "52:54:00:00:00:02")] {
        devices.extend(["-netdev".to_owned(), format!("hubport,id={name},hubid=0")]);
        devices.extend(["-device".to_owned(), format!("virtio-net-pci,netdev={name},mac={address},romfile=")]);
    }
    devices
}

/// Runs so many machines at a time, and returns their reports in their order, with the time each took.
fn run<'a>(machines: &'a [Machine<'a>], rootfs: &Rootfs, jobs: usize) -> Result<Vec<Tested<'a>>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tested = Vec::new();
        let take = || {
            let number = next.fetch_add(1, Ordering::Relaxed);
            machines.get(number).map(|machine| (number, machine))
        };
        while let Some((number, machine)) = take() {
            let started = Instant::now();
            let report = machine.run(&rootfs.with_modules_of(machine.kernel)?)?;
            tested.push((number, Tested { version: &machine.kernel.version, report, took: started.elapsed() }));
        }
        Ok(tested)
    };
    let done: Vec<Result<Vec<(usize, Tested<'a>)>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.clamp(1, machines.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    let mut tested: Vec<(usize, Tested<'a>)> =
        done.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    tested.sort_by_key(|(number, _)| *number);
    Ok(tested.into_iter().map(|(_, tested)| tested).collect())
}

/// A kernel that was tested.
pub(crate) struct Tested<'a> {
    /// Debian's package version of it.
    pub(crate) version: &'a str,
    /// How it went.
    pub(crate) report: Report,
    /// How long that took.
    pub(crate) took: Duration,
}

/// The releases that are named, or all.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Release>> {
    if names.is_empty() {
        return Ok(RELEASES.iter().collect());
    }
    let known = || RELEASES.iter().map(|release| release.name).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| match RELEASES.iter().find(|release| release.name == name) {
            Some(release) => Ok(release),
            None => bail!("there is no kernel `{name}` here, only {}", known()),
        })
        .collect()
}

/// Prints a line for each kernel, and fails unless all of its tests have passed.
pub(crate) fn summary(all: &[Tested<'_>]) -> Result<()> {
    println!();
    for Tested { version, report: Report { passed, failed, faults }, took } in all {
        println!("Linux {version}: {passed} passed, {failed} failed, in {} s", took.as_secs());
        for fault in faults {
            println!("  {fault}");
        }
    }
    let bad: Vec<&str> = all.iter().filter(|tested| !tested.report.is_good()).map(|tested| tested.version).collect();
    ensure!(bad.is_empty(), "not all is well on Linux {}", bad.join(", "));
    Ok(())
}
