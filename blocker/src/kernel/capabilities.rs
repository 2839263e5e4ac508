//! What the kernel lets this process do, asked before anything fails half-way.

use std::fs;

use anyhow::{Context, Result};

use crate::exit::Failure;

/// `include/uapi/linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks that this process may load the program and attach it.
///
/// # Errors
///
/// [`Failure::Permission`], naming what is missing and how to give it.
pub fn require() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .context("/proc/self/status does not tell the capabilities")?;
    let missing = missing(effective);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Permission(format!(
        "missing {}: run it as root (sudo blocker …); a systemd unit must leave them in CapabilityBoundingSet=",
        missing.join(", ")
    ))
    .into())
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    // Before 5.8 CAP_SYS_ADMIN stood for both, and still does.
    let needs = [
        ("CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN)),
        ("CAP_NET_ADMIN", has(CAP_NET_ADMIN)),
        ("CAP_PERFMON", has(CAP_PERFMON) || has(CAP_SYS_ADMIN)),
    ];
    needs.into_iter().filter(|(_, given)| !given).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_exactly_what_is_missing() {
        assert_eq!(missing(0), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        assert_eq!(missing(1 << CAP_SYS_ADMIN), ["CAP_NET_ADMIN"]);
        assert!(missing(1 << CAP_BPF | 1 << CAP_NET_ADMIN | 1 << CAP_PERFMON).is_empty());
    }
}
