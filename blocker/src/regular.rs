//! Opens files whose places a configuration or a command line names: regular ones, and without ever waiting.
//!
//! To open a FIFO waits until somebody opens its other end, which may be never; to open a device may do something. So what is there
//! is looked at before it is opened, and what was opened is looked at once more, since it may have been exchanged.
//! `/dev/null` may stand for an empty file, as it does everywhere.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};

/// Device 1, 3: Linux' `Documentation/admin-guide/devices.txt`.
const NULL: (u64, u64) = (1, 3);

/// Opens a file for reading.
///
/// # Errors
///
/// The system's; or that it is no regular file, and what it is.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true))
}

/// Opens a file to append to it, or makes one of this mode.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn append(path: &Path, mode: u32) -> io::Result<File> {
    opened(path, OpenOptions::new().append(true).create(true).mode(mode))
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// As [`open`]; or that it is longer.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    let size = size.max(bytes.len() as u64);
    if size > most {
        return Err(io::Error::other(format!("{size} bytes, expected at most {most}")));
    }
    Ok(bytes)
}

/// Reads a text in UTF-8 of at most `most` bytes.
///
/// # Errors
///
/// As [`read`]; or that it is no text.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("is no text in UTF-8 from byte {at} on"))
    })
}

fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(metadata) => check(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match options.custom_flags(flags.bits()).open(path) {
        // A FIFO that nobody reads, opened for writing.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(no_file("a FIFO")),
        opened => opened?,
    };
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let device = || (major(metadata.rdev()), minor(metadata.rdev()));
    if kind.is_file() || (kind.is_char_device() && device() == NULL) {
        return Ok(());
    }
    Err(no_file(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

fn no_file(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("is {what}, expected a regular file"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::source::testing::TempDir;

    /// What `work` answers, which must be at once.
    fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (told, answer) = channel();
        thread::spawn(move || told.send(work()));
        answer.recv_timeout(Duration::from_secs(20)).expect("an answer at once")
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once_and_said_to_be_what_it_is() {
        let dir = TempDir::new();
        mkfifo(&dir.path("fifo"), Mode::S_IRWXU).expect("it can be made");
        let _listener = UnixListener::bind(dir.path("socket")).expect("it can be made");
        std::os::unix::fs::symlink("fifo", dir.path("link")).expect("it can be made");

        for (path, what) in [
            (dir.path("fifo"), "is a FIFO, expected a regular file"),
            (dir.path("link"), "is a FIFO, expected a regular file"),
            (dir.path("socket"), "is a socket, expected a regular file"),
            (dir.path(""), "is a directory, expected a regular file"),
            ("/dev/zero".into(), "is a device, expected a regular file"),
        ] {
            let tried = path.clone();
            let told = at_once(move || [open(&tried), append(&tried, 0o600)].map(|opened| opened.map(drop)));
            let told = told.map(|opened| opened.expect_err("it is refused").to_string());
            assert_eq!(told, [what, what], "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_read_and_appended_to_and_so_is_the_empty_one() {
        use std::io::Write as _;
        let dir = TempDir::new();
        let path = dir.path("file");
        append(&path, 0o600).and_then(|mut file| file.write_all(b"four")).expect("it is written");

        assert_eq!(read(&path, 4).expect("it is read"), b"four");
        assert_eq!(read(&path, 3).expect_err("too long").to_string(), "4 bytes, expected at most 3");
        assert_eq!(read_text(Path::new("/dev/null"), 3).expect("it is empty"), "");
        append(Path::new("/dev/null"), 0o600).and_then(|mut file| file.write_all(b"four")).expect("it is swallowed");
        assert_eq!(read(&dir.path("none"), 3).expect_err("it is not there").kind(), io::ErrorKind::NotFound);
        dir.write("bytes", b"ab\xff");
        assert_eq!(
            read_text(&dir.path("bytes"), 9).expect_err("no text").to_string(),
            "is no text in UTF-8 from byte 2 on"
        );
    }
}
