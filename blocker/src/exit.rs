//! Why a command failed, as an exit code that scripts can rely on.

use std::process::ExitCode;

/// A failure that has an exit code of its own. Any other error is code 1; a wrong command line is code 2.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon does not answer: code 3.
    #[error("{0}")]
    NotRunning(String),
    /// Something is not permitted: code 77.
    #[error("{0}")]
    Permission(String),
    /// The configuration cannot be used: code 78.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    /// Its exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::NotRunning(_) => 3,
            Self::Permission(_) => 77,
            Self::Configuration(_) => 78,
        }
    }
}

/// The exit code of `error`, and what to print: its chain of causes in one line.
#[must_use]
pub fn report(error: &anyhow::Error) -> (ExitCode, String) {
    let code = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).map_or(1, Failure::code);
    (ExitCode::from(code), format!("blocker: {error:#}"))
}

/// Whether `error` says that something is not permitted.
#[must_use]
pub fn is_permission(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}
