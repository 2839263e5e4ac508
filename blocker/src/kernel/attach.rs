//! Ties the program to interfaces, by links that are pinned and outlive the daemon.
//!
//! The ladder, each step taken only when the one before is refused, and the refusals kept for `status`:
//!
//! 1. native, the program for multi-buffer frames;
//! 2. native, the other one (older kernels, drivers without such frames);
//! 3. generic: the kernel runs the program on every packet it has already wrapped. Slower, the same verdicts.
//!
//! A pinned link is adopted: its program is replaced in one step, and no packet passes unseen. The mode is part of the
//! pin's name, because the kernel does not tell it of a link.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{Xdp, XdpLink, XdpMode};

use super::link::LinkState;
use super::object::{self, Program, Programs};
use super::pins::LinkPin;
use super::{Maps, Pins, slots};

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before anything is spent on the packet.
    Native,
    /// After the driver, on any interface.
    Generic,
}

impl AttachMode {
    /// The mode called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Native, Self::Generic].into_iter().find(|mode| mode.name() == name)
    }

    /// `native` or `generic`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An interface the program is attached to.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The interface's name when it was attached.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its place in the table of interfaces.
    pub slot: u32,
    /// The mode that worked.
    pub mode: AttachMode,
    /// Whether what would be dropped only counts.
    pub observes: bool,
    /// Whether a link of an earlier daemon was taken over.
    pub adopted: bool,
    /// Why the better modes did not work, one sentence each.
    pub refusals: Vec<String>,
    /// The program's number in the kernel.
    program: u32,
}

/// Every interface the program is attached to.
pub(super) struct Attachments {
    pins: Pins,
    by_index: BTreeMap<u32, Attachment>,
    refused: BTreeMap<u32, (Instant, String)>,
}

/// How long an interface that takes the program in no mode is left alone: each try has the kernel verify the program.
const RETRY_AFTER: Duration = Duration::from_secs(50);

/// Why an adopted link is not native.
const KEPT_GENERIC: &str = "native mode: the link of an earlier run is kept as it is; `blocker detach`, with the daemon \
stopped, has the next start try anew";

/// The steps of the ladder.
const LADDER: [(Program, AttachMode); 3] = [
    (Program::Frags, AttachMode::Native),
    (Program::NoFrags, AttachMode::Native),
    (Program::NoFrags, AttachMode::Generic),
];

