//! The kernel side: the XDP program, its maps, and the links that tie it to interfaces.
//!
//! Everything lives in pins below one directory of a BPF file system and goes on without the daemon: a stop, a crash or
//! an upgrade lets no banned packet through. [`Kernel::open`] makes the pins or adopts them; [`view`] reads them without
//! a daemon, [`detach`] removes them. Nothing is decided here.

mod allowlist;
mod attach;
mod blocklist;
mod bpffs;
mod capabilities;
mod capacity;
mod carry;
mod component;
mod counters;
mod detach;
mod inspect;
mod jails;
mod keys;
mod link;
mod many;
mod maps;
mod object;
pub mod offline;
mod pins;
mod ports;
mod presence;
mod refusal;
mod release;
mod slots;
mod sweep;
mod syscalls;
pub mod view;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use blocker_core::config::Mode;
use blocker_core::engine::{JailId, JailSet};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};

pub use attach::{AttachMode, Attachment, Target};
pub use blocklist::KernelBan;
pub use bpffs::{Bpffs, bpffs};
pub use capabilities::{may_raise_limits, missing_capabilities, require as require_capabilities};
pub use capacity::Capacity;
pub use counters::{Fate, Totals, by_interface};
pub use detach::{Detached, detach};
pub use inspect::{OurLink, our_links, program_name};
pub use jails::{JailPorts, MANUAL_JAIL, NumberedPorts};
pub use maps::{DropRing, Maps, Tallies};
pub use object::{Object, Program, Programs, load_unpinned, load_unpinned_at};
pub use pins::Pins;
pub use presence::Presence;
pub use release::{OLDEST as OLDEST_KERNEL, Release, running as running_kernel};
pub use sweep::Sweep;
pub(crate) use syscalls::peer_groups;

use attach::Attachments;
use blocklist::{Blocklist, Wanted};
use jails::Jails;
use pins::Lock;

/// Bans that are written at once.
const AT_ONCE: usize = 4096;

/// What the kernel notes of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last one came, by the boot-time clock.
    pub last: Option<Timestamp>,
}

/// The kernel side, held by the one daemon that may write to it.
pub struct Kernel {
    maps: Maps,
    blocklist: Blocklist,
    jails: Jails,
    attachments: Attachments,
    /// What the maps held when they were opened.
    adopted: Option<Vec<KernelBan>>,
    /// Whether there were maps to be opened.
    were_pinned: bool,
    /// Held until the daemon ends.
    _lock: Lock,
}

impl Kernel {
    /// Makes the pins below `pins`, or adopts those that are there; maps of another version's layout or another capacity
    /// are made anew, and everything carried over.
    ///
    /// Nothing is attached yet, so that the maps can be brought up to date first; but what is attached from before
    /// goes on with the maps, and in the mode, as they are.
    ///
    /// # Errors
    ///
    /// A missing capability, too old a kernel, no BPF file system, another daemon at the same pins, pins of another layout, or the
    /// kernel's refusal of the program or a map.
    pub fn open(pins: &Path, capacity: Capacity) -> Result<Self> {
        capabilities::require()?;
        release::require()?;
        bpffs::ensure(pins)?;
        let pins = Pins::new(pins);
        let lock = pins.lock()?;
        let were_pinned = carry::is_anything_pinned(&pins)?;
        let mut maps = carry::open(&pins, capacity)?;
        let (blocklist, adopted) = Blocklist::adopt(&mut maps)?;
        let jails = Jails::adopt(&maps)?;
        let attachments = Attachments::new(pins);
        Ok(Self { maps, blocklist, jails, attachments, adopted: Some(adopted), were_pinned, _lock: lock })
    }

    /// Where objects for libxdp's dispatcher are written, see [`AttachMode::Dispatcher`].
    pub fn set_object_directory(&mut self, directory: PathBuf) {
        self.attachments.set_object_directory(directory);
    }

    /// What the maps held when they were opened; empty from the second call on.
    pub fn take_adopted(&mut self) -> Vec<KernelBan> {
        self.adopted.take().unwrap_or_default()
    }

    /// Whether an earlier daemon had left maps.
    #[must_use]
    pub fn were_pinned(&self) -> bool {
        self.were_pinned
    }

    /// The ring of sampled drops; `None` from the second call on.
    pub fn take_drops(&mut self) -> Option<DropRing> {
        self.maps.take_drops()
    }

    /// The name of the interface at a place of the table; empty if there is none.
    #[must_use]
    pub fn interface_name(&self, slot: u32) -> String {
        let attached = self.attachments().find(|attachment| attachment.slot == slot);
        attached.map_or_else(String::new, |attachment| attachment.name.clone())
    }

