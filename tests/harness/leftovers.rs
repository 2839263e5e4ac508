//! Names that say who made a thing, and the sweep that removes what a killed run left behind.
//!
//! Whatever the laboratory creates outside its own memory (namespaces, temporary directories, pins) is called
//! `blk<pid>-<n>…`. A name whose process is gone belongs to nobody, and is removed at the start of the next run.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A name that no other thing of this process, or of a living one, has.
#[must_use]
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("blk{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes what dead runs left behind, once per process.
pub fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for namespace in orphans(Path::new(NAMESPACES)) {
            remove_namespace(&namespace);
        }
        for name in orphans(Path::new(TEMPORARY)) {
            fs::remove_dir_all(Path::new(TEMPORARY).join(&name)).unwrap_or_else(|error| complain(&name, &error));
        }
        for name in orphans(Path::new(BPFFS)) {
            fs::remove_dir_all(Path::new(BPFFS).join(&name)).unwrap_or_else(|error| complain(&name, &error));
        }
        if let Ok(groups) = control_groups() {
            for name in orphans(&groups) {
                remove_control_group(&groups.join(&name)).unwrap_or_else(|error| complain(&name, &error));
            }
        }
    });
}

/// Ends every process in a namespace of ours, and removes the namespace.
pub fn remove_namespace(name: &str) {
    // The processes in it are children of the laboratory, or their children: nobody else knows the name.
    if let Ok(output) = Command::new("ip").args(["netns", "pids", name]).output() {
        let listed = String::from_utf8_lossy(&output.stdout);
        for pid in listed.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if u32::try_from(pid).is_ok_and(|pid| pid != std::process::id()) {
                // A process that ended in the meantime is what is wanted.
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
    }
    match Command::new("ip").args(["netns", "delete", name]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => eprintln!("{name} was not removed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => complain(name, &error),
    }
}

/// Where control groups of version 2 are mounted.
///
/// # Errors
///
/// If they are not.
pub fn control_groups() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let mut places = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(place))
    });
    places.next().context("control groups of version 2 are not mounted")
}

/// Removes a control group and those in it, which must be empty.
///
/// # Errors
///
/// If a process is in one of them.
pub fn remove_control_group(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_control_group(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// A directory under `/tmp` that everybody may enter, removed with the value.
///
/// Always `/tmp`: Dovecot's sockets need a short path, and its unprivileged processes must be able to walk to it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Creates an empty one.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn new() -> Result<Self> {
        let path = Path::new(TEMPORARY).join(unique_name());
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let scratch = Self { path };
        fs::set_permissions(&scratch.path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(scratch)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            complain(&self.path.display().to_string(), &error);
        }
    }
}

/// Where the BPF file system is expected.
pub const BPFFS: &str = "/sys/fs/bpf";

const NAMESPACES: &str = "/run/netns";
const TEMPORARY: &str = "/tmp";

/// Names in `directory` made by a run of the laboratory that is no more.
fn orphans(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| maker(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()))
        .collect()
}

/// The process id in `blk<pid>-…`.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix("blk")?.split_once('-')?.0.parse().ok()
}

fn complain(name: &str, error: &io::Error) {
    if error.kind() != io::ErrorKind::NotFound {
        eprintln!("{name} was not removed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::{maker, unique_name};

    #[test]
    fn names_tell_their_maker_and_foreign_names_have_none() {
        assert_eq!(maker(&unique_name()), Some(std::process::id()));
        assert_eq!(maker("blocker"), None);
        assert_eq!(maker("blkx-1"), None);
    }
}
