//! What the kernel lets this process do, asked before anything fails half-way.

use std::fs;

use anyhow::{Context, Result};

use crate::exit::Failure;

/// `include/uapi/linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks that this process may load the program and attach it.
///
/// # Errors
///
/// [`Failure::Permission`], naming what is missing and how to give it.
pub fn require() -> Result<()> {
    require_of(&[CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON])
}

/// Checks that this process may open pinned maps.
///
/// # Errors
///
/// As [`require`].
pub(super) fn require_to_read() -> Result<()> {
    require_of(&[CAP_BPF])
}

/// Which of the capabilities that the daemon needs this process has not, by name.
///
/// # Errors
///
/// If the kernel does not tell.
pub fn missing_capabilities() -> Result<Vec<&'static str>> {
    Ok(missing(effective()?, &[CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON]))
}

/// Whether this process may raise its limits (CAP_SYS_RESOURCE).
#[must_use]
pub fn may_raise_limits() -> bool {
    effective().is_ok_and(|bits| bits >> CAP_SYS_RESOURCE & 1 == 1)
}

/// Whether this process may mount (CAP_SYS_ADMIN).
pub(super) fn may_mount() -> bool {
    effective().is_ok_and(|bits| bits >> CAP_SYS_ADMIN & 1 == 1)
}

fn effective() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .context("/proc/self/status does not tell the capabilities")
}

fn require_of(needed: &[u32]) -> Result<()> {
    let missing = missing(effective()?, needed);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Permission(format!(
        "missing {}: run it as root (sudo blocker …); a systemd unit must leave them in CapabilityBoundingSet=",
        missing.join(", ")
    ))
    .into())
}

fn missing(effective: u64, needed: &[u32]) -> Vec<&'static str> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    // Before 5.8 CAP_SYS_ADMIN stood for two of them, and still does.
    let known = [
        (CAP_BPF, "CAP_BPF", has(CAP_SYS_ADMIN)),
        (CAP_NET_ADMIN, "CAP_NET_ADMIN", false),
        (CAP_PERFMON, "CAP_PERFMON", has(CAP_SYS_ADMIN)),
    ];
    known
        .into_iter()
        .filter(|(capability, _, implied)| needed.contains(capability) && !has(*capability) && !implied)
        .map(|(_, name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_exactly_what_is_missing() {
        let all = [CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON];
        assert_eq!(missing(0, &all), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        assert_eq!(missing(1 << CAP_SYS_ADMIN, &all), ["CAP_NET_ADMIN"]);
        assert!(missing(1 << CAP_BPF | 1 << CAP_NET_ADMIN | 1 << CAP_PERFMON, &all).is_empty());
        assert_eq!(missing(1 << CAP_NET_ADMIN, &[CAP_BPF]), ["CAP_BPF"]);
    }
}
