//! The program as a component of libxdp's dispatcher: one of several XDP programs on one interface.
//!
//! libxdp puts a program of its own onto the interface, which calls its components one after another. Only `xdp-loader`, or
//! another user of libxdp, can add one: it loads the component as a part of that program, for which it needs the object as a
//! file. So the daemon writes the file, says which command to run, and looks for the component among libxdp's pins:
//!
//! ```text
//! /sys/fs/bpf/xdp/dispatch-INDEX-NUMBER/    the dispatcher on the interface of this index, by its program's number
//!   prog0-prog, prog1-prog, …               its components
//! ```
//!
//! The component is ours if it uses the pinned maps; `xdp-loader` takes those because of their names (`-p`). The kernel must
//! know programs that extend others (`BPF_PROG_TYPE_EXT`, 5.10 for components that come and go).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::maps::MapData;
use aya::programs::ProgramInfo;
use blocker_common::{MapName, PROGRAM, THIS_INTERFACE};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::object::OBJECT;
use super::{Pins, Target};

/// libxdp's pins.
const DISPATCHERS: &str = "/sys/fs/bpf/xdp";

/// The number of the component with our maps, on an interface with this index and XDP program; `None` if there is none.
///
/// # Errors
///
/// If our own pins cannot be read.
pub(super) fn find(pins: &Pins, index: u32, xdp_program: Option<u32>) -> Result<Option<u32>> {
    let Some(dispatcher) = xdp_program else { return Ok(None) };
    // Not an interface of libxdp's, if there is no such directory.
    let Ok(entries) = fs::read_dir(Path::new(DISPATCHERS).join(format!("dispatch-{index}-{dispatcher}"))) else {
        return Ok(None);
    };
    let ours = map_id(pins, MapName::Config)?;
    let components = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let is_program = path.file_name()?.to_str()?.ends_with("-prog");
        is_program.then(|| ProgramInfo::from_pin(&path).ok())?
    });
    let mut numbers = components.filter(|info| uses(info, ours)).map(|info| info.id());
    Ok(numbers.next())
}

fn uses(info: &ProgramInfo, map: u32) -> bool {
    info.map_ids().ok().flatten().is_some_and(|maps| maps.contains(&map))
}

fn map_id(pins: &Pins, name: MapName) -> Result<u32> {
    let path = pins.map(name);
    let info = MapData::from_pin(&path).and_then(|map| map.info());
    Ok(info.with_context(|| format!("opening the pinned map {}", path.display()))?.id())
}

/// Writes the object for the interface at `slot` of the table into `directory`, and says by which command it becomes a
/// component.
///
/// # Errors
///
/// If the maps have room for another number of bans than the object says, which libxdp would refuse to use; the file
/// system's.
pub(super) fn prepare(pins: &Pins, directory: &Path, target: &Target<'_>, slot: u32) -> Result<String> {
    for name in [MapName::Bans4, MapName::Bans6] {
        let path = pins.map(name);
        let info = MapData::from_pin(&path).and_then(|map| map.info());
        let room = info.with_context(|| format!("opening the pinned map {}", path.display()))?.max_entries();
        if room != name.shape().max_entries {
            bail!(
                "its maps cannot be another size than the object says: set `max_bans_ipv4` and `max_bans_ipv6` to \"auto\", \
                 and restart"
            );
        }
    }
    let path = directory.join(format!("{}.bpf.o", target.name));
    write(&path, &with_slot(OBJECT, slot)?).with_context(|| format!("writing {}", path.display()))?;
    Ok(format!("xdp-loader load -n {PROGRAM} -p {} {} {}", pins.directory().display(), target.name, path.display()))
}

/// Replaced whole: somebody may be reading it.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

/// The object with its constant set, as a loader does in memory.
fn with_slot(object: &[u8], slot: u32) -> Result<Vec<u8>> {
    let file = object::File::parse(object).context("the XDP object is no ELF file")?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(THIS_INTERFACE));
    let symbol = symbol.with_context(|| format!("the XDP object has no constant {THIS_INTERFACE}"))?;
    let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
    let (start, _) = section.and_then(|section| section.file_range()).context("the constant is in no section")?;
    let at = usize::try_from(start + symbol.address()).context("the constant lies beyond every file")?;
    let mut bytes = object.to_vec();
    let place = bytes.get_mut(at..at + size_of::<u32>()).context("the constant lies beyond the file")?;
    place.copy_from_slice(&slot.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_constant_differs() {
        let object = with_slot(OBJECT, 0x0102_0304).unwrap();

        let changed: Vec<(u8, u8)> =
            OBJECT.iter().zip(&object).filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)).collect();
        assert_eq!(changed, [(0, 4), (0, 3), (0, 2), (0, 1)]);
        assert_eq!(object.len(), OBJECT.len());
    }

    #[test]
    fn an_object_without_the_constant_is_refused() {
        assert!(with_slot(b"no ELF", 1).is_err());
    }
}
