//! The process's own limits, raised as far as they go.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Raises the number of open files to the hard limit, for hundreds of logs; and, for kernels before 5.11, which charge maps
/// to it, the limit on locked memory. Failing is no fault: what does not fit is told when it is met.
pub(super) fn raise() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!(%error, "the limit on locked memory stays as it is; kernels since 5.11 do not ask for it");
    }
}
