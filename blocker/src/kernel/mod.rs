//! The kernel side: the XDP program, its maps, and the links that tie it to interfaces.
//!
//! Everything lives in pins below one directory of a BPF file system and goes on without the daemon: a stop, a crash or
//! an upgrade lets no banned packet through. [`Kernel::open`] makes the pins or adopts them; [`view`] reads them without
//! a daemon, [`detach`] removes them. Nothing is decided here.

mod attach;
mod blocklist;
mod bpffs;
mod capabilities;
mod counters;
mod detach;
mod jails;
mod keys;
mod maps;
mod object;
mod pins;
mod ports;
mod release;
pub mod view;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use blocker_common::flags;
use blocker_core::config::Mode;
use blocker_core::engine::{JailId, JailSet};
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;

pub use attach::{AttachMode, Attachment};
pub use blocklist::KernelBan;
pub use capabilities::require as require_capabilities;
pub use counters::Totals;
pub use detach::{Detached, detach};
pub use jails::{JailPorts, MANUAL_JAIL, NumberedPorts};
pub use maps::Maps;
pub use object::{Object, Program, Programs, load_unpinned};
pub use pins::Pins;

use attach::Attachments;
use blocklist::Blocklist;
use jails::Jails;
use pins::Lock;

/// The kernel side, held by the one daemon that may write to it.
pub struct Kernel {
    maps: Maps,
    blocklist: Blocklist,
    jails: Jails,
    attachments: Attachments,
    /// What the maps held when they were opened.
    adopted: Option<Vec<KernelBan>>,
    /// Held until the daemon ends.
    _lock: Lock,
}

impl Kernel {
    /// Loads the program, and makes the pins below `pins` or adopts those that are there.
    ///
    /// Nothing is attached yet, so that the maps can be brought up to date first; but what is attached from before
    /// goes on with the maps, and in the mode, as they are.
    ///
    /// # Errors
    ///
    /// A missing capability, too old a kernel, no BPF file system, another daemon at the same pins, pins of another layout, or the
    /// kernel's refusal of the program or a map.
    pub fn open(pins: &Path) -> Result<Self> {
        capabilities::require()?;
        release::require()?;
        bpffs::ensure(pins)?;
        let pins = Pins::new(pins);
        let lock = pins.lock()?;
        let object = object::load_pinned(&pins)?;
        let mut maps = object.maps;
        let (blocklist, adopted) = Blocklist::adopt(&mut maps)?;
        let jails = Jails::adopt(&maps)?;
        let attachments = Attachments::new(object.programs, pins);
        Ok(Self { maps, blocklist, jails, attachments, adopted: Some(adopted), _lock: lock })
    }

    /// What the maps held when they were opened; empty from the second call on.
    pub fn take_adopted(&mut self) -> Vec<KernelBan> {
        self.adopted.take().unwrap_or_default()
    }

    /// Whether would-be drops only count.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        self.blocklist.set_flag(&mut self.maps, flags::OBSERVE, mode == Mode::Observe)
    }

    /// Gives each jail its number: the one it had before if it had one. Changes nothing: see [`Kernel::set_jails`].
    ///
    /// # Errors
    ///
    /// If there are no numbers left, or the kernel's.
    pub fn number(&self, jails: Vec<JailPorts>) -> Result<NumberedPorts> {
        self.jails.number(jails, &self.bans()?)
    }

    /// Every jail that has, or ever had, a number.
    pub fn jail_names(&self) -> impl Iterator<Item = (JailId, &str)> {
        self.jails.names()
    }

    /// Protects the ports of these jails. Bans of jails that have come to close all ports, or have ceased to, are written
    /// anew.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_jails(&mut self, jails: NumberedPorts) -> Result<()> {
        let bans = self.bans()?.into_owned();
        self.jails.assign(&mut self.maps, jails, &bans)?;
        for ban in bans {
            let scope = self.jails.scope(JailSet::from_bits(ban.entry.scope));
            if scope != ban.entry.scope {
                self.blocklist.enforce(&mut self.maps, ban.prefix, scope, ban.until())?;
            }
        }
        Ok(())
    }

    /// What the maps held when they were opened, or hold now.
    fn bans(&self) -> Result<Cow<'_, [KernelBan]>> {
        match &self.adopted {
            Some(adopted) => Ok(Cow::Borrowed(adopted)),
            None => self.maps.bans().map(Cow::Owned),
        }
    }

    /// Makes the program drop packets from `prefix` to the ports of `jails`.
    ///
    /// # Errors
    ///
    /// The kernel's; a full map among them.
    pub fn enforce(&mut self, prefix: Prefix, jails: JailSet, until: Until) -> Result<()> {
        let scope = self.jails.scope(jails);
        self.blocklist.enforce(&mut self.maps, prefix, scope, until)
    }

    /// Forgets the ban of `prefix`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn lift(&mut self, prefix: Prefix) -> Result<()> {
        self.blocklist.lift(&mut self.maps, prefix)
    }

    /// Never drops packets from `prefix`.
    ///
    /// # Errors
    ///
    /// The kernel's; a full map among them.
    pub fn allow(&mut self, prefix: Prefix) -> Result<()> {
        self.maps.allow(prefix)
    }

    /// Takes back [`Kernel::allow`].
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn disallow(&mut self, prefix: Prefix) -> Result<()> {
        self.maps.disallow(prefix)
    }

    /// Removes every prefix from the allowlist that is not in `wanted`: what an earlier daemon left.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn retain_allowed(&mut self, wanted: &HashSet<Prefix>) -> Result<()> {
        for prefix in self.maps.allowed()? {
            if !wanted.contains(&prefix) {
                self.maps.disallow(prefix)?;
            }
        }
        Ok(())
    }

    /// Packets and bytes dropped from `prefix`, and when.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn ban(&self, prefix: Prefix) -> Result<Option<blocker_common::Ban>> {
        self.maps.ban(prefix)
    }

    /// The counters by outcome, over all CPUs.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn totals(&self) -> Result<Totals> {
        counters::totals(&self.maps)
    }

    /// Ties the program to an interface, in the best mode it takes; adopts a link that is there.
    ///
    /// # Errors
    ///
    /// Why no mode was possible.
    pub fn attach(&mut self, name: &str, index: u32) -> Result<&Attachment> {
        self.attachments.attach(name, index)
    }

    /// Interfaces, by index, that an earlier daemon attached to and this one has not.
    ///
    /// # Errors
    ///
    /// If the pins cannot be read.
    pub fn strays(&self) -> Result<Vec<u32>> {
        self.attachments.strays()
    }

    /// Lets go of an interface that is gone, or not wanted.
    ///
    /// # Errors
    ///
    /// If the pins cannot be read.
    pub fn let_go(&mut self, index: u32) -> Result<()> {
        self.attachments.let_go(index)
    }

    /// Where the program is attached.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter()
    }
}
