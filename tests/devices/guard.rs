//! What every device must show: a ban holds on it, also over the daemon's death.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    answers::{Interface, KernelBan},
    daemon::{self, Daemon, Settings, covers},
    netns::Net,
};

use crate::siege::{Siege, VILLAIN};

/// Bytes of a knock's frame without tags: Ethernet, IPv4, UDP and five bytes.
pub(crate) const FRAME_BYTES: u64 = 14 + 20 + 8 + 5;

/// What was seen of a ban that held.
pub(crate) struct Held {
    /// The interfaces that are guarded.
    pub(crate) interfaces: Vec<Interface>,
    /// The villain's entry.
    entry: KernelBan,
}

impl Held {
    /// Bytes that one frame of the villain had for the program.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.entry.bytes / self.entry.packets.max(1)
    }

    /// The one interface that is guarded.
    pub(crate) fn only(&self) -> Result<&Interface> {
        let [interface] = self.interfaces.as_slice() else { anyhow::bail!("not one interface: {:?}", self.interfaces) };
        Ok(interface)
    }
}

/// Has the daemon guard `device` and ban the villain. Shows that nothing of the villain arrives, that others' packets do,
/// and that it is the same after the daemon was killed and started again, which takes over the link.
pub(crate) fn ban_holds(net: &Net, device: &str) -> Result<Held> {
    let settings = Settings { interfaces: vec![device.to_owned()], ..Settings::default() };
    ban_holds_with(net, Daemon::configure(net, &daemon::binary()?, &settings)?)
}

/// The same for a daemon that is configured and not started.
pub(crate) fn ban_holds_with(net: &Net, mut daemon: Daemon<'_>) -> Result<Held> {
    let before = daemon.start()?.interfaces;
    let siege = Siege::begin(net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();

    daemon.kill9()?;
    let interfaces = daemon.start()?.interfaces;
    siege.holds_for(Duration::from_millis(300))?;

    ensure!(siege.arrived() == arrived, "{} banned packets arrived", siege.arrived() - arrived);
    let modes = |interfaces: &[Interface]| -> Vec<_> {
        interfaces.iter().map(|interface| (interface.name.clone(), interface.mode.clone())).collect()
    };
    ensure!(modes(&before) == modes(&interfaces), "{before:?} before, and {interfaces:?} afterwards");
    let bans = daemon.kernel_bans()?;
    let entry = bans.into_iter().find(|ban| covers(&ban.prefix, VILLAIN)).context("the villain is banned")?;
    println!(
        "{:?}",
        interfaces.iter().map(|interface| (&interface.name, &interface.mode, &interface.refusals)).collect::<Vec<_>>()
    );
    Ok(Held { interfaces, entry })
}
