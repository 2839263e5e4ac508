//! What the kernel that runs the tests has, by its release: they run on all that are supported (`cargo xtask test-kernels`).

use std::fs;
use std::sync::LazyLock;

/// `uname -r`.
///
/// # Panics
///
/// Without `/proc`.
#[must_use]
pub fn release() -> &'static str {
    static RELEASE: LazyLock<String> = LazyLock::new(|| {
        let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel has a release");
        text.trim().to_owned()
    });
    &RELEASE
}

/// Whether XDP programs may take frames of several buffers.
#[must_use]
pub fn has_frames_in_several_buffers() -> bool {
    is_since((5, 18))
}

/// Whether programs can be attached by tcx.
#[must_use]
pub fn has_tcx() -> bool {
    is_since((6, 6))
}

/// Whether a bond passes an XDP program on to its members.
#[must_use]
pub fn has_xdp_on_bonds() -> bool {
    is_since((5, 15))
}

fn is_since(wanted: (u32, u32)) -> bool {
    let mut numbers = release().split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).expect("a release begins with two numbers");
    (next(), next()) >= wanted
}
