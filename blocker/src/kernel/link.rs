//! What the kernel tells of a pinned link: which interface it is for, and which program runs there.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::syscalls::open_pinned;

/// A link as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkState {
    /// The interface's index; 0 if it is gone.
    pub(super) index: u32,
    /// The program's number in the kernel.
    pub(super) program: u32,
}

impl LinkState {
    /// Asks the kernel for the link that is pinned at `path`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is no link of an XDP program.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let link = match open_pinned(path) {
            Ok(link) => link,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("opening the link {}", path.display())),
        };
        let place = format!("/proc/self/fdinfo/{}", link.as_raw_fd());
        let text = fs::read_to_string(&place).with_context(|| format!("reading {place}"))?;
        parse(&text).with_context(|| format!("{} is no link of an XDP program", path.display())).map(Some)
    }
}

fn parse(text: &str) -> Option<LinkState> {
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok();
    Some(LinkState { index: field("ifindex")?, program: field("prog_id")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "pos:\t0\nflags:\t02000000\nmnt_id:\t15\nino:\t11\nlink_type:\txdp\nlink_id:\t5\n\
                    prog_tag:\t3b185187f1855c4c\nprog_id:\t61\nifindex:\t7\n";

        assert_eq!(parse(text), Some(LinkState { index: 7, program: 61 }));
        assert_eq!(parse("pos:\t0\nmap_id:\t4\n"), None);
    }
}
