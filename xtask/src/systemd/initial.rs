//! What the machine begins with: modules, the image of its system, and what is put into that at the first boot.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::{find_program, root};
use crate::kernels::release::Kernel;
use crate::kernels::rootfs::{BUILD, Tree, modules, stripped, test_program};
use crate::run;

/// The first process until systemd is.
const INIT: &str = include_str!("init.sh");

/// Runs the tests.
const TESTS: &str = include_str!("tests.sh");
const TESTS_UNIT: &str = include_str!("tests.service");

/// The machine's network, and the one outside.
const NETWORK: &str = include_str!("network.sh");
const NETWORK_UNIT: &str = include_str!("network.service");

/// The heading in the README of the commands that install the daemon.
const HEADING: &str = "## Install\n";

/// The archive, for a kernel and the image of a system.
///
/// # Errors
///
/// If something does not build or is not there.
pub(super) fn archive(kernel: &Kernel, image: &Path, instead: Option<&str>) -> Result<Vec<u8>> {
    let folder = root().join("target/systemd/tests");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut tree = Tree::default();
    for folder in ["/proc", "/sys", "/dev", "/modules", "/image", "/disk", "/root"] {
        tree.folder(folder);
    }
    tree.text("/init", INIT);
    let busybox = find_program("busybox", &[]).context("there is no program busybox")?;
    tree.program("/bin/busybox", &busybox)?;
    tree.copy("/debian.sqfs", image)?;
    let blocker = run::build(BUILD, None)?;
    tree.copy("/add/tests/checkout/target/release/blocker", &stripped(&blocker, &folder)?)?;
    for name in ["blocker.toml", "blocker.service"] {
        let path = format!("dist/{name}");
        let text = fs::read_to_string(root().join(&path)).with_context(|| format!("reading {path}"))?;
        tree.plain(&format!("/add/tests/checkout/{path}"), &text);
    }
    tree.copy("/add/tests/program", &stripped(&test_program("systemd")?, &folder)?)?;
    let readme = fs::read_to_string(root().join("README.md")).context("reading README.md")?;
    tree.plain("/add/tests/install.sh", &commands(&readme)?);
    tree.text("/add/tests/tests.sh", TESTS);
    tree.text("/add/tests/network.sh", NETWORK);
    tree.plain("/add/etc/systemd/system/tests.service", TESTS_UNIT);
    tree.plain("/add/etc/systemd/system/outside.service", NETWORK_UNIT);
    if let Some(command) = instead {
        tree.plain("/add/tests/instead.sh", &format!("{command}\n"));
    }
    Ok([tree.finish(), modules(kernel)?].concat())
}

/// The commands of the README that install the daemon, but for the one that builds it.
fn commands(readme: &str) -> Result<String> {
    let block = readme.split_once(HEADING).and_then(|(_, rest)| rest.split("```").nth(1));
    let block =
        block.and_then(|block| block.strip_prefix("sh\n")).context("README.md has no commands under `Install`")?;
    let (build, rest) = block.split_once('\n').unwrap_or_default();
    ensure!(build.starts_with("cargo build --release "), "README.md installs without building first: `{build}`");
    Ok(rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_installs_a_program_a_configuration_and_a_unit() {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let commands = commands(&readme).unwrap();

        for part in [
            "install -m 755 target/release/blocker",
            "dist/blocker.toml",
            "dist/blocker.service",
            "systemctl enable --now",
        ] {
            assert!(commands.contains(part), "{part} in {commands}");
        }
        assert!(!commands.contains("cargo"), "{commands}");
    }
}
