//! Searching in bytes: log lines need not be UTF-8, so `str` and its methods are of no use to a filter.

/// Where `needle` first stands in `hay`.
pub(super) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

/// Where `needle` last stands in `hay`.
pub(super) fn rfind(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).rposition(|window| window == needle)
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
