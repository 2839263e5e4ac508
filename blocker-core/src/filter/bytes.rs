//! Searching in bytes: log lines need not be UTF-8, so `str` and its methods are of no use to a filter.

/// Whether `text` begins with `start`: for one of many, of which few have the same first byte.
#[inline]
pub(super) fn begins(text: &[u8], start: &[u8]) -> bool {
    text.first() == start.first() && text.starts_with(start)
}

/// Where `needle` first stands in `hay`.
#[inline]
pub(super) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    // Most are short, and their first bytes rare: what a searcher would have to be made for is found sooner than it is made.
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(first, hay.get(from..)?)?;
        from = at + 1;
        if hay[from..].starts_with(rest) {
            return Some(at);
        }
    }
}

/// Where `needle` last stands in `hay`.
#[inline]
pub(super) fn rfind(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut end = hay.len();
    loop {
        let at = memchr::memrchr(first, &hay[..end])?;
        if hay[at + 1..].starts_with(rest) {
            return Some(at);
        }
        end = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_and_the_last() {
        assert_eq!(find(b"a, b, c", b", "), Some(1));
        assert_eq!(rfind(b"a, b, c", b", "), Some(4));
    }

    #[test]
    fn finds_nothing_in_too_little() {
        assert_eq!(find(b"", b", "), None);
        assert_eq!(rfind(b",", b", "), None);
    }
}
