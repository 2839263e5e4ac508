//! Messages in a stream of bytes, as RFC 6587 frames them: `LENGTH MESSAGE` (section 3.4.1), or each ended by a newline
//! (section 3.4.2). A message begins with `<`, a length with a digit other than 0, so each says itself which it is.

use memchr::memchr;

/// Most digits of a length; a longer one is no length.
const MAX_DIGITS: usize = 7;

/// Takes messages out of a stream, however its bytes are cut.
#[derive(Debug)]
pub(super) struct Frames {
    max_bytes: usize,
    state: State,
    /// What is kept of the message that is not finished: at most `max_bytes` and one more.
    kept: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing of the next message has been seen.
    Between,
    /// The digits seen so far say this.
    Length { value: usize, digits: usize },
    /// So many bytes are missing.
    Counted { missing: usize },
    /// Up to the next newline.
    Line,
}

impl Frames {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: State::Between, kept: Vec::new() }
    }

    /// Takes `bytes`, hands on the messages that end in them, and returns how many were too long. Of those nothing is handed on.
    pub(super) fn push(&mut self, bytes: &[u8], mut hand_on: impl FnMut(&mut [u8])) -> u64 {
        let mut overlong = 0;
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.state {
                State::Between => match byte {
                    b'1'..=b'9' => {
                        self.state = State::Length { value: usize::from(byte - b'0'), digits: 1 };
                        self.kept.push(byte);
                        rest = behind;
                    }
                    b'\n' | b'\r' | 0 => rest = behind,
                    _ => self.state = State::Line,
                },
                State::Length { value, digits } => match byte {
                    b'0'..=b'9' if digits < MAX_DIGITS => {
                        let value = value * 10 + usize::from(byte - b'0');
                        self.state = State::Length { value, digits: digits + 1 };
                        self.kept.push(byte);
                        rest = behind;
                    }
                    b' ' => {
                        self.kept.clear();
                        self.state = State::Counted { missing: value };
                        rest = behind;
                    }
                    // A line that begins with digits.
                    _ => self.state = State::Line,
                },
                State::Counted { missing } => {
                    let here = missing.min(rest.len());
                    self.keep(&rest[..here]);
                    rest = &rest[here..];
                    self.state = State::Counted { missing: missing - here };
                    if missing == here {
                        overlong += self.end(&mut hand_on);
                    }
                }
                State::Line => match memchr(b'\n', rest) {
                    Some(end) => {
                        self.keep(&rest[..end]);
                        rest = &rest[end + 1..];
                        overlong += self.end(&mut hand_on);
                    }
                    None => {
                        self.keep(rest);
                        rest = &[];
                    }
                },
            }
        }
        overlong
    }

    /// Whether a message was begun whose end has not come.
    pub(super) fn has_unfinished_message(&self) -> bool {
        match self.state {
            State::Between => false,
            State::Length { .. } | State::Counted { .. } | State::Line => true,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.max_bytes + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Hands the finished message on, unless it is too long: then it is counted.
    fn end(&mut self, hand_on: &mut impl FnMut(&mut [u8])) -> u64 {
        self.state = State::Between;
        let is_overlong = self.kept.len() > self.max_bytes;
        if !is_overlong {
            hand_on(&mut self.kept);
        }
        self.kept.clear();
        is_overlong.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let mut frames = Frames::new(20);
        let mut messages = Vec::new();
        let overlong = pieces
            .iter()
            .map(|piece| frames.push(piece, |message| messages.push(String::from_utf8_lossy(message).into_owned())))
            .sum();
        (messages, overlong)
    }

    #[test]
    fn both_framings_are_read_also_in_turn() {
        let (messages, overlong) = framed(&[b"<22>one\n7 <22>two<22>three\r\n9 <22>fo\nur<22>five\n"]);

        assert_eq!(messages, ["<22>one", "<22>two", "<22>three\r", "<22>fo\nur", "<22>five"]);
        assert_eq!(overlong, 0);
    }

    #[test]
    fn a_message_that_is_cut_is_none_and_known() {
        for (text, is_cut) in
            [("<22>one\n", false), ("7 <22>two", false), ("<22>o", true), ("9 <22>two", true), ("12", true)]
        {
            let mut frames = Frames::new(20);
            frames.push(text.as_bytes(), |_| {});

            assert_eq!(frames.has_unfinished_message(), is_cut, "{text}");
        }
    }

    #[test]
    fn digits_that_are_no_length_begin_a_line() {
        assert_eq!(framed(&[b"12:34 x\n12345678 x\n"]).0, ["12:34 x", "12345678 x"]);
    }

    #[test]
    fn what_is_too_long_is_counted_and_the_next_is_read() {
        for long in [format!("<22>{}\n", "x".repeat(1_000)), format!("1004 <22>{}", "x".repeat(1_000))] {
            let (messages, overlong) = framed(&[long.as_bytes(), b"<22>next\n"]);

            assert_eq!((messages, overlong), (vec!["<22>next".to_owned()], 1));
        }
    }

    #[test]
    fn an_endless_message_takes_no_memory() {
        let mut frames = Frames::new(20);
        for _ in 0..100 {
            frames.push(&[b'x'; 10_000], |_| panic!("no message ended"));
        }

        assert!(frames.kept.capacity() < 100);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(text in "[<1-9 x\n]{0,80}", cut in 0_usize..80) {
            let cut = cut.min(text.len());

            prop_assert_eq!(
                framed(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]),
                framed(&[text.as_bytes()])
            );
        }
    }
}
