//! What a program prints, as a source: `docker logs -f mail`.
//!
//! The program is a child without a shell, in a process group of its own, with both its outputs in one pipe. It is begun again
//! when it ends, after 1, 2, 4 … 60 seconds, and ended with all it began when the source is. What it prints at its beginning is
//! past (`stream`); what it printed in an earlier run already, of this daemon's or an earlier one's, is not judged again
//! (`printed`).
//!
//! If the daemon is killed, the program lives until it prints the next line; systemd ends it with the unit.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use blocker_core::engine::SourceId;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::SourceEvent;
use super::printed::Printed;
use super::stream::{LineStream, Teller, Unwanted};
use crate::process_group::{ProcessGroup, ended};

/// How long the first wait is before an ended program is begun again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait. A program that ran for longer has the first wait again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a program may live on when its outputs are closed, and how often it is looked at.
const END_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A source of lines: what a program prints.
#[derive(Debug)]
pub struct CommandSource {
    id: SourceId,
    /// The program and its arguments; not empty.
    words: Vec<String>,
    max_line_bytes: usize,
    printed: Printed,
}

impl CommandSource {
    /// Prepares to run the program `words` begins with. Lines of more than `max_line_bytes` are skipped. Begins nothing yet.
    #[must_use]
    pub fn new(id: SourceId, words: Vec<String>, max_line_bytes: usize) -> Self {
        Self { id, words, max_line_bytes, printed: Printed::default() }
    }

    /// The same, knowing what the program has printed before.
    #[must_use]
    pub fn knowing(self, printed: Printed) -> Self {
        Self { printed, ..self }
    }

    /// Runs it, again and again, until nobody receives `events`.
    ///
    /// Needs a runtime with I/O and time.
    pub async fn run(mut self, events: Sender<SourceEvent>) {
        let mut teller = Teller::new(self.id, events);
        let mut printed = std::mem::take(&mut self.printed);
        let mut wait = FIRST_WAIT;
        loop {
            let began_at = Instant::now();
            let Ok(end) = self.run_once(&mut teller, &mut printed).await else { return };
            if began_at.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            let problem = format!("{}: {end}; it is begun again after {} s", self.name(), wait.as_secs());
            warn!(problem, "log source is hindered");
            teller.state.streams.clear();
            teller.state.problems = vec![problem];
            if teller.tell().await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                Unwanted = teller.idle() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Runs it to its end, and says how it ended.
    async fn run_once(&self, teller: &mut Teller, printed: &mut Printed) -> Result<String, Unwanted> {
        let (running, output) = match self.begin() {
            Ok(begun) => begun,
            Err(error) => return Ok(format!("cannot be started: {error}")),
        };
        info!(command = self.name(), process = running.id(), "reads what a command prints");
        teller.state.streams = vec![self.name()];
        teller.state.problems.clear();
        teller.tell().await?;
        printed.begin();
        let mut stream = LineStream::new(output, self.id, self.max_line_bytes);
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                unwanted = teller.idle() => return Err(unwanted),
            };
            match next {
                Ok(Some(mut piece)) => {
                    printed.strike(&mut piece.batch);
                    teller.lines(piece).await?;
                    stream.await_pause();
                }
                Ok(None) => break,
                Err(error) => return Ok(format!("reading what it prints: {error}")),
            }
        }
        teller.state.counters.unfinished_lines += u64::from(stream.has_unfinished_line());
        Ok(end(running).await)
    }

    fn begin(&self) -> io::Result<(ProcessGroup, pipe::Receiver)> {
        let (program, arguments) =
            self.words.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir("/")
            // The service manager hears of the daemon from the daemon alone.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(write.try_clone()?)
            .stderr(write)
            .process_group(0)
            .spawn()?;
        Ok((ProcessGroup::of(child), pipe::Receiver::from_owned_fd(read)?))
    }

