//! The kernel's release: too old a one is refused before it is asked for what it would answer wrongly.

use std::fs;

use anyhow::{Context, Result, bail};

/// The first with links for XDP, without which an attachment could not outlive the daemon, and might replace another
/// program's unasked.
pub const OLDEST: (u32, u32) = (5, 9);

/// Checks that the kernel has links for XDP.
///
/// # Errors
///
/// If it is older.
pub(super) fn require() -> Result<()> {
    let Release { text, version } = running()?;
    if version < OLDEST {
        let (major, minor) = OLDEST;
        bail!("Linux {text} is too old: links for XDP came with {major}.{minor}");
    }
    Ok(())
}

/// Whether the kernel's release is this one or later, for the words of an error: a distribution may have put what is newer
/// into an older one. A release that cannot be read is a later one.
pub(super) fn is_since(wanted: (u32, u32)) -> bool {
    running().map_or(true, |running| running.version >= wanted)
}

/// The kernel that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// As it calls itself.
    pub text: String,
    /// Major and minor number.
    pub version: (u32, u32),
}

/// Asks the kernel for its release.
///
/// # Errors
///
/// If it does not tell, or not in numbers.
pub fn running() -> Result<Release> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading /proc/sys/kernel/osrelease")?;
    let text = text.trim();
    let version = parse(text).with_context(|| format!("`{}` is no kernel release", text.escape_debug()))?;
    Ok(Release { text: text.to_owned(), version })
}

/// Major and minor number.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(parse("5.10.0-30-cloud-amd64\n"), Some((5, 10)));
        assert_eq!(parse("6.1-rc3"), Some((6, 1)));
        assert!(parse("5.10").unwrap() >= OLDEST && parse("4.19.0").unwrap() < OLDEST);
        assert_eq!(parse("unknown"), None);
    }
}
