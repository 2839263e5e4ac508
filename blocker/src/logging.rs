//! The daemon's log: lines on stderr for people, or for the journal when stderr leads there.
//!
//! The journal takes stderr line by line, with the level in front of each as sd-daemon(3) has it. It is not written to by
//! its own socket: whoever reads a log may stop to, and no ban waits for that. So lines are written by a thread of their
//! own; when [`MAX_WAITING`] wait, further ones are left out and counted.

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait for stderr.
const MAX_WAITING: usize = 16_384;

static LEFT_OUT: OnceLock<ErrorCounter> = OnceLock::new();

/// Has what waits written when it is dropped, if it is taken within a second.
#[must_use]
pub struct Flush {
    _stderr: WorkerGuard,
}

/// Begins logging. `verbose` is how often `-v` was given: INFO, then DEBUG (user names too), then TRACE.
pub fn start(verbose: u8) -> Flush {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING).finish(std::io::stderr());
    LEFT_OUT.get_or_init(|| writer.error_counter());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let registry = tracing_subscriber::registry();
    if leads_to_journal() {
        let format = tracing_subscriber::fmt::format().without_time().with_level(false).with_target(false);
        let journal = lines.with_ansi(false).event_format(LevelInFront(format.with_ansi(false)));
        registry.with(journal.with_filter(level)).init();
    } else {
        registry.with(lines.with_ansi(std::io::stderr().is_terminal()).with_filter(level)).init();
    }
    Flush { _stderr: guard }
}

/// Lines that were never written, because too many waited.
#[must_use]
pub fn left_out() -> usize {
    LEFT_OUT.get().map_or(0, ErrorCounter::dropped_lines)
}

/// Whether stderr is the journal's: systemd tells device and inode of the stream in `$JOURNAL_STREAM`. A program started
/// with the variable but a stderr of its own must not take it for the journal.
pub(crate) fn leads_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines with the level in front, as sd-daemon(3) has it.
struct LevelInFront<F>(F);

impl<S, N, F> FormatEvent<S, N> for LevelInFront<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, to, event)
    }
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
