//! The Journal Export Format into entries, with bounds.
//!
//! ```text
//! __CURSOR=s=…;i=…            a field: name, `=`, text
//! MESSAGE                     a field with control characters: name alone,
//! \x05\0\0\0\0\0\0\0a\nb c    its length in 8 bytes, the lowest first, the bytes, a newline
//!                             an empty line ends the entry
//! ```
//!
//! A text field ends at its newline and a binary one where its length says, so no value can pose as another field or as
//! the next entry. <https://systemd.io/JOURNAL_EXPORT_FORMATS/>

use std::ops::Range;

use blocker_core::journal::MAX_FIELD_NAME_BYTES;

/// Most that is kept of one entry: the longest message that may be configured, and as much again. Further fields are skipped:
/// `journalctl` is asked for a few.
const MAX_ENTRY_BYTES: usize = 128 * 1024;

/// Most fields kept of one entry.
const MAX_FIELDS: usize = 512;

/// One entry, as far as it was kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    /// Where in `bytes` each name and its value are.
    fields: Vec<(Range<usize>, Range<usize>)>,
    /// The names, without their values, of fields that were too long to be kept.
    skipped: Vec<Range<usize>>,
}

impl Entry {
    /// The values of a field, in their order.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |field: &&(Range<usize>, Range<usize>)| &self.bytes[field.0.clone()] == name.as_bytes();
        self.fields.iter().filter(is_named).map(|(_, value)| &self.bytes[value.clone()])
    }

    /// The first value of a field.
    pub(super) fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Whether one of a field's values is this.
    pub(super) fn has(&self, name: &str, value: &[u8]) -> bool {
        self.values(name).any(|found| found == value)
    }

    /// Whether a field had a value that was too long to be kept.
    pub(super) fn was_skipped(&self, name: &str) -> bool {
        self.skipped.iter().any(|skipped| &self.bytes[skipped.clone()] == name.as_bytes())
    }

    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.skipped.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.skipped.clear();
    }

    /// Whether there is room for one more field, of this many bytes.
    fn has_room(&self, bytes: usize) -> bool {
        self.fields.len() + self.skipped.len() < MAX_FIELDS && self.bytes.len() + bytes <= MAX_ENTRY_BYTES
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if !self.has_room(name.len() + value.len()) {
            self.skip(name);
        } else {
            let name = self.append(name);
            let value = self.append(value);
            self.fields.push((name, value));
        }
    }

    fn skip(&mut self, name: &[u8]) {
        if self.has_room(name.len()) {
            let name = self.append(name);
            self.skipped.push(name);
        }
    }
}

/// What is no export format. There is no way to tell where the next entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A field whose name is no name.
    #[error("a field without a name in journalctl's output")]
    Name,
    /// A binary field that goes on behind its length.
    #[error("a binary field without an end in journalctl's output")]
    End,
}

/// Takes the bytes of one stream in whatever pieces they are read. Keeps at most one entry.
#[derive(Debug)]
pub(super) struct Parser {
    /// Longest value that is kept: of the fields that are asked for, only messages are long. A longer one is skipped whole.
    max_value_bytes: usize,
    state: State,
    entry: Entry,
    /// The name and value, or the part of them, that is being read.
    name: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// In a line, up to its `=` or newline.
    #[default]
    Name,
    /// Behind the `=`, up to the newline.
    Text,
    /// The same, in a value that is too long.
    SkippedText,
    /// In the length of a binary value: its bytes so far, and how many.
    Length([u8; 8], usize),
    /// In a binary value of which so many bytes are left.
    Binary(u64),
    /// The same, in one that is too long.
    SkippedBinary(u64),
    /// In front of the newline that ends a binary value.
    End,
}

impl Parser {
    /// Begins at the beginning of a stream. Values of more than `max_value_bytes` are skipped.
    pub(super) fn new(max_value_bytes: usize) -> Self {
        let (state, entry) = (State::default(), Entry::default());
        Self { max_value_bytes, state, entry, name: Vec::new(), value: Vec::new() }
    }

