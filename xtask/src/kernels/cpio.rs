//! An archive that the kernel unpacks into its first file system: cpio's "newc" form, as described in the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// An archive, growing.
#[derive(Debug, Default)]
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    /// Adds a folder. The one it lies in must be there.
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, 0o040_755, &[]);
    }

    /// Adds a file that nobody runs.
    pub(super) fn plain(&mut self, path: &str, content: &[u8]) {
        self.entry(path, 0o100_644, content);
    }

    /// Adds a file that may be run.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, 0o100_755, content);
    }

    /// The archive, ended. The kernel takes several, one after the other.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let name = path.trim_start_matches('/');
        let size = |length: usize| u32::try_from(length).expect("a file of an initial file system is under 4 GiB");
        self.entries += 1;
        let (owner, group, links, modified) = (0, 0, 1, 0);
        let no_device = [0; 4];
        let header = [self.entries, mode, owner, group, links, modified, size(content.len())];
        self.bytes.extend_from_slice(b"070701");
        for number in header.into_iter().chain(no_device).chain([size(name.len()) + 1, 0]) {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_each_padded() {
        let mut cpio = Cpio::default();
        cpio.file("/ab", b"hello");

        let bytes = cpio.finish();

        let header = "0707010000000100\
                      0081ed0000000000000000000000010000000000000005000000000000000000000000000000000000000300000000";
        let expected = [header.as_bytes(), b"ab\0\0\0\0", b"hello\0\0\0", b"070701"].concat();
        assert_eq!(String::from_utf8_lossy(&bytes[..expected.len()]), String::from_utf8_lossy(&expected));
        assert!(bytes.len().is_multiple_of(4) && bytes.windows(11).any(|name| name == b"TRAILER!!!\0"));
    }
}
