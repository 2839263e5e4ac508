//! What every device must show: a ban holds on it; and in every mode also over the daemon's death.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use blocker_tests::{
    answers::{Interface, KernelBan},
    daemon::{self, Daemon, Settings, covers},
    netns::Net,
};

use crate::siege::{Siege, VILLAIN};

/// Bytes of a knock's frame without tags: Ethernet, IPv4, UDP and five bytes.
pub(crate) const FRAME_BYTES: u64 = 14 + 20 + 8 + 5;

/// Between two knocks. Many a machine that runs these tests is emulated, and every packet is much work for it.
const INTERVAL: Duration = Duration::from_millis(2);

/// What was seen of a ban that held.
pub(crate) struct Held {
    interfaces: Vec<Interface>,
    /// The villain's.
    entry: KernelBan,
}

impl Held {
    /// Bytes that one frame of the villain had for the program.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.entry.bytes / self.entry.packets.max(1)
    }

    /// The one interface that is guarded.
    pub(crate) fn only(&self) -> Result<&Interface> {
        let [interface] = self.interfaces.as_slice() else { bail!("not one interface: {:?}", self.interfaces) };
        Ok(interface)
    }
}

/// A daemon that is to guard `device`, not started. Its maps are small: large ones take an emulated machine seconds.
pub(crate) fn configured<'net>(net: &'net Net, device: &str, more: &str) -> Result<Daemon<'net>> {
    let settings = Settings { interfaces: vec![device.to_owned()], ..Settings::default() };
    let daemon = Daemon::configure(net, &daemon::binary()?, &settings)?;
    let head = format!("[daemon]\nmax_bans_ipv4 = 1024\nmax_bans_ipv6 = 1024\n{more}");
    let text = daemon.configuration(&settings).replacen("[daemon]\n", &head, 1).replacen("[\"auto\"]", "\"auto\"", 1);
    daemon.write_configuration(&text)?;
    Ok(daemon)
}

/// Has a daemon guard `device` and ban the villain. Shows that nothing of the villain arrives, while others' packets do.
pub(crate) fn ban_holds(net: &Net, device: &str) -> Result<Held> {
    let mut daemon = configured(net, device, "")?;
    let interfaces = daemon.start()?.interfaces;
    let siege = besieged(net, &daemon)?;
    siege.holds_for(Duration::from_millis(300))?;
    held(&daemon, interfaces)
}

/// The same for a daemon that is configured and not started, and then once more after it was killed and started again,
/// which takes over the link.
pub(crate) fn ban_outlives(net: &Net, mut daemon: Daemon<'_>) -> Result<Held> {
    let before = daemon.start()?.interfaces;
    let siege = besieged(net, &daemon)?;
    let arrived = siege.arrived();

    daemon.kill9()?;
    let interfaces = daemon.start()?.interfaces;
    siege.holds_for(Duration::from_millis(300))?;

    ensure!(siege.arrived() == arrived, "{} banned packets arrived", siege.arrived() - arrived);
    let modes = |interfaces: &[Interface]| -> Vec<_> {
        interfaces.iter().map(|interface| (interface.name.clone(), interface.mode.clone())).collect()
    };
    ensure!(modes(&before) == modes(&interfaces), "{before:?} before, and {interfaces:?} afterwards");
    held(&daemon, interfaces)
}

/// Two who knock, one of them banned.
fn besieged(net: &Net, daemon: &Daemon<'_>) -> Result<Siege> {
    let siege = Siege::begin_at(net, INTERVAL)?;
    siege.ban_villain(daemon)?;
    Ok(siege)
}

fn held(daemon: &Daemon<'_>, interfaces: Vec<Interface>) -> Result<Held> {
    for Interface { name, mode, refusals, .. } in &interfaces {
        println!("{name}: {}; refused: {refusals:?}", mode.as_deref().unwrap_or("not attached"));
    }
    let bans = daemon.kernel_bans()?;
    let entry = bans.into_iter().find(|ban| covers(&ban.prefix, VILLAIN)).context("the villain is banned")?;
    Ok(Held { interfaces, entry })
}
