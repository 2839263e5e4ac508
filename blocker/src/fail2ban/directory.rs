//! Reads the directory of a configuration of fail2ban, within bounds.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use blocker_core::fail2ban::{Files, Filter, Logs, MAX_FILE_BYTES, load_filter};

use crate::digest::Digest;
use crate::exit::{Failure, is_permission};
use crate::regular;

/// How deep directories are looked into.
const MAX_DEPTH: usize = 4;

/// Most names of a directory that are looked at.
const MAX_ENTRIES: usize = 4_096;

/// Reads all files called `*.conf` and `*.local` in `directory` and below.
///
/// # Errors
///
/// [`Failure::Permission`], or [`Failure::Configuration`] if it is no directory of fail2ban's.
pub fn read(directory: &Path) -> Result<Files> {
    let mut files = Files::of(&directory.to_string_lossy());
    add(directory, "", 0, &mut files)?;
    Ok(files)
}

/// Reads the filter in a file, which is called with parameters behind its path: `/etc/fail2ban/filter.d/sshd.conf[mode=aggressive]`. What
/// it includes is looked for beside it. What is read goes into the digest, too.
///
/// # Errors
///
/// [`Failure::Configuration`] with file, line and option, or [`Failure::Permission`].
pub(super) fn filter(words: &str, logs: Logs, digest: &mut Digest) -> Result<Filter> {
    let (path, parameters) = words.split_once('[').map_or((words, ""), |(path, rest)| (path, rest));
    let path = Path::new(path);
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let metadata = fs::metadata(path).map_err(|error| failure(path, &error))?;
    let Some(stem) = stem.filter(|_| metadata.is_file()) else {
        return Err(refused(path, "it is no file"));
    };
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = beside.parent().filter(|_| beside.ends_with("filter.d"));
    let mut files = Files::of(&above.unwrap_or(beside).to_string_lossy());
    match above {
        Some(above) => add(if above.as_os_str().is_empty() { Path::new(".") } else { above }, "", 0, &mut files)?,
        None => add(beside, "filter.d", MAX_DEPTH, &mut files)?,
    }
    digest.add_all(&files);
    let words = if parameters.is_empty() { stem.to_owned() } else { format!("{stem}[{parameters}") };
    load_filter(&files, &words, logs).map_err(|faults| super::in_words(path, &faults).into())
}

/// Whether there is a file that `pattern` stands for.
#[must_use]
pub fn is_there(pattern: &str) -> bool {
    // Two stars look into all directories below for us, and mean one to fail2ban.
    let pattern = pattern.replace("**", "*");
    glob::glob(&pattern).is_ok_and(|mut paths| paths.any(|path| path.is_ok()))
}

fn add(directory: &Path, within: &str, depth: usize, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(directory).map_err(|error| failure(directory, &error))?;
    for (number, entry) in entries.enumerate() {
        if number == MAX_ENTRIES {
            return Err(refused(directory, &format!("more than {MAX_ENTRIES} names: is it fail2ban's directory?")));
        }
        let entry = entry.map_err(|error| failure(directory, &error))?;
        let path = entry.path();
        // fail2ban reads names that are text; others it cannot include.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let inner = if within.is_empty() { name.clone() } else { format!("{within}/{name}") };
        // Of the target of a link; what vanished meanwhile is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth < MAX_DEPTH {
            add(&path, &inner, depth + 1, files)?;
        } else if !metadata.is_dir() && (name.ends_with(".conf") || name.ends_with(".local")) {
            // One byte more than there may be, so that it is refused with the others' words.
            let bytes = regular::open(&path)
                .and_then(|file| {
                    let mut bytes = Vec::new();
                    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
                    Ok(bytes)
                })
                .map_err(|error| failure(&path, &error))?;
            files.add(&inner, bytes).map_err(|error| refused(directory, &error.to_string()))?;
        }
    }
    Ok(())
}

fn failure(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let sentence = format!("{}: {error}", path.display());
    if is_permission(error) { Failure::Permission(sentence).into() } else { Failure::Configuration(sentence).into() }
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    Failure::Configuration(format!("{}: {why}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    fn directory() -> TempDir {
        let directory = TempDir::new();
        fs::create_dir(directory.path("filter.d")).unwrap();
        directory
    }

    fn write(directory: &TempDir, path: &str, text: &str) -> String {
        directory.write(path, text.as_bytes());
        directory.text(path)
    }

    #[test]
    fn a_filter_is_read_from_its_file_with_its_parameters_and_includes() {
        let directory = directory();
        write(&directory, "common.conf", "[Definition]\nx = above\n");
        write(&directory, "filter.d/common.conf", "[Definition]\nx = beside\n");
        let text = "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^%(x)s <y> <HOST>$\ny = 1\n";
        let within = write(&directory, "filter.d/f.conf", text);
        let alone = write(&directory, "f.conf", text);
        let read = |words: &str| {
            filter(words, Logs::Files, &mut Digest::default()).map(|filter| filter.definition.failregex).unwrap()
        };

        assert_eq!(read(&within), ["^beside 1 <HOST>$"]);
        assert_eq!(read(&format!("{within}[y='a[b]', z=3]")), ["^beside a[b] <HOST>$"]);
        assert_eq!(read(&alone), ["^above 1 <HOST>$"]);
        let refusal = |words: &str| filter(words, Logs::Files, &mut Digest::default()).unwrap_err().to_string();
        assert!(refusal(&format!("{within}[y]")).contains("a parameter has no value"));
        assert!(refusal(&format!("{within}x")).contains("No such file"));
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_and_an_emptied_file_is_empty() {
        let directory = directory();
        write(&directory, "jail.conf", "[a]\n");
        std::os::unix::fs::symlink("/dev/null", directory.path("jail.local")).unwrap();
        assert_eq!(read(&directory.path("")).unwrap().get("jail.local"), Some(&b""[..]));
        let pipe = directory.path("filter.d/pipe.conf");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (told, answer) = std::sync::mpsc::channel();
        let root = directory.path("");
        std::thread::spawn(move || told.send(read(&root).map(drop).map_err(|error| error.to_string())));

        let refused = answer.recv_timeout(std::time::Duration::from_secs(20)).expect("an answer at once");

        assert_eq!(refused, Err(format!("{}: is a FIFO, expected a regular file", pipe.display())));
        assert!(
            filter(&pipe.to_string_lossy(), Logs::Files, &mut Digest::default())
                .unwrap_err()
                .to_string()
                .contains("it is no file")
        );
    }

    #[test]
    fn a_directory_that_goes_on_and_a_file_that_is_huge_are_refused() {
        let directory = directory();
        std::os::unix::fs::symlink("..", directory.path("filter.d/loop")).unwrap();
        write(&directory, "jail.conf", "[a]\n");
        assert!(read(&directory.path("")).unwrap().get("jail.conf").is_some(), "a loop ends");
        write(&directory, "filter.d/huge.conf", &"#".repeat(MAX_FILE_BYTES + 1));

        let refused = read(&directory.path("")).unwrap_err().to_string();

        assert!(refused.contains("huge.conf is longer than"), "{refused}");
    }
}
