//! Why the kernel does not take the program at a step of the ladder, in words, and what may be done about it.

use super::attach::{AttachMode, Step};
use super::object::Program;
use super::release;

/// The refusal in words: the kernel's code alone says little.
pub(super) fn in_words(step: Step, xdp_program: Option<u32>, error: &anyhow::Error) -> String {
    let what = match step {
        Step::Xdp(Program::Frags, _) => "native mode with multi-buffer frames",
        Step::Xdp(Program::NoFrags, AttachMode::Native) => "native mode",
        Step::Xdp(Program::NoFrags, AttachMode::Generic | AttachMode::Tcx | AttachMode::Dispatcher) => "generic mode",
        Step::Tcx => "tcx mode",
        Step::Component => "dispatcher mode",
    };
    let why = match (io_errors(error).next(), step, xdp_program) {
        (Some(libc::EBUSY | libc::EEXIST), _, Some(number)) => another(number),
        (Some(libc::EBUSY | libc::EEXIST), _, None) => "another XDP program is attached; it is left alone".to_owned(),
        (Some(libc::EINVAL), Step::Xdp(Program::Frags, _), _) if !release::is_since((5, 18)) => {
            "the kernel knows no such frames: they came with 5.18".to_owned()
        }
        (Some(libc::EINVAL | libc::EOPNOTSUPP), Step::Tcx, _) => "the kernel has no tcx: it came with 6.6".to_owned(),
        (Some(libc::EOPNOTSUPP), ..) => "the driver does not support it".to_owned(),
        (Some(libc::ENOMEM), Step::Xdp(_, AttachMode::Native), _) => {
            // virtio_net before 5.13, and drivers with a queue for each CPU.
            "the driver has too few queues to spare for it, or the kernel no memory".to_owned()
        }
        (Some(libc::ERANGE), ..) => "the MTU is too large for this driver's XDP".to_owned(),
        (Some(_) | None, ..) => format!("{error:#}"),
    };
    format!("{what}: {why}")
}

/// That the program with this number in the kernel has the interface.
pub(super) fn another(number: u32) -> String {
    format!("another XDP program is attached, number {number} (`bpftool prog show id {number}`); it is left alone")
}

/// Whether another program has the interface.
pub(super) fn is_taken_by_another(error: &anyhow::Error) -> bool {
    matches!(io_errors(error).next(), Some(libc::EBUSY | libc::EEXIST))
}

/// The ways to work beside another program that are not among `modes`.
pub(super) fn ways_beside(modes: &[AttachMode]) -> Option<String> {
    let ways = [
        (AttachMode::Tcx, "\"tcx\" (Linux 6.6)"),
        (AttachMode::Dispatcher, "\"dispatcher\", if xdp-loader attaches that program"),
    ];
    let left: Vec<&str> = ways.iter().filter(|(mode, _)| !modes.contains(mode)).map(|&(_, way)| way).collect();
    (!left.is_empty()).then(|| {
        format!(
            "; what works beside it may be added to `daemon.attach`: {}; `blocker doctor` says whose it is",
            left.join(", or ")
        )
    })
}

fn io_errors(error: &anyhow::Error) -> impl Iterator<Item = i32> {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).filter_map(std::io::Error::raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_another_program_the_ways_are_told_that_are_not_tried() {
        let told = |modes: &[AttachMode]| ways_beside(modes).unwrap_or_default();

        let none = told(&[AttachMode::Native, AttachMode::Generic]);
        assert!(none.contains("\"tcx\" (Linux 6.6), or \"dispatcher\", if xdp-loader"), "{none}");
        let by_tcx = told(&[AttachMode::Native, AttachMode::Generic, AttachMode::Tcx]);
        assert!(!by_tcx.contains("tcx") && by_tcx.contains("dispatcher"), "{by_tcx}");
        assert_eq!(told(&[AttachMode::Dispatcher, AttachMode::Tcx]), "");
    }
}
