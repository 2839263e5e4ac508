//! Whom a command is about: prefixes on the command line, and on stdin for `-`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use blocker_core::prefix::InvalidPrefix;
use blocker_core::whom::Whom;

use super::output::{self, ReaderGone};
use crate::control::wire::{Change, MAX_PREFIXES, Reply};

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

/// Hands the prefixes on in bounded chunks. Those of stdin are handed on before it is waited for again, so that
/// `tail -f list | blocker ban -` works. A line that is no prefix is told and left out; in the end it is an error.
pub(super) fn in_chunks(targets: &[Target], mut send: impl FnMut(Vec<Whom>) -> Result<()>) -> Result<()> {
    let listed: Vec<Whom> = targets
        .iter()
        .filter_map(|target| match target {
            Target::One(whom) => Some(*whom),
            Target::Stdin => None,
        })
        .collect();
    for chunk in listed.chunks(MAX_PREFIXES) {
        send(chunk.to_vec())?;
    }
    if !targets.iter().any(|target| matches!(target, Target::Stdin)) {
        return Ok(());
    }
    match from_reader(std::io::stdin(), &mut send)? {
        0 => Ok(()),
        left_out => bail!("{left_out} lines of stdin left out; all others are done"),
    }
}

/// Hands on the prefixes in `input`, one per line; says how many lines are none.
fn from_reader(input: impl Read, mut send: impl FnMut(Vec<Whom>) -> Result<()>) -> Result<usize> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut chunk = Vec::new();
    let mut left_out = 0;
    for number in 1.. {
        let Some(line) = read_line(&mut input).context("reading stdin")? else { break };
        match parse(&line) {
            Ok(None) => {}
            Ok(Some(whom)) => chunk.push(whom),
            Err(why) => {
                eprintln!("blocker: stdin, line {number}: left out: {}", why.escape_debug());
                left_out += 1;
            }
        }
        let waits_next = !input.buffer().contains(&b'\n');
        if chunk.len() == MAX_PREFIXES || waits_next && !chunk.is_empty() {
            send(std::mem::take(&mut chunk))?;
        }
    }
    if !chunk.is_empty() {
        send(chunk)?;
    }
    Ok(left_out)
}

/// The next line without its end, or what [`MAX_LINE_BYTES`] hold of it and one byte more; `None` at the end.
fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() > MAX_LINE_BYTES {
        input.skip_until(b'\n')?;
    }
    Ok(Some(line))
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

    pub(super) fn take(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Change(change) => self.note(&change)?,
            Reply::Done => return self.print(),
            Reply::Status(_) | Reply::Ban(_) | Reply::Lifted(_) | Reply::Warning(_) | Reply::Error { .. } => {}
        }
        if self.lines.len() < BUFFER_BYTES { Ok(()) } else { self.print() }
    }

    fn note(&mut self, change: &Change) -> Result<()> {
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
        Ok(())
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

    fn chunks(input: impl Read) -> (Vec<Vec<String>>, usize) {
        let mut chunks = Vec::new();
        let left_out = from_reader(input, |chunk| {
            chunks.push(chunk.iter().map(Whom::to_string).collect());
            Ok(())
        });
        (chunks, left_out.unwrap())
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
        let (chunks, left_out) = chunks(Pieces(vec![b"192.0.2.1\n192.0.2.2\n192.0", b".2.3\n", b"192.0.2.4"]));

        assert_eq!(chunks, [vec!["192.0.2.1", "192.0.2.2"], vec!["192.0.2.3"], vec!["192.0.2.4"]]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_line_that_is_no_prefix_is_left_out_and_counted() {
        let long = format!("{}\n192.0.2.1\n", "9".repeat(3 * MAX_LINE_BYTES));
        let bad = b"# a comment\n\n192.0.2.256\n\xff\xfe\n";
        let (chunks, left_out) = chunks(bad.chain(long.as_bytes()));

        assert_eq!(chunks, [["192.0.2.1"]]);
        assert_eq!(left_out, 3);
    }

    #[test]
    fn a_long_list_goes_in_bounded_chunks() {
        let list: String = (0..2 * MAX_PREFIXES + 5).map(|i| format!("10.0.{}.{}\n", i / 256, i % 256)).collect();
        let (chunks, _) = chunks(list.as_bytes());

        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 2 * MAX_PREFIXES + 5);
        assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_PREFIXES));
    }
}
