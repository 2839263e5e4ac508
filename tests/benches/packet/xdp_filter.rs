//! The opponent: xdp-filter of xdp-tools, which denies by address, with its own object as the package installs it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::maps::{PerCpuHashMap, PerCpuValues};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};

use crate::pin_folder::PinFolder;
use crate::tables::Action;

/// Where packages put it.
const PLACES: [&str; 3] = ["/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib64/bpf", "/usr/lib/bpf"];

/// Its program that passes all but the addresses it is told, and looks at nothing else.
const OBJECT: &str = "xdpfilt_alw_ip.o";

/// `MAP_FLAG_SRC` of xdp-filter: the address is looked at as a source.
const SOURCE: u64 = 1;

/// The program, with its tables.
pub(crate) struct XdpFilter {
    ebpf: Ebpf,
    program: String,
    /// Its maps ask to be pinned.
    _pins: PinFolder,
}

impl XdpFilter {
    /// Loads it.
    pub(crate) fn load() -> Result<Self> {
        let Some(path) = PLACES.iter().map(|place| Path::new(place).join(OBJECT)).find(|path| path.exists()) else {
            bail!("{OBJECT} is not installed (package xdp-tools)");
        };
        let pins = PinFolder::new()?;
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(pins.path());
        let mut ebpf = loader.load_file(&path).with_context(|| format!("loading {}", path.display()))?;
        let program = ebpf.programs().map(|(name, _)| name.to_owned()).next().context("it has no program")?;
        let xdp: &mut Xdp = ebpf.program_mut(&program).context("the program was just there")?.try_into()?;
        xdp.load().context("loading its program into the kernel")?;
        Ok(Self { ebpf, program, _pins: pins })
    }

    /// Denies an IPv4 source.
    pub(crate) fn deny(&mut self, addr: [u8; 4]) -> Result<()> {
        let map = self.ebpf.map_mut("filter_ipv4").context("it has no map filter_ipv4")?;
        let mut denied: PerCpuHashMap<_, [u8; 4], u64> = map.try_into()?;
        let cpus = nr_cpus().map_err(|(_, error)| error).context("counting CPUs")?;
        denied.insert(addr, PerCpuValues::try_from(vec![SOURCE; cpus])?, 0).context("denying an address")
    }

    /// What becomes of a frame, and how many whole nanoseconds one of `repeat` runs took on average.
    pub(crate) fn run(&mut self, frame: &[u8], repeat: u32) -> Result<(Action, u128)> {
        let xdp: &mut Xdp = self.ebpf.program_mut(&self.program).context("the program is there")?.try_into()?;
        let ran = xdp.test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() })?;
        Ok((Action::of(ran.return_value), ran.duration.as_nanos()))
    }
}
