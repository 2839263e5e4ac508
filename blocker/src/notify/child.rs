//! A program that is run for a receiver: without a shell, in a clean environment and a process group of its own, within bounds of
//! time and of what it prints.

use std::fmt::Write as _;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::notice::plain;
use super::worker::Failed;
use crate::process_group::{ProcessGroup, ended};

/// Where programs find others. Everything else of the daemon's environment stays with the daemon.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often it is looked whether a program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a program that ended by itself has left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) status: ExitStatus,
    /// The beginning of both its outputs.
    pub(super) output: Vec<u8>,
}

impl Left {
    /// How it ended, in words.
    pub(super) fn ended(&self) -> String {
        ended(self.status)
    }

    /// What it printed, on one line that can be shown.
    pub(super) fn words(&self) -> String {
        plain(self.output.trim_ascii())
    }

    /// Whether it asks to be run again later: `EX_TEMPFAIL` of sysexits(3).
    pub(super) fn is_temporary(&self) -> bool {
        self.status.code() == Some(75)
    }
}

/// Runs a program with `input` as its standard input, for `limit` at most, and keeps `most` bytes of what it prints.
///
/// # Errors
///
/// [`Failed::Never`] if it cannot be started, [`Failed::Later`] if it took too long: then it and all it began are ended.
pub(super) async fn run(words: &[String], input: &[u8], limit: Duration, most: usize) -> Result<Left, Failed> {
    let name = words.first().map(String::as_str).unwrap_or_default();
    let mut group = None;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let work = async {
        let (running, stdin, mut stdout, mut stderr) = begin(words)?;
        let running = group.insert(running);
        {
            let mut stdin = stdin;
            let write = async move {
                // Who does not read all of it has his reasons.
                if let Err(error) = stdin.write_all(input).await {
                    tracing::debug!(%error, "a program did not take all it was given");
                }
                drop(stdin);
            };
            let read = async {
                // What it began may hold its outputs longer than it lives.
                tokio::join!(collect(&mut stdout, &mut output, most), collect(&mut stderr, &mut errors, most));
            };
            let end = async {
                while !running.has_ended() {
                    sleep(LOOK_EVERY).await;
                }
            };
            let both = async { tokio::join!(write, read) };
            tokio::pin!(both);
            tokio::select! {
                ((), ()) = &mut both => {
                    while !running.has_ended() {
                        sleep(LOOK_EVERY).await;
                    }
                }
                () = end => {
                    // What it has printed is there already.
                    if timeout(LOOK_EVERY, both).await.is_err() {
                        tracing::debug!("a program ended, and what it began holds its outputs");
                    }
                }
            }
        }
        Ok::<_, io::Error>(())
    };
    let worked = timeout(limit, work).await;
    let room = most.saturating_sub(output.len());
    output.extend_from_slice(errors.get(..room).unwrap_or(&errors));
    match worked {
        Err(_) => {
            let mut what = format!("{}: took longer than {} s and was ended", name.escape_debug(), limit.as_secs());
            if !output.is_empty() {
                write!(what, ": {}", plain(output.trim_ascii())).expect("a string takes it");
            }
            if let Some(group) = group
                && let Err(error) = group.end().await
            {
                tracing::debug!(%error, "a program that was ended cannot be waited for");
            }
            Err(Failed::Later(what))
        }
        Ok(Err(error)) => Err(Failed::Never(format!("{}: cannot be run: {error}", name.escape_debug()))),
        Ok(Ok(())) => {
            let ended = match group {
                Some(group) => group.end().await,
                None => Err(io::ErrorKind::NotFound.into()),
            };
            let status = ended.map_err(|error| Failed::Later(format!("{}: {error}", name.escape_debug())))?;
            Ok(Left { status, output })
        }
    }
}

type Begun = (ProcessGroup, tokio::process::ChildStdin, tokio::process::ChildStdout, tokio::process::ChildStderr);

fn begin(words: &[String]) -> io::Result<Begun> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let group = ProcessGroup::of(child);
    match pipes {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((group, stdin, stdout, stderr)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Reads to the end, and keeps `most` bytes.
async fn collect(stream: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>, most: usize) {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return,
            Ok(size) => {
                let room = most.saturating_sub(kept.len()).min(size);
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
            Err(error) => return tracing::debug!(%error, "what a program prints cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::source::testing::TempDir;

    const LIMIT: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).into()
    }

    #[tokio::test]
    async fn a_program_is_given_its_input_and_a_clean_environment() {
        let script = "cat; env | grep -v ^PWD= | sort; pwd; echo error >&2; exit 3";
        let left = run(&shell(script), b"input\n", LIMIT, 4096).await.expect("it runs");

        let text = String::from_utf8(left.output).expect("text");
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("_=") && !line.starts_with("SHLVL=")).collect();
        assert_eq!(lines, ["input", "LANG=C.UTF-8", &format!("PATH={PATH}"), "/", "error"]);
        assert_eq!(left.status.code(), Some(3));
    }

    #[tokio::test]
    async fn what_a_program_prints_is_cut_and_a_large_input_that_nobody_reads_hinders_nobody() {
        let left = run(&shell("yes | head -c 1000000"), &[b'x'; 1_000_000], LIMIT, 100).await.expect("it runs");

        assert_eq!((left.output.len(), left.status.code()), (100, Some(0)));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_all_it_began() {
        let dir = TempDir::new();
        let file = dir.text("child");
        let script = format!("sleep 600 & echo $! > {file}; echo I wait >&2; sleep 600");
        let began = Instant::now();

        let failed = run(&shell(&script), b"", Duration::from_secs(1), 100).await.expect_err("it hangs");

        assert_eq!(failed, Failed::Later("/bin/sh: took longer than 1 s and was ended: I wait".to_owned()));
        assert!(began.elapsed() < LIMIT);
        let child = std::fs::read_to_string(dir.path("child")).expect("it was begun");
        let runs = || {
            std::fs::read_to_string(format!("/proc/{}/stat", child.trim()))
                .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
        };
        while runs() {
            assert!(began.elapsed() < LIMIT, "{child} still runs");
            sleep(LOOK_EVERY).await;
        }
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_is_not_waited_for() {
        let began = Instant::now();

        let left = run(&shell("echo done; sleep 600 & exit 0"), b"", LIMIT, 100).await.expect("it runs");

        assert_eq!((left.output.as_slice(), left.status.code()), (&b"done\n"[..], Some(0)));
        assert!(began.elapsed() < LIMIT);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_never_there() {
        let failed = run(&["/nonexistent/program".to_owned()], b"", LIMIT, 100).await.expect_err("it is not there");

        assert!(
            matches!(&failed, Failed::Never(why) if why.starts_with("/nonexistent/program: cannot be run: ")),
            "{failed:?}"
        );
    }
}
