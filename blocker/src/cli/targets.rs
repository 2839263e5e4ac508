//! Whom a command is about: prefixes on the command line, and on stdin for `-`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use blocker_core::prefix::InvalidPrefix;
use blocker_core::whom::Whom;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::output::{self, ReaderGone};
use crate::control::wire::{Change, MAX_PREFIXES, Reply, Run};

/// Bytes read of stdin at once, where it is a file; a pipe holds less. A multiple of a full request, so that few are sent
/// half empty.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Longest line of stdin, in bytes; what is longer is left out.
const MAX_LINE_BYTES: usize = 4096;

/// An address or prefix, or all those on stdin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    One(Whom),
    Stdin,
}

impl FromStr for Target {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        if text == "-" { Ok(Self::Stdin) } else { text.parse().map(Self::One) }
    }
}

/// Some of what a command is about.
#[derive(Debug)]
pub(super) struct Chunk {
    /// At most [`MAX_PREFIXES`].
    pub(super) whom: Vec<Whom>,
    /// Of stdin, the first of its lines and the last, counted from 1.
    pub(super) lines: Option<(usize, usize)>,
}

/// What is handed on.
#[derive(Debug)]
pub(super) enum Part {
    /// These.
    Chunk(Chunk),
    /// Nothing: stdin is waited for from here on.
    Pause,
}

/// Hands the prefixes on in bounded chunks. Those of stdin are handed on before it is waited for again, so that
/// `tail -f list | blocker ban -` works. A line that is no prefix is told and left out; in the end it is an error.
pub(super) fn in_parts(targets: &[Target], mut take: impl FnMut(Part) -> Result<()>) -> Result<()> {
    let listed: Vec<Whom> = targets
        .iter()
        .filter_map(|target| match target {
            Target::One(whom) => Some(*whom),
            Target::Stdin => None,
        })
        .collect();
    for chunk in listed.chunks(MAX_PREFIXES) {
        take(Part::Chunk(Chunk { whom: chunk.to_vec(), lines: None }))?;
    }
    if !targets.iter().any(|target| matches!(target, Target::Stdin)) {
        return Ok(());
    }
    let stdin = std::io::stdin();
    match from_reader(stdin.lock(), || is_ready(&stdin), &mut take)? {
        0 => Ok(()),
        left_out => bail!("{left_out} lines of stdin left out; all others are done"),
    }
}

/// Whether reading would not wait: there is something, or the end.
fn is_ready(input: impl AsFd) -> bool {
    poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Hands on the prefixes in `input`, one per line; says how many lines are none. `is_ready` says whether reading it would
/// not wait.
fn from_reader(
    input: impl Read,
    is_ready: impl Fn() -> bool,
    mut take: impl FnMut(Part) -> Result<()>,
) -> Result<usize> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut line = Vec::new();
    let mut whom = Vec::new();
    let mut lines = None;
    let mut left_out = 0;
    for number in 1.. {
        if !read_line(&mut input, &mut line).context("reading stdin")? {
            break;
        }
        match parse(&line) {
            Ok(None) => {}
            Ok(Some(one)) => {
                whom.push(one);
                lines = Some((lines.map_or(number, |(first, _)| first), number));
            }
            Err(why) => {
                eprintln!("blocker: stdin, line {number}: left out: {}", why.escape_debug());
                left_out += 1;
            }
        }
        // What is left of a line that came in part tells nothing; it is looked at again when the rest has come.
        let waits_next = memchr::memchr(b'\n', input.buffer()).is_none() && !is_ready();
        if whom.len() == MAX_PREFIXES || waits_next && !whom.is_empty() {
            take(Part::Chunk(Chunk { whom: std::mem::take(&mut whom), lines: lines.take() }))?;
        }
        if waits_next {
            take(Part::Pause)?;
        }
    }
    if !whom.is_empty() {
        take(Part::Chunk(Chunk { whom, lines }))?;
    }
    Ok(left_out)
}

/// Reads the next line with its end, or what [`MAX_LINE_BYTES`] hold of it and one byte more; `false` at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if input.take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && line.len() > MAX_LINE_BYTES {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

/// The prefix in a line; `None` in an empty one and in a comment.
fn parse(line: &[u8]) -> Result<Option<Whom>, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("longer than {MAX_LINE_BYTES} bytes"));
    }
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: InvalidPrefix| error.to_string())
}

/// Prints what became of each prefix, once the answer about it and others is whole, and in the end fails if any was refused. A reader of stdout that goes away ends the
/// printing, never the changes.
pub(super) struct Changes {
    json: bool,
    /// Lines to be printed.
    lines: String,
    refused: usize,
    reader_gone: bool,
}

impl Changes {
    pub(super) fn new(json: bool) -> Self {
        Self { json, lines: String::new(), refused: 0, reader_gone: false }
    }

    /// Takes a part of an answer. `asked` are those of its request that nothing was said of yet, for [`Reply::Run`].
    pub(super) fn take(&mut self, reply: Reply, asked: &mut impl Iterator<Item = Whom>) -> Result<()> {
        match reply {
            Reply::Change(change) => {
                asked.next();
                self.note(&change)
            }
            Reply::Run(Run { outcome, count }) => asked.take(count).try_for_each(|whom| {
                self.note(&Change { prefix: whom.exactly(), outcome: outcome.clone(), why: None })
            }),
            Reply::Done => self.print(),
            Reply::Status(_) | Reply::Ban(_) | Reply::Allowed(_) | Reply::Why(_) | Reply::Lifted(_) => Ok(()),
            Reply::Report(_) | Reply::Watch(_) => Ok(()),
            Reply::Tested(_) | Reply::Said(_) | Reply::Warning(_) | Reply::Error { .. } => Ok(()),
        }
    }

