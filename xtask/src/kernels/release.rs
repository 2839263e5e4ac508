//! The kernels that are tested: which they are, and each one unpacked into `target/kernels`, once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::{Archive, Mirror};
use crate::command::{output, root, run_as};

/// A kernel, by where it is found.
#[derive(Debug)]
pub(crate) struct Release {
    /// The first numbers of its version; the name it is asked for by.
    pub(crate) name: &'static str,
    /// The release of Debian that has it.
    pub(crate) suite: &'static str,
}

/// The oldest that is supported; two that are in wide use; whatever is newest.
pub(crate) const RELEASES: [Release; 4] = [
    Release { name: "5.10", suite: "bullseye" },
    Release { name: "6.1", suite: "bookworm" },
    Release { name: "6.12", suite: "trixie" },
    Release { name: "7", suite: "sid" },
];

/// The package that depends on the newest kernel of a release, without drivers for hardware that no virtual machine has.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// What is taken of a kernel, and where it is kept.
#[derive(Debug)]
pub(crate) struct Part {
    /// A folder below `target/`.
    pub(crate) folder: &'static str,
    /// The modules that are loaded, if they are not part of the kernel itself.
    pub(crate) modules: &'static [&'static str],
}

/// What the tests make devices of, and the devices of the virtual machine.
pub(super) const PART: Part = Part {
    folder: "kernels",
    modules: &[
        "veth",
        "8021q",
        "bonding",
        "bridge",
        "macvlan",
        "ipvlan",
        "dummy",
        "vrf",
        "virtio_pci",
        "virtio_net",
        "sch_ingress",
        "cls_bpf",
    ],
};

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The name it is asked for by.
    pub(super) name: &'static str,
    /// Debian's package version of it.
    pub(crate) version: String,
    /// The kernel itself.
    pub(super) image: PathBuf,
    /// Modules, uncompressed, in an order in which each finds those it needs.
    pub(super) modules: Vec<PathBuf>,
    /// Where the console's output is kept.
    pub(crate) console: PathBuf,
}

impl Release {
    /// That part of the kernel, fetched if it is not there, or if there may be a newer one and `update` asks for it.
    ///
    /// # Errors
    ///
    /// apt's, or that a package is not what is expected.
    pub(crate) fn kernel(&self, part: &Part, mirror: &Mirror, update: bool) -> Result<Kernel> {
        let place = root().join("target").join(part.folder).join(self.name);
        let ready = place.join("kernel");
        let is_of = |modules: String| fs::read_to_string(ready.join("wanted")).is_ok_and(|wanted| wanted == modules);
        if update || !is_of(part.modules.join("\n")) {
            self.fetch(part, mirror, &place, &ready)?;
        }
        let read = |name: &str| {
            let path = ready.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        Ok(Kernel {
            name: self.name,
            version: read("version")?.trim().to_owned(),
            image: ready.join("vmlinuz"),
            modules: read("order")?.lines().map(|name| ready.join(name)).collect(),
            console: place.join("console.log"),
        })
    }

    fn fetch(&self, part: &Part, mirror: &Mirror, place: &Path, ready: &Path) -> Result<()> {
        let (unpacked, state, next) = (place.join("unpacked"), place.join("apt"), place.join("next"));
        for leftover in [&unpacked, &state, &next] {
            remove(leftover)?;
        }
        let archive = Archive::open(&state, mirror, self.suite)?;
        let (version, packages) = packages(&archive)?;
        archive.unpack(&packages, &unpacked)?;
        let tree = modules_tree(&unpacked)?;
        fs::create_dir_all(&next).with_context(|| format!("making {}", next.display()))?;
        copy(&image(&unpacked, &tree)?, &next.join("vmlinuz"))?;
        let mut order = String::new();
        for module in in_order(&tree, part.modules)? {
            let name = uncompressed(&module, &next)?;
            order.push_str(&name);
            order.push('\n');
        }
        write(&next.join("order"), &order)?;
        write(&next.join("version"), &version)?;
        write(&next.join("wanted"), &part.modules.join("\n"))?;
        remove(ready)?;
        fs::rename(&next, ready).with_context(|| format!("renaming {} to {}", next.display(), ready.display()))?;
        remove(&unpacked)?;
        remove(&state)
    }
}

/// The version, and the packages that a kernel and its modules are in.
fn packages(archive: &Archive) -> Result<(String, Vec<String>)> {
    let (version, mut next) = archive.package(METAPACKAGE)?;
    let mut packages: Vec<String> = Vec::new();
    // The image, and since 7 the packages that it depends on in turn.
    while let Some(name) = next.pop() {
        let has_files =
            ["linux-image-", "linux-binary-", "linux-modules-"].iter().any(|prefix| name.starts_with(prefix));
        if has_files && !packages.contains(&name) {
            next.extend(archive.package(&name)?.1);
            packages.push(name);
        }
    }
    if packages.is_empty() {
        bail!("the package {METAPACKAGE} {version} depends on no kernel");
    }
    Ok((version, packages))
}

/// The folder of the modules, which has the name of the kernel's release.
fn modules_tree(unpacked: &Path) -> Result<PathBuf> {
    let folders = ["lib/modules", "usr/lib/modules"].map(|folder| unpacked.join(folder));
    let found = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().find_map(Result::ok);
    Ok(found.with_context(|| format!("no modules in {}", unpacked.display()))?.path())
}

/// The kernel itself, in the place of old or of new.
fn image(unpacked: &Path, tree: &Path) -> Result<PathBuf> {
    let release = tree.file_name().unwrap_or_default().to_string_lossy();
    let places = [unpacked.join(format!("boot/vmlinuz-{release}")), tree.join("vmlinuz")];
    let found = places.into_iter().find(|place| place.is_file());
    found.with_context(|| format!("no kernel in {}", unpacked.display()))
}

/// The files of those of `modules` that are not part of the kernel, and of what they need, which comes first.
fn in_order(tree: &Path, modules: &[&str]) -> Result<Vec<PathBuf>> {
    // depmod looks for lib/modules below the folder it is given.
    let base = tree.ancestors().nth(3).context("the modules are below lib/modules")?;
    let release = tree.file_name().context("the modules' folder has a name")?;
    run_as("depmod", Command::new("depmod").arg("-b").arg(base).arg(release))?;
    let path = tree.join("modules.dep");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let needs: HashMap<&str, (&str, Vec<&str>)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (module_name(file), (file, needs.split_whitespace().collect())))
        .collect();
    let mut files: Vec<&str> = Vec::new();
    for (file, below) in modules.iter().filter_map(|name| needs.get(name)) {
        // Those that others need come last in a line of modules.dep.
        for file in below.iter().rev().chain([file]) {
            if !files.contains(file) {
                files.push(file);
            }
        }
    }
    Ok(files.into_iter().map(|file| tree.join(file)).collect())
}

/// `veth` of `kernel/drivers/net/veth.ko.xz`.
fn module_name(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

/// Writes a module as it is loaded to `folder`, and returns its file's name.
fn uncompressed(module: &Path, folder: &Path) -> Result<String> {
    let name = format!("{}.ko", module_name(&module.to_string_lossy()));
    match module.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => copy(module, &folder.join(&name))?,
        Some("xz") => {
            let packed = folder.join(format!("{name}.xz"));
            copy(module, &packed)?;
            output(Command::new("xz").args(["--decompress", "--force"]).arg(&packed))
                .with_context(|| format!("xz does not decompress {}", packed.display()))?;
        }
        Some(_) | None => bail!("{} is in a form that is not known here", module.display()),
    }
    Ok(name)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Removes a folder and all in it; that it is not there is no error.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