    fn name(&self) -> String {
        format!("command {}", self.words.join(" ")).escape_debug().to_string()
    }
}

/// Waits for the end of a program whose outputs are closed, and says how it ended. What it began ends, too.
async fn end(running: ProcessGroup) -> String {
    let deadline = Instant::now() + END_WITHIN;
    while !running.has_ended() && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
    }
    let was_over = running.has_ended();
    match running.end().await {
        Ok(_) if !was_over => "closed its output".to_owned(),
        Ok(status) => ended(status),
        Err(error) => format!("waiting for it: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::super::testing::TempDir;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn source(words: &[&str]) -> CommandSource {
        CommandSource::new(SourceId::new(1), words.iter().copied().map(str::to_owned).collect(), 8192)
    }

    #[tokio::test]
    async fn both_outputs_are_read_and_the_end_is_told_and_it_is_begun_again() {
        let dir = TempDir::new();
        let (events_in, mut events) = mpsc::channel(16);
        let script = format!("cd {}; echo run >> runs; echo out $(wc -l < runs); echo err >&2; exit 3", dir.text(""));
        let task = tokio::spawn(source(&["sh", "-c", &script]).run(events_in));
        let mut lines = Vec::new();
        let mut problems = Vec::new();

        while lines.len() < 3 {
            match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                SourceEvent::Lines(batch) => {
                    lines.extend(batch.lines().map(|line| String::from_utf8(line.to_vec()).unwrap()));
                }
                SourceEvent::State(_, state) => problems.extend(state.problems),
                SourceEvent::Lost(..) | SourceEvent::End => panic!("a command is begun again"),
            }
        }
        task.abort();

        assert_eq!(lines[..2], ["out 1", "err"]);
        assert_eq!(lines[2], "out 2", "what the first run printed already is not new: {lines:?}");
        assert!(problems[0].ends_with("ended with exit status 3; it is begun again after 1 s"), "{problems:?}");
    }

    #[tokio::test]
    async fn with_the_program_ends_what_it_left_behind() {
        let (events_in, mut events) = mpsc::channel(16);
        let script = "sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' & sleep 0.1";
        let task = tokio::spawn(source(&["sh", "-c", script]).run(events_in));
        let child = first_number(&mut events).await;

        assert_ends(child).await;
        task.abort();
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_problem() {
        let (events_in, mut events) = mpsc::channel(16);
        let task = tokio::spawn(source(&["/nonexistent/program"]).run(events_in));

        let SourceEvent::State(_, state) = timeout(PATIENCE, events.recv()).await.unwrap().unwrap() else {
            panic!("there is nothing to read")
        };
        task.abort();

        assert!(state.problems[0].starts_with("command /nonexistent/program: cannot be started: "), "{state:?}");
    }

    #[tokio::test]
    async fn with_the_source_ends_all_that_the_program_began() {
        let (events_in, mut events) = mpsc::channel(16);
        // The shell's child has the same group, and prints its number.
        let script = "sh -c 'echo $$; exec sleep 600' & wait";
        let task = tokio::spawn(source(&["sh", "-c", script]).run(events_in));
        let child = first_number(&mut events).await;

        task.abort();

        assert_ends(child).await;
    }

    async fn first_number(events: &mut mpsc::Receiver<SourceEvent>) -> Pid {
        loop {
            if let SourceEvent::Lines(batch) = timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                let line = batch.lines().next().unwrap().to_vec();
                return Pid::from_raw(String::from_utf8(line).unwrap().parse().unwrap());
            }
        }
    }

    async fn assert_ends(process: Pid) {
        let deadline = Instant::now() + PATIENCE;
        // A dead child of a dead parent may wait for init: it runs no more.
        let runs = || {
            std::fs::read_to_string(format!("/proc/{process}/stat"))
                .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
        };
        while runs() {
            assert!(Instant::now() < deadline, "{process} still runs");
            sleep(LOOK_EVERY).await;
        }
    }
}
