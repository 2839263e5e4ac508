//! Ctrl-C: a flag that every wait looks at, so that the laboratory is taken down in order instead of left standing.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Makes SIGINT, SIGTERM and SIGHUP raise the flag from now on. Repeating it is harmless.
///
/// # Errors
///
/// The kernel's, if it refuses a handler.
pub fn install() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(raise), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: `raise` only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Fails once the flag is raised.
///
/// # Errors
///
/// If a signal asked for the end.
pub fn check() -> Result<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

extern "C" fn raise(_signal: i32) {
    REQUESTED.store(true, Ordering::Relaxed);
}

static REQUESTED: AtomicBool = AtomicBool::new(false);
