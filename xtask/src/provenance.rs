//! What the committed XDP object was made of and by: kept beside it, so that a stale object is noticed without a BPF
//! toolchain.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::root;
use crate::ebpf::FLAGS;

/// The committed object, from the workspace's root.
pub(crate) const OBJECT: &str = "blocker/bpf/blocker.bpf.o";

const PROVENANCE: &str = "blocker/bpf/provenance.toml";

/// Packages whose code ends up in the object; their versions count as sources.
const LINKED_PACKAGES: &[&str] = &["aya-ebpf", "aya-ebpf-bindings", "aya-ebpf-cty", "aya-ebpf-macros"];

/// The record beside the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    /// What `rustc --version` said.
    pub(crate) rustc: String,
    /// The compiler's LLVM.
    pub(crate) llvm: String,
    /// What `bpf-linker --version` said.
    pub(crate) bpf_linker: String,
    /// SHA-256 over all sources, see [`sources_digest`].
    pub(crate) sources: String,
    /// SHA-256 of the object.
    pub(crate) object: String,
}

impl Provenance {
    /// Reads the committed record.
    pub(crate) fn read() -> Result<Self> {
        let path = root().join(PROVENANCE);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {PROVENANCE}"))?;
        toml::from_str(&text).with_context(|| format!("reading {PROVENANCE}"))
    }

    /// Writes it.
    pub(crate) fn write(&self) -> Result<()> {
        let text = format!("# Written by `cargo xtask ebpf`, with the object.\n{}", toml::to_string(self)?);
        fs::write(root().join(PROVENANCE), text).with_context(|| format!("writing {PROVENANCE}"))
    }

    /// Whether another build by the same tools can be compared byte for byte.
    pub(crate) fn is_by_same_tools(&self, other: &Self) -> bool {
        self.rustc == other.rustc && self.llvm == other.llvm && self.bpf_linker == other.bpf_linker
    }
}

/// SHA-256 over names and contents of the files that make the object, the build profile, the compiler's flags and the
/// versions of the packages that are linked in.
pub(crate) fn sources_digest() -> Result<String> {
    let root = root();
    let mut files = vec![PathBuf::from("blocker-common/Cargo.toml"), PathBuf::from("blocker-ebpf/Cargo.toml")];
    for folder in ["blocker-common/src", "blocker-ebpf/src"] {
        collect(&root, Path::new(folder), &mut files)?;
    }
    files.sort_unstable();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.to_string_lossy().as_bytes());
        hash.update([0]);
        hash.update(fs::read(root.join(&file)).with_context(|| format!("reading {}", file.display()))?);
        hash.update([0]);
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let profile = manifest.split("[profile.ebpf]").nth(1).and_then(|rest| rest.split("\n[").next());
    hash.update(profile.context("Cargo.toml has no [profile.ebpf]")?);
    hash.update(FLAGS.join("\n"));
    hash.update(linked_versions(&root)?);
    Ok(hex(&hash.finalize()))
}

/// SHA-256 of some bytes, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder)).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn linked_versions(root: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let text = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("reading Cargo.lock")?;
    Ok(lock
        .package
        .iter()
        .filter(|package| LINKED_PACKAGES.contains(&package.name.as_str()))
        .map(|package| format!("{} {}\n", package.name, package.version))
        .collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_object_is_of_these_sources() {
        let provenance = Provenance::read().unwrap();

        assert_eq!(
            provenance.sources,
            sources_digest().unwrap(),
            "the sources of the XDP program changed: run `cargo xtask ebpf` and commit what it writes"
        );
    }

    #[test]
    fn the_committed_object_is_the_one_that_was_recorded() {
        let object = fs::read(root().join(OBJECT)).unwrap();

        assert_eq!(Provenance::read().unwrap().object, digest(&object));
    }
}
