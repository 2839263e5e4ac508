//! Waiting for a condition: asked again and again until a deadline, and saying what was last seen if it never came.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::interrupt;

/// Asks `probe` until it answers `Ok`, at most for `limit`. Its `Err` says what it saw instead.
///
/// # Errors
///
/// After `limit`, naming `what` was awaited and what was last seen; or when interrupted.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        interrupt::check()?;
        let seen = match probe() {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}; last seen: {seen}");
        }
        thread::sleep(interval());
    }
}

/// The same for a plain claim; `describe` is only called when it never came true.
///
/// # Errors
///
/// As [`until`].
pub fn until_true(
    what: &str,
    limit: Duration,
    mut claim: impl FnMut() -> bool,
    describe: impl Fn() -> String,
) -> Result<()> {
    until(what, limit, || if claim() { Ok(()) } else { Err(describe()) })
}

/// Watches that a claim holds for all of `span`: the counterpart of waiting, for what must *not* happen.
///
/// # Errors
///
/// As soon as `claim` answers `Err`, with its text; or when interrupted.
pub fn holds(what: &str, span: Duration, mut claim: impl FnMut() -> Result<(), String>) -> Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        interrupt::check()?;
        if let Err(seen) = claim() {
            bail!("{what} did not hold: {seen}");
        }
        thread::sleep(interval());
    }
    Ok(())
}

/// How often a condition is asked for: every 10 ms, or every `$BLOCKER_ASK_MS`. An emulated machine, for which a question is
/// much work, would do little else.
fn interval() -> Duration {
    static INTERVAL: LazyLock<Duration> = LazyLock::new(|| {
        let given = std::env::var("BLOCKER_ASK_MS").ok().and_then(|text| text.parse().ok());
        Duration::from_millis(given.unwrap_or(10))
    });
    *INTERVAL
}