    /// Whether would-be drops only count, of all jails or of those that [`Kernel::set_jails`] said.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        self.blocklist.set_observed(&mut self.maps, mode == Mode::Observe, self.jails.observed().bits())
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
    /// anew. Which of the jails only observe holds from the next [`Kernel::set_mode`] on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_jails(&mut self, jails: NumberedPorts) -> Result<()> {
        // Out of the way, so that a million of them need not be copied.
        let adopted = self.adopted.take();
        let set = match &adopted {
            Some(adopted) => self.set_jails_of(jails, adopted),
            None => self.maps.bans().and_then(|bans| self.set_jails_of(jails, &bans)),
        };
        self.adopted = adopted;
        set
    }

    /// The same, where `bans` are all there are.
    fn set_jails_of(&mut self, jails: NumberedPorts, bans: &[KernelBan]) -> Result<()> {
        self.jails.assign(&mut self.maps, jails, bans)?;
        let rewritten: Vec<Wanted> = bans
            .iter()
            .map(|ban| {
                let scope = self.jails.scope(JailSet::from_bits(ban.entry.scope));
                (ban, Wanted { prefix: ban.prefix, scope, until: ban.until() })
            })
            .filter(|(ban, wanted)| wanted.scope != ban.entry.scope)
            .map(|(_, wanted)| wanted)
            .collect();
        for chunk in rewritten.chunks(AT_ONCE) {
            if let Some((_, error)) = self.blocklist.enforce(&mut self.maps, chunk).into_iter().next() {
                return Err(error);
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

    /// Makes the program drop packets from each prefix to the ports of its jails, and returns those that the kernel
    /// refused, a full map being one reason. No prefix may be there twice.
    pub fn enforce(&mut self, bans: &[(Prefix, JailSet, Until)]) -> Vec<(Prefix, anyhow::Error)> {
        let wanted = |&(prefix, jails, until)| Wanted { prefix, scope: self.jails.scope(jails), until };
        let wanted: Vec<Wanted> = bans.iter().map(wanted).collect();
        self.blocklist.enforce(&mut self.maps, &wanted)
    }

    /// Forgets the bans of these prefixes, and returns those that the kernel refused to. No prefix may be there twice.
    pub fn lift(&mut self, prefixes: &[Prefix]) -> Vec<(Prefix, anyhow::Error)> {
        self.blocklist.lift_many(&mut self.maps, prefixes)
    }

    /// Goes on with a sweep: forgets some of the bans of prefixes that `is_banned` does not know, and returns those that the
    /// kernel refused to.
    ///
    /// # Errors
    ///
    /// If the bans cannot be read: the sweep has not come any further.
    pub fn sweep(
        &mut self,
        sweep: &mut Sweep,
        is_banned: impl Fn(Prefix) -> bool,
    ) -> Result<Vec<(Prefix, anyhow::Error)>> {
        sweep.go_on(&mut self.maps, &mut self.blocklist, is_banned)
    }

    /// What of the drops is not yet in the bans, for [`Kernel::dropped`].
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn tallies(&self) -> Result<Tallies> {
        self.maps.tallies()
    }

    /// What has been dropped, or would have been, of exactly `prefix` since its ban began; `None` if it has none.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn dropped(&self, prefix: Prefix, tallies: &Tallies) -> Result<Option<Traces>> {
        let Some(ban) = self.maps.ban(prefix)? else { return Ok(None) };
        let ban = tallies.complete(prefix, ban);
        let last = i64::try_from(ban.last_drop_ns).ok().filter(|&last| last != 0).map(Timestamp::from_nanos);
        Ok(Some(Traces { packets: ban.packets, bytes: ban.bytes, last }))
    }

    /// Never drops packets from `prefix`.
    ///
    /// # Errors
    ///
    /// The kernel's; a full map among them.
    pub fn allow(&mut self, prefix: Prefix) -> Result<()> {
        self.blocklist.allow(&mut self.maps, prefix)
    }

    /// Takes back [`Kernel::allow`].
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn disallow(&mut self, prefix: Prefix) -> Result<()> {
        self.blocklist.disallow(&mut self.maps, prefix)
    }

    /// Says that all that follows from changes of the allowlist is done: the bans inside it are lifted. Until then the
    /// program asks for the allowlist more often than it must.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn settle_allowed(&mut self) -> Result<()> {
        self.blocklist.settle(&mut self.maps)
    }

    /// Removes every prefix from the allowlist that is not in `wanted`: what an earlier daemon left.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn retain_allowed(&mut self, wanted: &HashSet<Prefix>) -> Result<()> {
        let stale: Vec<Prefix> = self.blocklist.allowed().filter(|prefix| !wanted.contains(prefix)).collect();
        stale.into_iter().try_for_each(|prefix| self.blocklist.disallow(&mut self.maps, prefix))
    }

    /// The counters by outcome, over all interfaces and CPUs.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn totals(&self) -> Result<Totals> {
        counters::totals(&self.maps)
    }

    /// The same for each interface that has any, by name.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn totals_by_interface(&self) -> Result<Vec<(String, Totals)>> {
        by_interface(&self.maps)
    }

    /// Ties the program to an interface, in the best mode it takes; adopts a link that is there.
    ///
    /// # Errors
    ///
    /// Why no mode was possible.
    pub fn attach(&mut self, target: &Target<'_>) -> Result<&Attachment> {
        self.attachments.attach(&mut self.maps, target)
    }

    /// Removes what was carried over from, once every link has been.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn remove_emptied(&self) -> Result<()> {
        carry::remove_emptied(self.attachments.pins())
    }

    /// Looks whether the program runs where it was attached. Where it does not, says why, and the next
    /// [`Kernel::attach`] attaches it anew: interface and reason.
    pub fn check_attachments(&mut self) -> Vec<(String, String)> {
        self.attachments.check()
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