    /// Has a line printed about one.
    pub(super) fn note(&mut self, change: &Change) -> Result<()> {
        let Change { prefix, outcome, why } = change;
        if outcome == "refused" {
            self.refused += 1;
        }
        let lines = &mut self.lines;
        if self.json {
            lines.push_str(&serde_json::to_string(change).context("writing JSON")?);
        } else {
            write!(lines, "{prefix}: {outcome}")?;
            why.iter().try_for_each(|why| write!(lines, ": {why}"))?;
        }
        lines.push('\n');
        if self.lines.len() < BUFFER_BYTES { Ok(()) } else { self.print() }
    }

    fn print(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if self.reader_gone {
            return Ok(());
        }
        match output::text(&lines) {
            Err(error) if error.is::<ReaderGone>() => {
                self.reader_gone = true;
                Ok(())
            }
            printed => printed,
        }
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.print()?;
        match self.refused {
            0 => Ok(()),
            refused => bail!("{refused} of them refused"),
        }
    }
}

impl Drop for Changes {
    /// Prints what came before an error, which is what the command ends with.
    fn drop(&mut self) {
        self.print().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunks, with their lines, and how many lines are left out. Reading always waits.
    fn chunks(input: impl Read) -> (Vec<Vec<String>>, Vec<(usize, usize)>, usize) {
        let (mut chunks, mut lines) = (Vec::new(), Vec::new());
        let left_out = from_reader(
            input,
            || false,
            |part| {
                if let Part::Chunk(chunk) = part {
                    chunks.push(chunk.whom.iter().map(Whom::to_string).collect());
                    lines.extend(chunk.lines);
                }
                Ok(())
            },
        );
        (chunks, lines, left_out.unwrap())
    }

    /// Gives its pieces one read at a time, as a pipe does.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            to[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn what_is_there_is_handed_on_before_more_is_waited_for() {
        let (chunks, lines, left_out) = chunks(Pieces(vec![b"192.0.2.1\n192.0.2.2\n192.0", b".2.3\n", b"192.0.2.4"]));

        assert_eq!(chunks, [vec!["192.0.2.1", "192.0.2.2"], vec!["192.0.2.3"], vec!["192.0.2.4"]]);
        assert_eq!(lines, [(1, 2), (3, 3), (4, 4)]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_line_that_is_no_prefix_is_left_out_and_counted() {
        let long = format!("{}\n192.0.2.1\n", "9".repeat(3 * MAX_LINE_BYTES));
        let bad = b"# a comment\n\n192.0.2.256\n\xff\xfe\n";
        let (chunks, lines, left_out) = chunks(bad.chain(long.as_bytes()));

        assert_eq!(chunks, [["192.0.2.1"]]);
        assert_eq!(lines, [(6, 6)]);
        assert_eq!(left_out, 3);
    }

    #[test]
    fn a_long_list_goes_in_bounded_chunks() {
        let list: String = (0..2 * MAX_PREFIXES + 5).map(|i| format!("10.0.{}.{}\n", i / 256, i % 256)).collect();
        let (chunks, lines, _) = chunks(list.as_bytes());

        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 2 * MAX_PREFIXES + 5);
        assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_PREFIXES));
        assert!(lines.iter().zip(&chunks).all(|((first, last), chunk)| last - first + 1 == chunk.len()));
    }

    #[test]
    fn what_needs_no_waiting_is_put_together_and_a_pause_is_told() {
        let mut told = Vec::new();
        let ready = std::cell::Cell::new(2);
        let is_ready = || ready.replace(ready.get() - 1) > 0;
        let input = Pieces(vec![b"192.0.2.1\n", b"192.0.2.2\n", b"192.0.2.3\n", b"192.0.2.4\n"]);

        let left_out = from_reader(input, is_ready, |part| {
            told.push(match part {
                Part::Chunk(chunk) => chunk.whom.len().to_string(),
                Part::Pause => "pause".to_owned(),
            });
            Ok(())
        });

        assert_eq!(left_out.unwrap(), 0);
        assert_eq!(told, ["3", "pause", "1", "pause"]);
    }

    #[test]
    fn a_run_tells_of_those_that_were_asked_about_and_follow() {
        let mut changes = Changes::new(false);
        let mut asked =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"].map(|text| text.parse().unwrap()).into_iter();
        let run = |count| Reply::Run(Run { outcome: "banned".into(), count });
        let network = Change { prefix: "2001:db8::/64".parse().unwrap(), outcome: "renewed".into(), why: None };

        for reply in [run(2), Reply::Change(network), run(1)] {
            changes.take(reply, &mut asked).unwrap();
        }

        let lines = std::mem::take(&mut changes.lines);
        assert_eq!(lines, "192.0.2.1: banned\n192.0.2.2: banned\n2001:db8::/64: renewed\n192.0.2.3: banned\n");
    }
}
