//! The XDP object: embedded, loaded, its maps pinned or adopted.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aya::maps::{MapData, MapInfo};
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader};
use blocker_common::{MapName, PROGRAM, PROGRAM_NO_FRAGS, PROGRAM_TC, Shape, THIS_INTERFACE};

use super::{Capacity, Maps, Pins, bpffs};
use crate::exit::{Failure, is_permission};

/// Aligned for the ELF reader.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("BLOCKER_EBPF_OBJECT"));

/// The programs of the object; each is loaded when first wanted.
pub struct Programs {
    ebpf: Ebpf,
    /// What the kernel refused, and why: it would refuse it again.
    refused: BTreeMap<&'static str, String>,
}

/// One of the variants of the XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Takes multi-buffer frames (kernel 5.18, and the driver's support).
    Frags,
    /// For everything else.
    NoFrags,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Frags => PROGRAM,
            Self::NoFrags => PROGRAM_NO_FRAGS,
        }
    }
}

impl Programs {
    fn of(ebpf: Ebpf) -> Self {
        Self { ebpf, refused: BTreeMap::new() }
    }

    /// The variant, loaded into the kernel.
    ///
    /// # Errors
    ///
    /// The verifier's, or that the kernel does not know multi-buffer frames.
    pub fn loaded(&mut self, program: Program) -> Result<&mut Xdp> {
        let name = program.name();
        let (xdp, refused): (&mut Xdp, _) = self.get(name)?;
        if xdp.fd().is_err() {
            load_once(name, refused, || xdp.load())?;
        }
        Ok(xdp)
    }

    /// The program for tc, loaded into the kernel.
    ///
    /// # Errors
    ///
    /// The verifier's.
    pub fn loaded_tc(&mut self) -> Result<&mut SchedClassifier> {
        let (tc, refused): (&mut SchedClassifier, _) = self.get(PROGRAM_TC)?;
        if tc.fd().is_err() {
            load_once(PROGRAM_TC, refused, || tc.load())?;
        }
        Ok(tc)
    }

    /// A program by its name, and the record of refusals.
    fn get<'a, P>(&'a mut self, name: &str) -> Result<(&'a mut P, &'a mut BTreeMap<&'static str, String>)>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name).with_context(|| format!("the object has no program `{name}`"))?;
        let program = program.try_into().with_context(|| format!("`{name}` is of another kind"))?;
        Ok((program, &mut self.refused))
    }
}

/// Loads a program, unless it was refused before.
fn load_once(
    name: &'static str,
    refused: &mut BTreeMap<&'static str, String>,
    load: impl FnOnce() -> Result<(), ProgramError>,
) -> Result<()> {
    if let Some(why) = refused.get(name) {
        bail!("{why}");
    }
    load().map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("loading `{name}` into the kernel"));
        refused.insert(name, format!("{error:#}"));
        error
    })
}

/// The programs and the maps they use.
pub struct Object {
    /// Of which none is loaded yet.
    pub programs: Programs,
    /// Open for writing.
    pub maps: Maps,
}

/// Makes the pinned maps; those that are pinned already are adopted, if they have this form.
pub(super) fn open_maps(pins: &Pins, capacity: Capacity) -> Result<Maps> {
    if !has_form(pins, capacity)? {
        bail!("the maps in {} are of another form", pins.directory().display());
    }
    let mut ebpf = load(pins, 0, Some(capacity))?;
    start_log(&mut ebpf);
    Maps::take_from(&mut ebpf)
}

/// The programs for the interface at `slot` of the interfaces' table, over the pinned maps.
pub(super) fn programs(pins: &Pins, slot: u32) -> Result<Programs> {
    load(pins, slot, None).map(Programs::of)
}

/// `capacity` is for maps that are not there yet.
fn load(pins: &Pins, slot: u32, capacity: Option<Capacity>) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    for name in capacity.iter().flat_map(|_| [MapName::Bans4, MapName::Bans6]) {
        loader.map_max_entries(name.as_str(), capacity.map_or(0, |capacity| capacity.shape(name).max_entries));
    }
    for name in MapName::ALL {
        loader.map_pin_path(name.as_str(), pins.map(name));
    }
    loader.override_global(THIS_INTERFACE, &slot, true);
    loader.load(OBJECT).map_err(explain).context("loading the XDP object's maps")
}

/// Loads the object with maps of its own, pinned nowhere: they go when the value does.
///
/// # Errors
///
/// The kernel's.
pub fn load_unpinned() -> Result<Object> {
    load_unpinned_at(0)
}

/// Loads the object with maps of its own, pinned nowhere, for the interface at `slot` of their table: they go when the value
/// does.
///
/// # Errors
///
/// The kernel's.
pub fn load_unpinned_at(slot: u32) -> Result<Object> {
    let passing = bpffs::Passing::new()?;
    let mut loader = EbpfLoader::new();
    loader.override_global(THIS_INTERFACE, &slot, true).default_map_pin_directory(passing.path());
    let mut ebpf = loader.load(OBJECT).map_err(explain).context("loading the XDP object's maps")?;
    let maps = Maps::take_from(&mut ebpf)?;
    Ok(Object { programs: Programs::of(ebpf), maps })
}

/// Whether the maps that are pinned have this version's shapes and this capacity. The loader would adopt others unseen,
/// and the kernel would write beyond our buffers.
pub(super) fn has_form(pins: &Pins, capacity: Capacity) -> Result<bool> {
    for name in MapName::ALL {
        let path = pins.map(name);
        if !path.exists() {
            continue;
        }
        let pinned = MapData::from_pin(&path)
            .and_then(|map| map.info())
            .with_context(|| format!("opening the pinned map {}", path.display()))?;
        if shape(&pinned)? != capacity.shape(name) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn shape(info: &MapInfo) -> Result<Shape> {
    Ok(Shape {
        kind: info.map_type().context("the kernel does not tell a map's type")? as u32,
        key_size: info.key_size(),
        value_size: info.value_size(),
        max_entries: info.max_entries(),
        flags: info.map_flags(),
    })
}

fn explain(error: aya::EbpfError) -> anyhow::Error {
    let denied = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(is_permission);
    if denied {
        let text = format!("the kernel refuses BPF maps ({error}): run it as root, or raise the memlock limit");
        Failure::Permission(text).into()
    } else {
        error.into()
    }
}

/// Prints the program's debug events, in builds that have them.
#[cfg(feature = "bpf-log")]
#[expect(deprecated, reason = "its replacement is unsafe, and asks for what the logger's ring buffer guarantees")]
fn start_log(ebpf: &mut Ebpf) {
    use tokio::io::unix::AsyncFd;

    let logger = match aya_log::EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => return tracing::warn!(%error, "this XDP object has no debug events"),
    };
    match AsyncFd::with_interest(logger, tokio::io::Interest::READABLE) {
        Ok(mut logger) => drop(tokio::spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        })),
        Err(error) => tracing::warn!(%error, "debug events cannot be read"),
    }
}

#[cfg(not(feature = "bpf-log"))]
fn start_log(_ebpf: &mut Ebpf) {}
