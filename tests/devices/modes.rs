//! Each mode by itself: it drops, and its link is taken over after the daemon was killed.

use anyhow::Result;
use blocker_tests::{daemon::Daemon, kernel::has_tcx, netns::Net, wait};

use crate::guard::{ban_outlives, configured};
use crate::siege::LIMIT;

#[test]
fn native_mode_drops() -> Result<()> {
    drops_in("native")
}

#[test]
fn generic_mode_drops() -> Result<()> {
    drops_in("generic")
}

#[test]
fn tcx_mode_drops_where_the_kernel_has_it() -> Result<()> {
    if has_tcx() { drops_in("tcx") } else { is_refused() }
}

fn drops_in(mode: &str) -> Result<()> {
    let net = Net::new()?;
    let daemon = attaching(&net, mode)?;

    let held = ban_outlives(&net, daemon)?;

    assert_eq!(held.only()?.mode.as_deref(), Some(mode));
    Ok(())
}

/// An older kernel knows no tcx, and the reason says so.
fn is_refused() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = attaching(&net, "tcx")?;
    daemon.start_unattached()?;
    wait::until("the reason", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let error = status.interfaces.iter().find_map(|interface| interface.error.as_deref()).unwrap_or_default();
        if error.contains("the kernel has no tcx") { Ok(()) } else { Err(format!("{:?}", status.interfaces)) }
    })
}

fn attaching<'net>(net: &'net Net, mode: &str) -> Result<Daemon<'net>> {
    configured(net, "eth0", &format!("attach = [\"{mode}\"]\n"))
}
