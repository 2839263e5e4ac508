//! What tells one configuration from every other: a digest of all files that were read for it, in their order, by their contents.
//!
//! Of the very bytes that were read, so it is of no other configuration than the one that is in force. No secret: whoever writes the
//! files may have it say anything.

use blocker_core::fail2ban::Files;
use blocker_core::keyed::HashKey;

/// The digest of what was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Adds a file.
    pub fn add(&mut self, content: &[u8]) {
        let Self(before) = *self;
        let key = HashKey::default();
        let (of_content, length) = (key.hash(content), content.len() as u64);
        let numbers = [before, of_content, length].map(u64::to_le_bytes);
        self.0 = key.hash(numbers.as_flattened());
    }

    /// Adds all files of a directory of fail2ban's, with their paths in it: what they mean depends on these.
    pub fn add_all(&mut self, files: &Files) {
        for (path, content) in files.iter() {
            self.add(path.as_bytes());
            self.add(content);
        }
    }

    /// In hexadecimal digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(contents: &[&[u8]]) -> Digest {
        let mut digest = Digest::default();
        for content in contents {
            digest.add(content);
        }
        digest
    }

    #[test]
    fn contents_their_order_and_where_each_ends_count() {
        let digests = [
            of(&[]),
            of(&[b""]),
            of(&[b"", b""]),
            of(&[b"ab"]),
            of(&[b"a", b"b"]),
            of(&[b"b", b"a"]),
            of(&[b"ab", b""]),
            of(&[b"", b"ab"]),
        ];

        for (at, one) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(one), "{at}");
        }
        assert_eq!(of(&[b"a", b"b"]).text(), of(&[b"a", b"b"]).text());
        assert_eq!(of(&[b"a"]).text().len(), 16);
    }
}
