//! The daemon's log: to the journal when systemd runs it, else to stderr; a line for people, with fields for programs.
//!
//! Lines to stderr are written by a thread of their own, because whoever reads them may stop to. When [`MAX_WAITING`] lines
//! wait, further ones are left out.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait for stderr.
const MAX_WAITING: usize = 16_384;

/// Has what waits written when it is dropped.
#[must_use]
pub struct Flush {
    _stderr: Option<WorkerGuard>,
}

/// Begins logging. `verbose` is how often `-v` was given: INFO, then DEBUG (user names too), then TRACE.
pub fn start(verbose: u8) -> Flush {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    if let Some(journal) = journal() {
        tracing_subscriber::registry().with(journal.with_filter(level)).init();
        Flush { _stderr: None }
    } else {
        let (writer, guard) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING).finish(std::io::stderr());
        let stderr = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_filter(level);
        tracing_subscriber::registry().with(stderr).init();
        Flush { _stderr: Some(guard) }
    }
}

/// The journal, if stderr leads there (systemd says so by `$JOURNAL_STREAM`).
fn journal() -> Option<tracing_journald::Layer> {
    std::env::var_os("JOURNAL_STREAM")?;
    tracing_journald::layer().ok().map(|layer| layer.with_syslog_identifier("blocker".to_owned()))
}
