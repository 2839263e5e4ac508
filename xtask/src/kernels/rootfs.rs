//! What is in the machine: the tests, the daemon, and the few programs of this machine that they run.
//!
//! Programs are this machine's own, each with the libraries that it is linked to; the kernel alone is another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cpio::Cpio;
use super::release::Kernel;
use crate::command::{cargo, find_program, output, root, run as run_command};
use crate::run;

/// How the tests and the daemon are built.
pub(crate) const BUILD: run::Build = run::Build::Emulated;

/// The first process.
const INIT: &str = include_str!("init.sh");

/// Programs that the tests or the first process run.
const PROGRAMS: [&str; 8] = ["busybox", "ip", "nsenter", "mount", "ethtool", "bpftool", "xdp-loader", "xdp-filter"];

/// The programs of libxdp and xdp-filter, which run in the kernel.
const OBJECTS: &str = "/usr/lib/x86_64-linux-gnu/bpf";

/// The test programs. The end-to-end tests are not among them: most are about logs, answers and servers, which no kernel
/// changes.
const TESTS: [&str; 2] = ["devices", "prog_run"];

/// What is run in the machine; every test, if nothing is said.
#[derive(clap::Args)]
pub(super) struct Plan {
    /// Only this test program
    #[arg(long, value_name = "NAME", value_parser = TESTS)]
    test: Option<String>,
    /// Only the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Runs a command in the machine, by its shell, instead of the tests
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["test", "only"])]
    instead: Option<String>,
}

/// The initial file system, but for the kernel's modules.
pub(super) struct Rootfs {
    archive: Vec<u8>,
}

impl Rootfs {
    /// Builds the tests and collects everything.
    ///
    /// # Errors
    ///
    /// If something does not build, or a program or library is not there.
    pub(super) fn build(plan: &Plan) -> Result<Self> {
        let Plan { test, only, instead } = plan;
        let folder = root().join("target/kernels/tests");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut tree = Tree::default();
        let blocker = run::build(BUILD, None)?;
        tree.program("/tests/blocker", &stripped(&blocker, &folder)?)?;
        let mut lines = String::new();
        let is_wanted = |name: &str| test.as_ref().is_none_or(|test| test == name);
        for name in TESTS.into_iter().filter(|name| is_wanted(name)) {
            tree.program(&format!("/tests/{name}"), &stripped(&test_program(name)?, &folder)?)?;
            let filter = only.as_ref().map_or_else(String::new, |only| format!("'{}'", only.replace('\'', "")));
            // One test at a time: there is one CPU, and deadlines.
            lines.push_str(&format!("{name} /tests/{name} --test-threads 1 --nocapture {filter}\n"));
        }
        if let Some(command) = instead {
            lines = format!("command {command}\n");
        }
        for name in PROGRAMS {
            let program = find_program(name, &[]).with_context(|| format!("there is no program {name}"))?;
            tree.program(&format!("/bin/{name}"), &program)?;
        }
        for entry in fs::read_dir(OBJECTS).with_context(|| format!("reading {OBJECTS}"))? {
            let object = entry?.path();
            tree.copy(&object.display().to_string(), &object)?;
        }
        tree.text("/init", INIT);
        tree.text("/plan", &lines);
        tree.text("/etc/passwd", "root:x:0:0:root:/tmp:/bin/busybox\n");
        tree.text("/etc/group", "root:x:0:\n");
        for folder in ["/proc", "/sys", "/dev", "/run", "/tmp", "/modules"] {
            tree.folder(folder);
        }
        Ok(Self { archive: tree.cpio.finish() })
    }

    /// The whole file system for a kernel, as it is handed to it.
    ///
    /// # Errors
    ///
    /// If a module cannot be read.
    pub(super) fn with_modules_of(&self, kernel: &Kernel) -> Result<Vec<u8>> {
        Ok([self.archive.as_slice(), &modules(kernel)?].concat())
    }
}

/// An archive of a kernel's modules in `/modules`, with their order.
///
/// # Errors
///
/// If a module cannot be read.
pub(crate) fn modules(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut cpio = Cpio::default();
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        cpio.file(&format!("/modules/{name}"), &read(module)?);
        order.push_str(&name);
        order.push('\n');
    }
    cpio.file("/modules/order", order.as_bytes());
    Ok(cpio.finish())
}

/// A file system in the making.
#[derive(Default)]
pub(crate) struct Tree {
    cpio: Cpio,
    there: BTreeSet<String>,
}

impl Tree {
    /// Adds the program `from` and the libraries it is linked to.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read.
    pub(crate) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        self.copy(path, from)?;
        for library in libraries(from)? {
            self.copy(&library.display().to_string(), &library)?;
        }
        Ok(())
    }

    /// Adds a copy of the file `from`, which may be run.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        if self.is_new(path) {
            self.cpio.file(path, &read(from)?);
        }
        Ok(())
    }

    /// Adds a script.
    pub(crate) fn text(&mut self, path: &str, text: &str) {
        if self.is_new(path) {
            self.cpio.file(path, text.as_bytes());
        }
    }

    /// Adds a text that nobody runs.
    pub(crate) fn plain(&mut self, path: &str, text: &str) {
        if self.is_new(path) {
            self.cpio.plain(path, text.as_bytes());
        }
    }

    /// The archive, ended.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.cpio.finish()
    }

    /// Adds a folder, with those that it lies in.
    pub(crate) fn folder(&mut self, path: &str) {
        if self.is_new(path) {
            self.cpio.folder(path);
        }
    }

    /// Whether nothing is at `path`; makes the folders that it lies in.
    fn is_new(&mut self, path: &str) -> bool {
        if !self.there.insert(path.to_owned()) {
            return false;
        }
        match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => self.folder(parent),
            Some(_) | None => {}
        }
        true
    }
}

/// The libraries that a program is linked to, with the loader; none for one that is linked statically.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&listed.stdout);
    if !listed.status.success() {
        let said = format!("{text}{}", String::from_utf8_lossy(&listed.stderr));
        ensure!(said.contains("not a dynamic executable"), "ldd {}: {}", program.display(), said.trim());
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for line in text.lines() {
        ensure!(
            !line.contains("not found"),
            "{} needs a library that is not there: {}",
            program.display(),
            line.trim()
        );
        found.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}

/// A copy of a program without what debuggers read: it is held in the machine's memory.
///
/// # Errors
///
/// strip's.
pub(crate) fn stripped(program: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join(program.file_name().context("a program has a name")?);
    let done = output(Command::new("strip").arg("--strip-debug").arg("-o").arg(&copy).arg(program));
    done.with_context(|| format!("strip does not copy {} to {}", program.display(), copy.display()))?;
    Ok(copy)
}

/// Builds a test program of the package `blocker-tests`, and returns where it is.
///
/// # Errors
///
/// Cargo's.
pub(crate) fn test_program(name: &str) -> Result<PathBuf> {
    let build = || {
        let mut command = cargo();
        let words =
            ["test", "--locked", "--profile", BUILD.profile(), "--package", "blocker-tests", "--no-run", "--test"];
        command.args(words).arg(name);
        command
    };
    run_command(&mut build())?;
    let told = output(build().arg("--message-format=json")).context("cargo does not tell what it has built")?;
    for line in told.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if let (Some(target), Some(program)) = (message["target"]["name"].as_str(), message["executable"].as_str())
            && target == name
        {
            return Ok(program.into());
        }
    }
    bail!("cargo built no test program {name}")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