    /// Takes `bytes` and hands each entry that ends in them to `each`.
    ///
    /// # Errors
    ///
    /// If they are no entries. The parser is of no use then.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&Entry)) -> Result<(), Malformed> {
        while let Some(&first) = bytes.first() {
            let taken = match self.state {
                State::Name => self.push_name(bytes, &mut each)?,
                State::Text => {
                    let (part, ended) = up_to_newline(bytes);
                    if self.value.len() + part.len() > self.max_value_bytes {
                        self.entry.skip(&self.name);
                        self.state = State::SkippedText;
                        continue;
                    }
                    self.value.extend_from_slice(part);
                    if ended {
                        self.entry.add(&self.name, &self.value);
                        self.begin_field();
                    }
                    part.len() + usize::from(ended)
                }
                State::SkippedText => {
                    let (part, ended) = up_to_newline(bytes);
                    if ended {
                        self.begin_field();
                    }
                    part.len() + usize::from(ended)
                }
                State::Length(mut length, got) => {
                    length[got] = first;
                    self.state = if got + 1 < length.len() {
                        State::Length(length, got + 1)
                    } else {
                        self.begin_binary(u64::from_le_bytes(length))
                    };
                    1
                }
                State::Binary(left) => {
                    let part = at_most(bytes, left);
                    self.value.extend_from_slice(part);
                    let left = left - part.len() as u64;
                    self.state = if left > 0 { State::Binary(left) } else { State::End };
                    if left == 0 {
                        self.entry.add(&self.name, &self.value);
                    }
                    part.len()
                }
                State::SkippedBinary(left) => {
                    let part = at_most(bytes, left);
                    let left = left - part.len() as u64;
                    self.state = if left > 0 { State::SkippedBinary(left) } else { State::End };
                    part.len()
                }
                State::End => {
                    if first != b'\n' {
                        return Err(Malformed::End);
                    }
                    self.begin_field();
                    1
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Takes what belongs to a name, and says how many bytes.
    fn push_name(&mut self, bytes: &[u8], each: &mut impl FnMut(&Entry)) -> Result<usize, Malformed> {
        let len = bytes.iter().take(MAX_FIELD_NAME_BYTES + 1).position(|byte| matches!(byte, b'=' | b'\n'));
        let part = &bytes[..len.unwrap_or(bytes.len().min(MAX_FIELD_NAME_BYTES + 1))];
        self.name.extend_from_slice(part);
        if self.name.len() > MAX_FIELD_NAME_BYTES {
            return Err(Malformed::Name);
        }
        let Some(len) = len else { return Ok(part.len()) };
        match (bytes[len], self.name.is_empty()) {
            (b'\n', true) => {
                if !self.entry.is_empty() {
                    each(&self.entry);
                    self.entry.clear();
                }
            }
            (b'\n', false) => self.state = State::Length([0; 8], 0),
            (_, true) => return Err(Malformed::Name),
            (_, false) => self.state = State::Text,
        }
        Ok(len + 1)
    }

    fn begin_binary(&mut self, length: u64) -> State {
        if length > self.max_value_bytes as u64 {
            self.entry.skip(&self.name);
            return State::SkippedBinary(length);
        }
        if length == 0 {
            self.entry.add(&self.name, b"");
            return State::End;
        }
        State::Binary(length)
    }

    fn begin_field(&mut self) {
        self.state = State::Name;
        self.name.clear();
        self.value.clear();
    }
}

/// The bytes in front of the first newline, and whether there is one.
fn up_to_newline(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], true),
        None => (bytes, false),
    }
}

fn at_most(bytes: &[u8], left: u64) -> &[u8] {
    &bytes[..usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))]
}

#[cfg(test)]
mod tests {
    const MAX_VALUE_BYTES: usize = 8 * 1024;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_text_and_binary_fields() {
        let read = entries(&[b"A=1\nB\n\x03\0\0\0\0\0\0\0x\ny\nA=2=3\nEMPTY=\nNOTHING\n\0\0\0\0\0\0\0\0\n\n\nC=4\n\n"]);

        let [first, second] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(first.values("A").collect::<Vec<_>>(), [&b"1"[..], b"2=3"]);
        assert_eq!(first.value("B"), Some(&b"x\ny"[..]));
        assert_eq!((first.value("EMPTY"), first.value("NOTHING")), (Some(&b""[..]), Some(&b""[..])));
        assert_eq!((first.value("C"), second.value("C")), (None, Some(&b"4"[..])));
        assert!(first.has("A", b"2=3") && !first.has("A", b"2"));
    }

    #[test]
    fn an_entry_is_none_before_its_empty_line() {
        assert!(entries(&[b"A=1\nB=2\n"]).is_empty());
    }

