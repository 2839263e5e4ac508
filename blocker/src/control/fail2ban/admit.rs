//! Lets pickles pass that are only texts, numbers and lists of them, and bounds what becomes of them in memory.
//!
//! A pickle is a program: it can call what it names, nest without end, and use a long text over and over. Only the
//! instructions that fail2ban's client and the known scripts write are let pass; none of those calls or names anything.
//! `serde-pickle` calls nothing either, but it reads and frees nested lists by recursion and copies what is used again, so
//! depth and sizes are counted here, before it sees a byte.

use std::collections::HashMap;
use std::fmt;

/// Lists within lists, at most. fail2ban's client sends four.
const MAX_DEPTH: u8 = 8;

/// Values in a command, at most: a reload of all jails that fail2ban has is 20,000.
const MAX_VALUES: usize = 65_536;

/// Lists and tuples made of all that follows a mark, at most: each takes some kilobytes. Python makes its lists another way.
const MAX_MARKED: usize = 256;

/// Bytes of all texts of a command, those used again counted again.
const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Why a pickle is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It ends in the middle, or goes on after its end.
    Length,
    /// An instruction that is none of a list of texts.
    Instruction(u8),
    /// Lists within more than [`MAX_DEPTH`] lists.
    Depth,
    /// More than [`MAX_VALUES`], [`MAX_MARKED`] or [`MAX_TEXT_BYTES`].
    Size,
    /// An instruction has nothing to work on.
    Nothing,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("it is cut or too long"),
            Self::Instruction(code) => write!(f, "the instruction 0x{code:02x} is none of a list of texts"),
            Self::Depth => write!(f, "lists within more than {MAX_DEPTH} lists"),
            Self::Size => write!(
                f,
                "more than {MAX_VALUES} values, {MAX_MARKED} of them made of what follows a mark, or {MAX_TEXT_BYTES} bytes of text"
            ),
            Self::Nothing => f.write_str("an instruction has nothing to work on"),
        }
    }
}

/// What is known of a value, and whether it is kept to be used again.
struct Item {
    kind: Kind,
    is_kept: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A text of so many bytes, or a number of none.
    Plain(usize),
    /// A list, a tuple or a dictionary, in which there are lists within so many lists, itself included.
    List(u8),
}

/// Checks all of `bytes`.
pub(super) fn admit(bytes: &[u8]) -> Result<(), Unfit> {
    let mut gate =
        Gate { rest: bytes, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), values: 0, marked: 0, text: 0 };
    while gate.step()? {}
    Ok(())
}

struct Gate<'a> {
    rest: &'a [u8],
    stack: Vec<Item>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    /// What may be used again, by number: the bytes of a text.
    memo: HashMap<u32, usize>,
    values: usize,
    marked: usize,
    text: usize,
}

