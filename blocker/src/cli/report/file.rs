//! A file that is there whole or not at all, for its owner alone.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Result, bail};

use crate::exit::io_failure;

/// Writes `bytes` beside `path`, and gives it that name when they are on disk. What is there is replaced if it is a file.
///
/// # Errors
///
/// If something else is there (a link, a device, a directory), or the file system's.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => bail!("{} is there and no regular file: it is left as it is, give another name", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io_failure(error, writing())),
    }
    let Some(name) = path.file_name() else { bail!("{} is no name of a file", path.display()) };
    // Nobody can have made it before: it is no name that can be foreseen, and must not be there.
    let number = RandomState::new().hash_one(std::process::id());
    let temporary = path.with_file_name(format!(".{}.{number:016x}", name.to_string_lossy()));
    let done = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    done.map_err(|error| {
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("blocker: removing {}: {error}", temporary.display());
        }
        io_failure(error, writing())
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owner_s_alone() {
        let dir = TempDir::new();
        let path = dir.path("report.html");
        fs::write(&path, "an earlier one, which is longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();

        replace(&path, b"new").unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path("")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_file_is_left_as_it_is() {
        let dir = TempDir::new();
        fs::write(dir.path("target"), "kept").unwrap();
        symlink(dir.path("target"), dir.path("link")).unwrap();
        fs::create_dir(dir.path("directory")).unwrap();

        for name in ["link", "directory"] {
            let error = replace(&dir.path(name), b"new").unwrap_err().to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
        assert!(replace(&dir.path("none/report.html"), b"new").unwrap_err().to_string().contains("writing "));
        assert_eq!(fs::read(dir.path("target")).unwrap(), b"kept");
        assert!(dir.path("link").is_symlink());
        assert_eq!(fs::read_dir(dir.path("")).unwrap().count(), 3);
    }
}
