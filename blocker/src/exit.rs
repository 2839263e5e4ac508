//! Why a command failed, as an exit code that scripts can rely on.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// A failure that has an exit code of its own. Any other error is code 1; a wrong command line is code 2.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is understood, but what it asks for is not possible: code 2.
    #[error("{0}")]
    Usage(String),
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
            Self::Usage(_) => 2,
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

/// Whether `error` says that something is not permitted, as a read-only file system does, too.
#[must_use]
pub fn is_permission(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::EROFS))
}

/// `error` with what was being done: [`Failure::Permission`] if that is not permitted.
#[must_use]
pub fn io_failure(error: io::Error, doing: impl Display) -> anyhow::Error {
    if is_permission(&error) {
        Failure::Permission(format!("{doing}: {error}: run it as root (sudo blocker …)")).into()
    } else {
        anyhow::Error::new(error).context(doing.to_string())
    }
}