impl Gate<'_> {
    /// Takes one instruction; `false` if it was the last.
    fn step(&mut self) -> Result<bool, Unfit> {
        let [code] = *self.take(1)? else { return Err(Unfit::Length) };
        match code {
            // The version, and where a frame begins.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            // None, true, false; numbers of one, two, four and eight bytes.
            b'N' | 0x88 | 0x89 => self.push(Kind::Plain(0))?,
            b'K' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' => self.number(4)?,
            b'G' => self.number(8)?,
            // Texts, with their length before them.
            0x8c | b'U' => self.texts(1)?,
            b'X' | b'T' => self.texts(4)?,
            // Empty lists, tuples and dictionaries.
            b']' | b')' | b'}' => self.push(Kind::List(1))?,
            b'(' => {
                self.count()?;
                if self.marks.len() >= usize::from(MAX_DEPTH) {
                    return Err(Unfit::Depth);
                }
                self.marks.push(self.stack.len());
            }
            // To the list before: one value, those since the mark; to the dictionary.
            b'a' => self.add(1)?,
            b's' => self.add(2)?,
            b'e' | b'u' => {
                let many = self.since_mark()?;
                self.add(many)?;
            }
            // A list, tuple or dictionary of what there is since the mark; tuples of one, two, three.
            b'l' | b't' | b'd' => {
                let many = self.since_mark()?;
                self.marked += 1;
                if self.marked > MAX_MARKED {
                    return Err(Unfit::Size);
                }
                self.make(many)?;
            }
            0x85..=0x87 => self.make(usize::from(code - 0x84))?,
            // Keeps what was made last, and takes it again.
            0x94 => {
                let number = u32::try_from(self.memo.len()).map_err(|_| Unfit::Size)?;
                self.keep(number)?;
            }
            b'q' => {
                let number = self.length(1)?;
                self.keep(number)?;
            }
            b'r' => {
                let number = self.length(4)?;
                self.keep(number)?;
            }
            b'h' => self.again(1)?,
            b'j' => self.again(4)?,
            b'.' => {
                let is_whole = self.rest.is_empty() && self.marks.is_empty() && self.stack.len() == 1;
                return if is_whole { Ok(false) } else { Err(Unfit::Length) };
            }
            other => return Err(Unfit::Instruction(other)),
        }
        Ok(true)
    }

    fn take(&mut self, many: usize) -> Result<&[u8], Unfit> {
        let (taken, rest) = self.rest.split_at_checked(many).ok_or(Unfit::Length)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of one or four bytes, the least first.
    fn length(&mut self, bytes: usize) -> Result<u32, Unfit> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn count(&mut self) -> Result<(), Unfit> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(Unfit::Size) } else { Ok(()) }
    }

    fn push(&mut self, kind: Kind) -> Result<(), Unfit> {
        self.count()?;
        if let Kind::Plain(bytes) = kind {
            self.text += bytes;
        }
        self.stack.push(Item { kind, is_kept: false });
        if self.text > MAX_TEXT_BYTES { Err(Unfit::Size) } else { Ok(()) }
    }

    fn number(&mut self, bytes: usize) -> Result<(), Unfit> {
        self.take(bytes)?;
        self.push(Kind::Plain(0))
    }

    fn texts(&mut self, bytes: usize) -> Result<(), Unfit> {
        let length = usize::try_from(self.length(bytes)?).map_err(|_| Unfit::Length)?;
        self.take(length)?;
        self.push(Kind::Plain(length))
    }

    /// How many values there are since the last mark, which goes.
    fn since_mark(&mut self) -> Result<usize, Unfit> {
        let mark = self.marks.pop().ok_or(Unfit::Nothing)?;
        self.stack.len().checked_sub(mark).ok_or(Unfit::Nothing)
    }

    /// The depth of a list of the last `many` values, which go.
    fn depth(&mut self, many: usize) -> Result<u8, Unfit> {
        let from = self.stack.len().checked_sub(many).ok_or(Unfit::Nothing)?;
        // What lies behind a mark is not for those instructions that know none.
        if self.marks.last().is_some_and(|&mark| mark > from) {
            return Err(Unfit::Nothing);
        }
        let inside = self.stack.drain(from..).map(|item| match item.kind {
            Kind::Plain(_) => 0,
            Kind::List(depth) => depth,
        });
        let depth = inside.max().unwrap_or(0) + 1;
        if depth > MAX_DEPTH { Err(Unfit::Depth) } else { Ok(depth) }
    }

    fn add(&mut self, many: usize) -> Result<(), Unfit> {
        let added = self.depth(many)?;
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err(Unfit::Nothing);
        }
        let Some(Item { kind: Kind::List(depth), .. }) = self.stack.last_mut() else { return Err(Unfit::Nothing) };
        *depth = added.max(*depth);
        Ok(())
    }

    fn make(&mut self, many: usize) -> Result<(), Unfit> {
        let depth = self.depth(many)?;
        self.push(Kind::List(depth))
    }

    /// Keeps the last value under a number: each once, since what is kept anew is copied. Lists are kept by every pickler and
    /// taken again by none of a command: so they only use the number up.
    fn keep(&mut self, number: u32) -> Result<(), Unfit> {
        self.count()?;
        let item = self.stack.last_mut().filter(|item| !item.is_kept).ok_or(Unfit::Nothing)?;
        item.is_kept = true;
        let size = match item.kind {
            Kind::Plain(bytes) => bytes,
            Kind::List(_) => NO_TEXT,
        };
        if self.memo.insert(number, size).is_some() { Err(Unfit::Nothing) } else { Ok(()) }
    }

    fn again(&mut self, bytes: usize) -> Result<(), Unfit> {
        let number = self.length(bytes)?;
        let size = self.memo.get(&number).copied().filter(|&size| size != NO_TEXT).ok_or(Unfit::Nothing)?;
        self.push(Kind::Plain(size))?;
        if let Some(item) = self.stack.last_mut() {
            item.is_kept = true;
        }
        Ok(())
    }
}

