//! Ties the program to interfaces, by links that are pinned and outlive the daemon.
//!
//! The ladder, in the order that the configuration says, each step taken only when the ones before are refused, and the
//! refusals kept for `status`:
//!
//! 1. native, the program for multi-buffer frames, then the other one (older kernels, drivers without such frames);
//! 2. generic: the kernel runs the program on every packet it has already wrapped. Slower, the same verdicts;
//! 3. tcx: behind XDP, beside other programs. The way where another XDP program has the interface.
//!
//! A pinned link is adopted: its program is replaced in one step, and no packet passes unseen. The mode is part of the
//! pin's name, because the kernel does not tell it of a link.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::pin::PinError;
use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::{Xdp, XdpLink, XdpMode};
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, TcAttachType};

use super::link::LinkState;
use super::object::{self, Program, Programs};
use super::pins::LinkPin;
use super::refusal::{another, in_words, is_taken_by_another, ways_beside};
use super::{Maps, Pins, component, slots};

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before anything is spent on the packet.
    Native,
    /// After the driver, on any interface.
    Generic,
    /// After XDP, beside other programs (6.6).
    Tcx,
    /// As a component of libxdp's dispatcher, which an administrator adds.
    Dispatcher,
}

impl AttachMode {
    /// The mode called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Native, Self::Generic, Self::Tcx, Self::Dispatcher].into_iter().find(|mode| mode.name() == name)
    }

    /// `native`, `generic`, `tcx` or `dispatcher`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tcx => "tcx",
            Self::Dispatcher => "dispatcher",
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
    /// Where objects for libxdp are written.
    object_directory: Option<PathBuf>,
}

/// How long an interface that takes the program in no mode is left alone: each try has the kernel verify the program.
const RETRY_AFTER: Duration = Duration::from_secs(50);

/// A step of the ladder: what is attached where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Xdp(Program, AttachMode),
    Tcx,
    Component,
}

/// The steps that belong to a mode.
fn steps(mode: AttachMode) -> &'static [Step] {
    match mode {
        AttachMode::Native => {
            &[Step::Xdp(Program::Frags, AttachMode::Native), Step::Xdp(Program::NoFrags, AttachMode::Native)]
        }
        AttachMode::Generic => &[Step::Xdp(Program::NoFrags, AttachMode::Generic)],
        AttachMode::Tcx => &[Step::Tcx],
        AttachMode::Dispatcher => &[Step::Component],
    }
}

/// What is wanted of an interface.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index.
    pub index: u32,
    /// Whether what would be dropped only counts.
    pub observes: bool,
    /// The number of the XDP program that is there, ours or not.
    pub xdp_program: Option<u32>,
    /// The modes to try, the best first.
    pub modes: &'a [AttachMode],
}

impl Attachments {
    pub(super) fn new(pins: Pins) -> Self {
        Self { pins, by_index: BTreeMap::new(), refused: BTreeMap::new(), object_directory: None }
    }