    #[test]
    fn what_is_too_long_is_skipped_whole_and_the_rest_is_read() {
        let longest = [b"MESSAGE=", &vec![b'x'; MAX_VALUE_BYTES][..], b"\nA=1\n\n"].concat();
        let longer = [b"MESSAGE=", &vec![b'x'; MAX_VALUE_BYTES + 1][..], b"\nA=1\n\n"].concat();
        let length = (MAX_VALUE_BYTES as u64 + 1).to_le_bytes();
        let binary = [b"MESSAGE\n", &length[..], &vec![b'\n'; MAX_VALUE_BYTES + 1][..], b"\nA=1\n\n"].concat();

        assert_eq!(entries(&[&longest])[0].value("MESSAGE").map(<[u8]>::len), Some(MAX_VALUE_BYTES));
        for text in [longer, binary] {
            let read = entries(&[&text]);
            assert_eq!((read[0].value("MESSAGE"), read[0].was_skipped("MESSAGE")), (None, true));
            assert_eq!((read[0].value("A"), read[0].was_skipped("A")), (Some(&b"1"[..]), false));
        }
    }

    #[test]
    fn an_endless_entry_takes_no_memory() {
        let mut parser = Parser::new(MAX_VALUE_BYTES);
        for number in 0..100_000 {
            let field = format!("FIELD_{number}={}\n", "x".repeat(1_000));
            parser.push(field.as_bytes(), |_| panic!("it has not ended")).unwrap();
        }
        parser.push(b"BIG\n\xff\xff\xff\xff\xff\xff\xff\xff", |_| panic!("it has not ended")).unwrap();
        for _ in 0..1_000 {
            parser.push(&[b'\n'; 4_096], |_| panic!("it has not ended")).unwrap();
        }

        assert!(parser.entry.bytes.len() <= MAX_ENTRY_BYTES);
        assert!(parser.entry.fields.len() + parser.entry.skipped.len() <= MAX_FIELDS);
        assert!(parser.value.capacity() <= 2 * MAX_VALUE_BYTES);
    }

    #[test]
    fn what_is_no_export_format_is_refused() {
        for (text, expected) in [
            (&b"=1\n"[..], Malformed::Name),
            (&[b'A'; MAX_FIELD_NAME_BYTES + 1], Malformed::Name),
            (b"A\n\x01\0\0\0\0\0\0\0xy\n", Malformed::End),
        ] {
            assert_eq!(Parser::new(MAX_VALUE_BYTES).push(text, |_| {}), Err(expected), "{}", text.escape_ascii());
        }
    }

    proptest! {
        /// Values are made of what the format itself is made of, so that any of them would pose as a field if it could.
        #[test]
        fn no_value_forges_a_field_and_no_cut_matters(
            written in proptest::collection::vec(
                proptest::collection::vec(("[A-Z_]{1,8}", prop_oneof![
                    proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'='), Just(b'A'), Just(0), any::<u8>()], 0..24),
                    Just(b"\n\nMESSAGE=forged\n\n".to_vec()),
                ]), 1..6),
                0..6,
            ),
            cuts in proptest::collection::vec(0_usize..2_000, 0..8),
        ) {
            let text: Vec<u8> = written.iter().flat_map(|fields| export(fields)).collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();

            let read: Vec<Vec<(String, Vec<u8>)>> = entries(&pieces).iter().map(fields).collect();

            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'='), Just(b'A'), Just(0), any::<u8>()], 0..64), 0..8,
        )) {
            let mut parser = Parser::new(MAX_VALUE_BYTES);
            for piece in pieces {
                if parser.push(&piece, |_| {}).is_err() {
                    break;
                }
            }
        }
    }

    /// As `journalctl` writes it: text if it is printable.
    fn export(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, value) in fields {
            text.extend_from_slice(name.as_bytes());
            if value.iter().any(u8::is_ascii_control) || str::from_utf8(value).is_err() {
                text.push(b'\n');
                text.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                text.push(b'=');
            }
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        text.push(b'\n');
        text
    }

    fn fields(entry: &Entry) -> Vec<(String, Vec<u8>)> {
        let text = |range: &Range<usize>| entry.bytes[range.clone()].to_vec();
        entry.fields.iter().map(|(name, value)| (String::from_utf8(text(name)).unwrap(), text(value))).collect()
    }

    fn entries(pieces: &[&[u8]]) -> Vec<Entry> {
        let mut parser = Parser::new(MAX_VALUE_BYTES);
        let mut entries = Vec::new();
        for piece in pieces {
            parser.push(piece, |entry| entries.push(entry.clone())).expect("it is an export");
        }
        entries
    }
}
