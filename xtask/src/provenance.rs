//! What the committed XDP object was made of and by: kept beside it, so that a stale object is noticed without a BPF
//! toolchain.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
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

/// SHA-256 over names and contents of the files that make the object, the settings of the build profile, the compiler's flags and the
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
    hash.update(profile(&manifest, "ebpf")?);
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

/// The settings of a build profile, those that it inherits among them, in the order of their names.
fn profile(manifest: &str, name: &str) -> Result<String> {
    let manifest: toml::Table = toml::from_str(manifest).context("reading Cargo.toml")?;
    let profiles = manifest.get("profile").and_then(toml::Value::as_table).context("Cargo.toml has no profiles")?;
    let mut settings = toml::Table::new();
    let mut name = Some(name);
    // Each names at most one other; a circle ends where all have been.
    for _ in 0..=profiles.len() {
        let Some(own) = name.and_then(|name| profiles.get(name)).and_then(toml::Value::as_table) else { break };
        name = own.get("inherits").and_then(toml::Value::as_str);
        for (key, value) in own.iter().filter(|(key, _)| *key != "inherits") {
            settings.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    ensure!(!settings.is_empty(), "Cargo.toml has no [profile.ebpf]");
    toml::to_string(&settings).context("writing a profile down")
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
    fn a_profile_is_what_it_sets_and_inherits_and_not_how_it_is_written() {
        let plain =
            "[profile.release]\nlto = \"thin\"\nrpath = false\n[profile.ebpf]\ninherits = \"release\"\nlto = true\n";
        let other = "[profile]\nrelease = { rpath = false, lto = \"fat\" }\n# XDP\n                     ebpf = { lto = true, inherits = \"release\" } # here too\n[workspace]\n";

        assert_eq!(profile(plain, "ebpf").unwrap(), "lto = true\nrpath = false\n");
        assert_eq!(profile(other, "ebpf").unwrap(), profile(plain, "ebpf").unwrap());
        assert_ne!(profile(plain, "release").unwrap(), profile(plain, "ebpf").unwrap());
        assert!(profile("[profile.release]\nlto = true\n", "ebpf").is_err());
    }

    #[test]
    fn the_committed_object_is_the_one_that_was_recorded() {
        let object = fs::read(root().join(OBJECT)).unwrap();

        assert_eq!(Provenance::read().unwrap().object, digest(&object));
    }
}
