//! Packages of fail2ban of two releases of Debian, unpacked below `target/` and never installed: the tests read their files as data,
//! and run the programs in them beside ours.

use std::fs;

use anyhow::{Context, Result};

use crate::command::root;
use crate::kernels::archive::{Archive, Mirror};
use crate::packages;

/// Debian 12 has fail2ban 1.0.2, Debian 13 has 1.1.0.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// Names an archive of Debian's for a machine that is none.
const MIRROR: &str = "DEBIAN_MIRROR";

/// Fetches what is missing into `target/fail2ban/SUITE`.
///
/// # Errors
///
/// apt's and dpkg's.
pub(crate) fn ensure() -> Result<()> {
    let folder = root().join("target/fail2ban");
    for suite in SUITES {
        let place = folder.join(suite);
        if place.is_dir() {
            continue;
        }
        packages::ensure(packages::FAIL2BAN)?;
        let named = std::env::var(MIRROR).ok();
        let mirror = Mirror::find(named.as_deref())
            .with_context(|| format!("no packages of fail2ban: set ${MIRROR} to an archive"))?;
        let unpacked = folder.join(format!("{suite}.new"));
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
        }
        Archive::open(&folder.join(format!("{suite}.apt")), &mirror, suite)?
            .unpack(&["fail2ban".to_owned()], &unpacked)?;
        fs::rename(&unpacked, &place).with_context(|| format!("renaming {}", unpacked.display()))?;
    }
    Ok(())
}
