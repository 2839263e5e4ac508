//! Compressed files: by which names they are known, and how they are unpacked.
//!
//! Whoever rotates logs may compress them. Such a file is read once, from its beginning to its end, by decoders in Rust with
//! bounded memory: what a file asks for beyond these bounds is an error.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Most bytes that are unpacked of one file to be judged, and of all files together to find where an earlier run left off. A few
/// kilobytes may unpack to any length.
pub(super) const MAX_UNPACKED_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// The largest dictionary of an xz file that is unpacked: that of `xz -9`. A decoder for zstd takes a window of up to 100 MiB
/// (`ruzstd`), gzip has one of 32 KiB, bzip2 blocks of 900 kB.
const MAX_XZ_DICTIONARY: u64 = 64 * 1024 * 1024;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// gzip, in one member or several.
    Gzip,
    /// xz, in one stream or several.
    Xz,
    /// bzip2, in one stream or several.
    Bzip2,
    /// Zstandard, in one frame or several.
    Zstd,
}

/// Ends of names under which a rotated log lies compressed; those without a format cannot be read.
const ENDS: [(&str, Option<Format>); 7] = [
    (".gz", Some(Format::Gzip)),
    (".xz", Some(Format::Xz)),
    (".bz2", Some(Format::Bzip2)),
    (".zst", Some(Format::Zstd)),
    (".lz4", None),
    (".lzma", None),
    (".Z", None),
];

/// A name of a compressed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackedName {
    /// How it is compressed, if that can be read.
    pub(super) format: Option<Format>,
    /// What the file was called before.
    pub(super) base: PathBuf,
}

impl PackedName {
    /// What the name of a file says, if it is that of a compressed one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (base, format) = ENDS.iter().find_map(|&(end, format)| Some((name.strip_suffix(end)?, format)))?;
        (!base.is_empty()).then(|| Self { format, base: path.with_file_name(base) })
    }

    /// Whether the file that it was made of is there: then it is not finished, or is one copy too many.
    pub(super) fn has_base(&self) -> bool {
        fs::symlink_metadata(&self.base).is_ok()
    }
}

/// What a compressed file holds, from its beginning.
///
/// # Errors
///
/// If the file cannot be read, or asks for too much memory.
pub(super) fn unpack(file: &File, format: Format) -> io::Result<Box<dyn Read + Send>> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut reader = BufReader::new(file);
    Ok(match format {
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Format::Xz => {
            let asked = xz_dictionary(reader.fill_buf()?).unwrap_or(0);
            if asked > MAX_XZ_DICTIONARY {
                return Err(invalid(format!(
                    "its dictionary has {asked} bytes, at most {MAX_XZ_DICTIONARY} are taken"
                )));
            }
            Box::new(lzma_rust2::XzReader::new(reader, true))
        }
        Format::Zstd => Box::new(Zstd { source: reader, frame: FrameDecoder::new(), is_begun: false }),
    })
}

/// The size of the dictionary that the first block of an xz file asks for: the property of its last filter, which is LZMA2 (xz
/// file format 1.1.0, 3.1 and 5.3.1).
fn xz_dictionary(head: &[u8]) -> Option<u64> {
    let block = head.get(12..)?;
    let size = usize::from(*block.first()?) * 4 + 4;
    let header = block.get(..size)?;
    // Behind the filter's id and the length of its properties.
    let at = header.windows(2).skip(2).rposition(|pair| pair == [0x21, 0x01])? + 4;
    let bits = u32::from(*header.get(at)? & 0x3f);
    Some(if bits >= 40 { u64::from(u32::MAX) } else { u64::from(2 | (bits & 1)) << (bits / 2 + 11) })
}

/// The frames of a zstd file, one after the other: the decoder takes one.
struct Zstd {
    source: BufReader<File>,
    frame: FrameDecoder,
    /// Whether a frame is being read.
    is_begun: bool,
}

impl Zstd {
    /// Begins the next frame; says whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.reset(&mut self.source) {
                Ok(()) => {
                    self.is_begun = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(invalid(error.to_string())),
            }
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_begun && !self.begin()? {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.source, some).map_err(|error| invalid(error.to_string()))?;
            }
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.is_begun = false;
        }
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::Command;

    use super::super::testing::TempDir;
    use super::*;

    /// The program that makes files of each format, and the end that it gives to their names.
    pub(in super::super) const PACKERS: [(&str, &str); 4] =
        [("gzip", ".gz"), ("xz", ".xz"), ("bzip2", ".bz2"), ("zstd", ".zst")];

    /// Compresses a file as a rotation does, by the format's own program.
    pub(in super::super) fn pack(dir: &TempDir, name: &str, packer: &str) {
        let mut command = Command::new(packer);
        if packer == "zstd" {
            command.args(["-q", "--rm"]);
        }
        assert!(command.arg(dir.path(name)).status().expect("it is installed").success(), "{packer}");
    }

    fn text(dir: &TempDir, name: &str) -> io::Result<Vec<u8>> {
        let format = PackedName::of(&dir.path(name)).and_then(|name| name.format).expect("a format");
        let mut text = Vec::new();
        unpack(&File::open(dir.path(name))?, format)?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn what_the_formats_own_programs_have_packed_is_unpacked_whole_in_several_parts_too() {
        let dir = TempDir::new();
        let lines: String = (0..50_000).map(|number| format!("line {number} {}\n", number * 7_919)).collect();
        for (packer, end) in PACKERS {
            dir.write("a", lines.as_bytes());
            dir.write("b", b"the second part\n");
            pack(&dir, "a", packer);
            pack(&dir, "b", packer);
            let parts = [format!("a{end}"), format!("b{end}")].map(|name| fs::read(dir.path(&name)).unwrap());
            dir.write(&format!("c{end}"), &parts.concat());

            assert!(text(&dir, &format!("a{end}")).unwrap() == lines.as_bytes(), "{packer}");
            let both = text(&dir, &format!("c{end}")).unwrap();
            assert!(both == [lines.as_bytes(), b"the second part\n"].concat(), "{packer}: {}", both.len());
            dir.write(&format!("d{end}"), &parts[0][..parts[0].len() / 2]);
            assert!(text(&dir, &format!("d{end}")).is_err(), "{packer}: half a file has no end");
        }
    }

    #[test]
    fn no_more_memory_is_taken_than_the_bound() {
        let dir = TempDir::new();
        dir.write("a", b"text\n");
        let made =
            Command::new("xz").args(["--lzma2=dict=128MiB"]).arg(dir.path("a")).status().expect("it is installed");
        assert!(made.success());

        let why = text(&dir, "a.xz").unwrap_err().to_string();

        assert_eq!(why, "its dictionary has 134217728 bytes, at most 67108864 are taken");
        dir.write("b", b"text\n");
        pack(&dir, "b", "xz");
        let head = fs::read(dir.path("b.xz")).unwrap();
        assert_eq!(xz_dictionary(&head), Some(8 * 1024 * 1024), "xz -6");
    }

    #[test]
    fn names_tell_how_files_are_packed() {
        let of = |name: &str| PackedName::of(Path::new(name)).map(|name| (name.format, name.base));
        let base = |name: &str| PathBuf::from(name);

        assert_eq!(of("/log/a.log.2.gz"), Some((Some(Format::Gzip), base("/log/a.log.2"))));
        assert_eq!(of("/log/a.log-20261126.zst"), Some((Some(Format::Zstd), base("/log/a.log-20261126"))));
        assert_eq!(of("/log/a.log.Z"), Some((None, base("/log/a.log"))));
        assert_eq!((of("/log/a.log"), of("/log/.gz"), of("/")), (None, None, None));
    }
}