impl Attachments {
    pub(super) fn new(pins: Pins) -> Self {
        Self { pins, by_index: BTreeMap::new(), refused: BTreeMap::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attachment> {
        self.by_index.values()
    }

    pub(super) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Attaches to an interface, or adopts the link that is there, unless it is done; has it observe only, or drop.
    pub(super) fn attach(&mut self, maps: &mut Maps, name: &str, index: u32, observes: bool) -> Result<&Attachment> {
        if !self.by_index.contains_key(&index) {
            if let Some((when, why)) = self.refused.get(&index)
                && when.elapsed() < RETRY_AFTER
            {
                bail!("{why}");
            }
            match self.attach_anew(maps, name, index, observes) {
                Ok(attachment) => {
                    self.refused.remove(&index);
                    self.by_index.insert(index, attachment);
                }
                Err(error) => {
                    self.refused.insert(index, (Instant::now(), format!("{error:#}")));
                    return Err(error);
                }
            }
        }
        let attachment = self.by_index.get_mut(&index).context("the attachment was just made")?;
        if attachment.observes != observes {
            maps.set_interface(attachment.slot, slots::entry(name, index, observes))?;
            attachment.observes = observes;
        }
        Ok(attachment)
    }

    fn attach_anew(&mut self, maps: &mut Maps, name: &str, index: u32, observes: bool) -> Result<Attachment> {
        let slot = slots::of(maps, name, index, observes, &self.by_index)?;
        let mut programs = object::programs(&self.pins, slot)?;
        let found = match self.adopt(&mut programs, name, index)? {
            Some(adopted) => adopted,
            None => self.climb(&mut programs, name, index)?,
        };
        let Found { program, mode, adopted, refusals } = found;
        let xdp = programs.loaded(program)?;
        let number = xdp.info().context("asking for the program's number")?.id();
        // For people with bpftool: the link holds its program itself.
        let pin = self.pins.program(index);
        remove_pin(&pin);
        xdp.pin(&pin).with_context(|| format!("pinning {}", pin.display()))?;
        Ok(Attachment { name: name.to_owned(), index, slot, mode, observes, adopted, refusals, program: number })
    }

    /// Looks whether every link is there and runs our program. Those that are not are forgotten, to be attached anew, and
    /// returned with what is wrong.
    pub(super) fn check(&mut self) -> Vec<(String, String)> {
        let mut lost = Vec::new();
        let Self { pins, by_index, .. } = self;
        by_index.retain(|&index, attachment| {
            let pin = pins.link(index, attachment.mode);
            let (why, unusable) = match LinkState::read(&pin) {
                Ok(Some(state)) if state == (LinkState { index, program: attachment.program }) => return true,
                Ok(Some(LinkState { index: 0, .. })) => ("its interface was taken away".to_owned(), true),
                Ok(Some(state)) if state.index == index => {
                    (format!("program {} runs in its place", state.program), false)
                }
                Ok(Some(state)) => (format!("its link is for the interface {}", state.index), true),
                Ok(None) => ("its link is gone".to_owned(), false),
                Err(error) => (format!("{error:#}"), true),
            };
            if unusable {
                remove_pin(&pin);
            }
            lost.push((attachment.name.clone(), why));
            false
        });
        lost
    }

    /// Links that an earlier daemon left and nobody has adopted: the index of the interface of each.
    pub(super) fn strays(&self) -> Result<Vec<u32>> {
        Ok(self.links()?.into_iter().map(|pin| pin.index).filter(|index| !self.by_index.contains_key(index)).collect())
    }

    /// Lets go of an interface: removes the pin of its link, and thereby the link.
    pub(super) fn let_go(&mut self, index: u32) -> Result<()> {
        self.by_index.remove(&index);
        self.refused.remove(&index);
        remove_pin(&self.pins.program(index));
        for pin in self.links()? {
            if pin.index == index {
                remove_pin(&pin.path);
            }
        }
        Ok(())
    }

    fn adopt(&mut self, programs: &mut Programs, name: &str, index: u32) -> Result<Option<Found>> {
        let Some(LinkPin { path, mode, .. }) = self.links()?.into_iter().find(|pin| pin.index == index) else {
            return Ok(None);
        };
        if LinkState::read(&path)?.is_none_or(|state| state.index != index) {
            // The interface this link was for is gone; its index was given to another.
            remove_pin(&path);
            return Ok(None);
        }
        let (variants, mut refusals): (&[Program], _) = match mode {
            AttachMode::Native => (&[Program::Frags, Program::NoFrags], Vec::new()),
            AttachMode::Generic => (&[Program::NoFrags], vec![KEPT_GENERIC.to_owned()]),
        };
        for &program in variants {
            let replaced = open_link(&path).and_then(|link| {
                let xdp = programs.loaded(program)?;
                let id = xdp.attach_to_link(link).with_context(|| format!("replacing the program on {name}"))?;
                // The pin keeps the link; this handle of it must not detach when it is dropped.
                keep(xdp, id)
            });
            match replaced {
                Ok(()) => {
                    self.move_pin(&path, index, mode)?;
                    return Ok(Some(Found { program, mode, adopted: true, refusals }));
                }
                Err(error) => refusals.push(refusal(program, mode, &error)),
            }
        }
        bail!("the link {} cannot be taken over: {}", path.display(), refusals.join("; "))
    }

    /// The links that are pinned, those of earlier layouts and capacities, too.
    fn links(&self) -> Result<Vec<LinkPin>> {
        let mut links = Vec::new();
        for pins in std::iter::once(self.pins.clone()).chain(self.pins.others()?.into_iter().map(|at| self.pins.at(at)))
        {
            links.extend(pins.links().with_context(|| format!("reading {}", pins.directory().display()))?);
        }
        Ok(links)
    }

    /// Pins an adopted link where this version looks for it, and only then unpins it where it was.
    fn move_pin(&self, path: &Path, index: u32, mode: AttachMode) -> Result<()> {
        let wanted = self.pins.link(index, mode);
        if path != wanted {
            let link = PinnedLink::from_pin(path).with_context(|| format!("opening the link {}", path.display()))?;
            FdLink::from(link).pin(&wanted).with_context(|| format!("pinning {}", wanted.display()))?;
            remove_pin(path);
        }
        Ok(())
    }

    fn climb(&mut self, programs: &mut Programs, name: &str, index: u32) -> Result<Found> {
        let mut refusals = Vec::new();
        for (program, mode) in LADDER {
            match self.step(programs, index, program, mode) {
                Ok(()) => return Ok(Found { program, mode, adopted: false, refusals }),
                Err(error) => refusals.push(refusal(program, mode, &error)),
            }
        }
        bail!("{name} takes the program in no mode: {}", refusals.join("; "))
    }

    fn step(&mut self, programs: &mut Programs, index: u32, program: Program, mode: AttachMode) -> Result<()> {
        let xdp = programs.loaded(program)?;
        let flag = match mode {
            AttachMode::Native => XdpMode::Driver,
            AttachMode::Generic => XdpMode::Skb,
        };
        let id = xdp.attach_to_if_index(index, flag)?;
        let link = xdp.take_link(id)?;
        // Without a link of its own kind an attachment could not be pinned, and would end with the daemon.
        let link = FdLink::try_from(link).context("the kernel gives no link for XDP")?;
        let path = self.pins.link(index, mode);
        link.pin(&path).with_context(|| format!("pinning {}", path.display()))?;
        Ok(())
    }
}

/// What an attachment came to.
struct Found {
    program: Program,
    mode: AttachMode,
    adopted: bool,
    refusals: Vec<String>,
}

fn open_link(path: &Path) -> Result<XdpLink> {
    let pinned = PinnedLink::from_pin(path).with_context(|| format!("opening the link {}", path.display()))?;
    XdpLink::try_from(FdLink::from(pinned)).with_context(|| format!("{} is no link of an XDP program", path.display()))
}

/// Takes a link out of the program that holds it, and lets go of it without detaching: its pin holds it.
fn keep(xdp: &mut Xdp, id: aya::programs::xdp::XdpLinkId) -> Result<()> {
    let link = xdp.take_link(id)?;
    let link = FdLink::try_from(link).context("an adopted link is of the pinnable kind")?;
    drop(link);
    Ok(())
}

/// The refusal in words: the kernel's code alone says little.
fn refusal(program: Program, mode: AttachMode, error: &anyhow::Error) -> String {
    let what = match (program, mode) {
        (Program::Frags, AttachMode::Native) => "native mode with multi-buffer frames",
        (Program::NoFrags, AttachMode::Native) => "native mode",
        (Program::Frags | Program::NoFrags, AttachMode::Generic) => "generic mode",
    };
    let why = match io_errors(error).next() {
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program is attached; it is left alone".to_owned(),
        Some(libc::EOPNOTSUPP) => "the driver does not support it".to_owned(),
        Some(libc::ERANGE) => "the MTU is too large for this driver's XDP".to_owned(),
        Some(_) | None => format!("{error:#}"),
    };
    format!("{what}: {why}")
}

fn io_errors(error: &anyhow::Error) -> impl Iterator<Item = i32> {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).filter_map(std::io::Error::raw_os_error)
}

fn remove_pin(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(pin = %path.display(), %error, "the pin of a link that is gone cannot be removed");
    }
}