/// In the memo: a list. No text is so long.
const NO_TEXT: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_texts_and_numbers_pass_however_they_are_written() {
        for pickle in [
            // `["ping"]` of the protocols 5 and 2, `["ping", 0.1]`, one text twice, and a list as other picklers write it.
            &b"\x80\x05\x95\x0b\0\0\0\0\0\0\0]\x94\x8c\x04ping\x94a."[..],
            b"\x80\x02]q\0X\x04\0\0\0pingq\x01a.",
            b"\x80\x05]\x94(\x8c\x04ping\x94G?\xb9\x99\x99\x99\x99\x99\x9ae.",
            b"\x80\x05]\x94(\x8c\x04ping\x94h\x01e.",
            b"\x80\x02(U\x04pingl.",
        ] {
            assert_eq!(admit(pickle), Ok(()), "{}", pickle.escape_ascii());
        }
    }

    #[test]
    fn what_names_or_calls_something_is_refused() {
        for (pickle, code) in [
            // os.system("true"), in the ways of three protocols; an object built; extensions; persistent names; the next buffer.
            (&b"cos\nsystem\n(S'true'\ntR."[..], b'c'),
            (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", 0x93),
            (b"(S'true'\nios\nsystem\n.", b'S'),
            (b"(ios\nsystem\n.", b'i'),
            (b"\x80\x02]}b.", b'b'),
            (b"\x80\x02])R.", b'R'),
            (b"\x80\x02])\x81.", 0x81),
            (b"\x80\x02\x82\x01.", 0x82),
            (b"\x80\x02]Q.", b'Q'),
            (b"\x80\x05\x97.", 0x97),
            // A text of the first protocol may be as long as it likes.
            (b"I1\n.", b'I'),
        ] {
            assert_eq!(admit(pickle), Err(Unfit::Instruction(code)), "{}", pickle.escape_ascii());
        }
    }

    #[test]
    fn what_would_grow_is_refused_before_it_does() {
        // A gigabyte promised; lists in lists, and by way of tuples; a text over and over; too many values.
        assert_eq!(admit(b"\x80\x05X\0\0\0\x40abc."), Err(Unfit::Length));
        assert_eq!(admit(b"\x80\x05\x8d\0\0\0\0\x01\0\0\0abc."), Err(Unfit::Instruction(0x8d)));
        let nested = |depth: usize| ["]".repeat(depth), "a".repeat(depth - 1), ".".to_owned()].concat();
        assert_eq!(admit(nested(8).as_bytes()), Ok(()));
        assert_eq!(admit(nested(9).as_bytes()), Err(Unfit::Depth));
        assert_eq!(admit(nested(20_000).as_bytes()), Err(Unfit::Depth));
        assert_eq!(admit(&[&b"]"[..], &b"\x85".repeat(100_000)].concat()), Err(Unfit::Depth));
        let long = [&b"]X\0\0\x01\0"[..], &[b'x'; 0x1_0000], b"q\x01a"].concat();
        assert_eq!(admit(&[&long[..], &b"h\x01a".repeat(31), b"."].concat()), Ok(()));
        assert_eq!(admit(&[&long[..], &b"h\x01a".repeat(32), b"."].concat()), Err(Unfit::Size));
        assert_eq!(admit(&[&b"("[..], &b"N".repeat(MAX_VALUES), b"l."].concat()), Err(Unfit::Size));
        assert_eq!(admit(&b"(".repeat(9)), Err(Unfit::Depth));
        let marked = |many: usize| [&b"]"[..], &b"(la".repeat(many), b"."].concat();
        assert_eq!(admit(&marked(MAX_MARKED)), Ok(()));
        assert_eq!(admit(&marked(MAX_MARKED + 1)), Err(Unfit::Size));
        // A list in itself; a text kept a second time, and another one under its number.
        for again in
            [&b"]q\0h\0a."[..], b"]\x8c\x01x\x94\x94a.", b"]\x8c\x01x\x94a\x8c\x01xq\0a.", b"]\x8c\x01x\x94ah\0q\x05a."]
        {
            assert_eq!(admit(again), Err(Unfit::Nothing), "{}", again.escape_ascii());
        }
    }

    #[test]
    fn every_part_of_a_pickle_and_whatever_follows_one_is_refused() {
        let whole = b"\x80\x05\x95\x18\0\0\0\0\0\0\0]\x94(\x8c\x06status\x94\x8c\x07dovecot\x94e.";
        for length in 0..whole.len() {
            assert!(admit(&whole[..length]).is_err(), "{length}");
        }
        assert_eq!(admit(whole), Ok(()));
        assert_eq!(admit(&[&whole[..], b"."].concat()), Err(Unfit::Length));
        for underflow in [&b"a."[..], b"e.", b"]e.", b"t.", b"\x87.", b"](a.", b"](NNs.", b"N(Ne.", b"\x94.", b"h\0."] {
            assert!(admit(underflow).is_err(), "{}", underflow.escape_ascii());
        }
    }
}
