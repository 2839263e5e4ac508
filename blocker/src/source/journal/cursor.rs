//! Cursors: which text is one, and which of two entries comes first by them.
//!
//! systemd's are `s=ID;i=HEX;b=ID;m=HEX;t=HEX;x=HEX`: the sequence and the number in it, the boot and the microseconds
//! since it, the microseconds since 1970, a checksum. journald numbers all that it writes in one sequence; another writer,
//! or one whose files were all lost, begins another.

use super::export::Entry;

/// Longest cursor, in bytes: systemd's have some 130.
pub const MAX_CURSOR_BYTES: usize = 512;

/// Whether a text may be given to `journalctl` as a cursor.
pub fn is_cursor(text: &str) -> bool {
    (1..=MAX_CURSOR_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An entry's cursor, if it is one that may be given to `journalctl` again.
pub(super) fn of(entry: &Entry) -> Option<&str> {
    str::from_utf8(entry.value("__CURSOR")?).ok().filter(|text| is_cursor(text))
}

/// When the journal took the entry of a cursor, in microseconds since 1970.
pub(super) fn micros(cursor: &str) -> Option<u64> {
    hexadecimal(cursor, "t=")
}

/// Whether the entry of one cursor was read by who has read up to another: by their numbers, if they are of one sequence,
/// else by their times. If these are the same, that cannot be known, and it was not.
pub(super) fn is_read(entry: &str, up_to: &str) -> bool {
    if entry == up_to {
        return true;
    }
    let numbered = |cursor| part(cursor, "s=").zip(hexadecimal(cursor, "i="));
    if let (Some((sequence, number)), Some((other, last))) = (numbered(entry), numbered(up_to))
        && sequence == other
    {
        return number <= last;
    }
    micros(entry).zip(micros(up_to)).is_some_and(|(at, last)| at < last)
}

fn part<'a>(cursor: &'a str, name: &str) -> Option<&'a str> {
    cursor.split(';').find_map(|part| part.strip_prefix(name))
}

fn hexadecimal(cursor: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(part(cursor, name)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart_by_number_in_one_sequence_and_by_time_else() {
        let last = "s=a;i=f;b=1;m=5;t=100;x=0";
        for (entry, expected) in [
            (last, true),
            ("s=a;i=e;b=1;m=5;t=101;x=0", true),
            ("s=a;i=10;b=1;m=5;t=ff;x=0", false),
            ("s=b;i=1;b=1;m=5;t=ff;x=0", true),
            ("s=b;i=1;b=1;m=5;t=100;x=0", false),
            ("s=b;i=1;b=1;m=5;t=101;x=0", false),
            ("nothing", false),
        ] {
            assert_eq!(is_read(entry, last), expected, "{entry}");
        }
        assert_eq!(micros(last), Some(0x100));
        assert!(!is_read(last, "nothing"));
    }

    #[test]
    fn a_cursor_is_short_and_printable() {
        assert!(is_cursor("s=2a;i=1") && is_cursor(&"x".repeat(MAX_CURSOR_BYTES)));
        for text in ["", "s=2a i=1", "s=\n", &"x".repeat(MAX_CURSOR_BYTES + 1)] {
            assert!(!is_cursor(text), "{text:?}");
        }
    }
}