    pub(super) fn set_object_directory(&mut self, directory: PathBuf) {
        self.object_directory = Some(directory);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attachment> {
        self.by_index.values()
    }

    pub(super) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Attaches to an interface, or adopts the link that is there, unless it is done; has it observe only, or drop.
    pub(super) fn attach(&mut self, maps: &mut Maps, target: &Target<'_>) -> Result<&Attachment> {
        let Target { name, index, observes, xdp_program, .. } = *target;
        if let Some(attachment) = self.by_index.get(&index)
            && attachment.mode == AttachMode::Dispatcher
            && component::find(&self.pins, index, xdp_program)? != Some(attachment.program)
        {
            tracing::error!(interface = name, "the program is no component of libxdp's dispatcher there any more");
            self.by_index.remove(&index);
        }
        if !self.by_index.contains_key(&index) {
            // An administrator may have added the component meanwhile, which costs little to see.
            if let Some((when, why)) = self.refused.get(&index)
                && when.elapsed() < RETRY_AFTER
                && component::find(&self.pins, index, xdp_program)?.is_none()
            {
                bail!("{why}");
            }
            match self.attach_anew(maps, target) {
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

    fn attach_anew(&mut self, maps: &mut Maps, target: &Target<'_>) -> Result<Attachment> {
        let Target { name, index, observes, .. } = *target;
        let slot = slots::of(maps, name, index, observes, &self.by_index)?;
        let mut programs = object::programs(&self.pins, slot)?;
        let found = match self.adopt(&mut programs, target)? {
            Some(adopted) => adopted,
            None => self.climb(&mut programs, target, slot)?,
        };
        let Found { step, mode, adopted, refusals } = found;
        // For people with bpftool: the link holds its program itself.
        let pin = self.pins.program(index);
        remove_pin(&pin);
        let number = match step {
            Step::Xdp(program, _) => pinned(programs.loaded(program)?, &pin, Xdp::info, Xdp::pin),
            Step::Tcx => pinned(programs.loaded_tc()?, &pin, SchedClassifier::info, SchedClassifier::pin),
            // libxdp has pinned it.
            Step::Component => {
                let number = component::find(&self.pins, index, target.xdp_program)?;
                number.context("the component is gone again")
            }
        };
        let program = number.with_context(|| format!("pinning {}", pin.display()))?;
        Ok(Attachment { name: name.to_owned(), index, slot, mode, observes, adopted, refusals, program })
    }

    /// Looks whether every link is there and runs our program. Those that are not are forgotten, to be attached anew, and
    /// returned with what is wrong.
    pub(super) fn check(&mut self) -> Vec<(String, String)> {
        let mut lost = Vec::new();
        let Self { pins, by_index, .. } = self;
        by_index.retain(|&index, attachment| {
            if attachment.mode == AttachMode::Dispatcher {
                // There is no link of ours: `attach` looks at it each time.
                return true;
            }
            let pin = pins.link(index, attachment.mode);
            let (why, unusable) = match LinkState::read(&pin) {
                Ok(Some(state)) if state == (LinkState { index, program: attachment.program }) => return true,
                Ok(Some(LinkState { index: 0, .. })) => ("its link holds no interface any more".to_owned(), true),
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
        if let Some(Attachment { name, mode: AttachMode::Dispatcher, program, .. }) = self.by_index.remove(&index) {
            tracing::warn!(
                interface = %name,
                "the component of libxdp's dispatcher stays, if the interface does: `xdp-loader unload {name} --id {program}`"
            );
        }
        self.refused.remove(&index);
        remove_pin(&self.pins.program(index));
        for pin in self.links()? {
            if pin.index == index {
                remove_pin(&pin.path);
            }
        }
        Ok(())
    }

    fn adopt(&mut self, programs: &mut Programs, target: &Target<'_>) -> Result<Option<Found>> {
        let Target { name, index, modes, xdp_program, .. } = *target;
        let Some(LinkPin { path, mode, .. }) = self.links()?.into_iter().find(|pin| pin.index == index) else {
            return Ok(None);
        };
        if LinkState::read(&path)?.is_none_or(|state| state.index != index) {
            // The interface this link was for is gone; its index was given to another.
            remove_pin(&path);
            return Ok(None);
        }
        let mut refusals = Vec::new();
        if modes.first() != Some(&mode) {
            // What is there is not ours, which comes behind XDP.
            let other = xdp_program.filter(|_| mode == AttachMode::Tcx);
            let hindered = modes.iter().find(|mode| matches!(mode, AttachMode::Native | AttachMode::Generic));
            refusals.extend(hindered.zip(other).map(|(mode, number)| format!("{mode} mode: {}", another(number))));
            refusals.push(format!(
                "a better mode: the {mode} link of an earlier run is kept; without its pin, {}, a better one is tried",
                self.pins.link(index, mode).display()
            ));
        }
        for &step in steps(mode) {
            // The pin keeps the link; the handle of it that is adopted must not detach when it is dropped.
            let replaced = match step {
                Step::Xdp(program, _) => replace_xdp(programs, program, &path),
                Step::Tcx => replace_tcx(programs, &path),
                Step::Component => bail!("{} is no link that this version makes", path.display()),
            };
            match replaced.with_context(|| format!("replacing the program on {name}")) {
                Ok(()) => {
                    self.move_pin(&path, index, mode)?;
                    return Ok(Some(Found { step, mode, adopted: true, refusals }));
                }
                Err(error) => refusals.push(in_words(step, None, &error)),
            }
        }
        bail!("the link {} cannot be taken over: {}", path.display(), refusals.join("; "))
    }

    fn climb(&mut self, programs: &mut Programs, target: &Target<'_>, slot: u32) -> Result<Found> {
        let mut refusals = Vec::new();
        let mut is_taken = false;
        for &mode in target.modes {
            for &step in steps(mode) {
                match self.take(programs, target, slot, step, mode) {
                    Ok(()) => return Ok(Found { step, mode, adopted: false, refusals }),
                    Err(error) => {
                        is_taken |= is_taken_by_another(&error);
                        refusals.push(in_words(step, target.xdp_program, &error));
                    }
                }
            }
        }
        let beside = if is_taken { ways_beside(target.modes) } else { None };
        bail!("{} takes the program in no mode: {}{}", target.name, refusals.join("; "), beside.unwrap_or_default())
    }

    fn take(
        &self,
        programs: &mut Programs,
        target: &Target<'_>,
        slot: u32,
        step: Step,
        mode: AttachMode,
    ) -> Result<()> {
        let link = match step {
            Step::Xdp(program, mode) => {
                let xdp = programs.loaded(program)?;
                let flag = if mode == AttachMode::Native { XdpMode::Driver } else { XdpMode::Skb };
                let id = xdp.attach_to_if_index(target.index, flag)?;
                FdLink::try_from(xdp.take_link(id)?)
            }
            Step::Tcx => {
                let tc = programs.loaded_tc()?;
                let first = TcAttachOptions::TcxOrder(LinkOrder::first());
                let id = tc.attach_with_options(target.name, TcAttachType::Ingress, first)?;
                FdLink::try_from(tc.take_link(id)?)
            }
            Step::Component => return self.expect_component(target, slot),
        };
        // Without a link of its own kind an attachment could not be pinned, and would end with the daemon.
        let link = link.context("the kernel gives no link")?;
        let path = self.pins.link(target.index, mode);
        link.pin(&path).with_context(|| format!("pinning {}", path.display()))?;
        Ok(())
    }

    /// That the component is there; if not, says by which command it will be.
    fn expect_component(&self, target: &Target<'_>, slot: u32) -> Result<()> {
        if component::find(&self.pins, target.index, target.xdp_program)?.is_some() {
            return Ok(());
        }
        let directory = self.object_directory.as_deref().context("nobody said where its object may be written")?;
        let command = component::prepare(&self.pins, directory, target, slot)?;
        bail!("it is no component there yet, until you run `{command}`")
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
}

/// What an attachment came to.
struct Found {
    step: Step,
    mode: AttachMode,
    adopted: bool,
    refusals: Vec<String>,
}

/// Pins a program, and tells its number.
fn pinned<P>(
    program: &mut P,
    pin: &Path,
    info: impl Fn(&P) -> Result<ProgramInfo, ProgramError>,
    pin_to: impl Fn(&mut P, PathBuf) -> Result<(), PinError>,
) -> Result<u32> {
    pin_to(program, pin.to_owned())?;
    Ok(info(program)?.id())
}

fn open_link(path: &Path) -> Result<FdLink> {
    let pinned = PinnedLink::from_pin(path).with_context(|| format!("opening the link {}", path.display()))?;
    Ok(pinned.into())
}

/// Gives a pinned link the program, and lets go of the handle of it without detaching.
fn replace_xdp(programs: &mut Programs, program: Program, path: &Path) -> Result<()> {
    let link = XdpLink::try_from(open_link(path)?).context("it is no link of an XDP program")?;
    let xdp = programs.loaded(program)?;
    let id = xdp.attach_to_link(link)?;
    drop(FdLink::try_from(xdp.take_link(id)?)?);
    Ok(())
}

fn replace_tcx(programs: &mut Programs, path: &Path) -> Result<()> {
    let link = SchedClassifierLink::try_from(open_link(path)?).context("it is no link of a tcx program")?;
    let tc = programs.loaded_tc()?;
    let id = tc.attach_to_link(link)?;
    drop(FdLink::try_from(tc.take_link(id)?)?);
    Ok(())
}

fn remove_pin(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(pin = %path.display(), %error, "the pin of a link that is gone cannot be removed");
    }
}
